import EventLoop
import Glibc
import JSON
import PKI

/// A running front: an edge whose loops are its own threads and whose services are servers that it reaches directly.
@ControlPlane
public final class Front {
    /// Reads the configuration again: the same files, flags and environment as at the start.
    public typealias Loader = @Sendable () throws(ConfigurationError) -> EffectiveFront

    let log: Log
    private let loader: Loader
    private(set) var effective: EffectiveFront
    /// As it was at the start: what a reload does not change runs as this says.
    private let started: FrontConfiguration
    let edge: EdgeHost
    private let directory: FrontDirectory
    private var threads: [FrontThread] = []
    /// The servers in use, by name.
    private(set) var targets: [String: DirectTarget] = [:]
    /// Certificates and CAs for the servers, whoever writes them.
    private(set) var targetWatcher: FileSetWatcher!
    private var signals: SignalSource?
    private(set) var isDraining = false
    /// How often configuration and certificates were read again, by what became of it.
    private(set) var reloads = (applied: 0, refused: 0)
    /// What is kept of security events; nil where no directory is named for it.
    let audit: AuditLog?
    private var metricsSocket: Int32?
    private var metricsDoor: MetricsDoor?
    private var exitCode: Int32?
    private var finish: CheckedContinuation<Int32, Never>?

    // MARK: - Start

    /// Starts a front. Every file is read and every listener bound before anything is served.
    ///
    /// - Parameter announce: Told under which URIs clients reach it, once they can.
    public static func start(
        _ effective: EffectiveFront, reload: @escaping Loader, announce: @Sendable ([String]) -> Void
    ) async throws -> Front {
        // Before a key is read; where the kernel does not let us, there is nothing else to do.
        try? ProcessMemory.protect()
        Agent.raiseDescriptorLimit()
        try checkFiles(effective.front)
        let inherited = InheritedListeners()
        try ActivatedSockets.take(into: inherited)
        let front = try Front(effective, inherited: inherited, loader: reload)
        Agent.noteUnlockedSecrets(front.log)
        let uris: [String]
        do {
            uris = try await front.serve()
        } catch {
            front.stop()
            throw error
        }
        announce(uris)
        Systemd.notify("READY=1\nSTATUS=\(uris.joined(separator: " "))")
        return front
    }

    /// Reads everything that a start would read, and starts nothing.
    public nonisolated static func check(_ effective: EffectiveFront) -> FrontReport {
        FrontReport(effective.front, now: Clock.unixSeconds())
    }

    /// What a person reads of a failed start, a line each.
    public nonisolated static func lines(of error: any Error) -> [String] { Agent.lines(of: error) }

    /// The exit code of a failed start: 6 for certificates, 78 for configuration, 1 for everything else.
    public nonisolated static func exitCode(of error: any Error) -> Int32 { Agent.exitCode(of: error) }

    /// Refuses bad certificates with the commands that show more. What deserves a warning the edge says.
    private static func checkFiles(_ front: FrontConfiguration) throws {
        var files = FrontCertificates(front, now: Clock.unixSeconds())
        files.check()
        guard files.problems.isEmpty else {
            throw StartFailure(exitCode: 6, lines: files.problems.flatMap(\.lines))
        }
    }

    private init(_ effective: EffectiveFront, inherited: InheritedListeners, loader: @escaping Loader) throws {
        let configuration = effective.front.configuration
        self.effective = effective
        started = effective.front
        self.loader = loader
        log = Log(minimum: configuration.log.level, format: Log.Format(configuration.log.format))
        audit = try AuditLog.open(configuration, log: log)
        log.observe(audit?.trail.note)
        audit?.reportFailures(to: log)
        directory = FrontDirectory()
        do {
            try directory.prepare(for: configuration.edge)
            edge = try EdgeHost(configuration.edge, stateDirectory: directory.path, inherited: inherited, log: log)
            if let metrics = configuration.listen.metrics {
                let address = try SocketAddress(parsing: metrics.description)
                metricsSocket = try inherited.listen(.metrics, address).release()
            }
            try inherited.requireAllActivatedTaken()
        } catch {
            EdgeDevelopment.remove(for: configuration.edge, directory: directory.path)
            directory.remove()
            audit?.stop()
            throw error
        }
        targetWatcher = makeTargetWatcher()
    }

    private func serve() async throws -> [String] {
        let front = effective.front
        let targetStamps = FileSetWatcher.stamps(of: front.targetFiles)
        targets = try FrontTargets.load(front, log: log)
        let (targets, shared, runtime, keyFetch) = (targets, edge.shared, edge.runtime, edge.keyFetch)
        threads = try (0..<max(1, front.configuration.workers)).map { index in
            try FrontThread(index: index) { loop, edgeLoop in
                let parts = ChannelLoop(loop)
                let core = EdgeCore(
                    loop: loop, parts: parts, shared: shared, handle: edgeLoop,
                    connector: DirectConnector(targets, parts: parts), runtime: runtime)
                core.wantsKeys = keyFetch
                return core
            }
        }
        try edge.start(threads.map(\.loop))
        targetWatcher.update(read: targetStamps)
        // Nobody is told that it is there before it is.
        for thread in threads { await thread.loop.ask { _ in } }
        if let socket = metricsSocket.take() {
            metricsDoor = try MetricsDoor(FileDescriptor(owning: socket), of: self, log: log)
        }
        signals = try SignalSource([SIGTERM, SIGINT, SIGHUP], loop: ControlPlane.loop, handler: Signals(self))
        for warning in effective.warnings { log.warning("configuration", warning.description) }
        let uris = uris
        log.info(
            "front_started", "clients are served",
            [
                ("uris", .init(uris)), ("targets", .init(front.targets.map(\.url.description))),
                ("side", .string(front.isClientSide ? "client" : "server")), ("version", .string(Agent.version)),
                ("workers", .init(threads.count)),
            ])
        auditInsecure()
        return uris
    }

