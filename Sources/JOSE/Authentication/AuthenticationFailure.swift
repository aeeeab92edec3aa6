/// Why a client was not let in, and how to answer. A value, not an error of the program.
public struct AuthenticationFailure: Error, Sendable, Equatable {
    /// The stable reason, for answers, logs and metrics.
    public let reason: AuthenticationReason
    /// What was found, for the operator's log and `mesh token inspect`: one line, never a token, key or secret. Not for
    /// the client.
    public let detail: String
    /// The configured issuer whose token it is, where that is known. Never a text out of an unverified token.
    public let issuer: String?
    /// The values of the `WWW-Authenticate` fields of the answer, one field each (RFC 6750, 9449).
    public let challenges: [String]
    /// To be sent as `DPoP-Nonce` (RFC 9449, section 8): the client has to make its proof with it.
    public let dpopNonce: String?
    /// The issuer whose key set may be out of date. The shell tells its ``JWKSCache`` with
    /// ``JWKSCache/unknownKey(at:)`` and may try the same credentials once more when new keys came.
    public let wantsKeysOf: String?

    /// The status of the answer: 400, 401, 403, 429 or 503.
    public var status: Int { reason.answer.status }
    /// Whether it counts towards the penalty for repeated failures: something was presented that an honest client with a
    /// good clock does not present. Expiry and stale nonces do not count.
    public var countsAsFailure: Bool { reason.answer.counts }
    /// For the client: the reason's sentence, the same for every request with this reason.
    public var text: String { reason.text }

    /// A failure from its parts.
    public init(
        reason: AuthenticationReason, detail: String, issuer: String? = nil, challenges: [String] = [],
        dpopNonce: String? = nil, wantsKeysOf: String? = nil
    ) {
        self.reason = reason
        self.detail = detail
        self.issuer = issuer
        self.challenges = challenges
        self.dpopNonce = dpopNonce
        self.wantsKeysOf = wantsKeysOf
    }
}
