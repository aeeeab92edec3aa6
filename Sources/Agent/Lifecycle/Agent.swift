import Directory
import Documents
import Enrolment
import EventLoop
import Glibc
import HTTP
import JSON
import Link
import PKI
import Policy
import TLS

/// One running agent: puts the rooms together, starts, reloads and ends them.
@ControlPlane
public final class Agent {
    /// The program's version.
    public nonisolated static let version = "0.1.0"

    /// What a reload came to.
    enum ReloadOutcome {
        /// What was applied, what takes effect at the next start only, and what was read and is not in force.
        case applied([String], needRestart: [String], notes: [String] = [])
        /// Nothing was changed; this is wrong with the new files.
        case failed([String])
    }

    /// Reads the configuration again: the same file, flags and environment as at the start.
    public typealias Loader = @Sendable () throws(ConfigurationError) -> EffectiveConfiguration

    let shared: AgentShared
    let log: Log
    let supervisor: LinkSupervisor
    let registry: LocalRegistry
    private let loader: Loader
    private(set) var effective: EffectiveConfiguration
    private(set) var identity: NodeIdentity
    /// The policy in force: that of the documents where there is one, else the configuration's.
    private(set) var policy: PolicyDocument
    let documents: DocumentHost
    private(set) var documentPeers: DocumentPeers!
    private(set) var routing: RoutingSnapshot
    let edge: EdgeHost
    /// Responses that are stapled to our own certificates.
    let staples: StapleKeeper
    /// What responders say of peers' certificates.
    let peerStatus: PeerStatus
    /// What is revoked by documents and by responders, and the documents' part of it.
    var withdrawn: (all: RevocationSet, documents: RevocationSet)
    /// The mesh's CA, where this node serves it.
    let ca: CAService?
    /// What is kept of security events; nil where the configuration wants no audit log.
    private(set) var audit: AuditLog?
    /// The audit log could not be opened again after a takeover that came to nothing.
    private(set) var isAuditLost = false
    private(set) var renewal: IdentityRenewal!
    private(set) var identityWatcher: IdentityWatcher!
    private(set) var directoryHost: DirectoryHost?
    private(set) var directoryClient: DirectoryClient?
    private(set) var api: ControlAPI!
    private(set) var isDraining = false
    /// Another process starts to take over: nothing is written.
    var isFrozen = false
    /// Another process has taken over: what is under way goes on.
    var isHandedOver = false
    /// After that this process was told to end.
    private(set) var isLeaving = false
    /// Whom this process has taken over from.
    let predecessor: Predecessor?
    /// What listened before this process started, until it serves.
    let inherited: InheritedListeners
    /// Taken out of service by an operator, see `leaveService`.
    var isOutOfService = false
    private var links: [String: [LaneRoute]] = [:]
    var bound: [Bound] = []
    var boundUpstreams: [UpstreamListener] = []
    /// Listeners whose sockets are systemd's.
    var activated: Set<InheritedListeners.Kind> = []
    var meshDoor: Door?
    /// Open to the end, as is `metricsDoor`, so that a drain can be watched.
    var controlDoor: Door?
    var takeoverHost: TakeoverHost?
    var metricsDoor: MetricsDoor?
    var controlConnections: [UInt64: HTTPServerConnection] = [:]
    var nextControlConnection: UInt64 = 0
    private var certificateWatch: CertificateWatch?
    private(set) var upstreams: [String: UpstreamListener] = [:]
    var relaunch: Relaunch?
    private var signals: SignalSource?
    private var finish: CheckedContinuation<Int32, Never>?
    private var exitCode: Int32?
    let startedAt = Clock.monotonicNanoseconds()
    private(set) var reloads: (applied: UInt64, failed: UInt64) = (0, 0)

    /// When the last reload failed, milliseconds since 1970, and why; nil after one that did not.
    private(set) var failedReload: (at: Int64, lines: [String])?

    var configuration: Configuration { effective.configuration }
    /// This node as a principal, under the policy in force.
    var own: Principal { policy.principal(for: identity.subject) }

    // MARK: - Start