    private var uris: [String] {
        let front = effective.front
        return front.configuration.edge.listeners.map { listener in
            FrontURI.text(
                listener, port: edge.address(of: listener.address.description)?.port, names: front.names(of: listener),
                isWebSocket: front.isWebSocket)
        }
    }

    /// A record for each server whose certificate is not checked, at every start and reload.
    private func auditInsecure() {
        for (index, target) in effective.front.targets.enumerated() where target.insecure {
            log.warning(
                "insecure_target",
                "the server's certificate is not checked: anybody in between can read and change "
                    + "everything",
                [
                    ("target", .string(target.url.description)),
                    ("origin", .string("\(effective.origin(of: "targets[\(index)].insecure"))")),
                    ("uid", .init(Int(getuid()))),
                ])
        }
    }

    // MARK: - Reload

    private func reload() {
        Systemd.notify("RELOADING=1")
        defer { Systemd.notify("READY=1") }
        let next: EffectiveFront
        let prepared: EdgeHost.Prepared
        let targets: [String: DirectTarget]
        let targetStamps: FileSetWatcher.Stamps
        do {
            next = try loader()
            try Self.checkFiles(next.front)
            // Before the files are read: what changes meanwhile must be seen as a change.
            targetStamps = FileSetWatcher.stamps(of: next.front.targetFiles)
            targets = try FrontTargets.load(next.front, log: log)
            try directory.prepare(for: next.front.configuration.edge)
            prepared = try edge.prepare(next.front.configuration.edge)
        } catch {
            reloads.refused += 1
            log.error(
                "reload_failed", "the new configuration or certificates are refused, the old ones stay in force",
                [("problems", .init(Self.lines(of: error)))])
            return
        }
        let needRestart = started.changesThatNeedRestart(to: next.front)
        effective = next
        log.configure(
            minimum: next.front.configuration.log.level, format: Log.Format(next.front.configuration.log.format))
        use(targets)
        targetWatcher.update(read: targetStamps)
        edge.reload(prepared)
        reloads.applied += 1
        for warning in next.warnings { log.warning("configuration", warning.description) }
        log.info(
            "reloaded", "configuration and certificates were read again",
            [("uris", .init(uris)), ("needRestart", .init(needRestart))])
        auditInsecure()
    }

    /// Takes over other targets, for new connections.
    func use(_ targets: [String: DirectTarget]) {
        self.targets = targets
        for thread in threads {
            thread.loop.submit { core in (core.connector as? DirectConnector)?.replace(targets) }
        }
    }

    // MARK: - End

    /// Waits until the front has ended; gives the exit code.
    public func finished() async -> Int32 {
        if let exitCode { return exitCode }
        return await withCheckedContinuation { finish = $0 }
    }

    /// Ends in order: no new connections, requests and WebSockets under way may go on for the drain timeout.
    private func drain(_ why: String) {
        guard !isDraining else { return stop() }
        isDraining = true
        log.info("draining", "no new connections are taken", [("why", .string(why))])
        Systemd.notify("STOPPING=1")
        Systemd.extendStop()
        edge.drain()
        Task { @ControlPlane in
            let timeout = effective.front.configuration.shutdown.drainTimeout.nanoseconds
            let deadline = Clock.monotonicNanoseconds() + timeout
            while exitCode == nil, Clock.monotonicNanoseconds() < deadline {
                Systemd.extendStop()
                if await edge.activity() == 0 { break }
                await ControlPlane.sleep(nanoseconds: 20_000_000)
            }
            if exitCode == nil { await edge.sayGoodbye() }
            stop()
        }
    }

    private func stop() {
        guard exitCode == nil else { return }
        exitCode = 0
        metricsDoor?.close()
        targetWatcher.stop()
        edge.stop()
        directory.remove()
        for thread in threads { thread.stop() }
        log.info("stopped", "the front is down")
        log.observe(nil)
        audit?.stop()
        finish?.resume(returning: 0)
        finish = nil
    }

    /// SIGTERM and SIGINT drain, a second one ends at once; SIGHUP reloads.
    private final class Signals: SignalHandler {
        private let front: Front

        init(_ front: Front) { self.front = front }

        func signalReceived(_ signal: Int32, loop: EventLoop) {
            ControlPlane.assumeIsolated { [front] in
                switch signal {
                case SIGHUP: front.reload()
                default: front.drain(signal == SIGINT ? "SIGINT" : "SIGTERM")
                }
            }
        }
    }
}
