import EventLoop
import PKI
import TLS

/// What CRLs and pins that have changed do to clients that are connected: the same checks as in a handshake, without one.
extension EdgeCore {
    /// What is held against a client's certificate.
    struct Objection {
        let error: CertificateError

        /// The stable reason by which the connection ends.
        var refusal: String { error.reason == .revoked ? "certificate_revoked" : error.code }

        /// The event of its record.
        var event: String {
            switch error.reason {
            case .revoked: "edge_certificate_revoked"
            case .pinMismatch: "pin_mismatch"
            default: "revocation_unknown"
            }
        }

        /// The record's words.
        var text: String {
            switch error.reason {
            case .revoked: "a connection was closed because its client's certificate is revoked"
            case .pinMismatch: "a connection was closed because its client's certificate matches no pin"
            default:
                "a connection was closed because nobody says whether its client's certificate is revoked (mode hard)"
            }
        }
    }

    /// Certificates that are looked at in one go: each costs some signatures, and others are served by this loop too.
    private static let slice = 32

    /// Looks again at the certificates of all clients, some at a time.
    func recheckCertificates() {
        recheckRound &+= 1
        recheck(connections.values.filter { $0.certificateEnd != nil }.map(\.id)[...], round: recheckRound)
    }

    private func recheck(_ connections: ArraySlice<UInt64>, round: UInt64) {
        // Meanwhile something else came into force: all of them are looked at under that.
        guard round == recheckRound else { return }
        for id in connections.prefix(Self.slice) {
            guard let connection = self.connections[id], let session = connection.channel.session,
                let objection = objection(to: session, of: connection.listenerName)
            else { continue }
            connection.withdraw(objection)
        }
        let rest = connections.dropFirst(Self.slice)
        if !rest.isEmpty { handle.submit { $0.recheck(rest, round: round) } }
    }

    /// What the CRLs and pins in force have against a client whose handshake was under others; nil for nothing.
    func objection(to session: TLSSession, of listener: String) -> Objection? {
        guard !session.peerChain.isEmpty, let contexts = runtime.listeners[listener]?.tls,
            !contexts.contexts.contains(where: { $0 === session.context })
        else { return nil }
        do throws(CertificateError) {
            try Self.check(session.peerChain, contexts.first.configuration, now: Clock.unixSeconds())
            return nil
        } catch {
            // What has ended or lost its root meanwhile is the next handshake's affair.
            return [.revoked, .revocationUnknown, .pinMismatch].contains(error.reason) ? Objection(error: error) : nil
        }
    }

    private static func check(
        _ chain: [Certificate], _ configuration: TLSContext.Configuration, now: Int64
    ) throws(CertificateError) {
        guard let trust = configuration.trust, configuration.revocation != nil || !configuration.pins.rules.isEmpty
        else { return }
        let verifier = ChainVerifier(trust: trust, checks: configuration.checks, revocation: configuration.revocation)
        let built = try verifier.buildChain(chain, role: .clientOfLink, now: now)
        _ = try configuration.pins.check(node: nil, role: .clientOfLink, chain: built)
    }
}
