import Documents
import EventLoop
import JSON
import PKI
import Policy
import TLS

/// Reading everything again while the agent runs.
extension Agent {
    /// Reads configuration, certificates and policy again. Everything is checked before anything changes; connections
    /// that keep their right are not touched.
    func reload(by caller: String) -> ReloadOutcome {
        guard !isDraining, !isFrozen else {
            return .failed([isFrozen ? "another process takes over" : "the agent drains"])
        }
        do {
            return apply(try prepareReload(), by: caller)
        } catch {
            return refuse(error, by: caller)
        }
    }

    /// What a reload found, checked and not in force yet.
    private struct Reloading {
        /// As the files have it.
        let read: EffectiveConfiguration
        /// Without what takes a restart.
        let next: EffectiveConfiguration
        let identity: NodeIdentity
        let policy: PolicyDocument
        let notes: [String]
        let targets: [(Configuration.Service, ServiceTarget)]
        /// Upstreams that are new, bound already.
        let added: [UpstreamListener]
        let edge: EdgeHost.Prepared
        /// The webhook of the audit log, where there is one.
        let webhook: HTTPFetch.Source?
        /// What the CA of this node negotiates, where it serves one.
        let enrolment: TLSTerms
        /// Another listener for links, open already; nil where it stays the same.
        let meshListener: MeshListenerChange?
    }

    private func prepareReload() throws -> Reloading {
        let read = try loader()
        let next = read.keepingWhatRuns(configuration)
        try TLSGround.prepare(next.configuration)
        let identity = try NodeIdentity.load(
            read.configuration, roots: .inForce(documents.ledger.rootList), lists: .changed)
        guard identity.node == shared.node else {
            throw StartFailure(
                exitCode: 78,
                lines: ["the node's name cannot change while it runs: \(shared.node) → \(identity.node)"])
        }
        let configured = try PolicyLoading.load(next.configuration)
        try documents.configure(identity, next.configuration)
        let targets = try LocalRegistry.targets(of: next.configuration.services)
        for (service, target) in targets { try target.tls?.checkLists(of: service, now: Clock.unixSeconds()) }
        var added: [UpstreamListener] = []
        for upstream in next.configuration.upstreams where upstreams[Self.origin(upstream)] == nil {
            added.append(try bindUpstream(upstream))
        }
        return Reloading(
            read: read, next: next, identity: identity, policy: documents.ledger.policy ?? configured,
            notes: supersededPolicyNotes(configured), targets: targets, added: added,
            edge: try edge.prepare(next.configuration.edge, mesh: identity.meshTrust),
            webhook: try WebhookOutput.Settings.source(next.configuration.audit),
            enrolment: try next.configuration.tls.enrolmentTerms,
            // The last one, since it accepts already.
            meshListener: try prepareMeshListener(next.configuration.listen.mesh))
    }

    private func refuse(_ error: any Error, by caller: String) -> ReloadOutcome {
        let lines = Self.lines(of: error)
        reloads.failed += 1
        failedReload = (Clock.unixMilliseconds(), lines)
        documents.use(identity)
        log.error(
            "reload_failed", "the new configuration was refused; the old one stays in force",
            [("by", .string(caller)), ("detail", .string(FailureText(lines).line))])
        return .failed(lines)
    }

    private func apply(_ reloading: Reloading, by caller: String) -> ReloadOutcome {
        let (identity, policy) = (reloading.identity, reloading.policy)
        let changes = configuration.changes(to: reloading.read.configuration)
        let applicable = configuration.changes(to: reloading.next.configuration)
        let policyChanged = policy.fingerprint != self.policy.fingerprint
        effective = reloading.next
        use(reloading.meshListener)
        updateOCSP(identity, reloading.edge.runtime)
        let isRenewed = use(identity)
        unapplied.applied(.files)
        unapplied.applied(.urls)
        ca?.use(reloading.enrolment)
        if let webhook = reloading.webhook { audit?.webhook?.use(webhook) }
        if policyChanged { self.policy = policy }
        recheckPeers(identity)
        log.configure(minimum: configuration.log.level, format: Log.Format(configuration.log.format))
        updateUpstreams(added: reloading.added)
        edge.reload(reloading.edge)
        watchPolicy()
        identityWatcher.update()
        targetWatcher.update()
        renewal.update()
        sealCourier.update()
        updateLinks()
        shared.lanes = configuration.laneCounts
        supervisor.keep(permanentPeers)
        supervisor.lanesChanged()
        if isRenewed { supervisor.identityChanged() }
        registry.configure(reloading.targets)
        publish()
        if policyChanged { directoryHost?.policyChanged() }
        directoryClient?.registrationChanged()
        reloads.applied += 1
        failedReload = nil
        var applied = applicable.filter { $0.effect == .reload }.map(\.description)
        if policyChanged { applied.append("policy: \(policy.fingerprint)") }
        if isRenewed { applied.append("identity: \(identity.credentials.leaf.fingerprintSHA256)") }
        let needRestart = changes.filter { $0.effect == .restart }.map(\.description)
        log.info(
            "reloaded", "configuration, certificates and policy were read again",
            [
                ("by", .string(caller)), ("applied", .init(applied)), ("needRestart", .init(needRestart)),
                ("notes", .init(reloading.notes)),
            ])
        return .applied(applied, needRestart: needRestart, notes: reloading.notes)
    }

    /// Brings upstreams in line with the configuration in force; those that are new are bound already.
    private func updateUpstreams(added: [UpstreamListener]) {
        let wanted = Dictionary(uniqueKeysWithValues: configuration.upstreams.map { (Self.origin($0), $0) })
        for (origin, listener) in upstreams {
            if let upstream = wanted[origin] {
                listener.update(Self.settings(upstream, configuration.limits))
            } else {
                upstreams[origin] = nil
                retire(listener)
                listener.removeSocketFile()
            }
        }
        for upstream in added { start(upstream) }
    }

    /// Takes over an identity, for new links and as what this node is. True where its certificate is another one: then links
    /// move to it once the supervisor is told.
    func use(_ identity: NodeIdentity) -> Bool {
        let isRenewed = identity.credentials.leaf.fingerprintSHA256 != self.identity.credentials.leaf.fingerprintSHA256
        self.identity = identity
        shared.use(identity.contexts, isNew: isRenewed)
        ca?.use(identity.contexts.server.configuration.revocation)
        return isRenewed
    }

    /// Puts a policy in force that came as a document; who publishes comes next.
    func policyChanged(to next: PolicyDocument) {
        policy = next
        directoryHost?.policyChanged()
        directoryClient?.registrationChanged()
    }

    private func retire(_ upstream: UpstreamListener) {
        shared.workers[0].submit { core in core.stopListening(upstream) }
    }
}
