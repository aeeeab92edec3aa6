/// A credential as a client presented it, not checked in any way. Secret: no description shows it.
public struct PresentedCredential: Sendable, Hashable, CustomStringConvertible {
    /// What it is said to be.
    public enum Kind: String, Sendable, Hashable {
        /// A token whoever holds it may use (RFC 6750).
        case bearer
        /// A token that is bound to a key, with a proof (RFC 9449).
        case dpop
        /// An API key.
        case apiKey = "api_key"
    }

    /// Where it was.
    public enum Source: Sendable, Hashable {
        /// The Authorization field.
        case authorization
        /// The X-API-Key field.
        case apiKeyField
        /// The item `bearer.TOKEN` of Sec-WebSocket-Protocol.
        case subprotocol
        /// The query parameter `access_token`; the query without it.
        case query(rest: String?)
        /// A message of `conduit.auth.v1`.
        case message
    }

    /// What it is said to be.
    public var kind: Kind
    /// The token or key.
    public var secret: String
    /// The DPoP proof that came with it; with `bearer` it may be there too, and then must be checked all the same.
    public var proof: String?
    /// Where it was.
    public var source: Source

    /// A credential out of its parts.
    public init(kind: Kind, secret: String, proof: String? = nil, source: Source) {
        self.kind = kind
        self.secret = secret
        self.proof = proof
        self.source = source
    }

    /// Kind only.
    public var description: String { "\(kind.rawValue) credential" }

    static var several: EdgeRefusal {
        EdgeRefusal(
            .multipleCredentials, status: 400, "the request has more than one credential; send exactly one")
    }

    static func malformed(_ text: String) -> EdgeRefusal { EdgeRefusal(.malformedCredential, status: 400, text) }
}