    /// Starts an agent. Every file is read and every listener bound before anything is served, so that a bad start is one
    /// clear error.
    ///
    /// - Parameter takesOver: an agent that runs with the same control socket hands everything over once this one is ready;
    ///   it goes on as if nothing had happened where this start fails. Where none runs, this is an ordinary start.
    public static func start(
        _ effective: EffectiveConfiguration, takesOver: Bool = false, reload: @escaping Loader
    ) async throws -> Agent {
        raiseDescriptorLimit()
        let settings = effective.configuration.log
        let log = Log(minimum: settings.level, format: Log.Format(settings.format))
        protectMemory(effective.configuration, log)
        let inherited = InheritedListeners()
        try ActivatedSockets.take(into: inherited)
        guard takesOver,
            let predecessor = try await Predecessor.find(
                control: effective.configuration.listen.control, into: inherited, log: log)
        else {
            let agent = try await prepare(effective, loader: reload, log: log, inherited: inherited)
            try agent.serve()
            return agent
        }
        do {
            let agent = try await prepare(
                effective, loader: reload, log: log, inherited: inherited, predecessor: predecessor)
            do {
                let (state, directory) = try await predecessor.commit()
                agent.takeOver(state, directory: directory)
                try agent.serve()
            } catch {
                // The other process writes on it.
                agent.closeAudit()
                throw error
            }
            predecessor.follow { [unowned agent] descriptor, origin, bytes in
                agent.adopt(descriptor, origin, bytes)
            }
            return agent
        } catch {
            await predecessor.abandon(error)
            throw error
        }
    }

    /// Everything that can fail, up to the first connection that is accepted.
    private static func prepare(
        _ effective: EffectiveConfiguration, loader: @escaping Loader, log: Log, inherited: InheritedListeners,
        predecessor: Predecessor? = nil
    ) async throws -> Agent {
        try TLSGround.prepare(effective.configuration)
        if let predecessor {
            // What is wrong with files is found while the running agent still has its own.
            try review(effective, for: predecessor)
            try await predecessor.freeze()
        }
        // Only now: the running agent wrote to it until it froze.
        let audit = try AuditLog.open(effective.configuration, log: log)
        log.observe(audit?.trail.note)
        do {
            let ca = try CAService.open(effective.configuration, log: log)
            try await FirstIdentity.prepare(effective.configuration, ca: ca, log: log)
            let agent = try Agent(
                effective, loader: loader, ca: ca, audit: audit, log: log, inherited: inherited,
                predecessor: predecessor)
            try agent.bind()
            try agent.assemble()
            return agent
        } catch {
            audit?.stop()
            throw error
        }
    }

    private func watchAudit() {
        audit?.trail.whenChanged { [weak self] in
            ControlPlane.post { self?.auditChanged() }
        }
    }

    /// Another process writes the audit log from now on.
    func closeAudit() {
        log.observe(nil)
        audit?.stop()
        audit = nil
    }

    /// Goes on with the audit log, behind whatever the other process has written.
    func reopenAudit() {
        do {
            audit = try AuditLog.open(configuration, log: log)
            log.observe(audit?.trail.note)
            watchAudit()
            isAuditLost = false
        } catch {
            isAuditLost = true
            log.error(
                "audit_not_written", "the audit log cannot be opened again",
                [("detail", .string(Self.lines(of: error).joined(separator: "; ")))])
            publish()
        }
    }

    /// Before a key is read.
    private static func protectMemory(_ configuration: Configuration, _ log: Log) {
        guard !configuration.node.coreDumps else {
            return log.warning(
                "core_dumps_allowed", "core dumps and debuggers may show this node's keys (node.coreDumps)")
        }
        do throws(SystemError) {
            try ProcessMemory.protect()
        } catch {
            log.error(
                "memory_not_protected", "core dumps cannot be switched off", [("detail", .string("\(error)"))])
        }
    }

    /// Each carried connection takes a descriptor, and the usual soft limit of 1,024 is meant for programs that use
    /// select(2). The hard limit is the administrator's and is kept.
    nonisolated static func raiseDescriptorLimit() {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(resource, &limit)
    }

