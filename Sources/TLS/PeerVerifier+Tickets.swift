internal import COpenSSL
public import PKI

/// What became of a ticket that a client has shown.
public enum TicketOutcome: Sendable, Equatable {
    /// The session goes on; the client's certificate, where it has one, was verified again.
    case resumed
    /// It was sealed by no key that is here: before a restart, for another name, by somebody else, or too long ago.
    case unknownKey
    /// The last handshake in full is too long ago.
    case tooOld
    /// The client's certificate is missing, or not asked for any more.
    case otherCertificates
    /// The client's certificate is not good any more.
    case refused(CertificateReason)
    /// It was good, and the client did not prove that the session is its own, or wanted other algorithms.
    case notUsed

    /// A name for metrics.
    public var code: String {
        switch self {
        case .resumed: "resumed"
        case .unknownKey: "unknown_key"
        case .tooOld: "too_old"
        case .otherCertificates: "other_certificates"
        case .refused(let reason): reason.rawValue
        case .notUsed: "not_used"
        }
    }
}

/// Session tickets: OpenSSL resumes what it can open; here the client's certificate is looked at as in a handshake in full,
/// chain, time, revocation and pins.
extension PeerVerifier {
    /// A session that may be resumed.
    ///
    /// An object: few sessions have one, and idle ones are to be small.
    final class Resumable {
        /// Nil where the client has no certificate and needs none.
        let verified: Verified?
        /// Unix seconds of the last handshake in full.
        let authenticatedAt: Int64

        init(verified: Verified?, authenticatedAt: Int64) {
            self.verified = verified
            self.authenticatedAt = authenticatedAt
        }
    }

    /// What the C half calls for a key. The argument is a verifier that its session keeps alive.
    static let ticketKey: ctls_ticket_find = { argument, opening, key in
        guard let argument, let key else { return false }
        let verifier = Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue()
        guard let keys = verifier.context.configuration.tickets else { return false }
        guard opening else { return keys.current(into: key, now: verifier.now) }
        guard keys.find(key, now: verifier.now) else {
            verifier.ticket = .unknownKey
            return false
        }
        return true
    }

    /// What the C half calls when a ticket is made.
    static let ticketFill: ctls_ticket_fill = { argument, ssl in
        guard let argument, let ssl else { return false }
        return Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue().fill(ssl)
    }

    /// What the C half calls when a ticket was opened.
    static let ticketReview: ctls_ticket_review = { argument, session in
        guard let argument, let session else { return false }
        return Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue().review(ticket: session)
    }

    /// The time of the last handshake in full, which a resumed session inherits, and the client's intermediates, which OpenSSL
    /// does not keep.
    private func fill(_ ssl: OpaquePointer) -> Bool {
        let resumed = SSL_session_reused(ssl) == 1 ? resumable : nil
        let chain = resumed?.verified?.chain ?? chain
        let content = TicketContent(
            authenticatedAt: resumed?.authenticatedAt ?? now, intermediates: chain.dropFirst().dropLast().map(\.der))
        let bytes = content.encoded()
        return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), bytes, bytes.count) == 1
    }

    private func review(ticket session: OpaquePointer) -> Bool {
        resumable = nil
        guard let keys = context.configuration.tickets, let content = TicketContent(of: session) else {
            ticket = .unknownKey
            return false
        }
        let age = now - content.authenticatedAt
        guard age >= 0, age < keys.lifetime else {
            ticket = .tooOld
            return false
        }
        let leaf = SSL_SESSION_get0_peer(session)
        let asked = context.configuration.peerCertificate
        guard leaf == nil ? asked != .required : asked != .none else {
            ticket = .otherCertificates
            return false
        }
        do throws(CertificateError) {
            var verified: Verified?
            if let leaf {
                verified = try judge(try [Certificate(retaining: leaf)] + content.certificates())
            }
            resumable = Resumable(verified: verified, authenticatedAt: content.authenticatedAt)
            ticket = .notUsed
            return true
        } catch {
            // The client shows its certificate again, and is told then what is wrong with it.
            ticket = .refused(error.reason)
            return false
        }
    }

    /// The handshake is complete: a resumed session is what its ticket was found to be.
    ///
    /// - Throws: `internalFailure` for a session that was resumed without being looked at, which must not be.
    func settle(_ ssl: OpaquePointer) throws(TLSError) {
        guard context.configuration.role == .server, SSL_session_reused(ssl) == 1 else {
            resumable = nil
            return
        }
        guard let resumable, verified == nil else {
            throw TLSError(
                .internalFailure, "a session was resumed that nobody has looked at",
                hint: "set sessions.lifetime to 0 and tell the developers")
        }
        verified = resumable.verified
        self.resumable = nil
        ticket = .resumed
    }
}
