public import JSON

/// What a token of the local issuer is to say.
public struct TokenRequest: Sendable {
    /// `sub`.
    public var subject: String
    /// `aud`; one is written as a string.
    public var audiences: [String]
    /// How long it counts, in seconds.
    public var lifetime: Int64
    /// `scope`.
    public var scopes: [String]
    /// Further claims.
    public var claims: JSONObject
    /// Thumbprint of the DPoP key that it is to be bound to.
    public var dpopThumbprint: String?
    /// SHA-256 of the certificate that it is to be bound to.
    public var certificateThumbprint: [UInt8]?

    /// A request.
    public init(
        subject: String, audiences: [String], lifetime: Int64, scopes: [String] = [], claims: JSONObject = [:],
        dpopThumbprint: String? = nil, certificateThumbprint: [UInt8]? = nil
    ) {
        self.subject = subject
        self.audiences = audiences
        self.lifetime = lifetime
        self.scopes = scopes
        self.claims = claims
        self.dpopThumbprint = dpopThumbprint
        self.certificateThumbprint = certificateThumbprint
    }
}
