/// Who an external client is, proven by a token or an API key. A value: live connections keep it and have it looked at
/// again with ``Authenticator/recheck(_:at:)``.
public struct Authenticated: Sendable, Hashable {
    /// What proved it.
    public enum Proof: Sendable, Hashable {
        /// A token of this issuer for this subject.
        case token(issuer: String, subject: String)
        /// The API key with this id.
        case apiKey(id: String)
    }

    /// What a token is bound to; whoever holds a bound token cannot use it without the key.
    public enum Binding: Sendable, Hashable {
        /// Whoever has the token may use it.
        case bearer
        /// A DPoP key with this JWK thumbprint (RFC 9449, section 6).
        case dpop(thumbprint: String)
        /// A client certificate with this SHA-256, base64url (RFC 8705, section 3).
        case certificate(thumbprint: String)
        /// Both of them.
        case dpopAndCertificate(dpop: String, certificate: String)
    }

    /// What proved it.
    public let proof: Proof
    /// Attributes by name, as the issuer's `claims` or the API key's record name them.
    public let attributes: [String: [String]]
    /// Scopes in the order of the token, each once.
    public let scopes: [String]
    /// When it ends: unix seconds, the first moment at which it no longer holds, leeway included. Nil for an API key
    /// without an end.
    public let expiry: Int64?
    /// When a token says that it was issued, unix seconds.
    public let issuedAt: Int64?
    /// The token's `jti`.
    public let tokenID: String?
    /// What the token is bound to.
    public let binding: Binding
    /// To be sent as `DPoP-Nonce` with the answer: the client's nonce is getting old (RFC 9449, section 8.2).
    public let dpopNonce: String?

    /// A result from its parts; the edge gets it from ``Authenticator`` and has no need to make one.
    public init(
        proof: Proof, attributes: [String: [String]] = [:], scopes: [String] = [], expiry: Int64? = nil,
        issuedAt: Int64? = nil, tokenID: String? = nil, binding: Binding = .bearer, dpopNonce: String? = nil
    ) {
        self.proof = proof
        self.attributes = attributes
        self.scopes = scopes
        self.expiry = expiry
        self.issuedAt = issuedAt
        self.tokenID = tokenID
        self.binding = binding
        self.dpopNonce = dpopNonce
    }

    /// The principal as the policy names it: `jwt:ISSUER/SUBJECT` or `key:ID`.
    ///
    /// Bytes of the subject that a principal cannot hold, and `/` and `%`, are percent-encoded, so that the last slash
    /// always ends the issuer: no subject can look like one of another issuer.
    public var principal: String {
        switch proof {
        case .token(let issuer, let subject): "jwt:\(issuer)/\(SubjectName.encode(subject))"
        case .apiKey(let id): "key:\(id)"
        }
    }

    /// Whether the same client proved itself: what a renewal on a live connection must show.
    public func isSameClient(as other: Authenticated) -> Bool {
        proof == other.proof && binding == other.binding
    }

    /// Whether all of these scopes are held.
    public func holds(scopes required: some Sequence<String>) -> Bool {
        required.allSatisfy { scopes.contains($0) }
    }
}