    private init(
        _ effective: EffectiveConfiguration, loader: @escaping Loader, ca: CAService?, audit: AuditLog?, log: Log,
        inherited: InheritedListeners, predecessor: Predecessor?
    ) throws {
        let configuration = effective.configuration
        self.inherited = inherited
        self.predecessor = predecessor
        self.effective = effective
        self.loader = loader
        self.ca = ca
        self.audit = audit
        self.log = log
        #if MESH_FAULTS
            PlantedFault.warn(log)
        #endif
        identity = try NodeIdentity.load(configuration)
        let configured = try PolicyLoading.load(configuration)
        try StateDirectory.prepare(configuration.node.stateDirectory)
        documents = try DocumentHost(identity, configuration, log: log)
        policy = documents.ledger.policy ?? configured
        var session = SessionConfiguration()
        session.initialCredit = configuration.streams.initialCredit
        session.maximumWindow = configuration.streams.window
        session.pingInterval = configuration.links.pingInterval.nanoseconds
        session.deadPeerTimeout = configuration.links.idleTimeout.nanoseconds
        session.maximumPeerStreams = configuration.limits.maxStreams
        // A peer has proven who it is, and its applications may drop all their connections at once: the flood limit is
        // for agents that do nothing else.
        session.resetBurst = 20_000
        session.resetsPerSecond = 5_000
        var random = SystemRandomNumberGenerator()
        shared = AgentShared(
            node: identity.node, bootID: .random(using: &random), predecessor: predecessor?.bootID,
            version: "conduit-mesh/\(Self.version)", log: log,
            budget: ReceiveBudget(limit: configuration.limits.receiveBudget), session: session,
            handshakeTimeout: configuration.links.handshakeTimeout.nanoseconds,
            servesDirectory: configuration.directory.serve, maximumLinks: configuration.limits.maxLinks,
            parking: ParkingSpace(
                resumeFor: configuration.links.resumeFor.nanoseconds, limit: configuration.limits.parkedMemory),
            lanes: configuration.laneCounts, tls: identity.contexts, ocsp: OCSPGate(OCSPSettings(configuration.ocsp)))
        withdrawn = (documents.ledger.revocations, documents.ledger.revocations)
        let ocsp = OCSPSettings(configuration.ocsp)
        staples = StapleKeeper(ocsp, stateDirectory: configuration.node.stateDirectory, log: log)
        peerStatus = PeerStatus(timeout: ocsp.timeout, log: log)
        edge = try EdgeHost(
            configuration.edge, mesh: identity.meshTrust, stateDirectory: configuration.node.stateDirectory,
            inherited: inherited, log: log)
        supervisor = LinkSupervisor(
            shared: shared,
            settings: LinkSupervisor.Settings(
                reconnectMinimum: configuration.links.reconnectMin.nanoseconds,
                reconnectMaximum: configuration.links.reconnectMax.nanoseconds,
                reconnectMaximumPermanent: configuration.links.reconnectMaxPermanent.nanoseconds))
        registry = LocalRegistry(file: configuration.node.stateDirectory + "/registrations.json", log: log)
        routing = RoutingSnapshot(
            node: identity.node, own: policy.principal(for: identity.subject), policy: policy,
            trustDomain: identity.trustDomain, directory: DirectorySnapshot(), services: [:], links: [:],
            isDraining: false, isOutOfService: false, documents: documents.ledger.versions,
            revocations: documents.ledger.revocations)
        documentPeers = DocumentPeers(agent: self)
        api = ControlAPI(agent: self)
        renewal = IdentityRenewal(agent: self)
        identityWatcher = IdentityWatcher(agent: self)
        if configuration.directory.serve {
            directoryHost = try DirectoryHost(agent: self, path: configuration.directory.store)
        }
        if configuration.directory.serve || configuration.directory.node != nil {
            directoryClient = DirectoryClient(agent: self, node: configuration.directory.node ?? identity.node)
        }
    }

