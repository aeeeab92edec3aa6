/// What an external client brought to prove who it is, as the edge took it out of a request or a message.
///
/// Nothing in here has been checked. The edge fills it in after it removed forwarded headers it does not trust; `url`
/// and `method` are those of the request that was received, not what the client says they are.
public struct ClientCredentials: Sendable {
    /// Where a token stood that was in no `Authorization` header.
    public enum TokenSource: String, Sendable, CaseIterable {
        /// In `Sec-WebSocket-Protocol`, for browsers.
        case subprotocol
        /// In the first WebSocket message, or in a renewal message.
        case message
        /// In the body of `POST /v1/token/renew`.
        case body
        /// In the query; only where the configuration permits it.
        case query
    }

    /// The values of all `Authorization` fields in their order. More than one is refused.
    public var authorization: [String]
    /// A token from another place, without a scheme. Together with `authorization` it is refused (RFC 6750, section 2).
    public var token: String?
    /// Where `token` stood.
    public var tokenSource: TokenSource?
    /// The values of all `X-API-Key` fields. A key may stand in `Authorization: Bearer` as well, known by its prefix.
    public var apiKeys: [String]
    /// The values of all `DPoP` fields (RFC 9449, section 4.1). More than one is refused.
    public var dpop: [String]
    /// The request's method, `GET` for a WebSocket handshake.
    public var method: String
    /// The request's URL as the client sees it: the configured public origin and the path; a query is ignored.
    public var url: String
    /// SHA-256 of the DER of the client's verified certificate (32 bytes), where the connection has one.
    public var certificateThumbprint: [UInt8]?

    /// Credentials from their parts.
    public init(
        authorization: [String] = [], token: String? = nil, tokenSource: TokenSource? = nil, apiKeys: [String] = [],
        dpop: [String] = [], method: String, url: String, certificateThumbprint: [UInt8]? = nil
    ) {
        self.authorization = authorization
        self.token = token
        self.tokenSource = tokenSource
        self.apiKeys = apiKeys
        self.dpop = dpop
        self.method = method
        self.url = url
        self.certificateThumbprint = certificateThumbprint
    }

    /// Whether there is anything to check. Without it the answer is `missing_token`.
    public var isEmpty: Bool { authorization.isEmpty && token == nil && apiKeys.isEmpty }
}
