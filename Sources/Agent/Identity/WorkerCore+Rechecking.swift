import JSON
import Link
import PKI
import TLS

/// What a reload of CRLs and pins does to links that are up: the same checks as in a handshake, without one.
extension WorkerCore {
    /// Ends the links of peers whose certificates are on a CRL by now, or match no pin that is enforced.
    func recheckPeers(_ contexts: TLSContexts, now: Int64) {
        for link in Array(links.values) + Array(retiring.values) {
            let configuration = (link.isDialler ? contexts.client : contexts.server).configuration
            guard let trust = configuration.trust else { continue }
            // Building a chain costs signatures; most meshes have neither.
            guard configuration.revocation != nil || !configuration.pins.rules.isEmpty || link.pins != .unpinned else {
                continue
            }
            let role: PeerVerification.Role = link.isDialler ? .serverOfLink : .clientOfLink
            let verifier = ChainVerifier(
                trust: trust, checks: configuration.checks, revocation: configuration.revocation)
            do throws(CertificateError) {
                let chain = try verifier.buildChain(link.tls.peerChain, role: role, now: now)
                let outcome = try configuration.pins.check(
                    node: link.tls.peerIdentity?.nodeName, role: role, chain: chain)
                notice(outcome, of: link)
            } catch {
                end(link, error)
            }
        }
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
