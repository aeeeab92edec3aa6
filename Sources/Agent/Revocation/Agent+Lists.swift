import Documents
import EventLoop
import JSON
import PKI
import TLS

/// CRLs in a running agent: what another one changes, and what can be said of them without an agent.
extension Agent {
    /// Ends the links of peers whose certificates an identity's CRLs and pins do not let pass any more.
    func recheckPeers(_ identity: NodeIdentity) {
        for worker in shared.workers {
            worker.submit { [contexts = identity.contexts] in $0.recheckPeers(contexts, now: Clock.unixSeconds()) }
        }
    }

    /// A CRL was fetched: it holds for new links, and for those that are there.
    func listsChanged() {
        do {
            let next = try NodeIdentity.load(configuration, roots: .inForce(documents.ledger.rootList))
            // Files that are being replaced are somebody else's to take over.
            guard next.credentials.chain == identity.credentials.chain else { return }
            updateOCSP(next, edge.runtime)
            _ = use(next)
            recheckPeers(next)
        } catch {
            log.error(
                "crl_unusable", "a CRL that was fetched cannot be put in force; the ones before stay",
                [("detail", .string(Self.lines(of: error).joined(separator: "; ")))])
        }
    }

    /// What a start would go by: a line for each CRL, and what is missing under `hard`. Nothing is fetched.
    public nonisolated static func listsInForce(
        _ configuration: Configuration
    ) -> (lines: [String], warnings: [String]) {
        guard let identity = try? NodeIdentity.load(configuration),
            let revocation = identity.contexts.server.configuration.revocation
        else { return ([], []) }
        let lines = revocation.lists.map { list in
            let end = list.nextUpdate.map { ", the next one is due \(UTCTime.text($0))" } ?? ""
            return "\(list.issuer): \(list.count) entries, of \(UTCTime.text(list.thisUpdate))\(end)"
        }
        guard revocation.mode == .hard else { return (lines, []) }
        let isFetched = !configuration.trust.revocationURLs.isEmpty
        return (
            lines,
            revocation.withoutFreshList(identity.authorities, at: Clock.unixSeconds()).map { authority in
                "trust.revocation.mode is hard, and there is no CRL in its time of \(authority.subject): what it has issued is "
                    + "refused" + (isFetched ? " until one is fetched" : "; put its newest CRL in place")
            }
        )
    }
}
