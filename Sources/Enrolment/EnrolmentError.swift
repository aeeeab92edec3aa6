/// Why a node did not get a certificate: the CA's refusal, or what the node found wrong with the CA.
public struct EnrolmentError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The stable reason.
    public enum Reason: String, Sendable, CaseIterable {
        // What the CA refuses.
        /// No such token was made here, or it was withdrawn.
        case unknownToken = "unknown_token"
        /// The signature is not the token's, or was made for another connection.
        case badProof = "bad_proof"
        /// The token's time is over.
        case tokenExpired = "token_expired"
        /// Another key has used the token.
        case tokenUsed = "token_used"
        /// The token, or the certificate, is that of another node.
        case wrongNode = "wrong_node"
        /// The request asks for names that were not granted.
        case namesNotGranted = "names_not_granted"
        /// The request for a certificate cannot be read, or its key is not its own.
        case badRequest = "bad_csr"
        /// Renewal without a certificate of this mesh.
        case notAuthenticated = "not_authenticated"
        /// The CA never admitted this node, or has forgotten it.
        case unknownNode = "unknown_node"
        /// The node or its certificate was revoked.
        case revoked = "revoked"
        /// Too many refusals from that address.
        case rateLimited = "rate_limited"
        /// The CA's own trouble: its disk, its certificate.
        case caFailed = "ca_failed"

        // What the node refuses, or cannot do.
        /// The text is no join token.
        case badToken = "bad_token"
        /// The server is not the CA of the token's fingerprint.
        case wrongCA = "wrong_ca"
        /// The server has a certificate of the mesh, and it is not the CA's.
        case notTheCA = "not_the_ca"
        /// The roots that the node already has are another mesh's.
        case otherMesh = "other_mesh"
        /// The CA cannot be reached.
        case unreachable = "ca_unreachable"
        /// The CA's certificate, which it makes anew each day, is not valid by this host's clock.
        case wrongClock = "wrong_clock"
        /// The answer is not what a CA answers.
        case badAnswer = "bad_answer"
        /// The certificate that came is not the one that was asked for.
        case badCertificate = "bad_certificate"
    }

    /// The stable reason.
    public let reason: Reason
    /// What happened, in one line.
    public let message: String
    /// What to do next, in one line.
    public let hint: String

    /// An error from its parts.
    public init(_ reason: Reason, _ message: String, hint: String) {
        self.reason = reason
        self.message = message
        self.hint = hint
    }

    /// The stable code, as in logs, metrics and JSON.
    public var code: String { reason.rawValue }

    /// "message (reason)".
    public var description: String { "\(message) (\(reason.rawValue))" }

    /// The HTTP status of a refusal.
    public var status: Int {
        switch reason {
        case .badRequest, .badToken: 400
        case .notAuthenticated: 401
        case .tokenUsed: 409
        case .rateLimited: 429
        case .caFailed: 503
        default: 403
        }
    }

    /// Whether it is about reaching a CA that answers, not about what it decided: programs end with exit code 5 for it.
    public var isAboutReach: Bool { isTemporary || reason == .badAnswer }

    /// Whether asking again later may help without anybody doing something.
    public var isTemporary: Bool {
        switch reason {
        // A host that has just started often gets the time a moment later.
        case .unreachable, .rateLimited, .caFailed, .wrongClock: true
        default: false
        }
    }
}
