import Documents
import EventLoop
import PKI
import TLS

/// OCSP in a running agent: which certificates it is about, and what answers change.
extension Agent {
    /// What the mesh's documents and responders have revoked. The same object as long as neither changes: workers compare it by
    /// identity.
    var revocations: RevocationSet {
        if withdrawn.documents !== documents.ledger.revocations { mergeRevocations() }
        return withdrawn.all
    }

    /// Puts together what documents revoke, what responders say, and the keys of retired roots.
    func mergeRevocations() {
        let own = documents.ledger.revocations
        let others = peerStatus.revoked.sorted { $0.key < $1.key }.map(\.value)
        let more = others + retiredRoots
        withdrawn = (more.isEmpty ? own : RevocationSet(own.entries + more), own)
    }

    /// Begins to fetch, and to answer what workers ask.
    func startOCSP() {
        peerStatus.changed = { [unowned self] in
            self.mergeRevocations()
            self.publish()
        }
        peerStatus.inUse = { [unowned self] in
            var all = await self.edge.certificatesInUse()
            for worker in self.shared.workers { all.formUnion(await worker.ask { $0.certificatesInUse }) }
            return all
        }
        shared.ocsp.answer { [weak self] question, done in
            guard let self else { return done(.passes) }
            self.peerStatus.ask(question, done: done)
        }
        lists.changed = { [unowned self] in self.listsChanged() }
        updateOCSP(identity, edge.runtime)
    }

    /// Takes over settings and certificates, before these are used.
    func updateOCSP(_ identity: NodeIdentity, _ edge: EdgeRuntime) {
        let settings = OCSPSettings(configuration.ocsp)
        shared.ocsp.use(settings)
        peerStatus.use(settings)
        let roots = identity.servers.merging(identity.contexts.server.configuration.trust ?? identity.servers).roots
        var own = [
            StapleKeeper.Own(
                use: .identity, name: identity.node, context: identity.contexts.server, roots: roots,
                responder: settings.responder)
        ]
        for (name, listener) in edge.listeners.sorted(by: { $0.key < $1.key }) {
            for (index, context) in (listener.tls?.contexts ?? []).enumerated() {
                // A certificate for development stands behind the configured ones.
                let files = listener.settings.certificates
                let url = index < files.count ? files[index].ocspResponder : nil
                own.append(
                    StapleKeeper.Own(
                        use: .edge, name: name, context: context, roots: roots,
                        responder: url.flatMap { FetchURL($0) }))
            }
        }
        staples.update(own, settings)
        lists.update(
            configuration.trust.revocationURLs, issuers: identity.authorities,
            under: configuration.tls.profile.towardsOthers)
    }

    /// Who is asked about which certificates under a configuration, a line each; nobody is asked.
    public nonisolated static func respondersInForce(_ configuration: Configuration) -> [String] {
        let settings = OCSPSettings(configuration.ocsp)
        var lines: [String] = []
        if settings.peers != .off, let url = settings.responder {
            lines.append("nodes' certificates: \(url.text) (\(settings.peers.rawValue))")
        } else if settings.peers != .off, !settings.allowedHosts.isEmpty {
            lines.append(
                "nodes' certificates: what they name at \(settings.allowedHosts.joined(separator: ", ")) "
                    + "(\(settings.peers.rawValue))")
        }
        guard settings.staples else { return lines + ["own certificates: nothing is stapled (ocsp.staple is false)"] }
        guard let identity = try? NodeIdentity.load(configuration) else { return lines }
        let leaf = identity.credentials.leaf
        if let url = settings.responder(of: leaf, configured: settings.responder) {
            lines.append("own certificate: stapled, from \(url.text)")
        } else if leaf.demandsStaple {
            lines.append("own certificate: demands a staple, and no responder may be asked")
        } else if let named = leaf.responders.first {
            lines.append("own certificate: names \(named), whose host is not in ocsp.allowedHosts; nothing is stapled")
        }
        return lines
    }
}
