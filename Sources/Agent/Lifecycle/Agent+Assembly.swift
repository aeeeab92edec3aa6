import Directory
import EventLoop
import Glibc
import JSON
import Link
import Policy
import TLS

/// What the agent is made of, put together and set going.
extension Agent {
    /// Makes everything that serves; nothing is accepted or dialled yet.
    func assemble() throws {
        let targets = try LocalRegistry.targets(of: configuration.services)
        let (shared, routing, polling) = (shared, routing, configuration.polling)
        shared.workers = try (0..<max(1, configuration.workers)).map { index in
            try Worker(index: index) { loop in
                if polling == .auto { loop.pollBeforeSleeping() }
                return WorkerCore(index: index, loop: loop, shared: shared, routing: routing)
            }
        }
        shared.supervisor = supervisor
        shared.serveControl = { [unowned self] descriptor, caller, service in
            let door: ControlAPI.Door =
                switch service {
                case Policy.Name.directoryService: .directoryService
                case Policy.Name.documentsService: .documentsService
                default: .agentService
                }
            self.serveHTTP(descriptor, caller, self.api.serve(door))
        }
        supervisor.addresses = { [unowned self] node in
            (self.routing.directory.node(node)?.addresses ?? []).compactMap { try? Endpoint(parsing: $0) }
        }
        supervisor.linksChanged = { [unowned self] links in
            self.links = links
            self.publish()
        }
        supervisor.linkStateChanged = { [unowned self] node, isUp in
            self.directoryHost?.linkChanged(node: node, isUp: isUp)
            if isUp {
                self.directoryClient?.linked(node)
                self.documentPeers.linked(node, self.supervisor.documents(of: node))
                self.revokedIdentity.linked()
                self.renewal.reconsider()
            } else {
                self.documentPeers.unlinked(node)
                self.revokedIdentity.look()
            }
        }
        supervisor.saidRevoked = { [unowned self] in self.revokedIdentity.said(by: $0, $1) }
        supervisor.laneEstablished = { [unowned self] in self.documentPeers.laneLinked($0) }
        documents.changed = { [unowned self] in self.documentChanged($0) }
        watchAudit()
        mergeRevocations()
        watchRoots()
        ca?.use(identity.contexts.server.configuration.revocation)
        startOCSP()
        registry.changed = { [unowned self] in
            self.publish()
            self.directoryClient?.registrationChanged()
        }
        registry.restore()
        registry.configure(targets)
        publish()
    }

    func serve() throws {
        try openDoors()
        for upstream in boundUpstreams { start(upstream) }
        boundUpstreams = []
        try startEdge()
        supervisor.keep(permanentPeers)
        directoryHost?.start()
        directoryClient?.start()
        identityWatcher.update()
        targetWatcher.update()
        renewal.update()
        sealCourier.update()
        inherited.closeRest()
        signals = try SignalSource([SIGTERM, SIGINT, SIGHUP, SIGUSR2], loop: ControlPlane.loop, handler: Signals(self))
        certificateWatch = CertificateWatch(self, log: log)
        for warning in effective.warnings { log.warning("configuration", warning.description) }
        reviewOwnIdentity()
        revokedIdentity.look()
        reviewOwnRoot()
        for warning in policy.warnings { log.warning("policy", warning.description) }
        log.info(
            "started", "node \(shared.node) is up",
            [
                ("node", .string(shared.node)), ("version", .string(Self.version)),
                ("mesh", .string(configuration.listen.mesh?.description ?? "none")),
                ("control", .string(configuration.listen.control)),
                ("workers", .init(shared.workers.count)), ("polling", .string(configuration.polling.rawValue)),
                ("boot", .string(shared.bootID.description)),
                ("aes_gcm", .string(Self.aesGCM(of: configuration).text)),
            ])
        Systemd.notify("READY=1\nSTATUS=node \(shared.node)")
    }

    func start(_ upstream: UpstreamListener) {
        upstreams[upstream.origin] = upstream
        let log = log
        // The first worker accepts; a connection moves to the worker of its link.
        shared.workers[0].submit { core in
            do throws(SystemError) {
                try core.listen(upstream)
            } catch {
                log.error("listen_failed", "an upstream cannot accept", [("detail", .string("\(error)"))])
            }
        }
    }

    /// Gives every worker its part of the edge.
    func startEdge() throws {
        var loops: [EdgeLoop] = []
        for worker in shared.workers {
            let loop = EdgeLoop(index: worker.index, handle: worker.handle)
            loops.append(loop)
            worker.submit { [edgeShared = edge.shared, runtime = edge.runtime, keyFetch = edge.keyFetch] core in
                let parts = ChannelLoop(core.loop)
                let edge = EdgeCore(
                    loop: core.loop, parts: parts, shared: edgeShared, handle: loop,
                    connector: MeshConnector(worker: core, parts: parts), runtime: runtime)
                edge.wantsKeys = keyFetch
                edge.revoked = { [unowned core] in core.routing.revoked }
                edge.ocsp = core.shared.ocsp
                core.policyChanged = { edge.recheck() }
                loop.install(edge)
            }
        }
        edge.willApply = { [unowned self] in self.updateOCSP(self.identity, $0) }
        edge.isFrozen = { [unowned self] in self.isFrozen && !self.isHandedOver }
        edge.pollInterval = { [unowned self] in self.configuration.identity.renew.pollInterval.nanoseconds }
        try edge.start(loops)
        watchPolicy()
    }

    func watchPolicy() {
        let files = [configuration.policy.file].compactMap { $0 } + configuration.trust.revocationFiles
        edge.watch(files) { [unowned self] in self.policyFilesChanged($0) }
    }

    var permanentPeers: [String: Endpoint] {
        var peers: [String: Endpoint] = [:]
        for peer in configuration.peers { peers[peer.node] = try? Endpoint(parsing: peer.address.description) }
        if !configuration.directory.serve, let node = configuration.directory.node,
            let address = configuration.directory.address
        {
            peers[node] = try? Endpoint(parsing: address.description)
        }
        return peers
    }
}
