import Documents
import EventLoop
import JSON
import Link
import PKI
import TLS

/// What a reload of CRLs and pins does to what is there: the same checks as in a handshake, without one.
extension WorkerCore {
    /// Ends the links, and the sessions that wait for one, of peers whose certificates are on a CRL by now, or match no pin
    /// that is enforced.
    func recheckPeers(_ contexts: TLSContexts, now: Int64) {
        for link in Array(links.values) + Array(retiring.values) {
            let isPinned = link.pins != .unpinned
            do throws(CertificateError) {
                let outcome = try recheck(link.tls, link.isDialler, contexts, now: now, evenWithout: isPinned)
                if let outcome { notice(outcome, of: link) }
            } catch {
                end(link, error)
            }
        }
        for session in Array(parked.values) {
            do throws(CertificateError) {
                _ = try recheck(session.link.tls, session.link.isDialler, contexts, now: now)
            } catch {
                end(session, error)
            }
        }
    }

    /// What the CRLs and pins in force have against a peer whose handshake was under others, as it is when they change in
    /// the middle of it; nil for nothing.
    func objection(to tls: TLSSession, isDialler: Bool) -> CertificateError? {
        let contexts = shared.identity.contexts
        guard tls.context !== (isDialler ? contexts.client : contexts.server) else { return nil }
        do throws(CertificateError) {
            _ = try recheck(tls, isDialler, contexts, now: Clock.unixSeconds())
            return nil
        } catch {
            return Self.objections.contains(error.reason) ? error : nil
        }
    }

    /// The entry that revokes a peer, and the chain by which it does; nil where none does. Which chain a peer has depends on the
    /// roots that are trusted: where these have changed since the handshake, it may have another one.
    func revocation(of tls: TLSSession, isDialler: Bool) -> (entry: RevocationEntry, chain: [Certificate])? {
        guard let entry = routing.revoked.entry(for: tls.peerChain) else { return nil }
        let contexts = shared.identity.contexts
        let context = isDialler ? contexts.client : contexts.server
        guard tls.context !== context, let trust = context.configuration.trust,
            let chain = try? ChainVerifier(trust: trust, checks: context.configuration.checks).buildChain(
                tls.peerChain, role: isDialler ? .serverOfLink : .clientOfLink, now: Clock.unixSeconds())
        else { return (entry, tls.peerChain) }
        return routing.revoked.entry(for: chain).map { ($0, chain) }
    }

    /// What counts here; what has ended or lost its root meanwhile is the next handshake's affair.
    private static var objections: Set<CertificateReason> { [.revoked, .revocationUnknown, .pinMismatch] }

    /// Checks a peer's certificates anew.
    ///
    /// - Parameter evenWithout: Also where there are neither CRLs nor pins: building a chain costs signatures, and most meshes
    ///   have neither.
    /// - Returns: what the pins say; nil where nothing was to be checked.
    private func recheck(
        _ tls: TLSSession, _ isDialler: Bool, _ contexts: TLSContexts, now: Int64, evenWithout: Bool = false
    ) throws(CertificateError) -> PinPolicy.Outcome? {
        let configuration = (isDialler ? contexts.client : contexts.server).configuration
        guard let trust = configuration.trust,
            configuration.revocation != nil || !configuration.pins.rules.isEmpty || evenWithout
        else { return nil }
        let role: PeerVerification.Role = isDialler ? .serverOfLink : .clientOfLink
        let verifier = ChainVerifier(trust: trust, checks: configuration.checks, revocation: configuration.revocation)
        let chain = try verifier.buildChain(tls.peerChain, role: role, now: now)
        return try configuration.pins.check(node: tls.peerIdentity?.nodeName, role: role, chain: chain)
    }

    /// Says that a link, or a session that waits for one, ends because the mesh has revoked its peer, or a responder has.
    func noteRevoked(_ link: LinkConnection, _ entry: RevocationEntry) {
        shared.log.warning(
            "identity_revoked", "a link ends because the peer's certificate is revoked",
            [
                ("node", .string(link.node)), ("reason", .string(CertificateReason.revoked.rawValue)),
                ("entry", .string(entry.name)), ("detail", .string(entry.reason)),
                ("streams", .init(link.session.streamCount)),
            ])
    }

    private func end(_ link: LinkConnection, _ error: CertificateError) {
        let fields: [Log.Field] = [
            ("node", .string(link.node)), ("reason", .string(error.code)), ("detail", .string(error.message)),
            ("hint", .string(error.hint)),
        ]
        switch error.reason {
        case .revoked:
            shared.log.warning(
                "identity_revoked", "a link ends because the peer's certificate is revoked", fields)
            link.close(.identityRevoked, error.code)
        case .revocationUnknown:
            shared.log.warning(
                "revocation_unknown",
                "a link ends because nobody says whether the peer's certificate is revoked, and trust.revocation.mode is hard",
                fields)
            link.close(.identityRevoked, error.code)
        case .pinMismatch:
            counters.pinChecked("refused")
            shared.log.warning(
                "pin_mismatch", "a link ends because the peer's certificate matches no pin", fields)
            link.close(.policyChanged, error.code)
        default:
            // What has ended or lost its root meanwhile is the next handshake's affair.
            break
        }
    }

    private func end(_ session: ParkedSession, _ error: CertificateError) {
        let (reason, outcome): (LinkReason, ResumptionOutcome)
        switch error.reason {
        case .revoked, .revocationUnknown: (reason, outcome) = (.identityRevoked, .revoked)
        case .pinMismatch:
            counters.pinChecked("refused")
            (reason, outcome) = (.policyChanged, .pinMismatch)
        default: return
        }
        shared.log.warning(
            Self.event(of: error), "a session that waits for a link ends: \(error.message)",
            [
                ("node", .string(session.link.node)), ("reason", .string(error.code)),
                ("detail", .string(error.message)), ("hint", .string(error.hint)),
            ])
        endParked(session.link.lane, reason, outcome: outcome, "\(error.code): \(error.message)")
    }

    /// The security event that the end of a link, or of a session, for such an error is.
    private static func event(of error: CertificateError) -> String {
        switch error.reason {
        case .revoked: "identity_revoked"
        case .pinMismatch: "pin_mismatch"
        default: "revocation_unknown"
        }
    }

    private func notice(_ outcome: PinPolicy.Outcome, of link: LinkConnection) {
        guard outcome != link.pins else { return }
        link.pins = outcome
        guard let result = outcome.code else { return }
        counters.pinChecked(result)
        guard case .mismatch(let error) = outcome else { return }
        shared.log.warning(
            "pin_mismatch", "a peer's certificate matches no pin (report only)",
            [
                ("node", .string(link.node)), ("detail", .string(error.message)), ("hint", .string(error.hint)),
            ])
    }
}