    /// Makes everything that serves; nothing is accepted or dialled yet.
    private func assemble() throws {
        let targets = try LocalRegistry.targets(of: configuration.services)
        let (shared, routing) = (shared, routing)
        shared.workers = try (0..<max(1, configuration.workers)).map { index in
            try Worker(index: index) { loop in
                WorkerCore(index: index, loop: loop, shared: shared, routing: routing)
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
            } else {
                self.documentPeers.unlinked(node)
            }
        }
        supervisor.laneEstablished = { [unowned self] in self.documentPeers.laneLinked($0) }
        documents.changed = { [unowned self] in self.documentChanged($0) }
        watchAudit()
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

    private func serve() throws {
        try openDoors()
        for upstream in boundUpstreams { start(upstream) }
        boundUpstreams = []
        try startEdge()
        supervisor.keep(permanentPeers)
        directoryHost?.start()
        directoryClient?.start()
        identityWatcher.update()
        renewal.update()
        inherited.closeRest()
        signals = try SignalSource([SIGTERM, SIGINT, SIGHUP, SIGUSR2], loop: ControlPlane.loop, handler: Signals(self))
        certificateWatch = CertificateWatch(self, log: log)
        for warning in effective.warnings { log.warning("configuration", warning.description) }
        reviewOwnIdentity()
        for warning in policy.warnings { log.warning("policy", warning.description) }
        log.info(
            "started", "node \(shared.node) is up",
            [
                ("node", .string(shared.node)), ("version", .string(Self.version)),
                ("mesh", .string(configuration.listen.mesh?.description ?? "none")),
                ("control", .string(configuration.listen.control)),
                ("workers", .init(shared.workers.count)), ("boot", .string(shared.bootID.description)),
                ("aes_gcm", .string(Self.aesGCM(of: configuration).text)),
            ])
        Systemd.notify("READY=1\nSTATUS=node \(shared.node)")
    }

    private func start(_ upstream: UpstreamListener) {
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
    private func startEdge() throws {
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
        try edge.start(loops)
        watchPolicy()
    }

    private func watchPolicy() {
        let files = [configuration.policy.file].compactMap { $0 } + configuration.trust.revocationFiles
        edge.watch(files) { [unowned self] in
            _ = self.reload(by: "a changed file of policy or CRLs")
        }
    }

    private var permanentPeers: [String: Endpoint] {
        var peers: [String: Endpoint] = [:]
        for peer in configuration.peers { peers[peer.node] = try? Endpoint(parsing: peer.address.description) }
        if !configuration.directory.serve, let node = configuration.directory.node,
            let address = configuration.directory.address
        {
            peers[node] = try? Endpoint(parsing: address.description)
        }
        return peers
    }

    // MARK: - Snapshots

    /// Gives the workers a new snapshot.
    func publish() {
        routing = RoutingSnapshot(
            node: shared.node, own: own, policy: policy, trustDomain: identity.trustDomain,
            directory: directoryClient?.snapshot ?? DirectorySnapshot(), services: registry.routes, links: links,
            isDraining: isDraining, isOutOfService: isOutOfService || isAuditClosed,
            documents: documents.ledger.versions, revocations: revocations)
        ca?.use(meshForCA)
        for worker in shared.workers {
            worker.submit { [routing] core in core.apply(routing) }
        }
    }

    /// Waits until every worker decides with what was published last.
    func settled() async {
        for worker in shared.workers { await worker.ask { _ in } }
    }

    /// The worker that should open a stream to `node`: its link's, so that nothing needs to move.
    func worker(for node: String?) -> Worker {
        shared.workers[node.flatMap { links[$0]?.first?.worker } ?? 0]
    }

    /// What all workers show of themselves.
    func reports() async -> [WorkerReport] {
        var reports: [WorkerReport] = []
        for worker in shared.workers { reports.append(await worker.ask { $0.report }) }
        return reports
    }

    // MARK: - The agent's own streams

    /// Opens a stream in the node's own name to a built-in service of `node`; it speaks HTTP.
    func open(node: String, service: String) throws -> HTTPClientConnection {
        let worker = worker(for: node)
        let answers = OpenAttempt.Answers(accepted: [], failed: { Problem.response(for: $0) })
        let ours = try Socket.pair().split { ours, theirs in
            let raw = theirs.release()
            worker.submit { core in
                core.open(
                    FileDescriptor(owning: raw),
                    OpenAttempt(
                        service: service, acting: .node, node: node, origin: "the agent", timeout: 5_000_000_000,
                        answers: answers))
            }
            return ours.release()
        }
        return try HTTPClientConnection(FileDescriptor(owning: ours))
    }

    /// Sends one request to a built-in service of `node`.
    func ask(
        node: String, service: String, _ method: HTTPMethod, _ target: String, body: [UInt8] = []
    ) async throws -> HTTPResponse {
        let connection = try open(node: node, service: service)
        defer { connection.close("done") }
        return try await connection.send(try HTTPRequest(method, target, host: service, body: body))
    }

    // MARK: - Reload

    /// Reads configuration, certificates and policy again. Everything is checked before anything changes; connections
    /// that keep their right are not touched.
    func reload(by caller: String) -> ReloadOutcome {
        guard !isDraining, !isFrozen else {
            return .failed([isFrozen ? "another process takes over" : "the agent drains"])
        }
        let read: EffectiveConfiguration
        let next: EffectiveConfiguration
        let identity: NodeIdentity
        let policy: PolicyDocument
        let notes: [String]
        let targets: [(Configuration.Service, ServiceTarget)]
        var added: [UpstreamListener] = []
        let edge: EdgeHost.Prepared
        do {
            read = try loader()
            next = read.keepingWhatRuns(configuration)
            try TLSGround.prepare(next.configuration)
            identity = try NodeIdentity.load(read.configuration)
            guard identity.node == shared.node else {
                throw StartFailure(
                    exitCode: 78,
                    lines: ["the node's name cannot change while it runs: \(shared.node) → \(identity.node)"])
            }
            let configured = try PolicyLoading.load(next.configuration)
            try documents.configure(identity, next.configuration)
            policy = documents.ledger.policy ?? configured
            notes = supersededPolicyNotes(configured)
            targets = try LocalRegistry.targets(of: next.configuration.services)
            for upstream in next.configuration.upstreams where upstreams[Self.origin(upstream)] == nil {
                added.append(try bindUpstream(upstream))
            }
            edge = try self.edge.prepare(next.configuration.edge, mesh: identity.meshTrust)
        } catch {
            reloads.failed += 1
            failedReload = (Clock.unixMilliseconds(), Self.lines(of: error))
            documents.use(self.identity)
            let lines = Self.lines(of: error)
            log.error(
                "reload_failed", "the new configuration was refused; the old one stays in force",
                [("by", .string(caller)), ("detail", .string(lines.joined(separator: "; ")))])
            return .failed(lines)
        }
        let changes = configuration.changes(to: read.configuration)
        let applicable = configuration.changes(to: next.configuration)
        let policyChanged = policy.fingerprint != self.policy.fingerprint
        effective = next
        updateOCSP(identity, edge.runtime)
        let isRenewed = use(identity)
        if policyChanged { self.policy = policy }
        for worker in shared.workers {
            worker.submit { [contexts = identity.contexts] in $0.recheckPeers(contexts, now: Clock.unixSeconds()) }
        }
        log.configure(minimum: configuration.log.level, format: Log.Format(configuration.log.format))
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
        self.edge.reload(edge)
        watchPolicy()
        identityWatcher.update()
        renewal.update()
        shared.lanes = configuration.laneCounts
        supervisor.keep(permanentPeers)
        supervisor.lanesChanged()
        if isRenewed { supervisor.identityChanged() }
        registry.configure(targets)
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
                ("notes", .init(notes)),
            ])
        return .applied(applied, needRestart: needRestart, notes: notes)
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

    // MARK: - End

    /// Waits until the agent has ended; gives the exit code.
    public func finished() async -> Int32 {
        if let exitCode { return exitCode }
        return await withCheckedContinuation { finish = $0 }
    }

    /// Ends in order: no new connections, deregistered, streams under way may go on for the drain timeout.
    func drain(_ why: String) {
        guard !isDraining else { return stop() }
        if isHandedOver {
            isLeaving = true
            return
        }
        isDraining = true
        log.info("draining", "no new connections are taken", [("why", .string(why))])
        Systemd.notify("STOPPING=1")
        meshDoor?.close()
        meshDoor = nil
        Task { @ControlPlane in
            await directoryClient?.deregister()
            publish()
            supervisor.stop()
            edge.drain()
            for worker in shared.workers { worker.submit { $0.drain() } }
            let deadline = Clock.monotonicNanoseconds() + configuration.shutdown.drainTimeout.nanoseconds
            while Clock.monotonicNanoseconds() < deadline {
                if await activity() == 0 { break }
                await ControlPlane.sleep(nanoseconds: 50_000_000)
            }
            await edge.sayGoodbye()
            stop()
        }
    }

    func stop() {
        guard exitCode == nil else { return }
        exitCode = 0
        closeDoors()
        certificateWatch?.stop()
        removeSocketFiles()
        registry.stop()
        edge.stop(keepsFiles: isHandedOver)
        staples.stop()
        peerStatus.stop()
        directoryClient?.stop()
        directoryHost?.stop()
        renewal.stop()
        identityWatcher.stop()
        ca?.stop()
        for worker in shared.workers { worker.stop() }
        log.info("stopped", "node \(shared.node) is down")
        log.observe(nil)
        audit?.stop()
        finish?.resume(returning: 0)
        finish = nil
    }

    /// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads; SIGUSR2 starts the program that takes over.
    private final class Signals: SignalHandler {
        private let agent: Agent

        init(_ agent: Agent) { self.agent = agent }

        func signalReceived(_ signal: Int32, loop: EventLoop) {
            ControlPlane.assumeIsolated { [agent] in
                switch signal {
                case SIGHUP:
                    Systemd.notify("RELOADING=1")
                    _ = agent.reload(by: "SIGHUP")
                    Systemd.notify("READY=1")
                case SIGUSR2: agent.upgrade()
                default: agent.drain(signal == SIGINT ? "SIGINT" : "SIGTERM")
                }
            }
        }
    }
}

extension Problem {
    /// The whole HTTP response that tells of a failed stream, for clients that speak HTTP on it.
    static func response(for failure: OpenFailure) -> [UInt8] {
        var fields = HTTPHeaders()
        fields.set("Connection", "close")
        let problem = Problem(failure.reason, status: failure.status, detail: failure.detail)
        return problem.response(headers: fields).encoded()
    }
}
