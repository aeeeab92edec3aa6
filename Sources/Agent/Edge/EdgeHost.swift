import EventLoop
import JOSE
import JSON
import PKI
import TLS

/// The edge as the agent runs it: listeners, settings, files that change, keys that are fetched. The connections live on
/// the loops.
@ControlPlane
final class EdgeHost: TimerHandler {
    /// How often files are looked at, in nanoseconds: what is revoked ends within a second.
    private static let watchInterval: UInt64 = 500_000_000

    /// What the loops share.
    let shared: EdgeShared
    let log: Log
    private let stateDirectory: String
    private let inherited: InheritedListeners
    private(set) var runtime: EdgeRuntime
    private var fetched: [String: HTTPFetch.Source]
    private let fetcher: KeyFetcher
    private var listeners: [String: EdgeListener] = [:]
    private var development: [String: Credentials] = [:]
    private var stamps: FileSetWatcher.Stamps = [:]
    /// Keys of session tickets in memory, as they were lately.
    private(set) var ticketKeys = 0
    private var timer: TimerID?
    private var isStopped = false
    /// The policy's file, where there is one, and what is done when it has changed.
    private var agentFiles: [String] = []
    private var agentFilesChanged: @ControlPlane ([String]) -> FileSetWatcher.Outcome = { _ in
        .applied(isDifferent: false)
    }
    /// Certificates, client CAs and CRLs of the listeners, whoever writes them.
    private(set) var certificateWatcher: FileSetWatcher!
    private var certificateStamps: FileSetWatcher.Stamps
    /// Told what changed files will bring, before it is in force.
    var willApply: @ControlPlane (EdgeRuntime) -> Void = { _ in }
    /// Nothing may change at the moment: another process tries to take over. Once it has, what is still connected here is looked
    /// after as before.
    var isFrozen: @ControlPlane () -> Bool = { false }
    /// How often certificates are looked at where the kernel tells of no changes, in nanoseconds.
    var pollInterval: @ControlPlane () -> UInt64 = { Configuration().identity.renew.pollInterval.nanoseconds }

    /// Reads every file and binds every listener; serves nothing yet.
    ///
    /// - Parameters:
    ///   - mesh: Whom the mesh trusts; nil without one.
    ///   - inherited: what listens already.
    init(
        _ configuration: Configuration.Edge, mesh: MeshTrust? = nil, stateDirectory: String,
        inherited: InheritedListeners = InheritedListeners(), log: Log
    ) throws {
        self.log = log
        self.inherited = inherited
        self.stateDirectory = stateDirectory
        development = try EdgeDevelopment.certificates(for: configuration, directory: stateDirectory, log: log)
        stamps = FileSetWatcher.stamps(of: Self.watchedFiles(configuration))
        certificateStamps = FileSetWatcher.stamps(of: Self.certificateFiles(configuration))
        let loaded = try EdgeLoader.load(configuration, development: development, mesh: mesh)
        EdgeCertificates.report(loaded, now: Clock.unixSeconds(), log: log)
        runtime = loaded.runtime
        fetched = loaded.fetched
        shared = EdgeShared(log: log, limits: configuration.limits)
        fetcher = KeyFetcher(log: log)
        certificateWatcher = makeCertificateWatcher()
        for listener in configuration.listeners {
            listeners[listener.address.description] = try bind(listener)
        }
    }

    private func bind(_ listener: Configuration.EdgeListener) throws -> EdgeListener {
        let name = listener.address.description
        let taken = try inherited.listen(.edge, try SocketAddress(parsing: name), v6Only: false, mode: 0o660)
        let isActivated = taken.isActivated
        return EdgeListener(
            FileDescriptor(owning: taken.release()), name: name, shared: shared, isActivated: isActivated)
    }

    /// Where a listener really listens, by its address as configured.
    func address(of name: String) -> SocketAddress? { listeners[name]?.address }

    /// Everything that it listens on.
    var allListeners: [EdgeListener] { Array(listeners.values) }

    /// Whether there is anything to serve.
    var hasListeners: Bool { !listeners.isEmpty }

    /// Starts to serve on loops that have their cores.
    func start(_ loops: [EdgeLoop]) throws {
        shared.loops = loops
        fetcher.changed = { [unowned self] issuer, keys in
            self.apply(self.runtime.with(self.runtime.authenticator.replacing(keys: keys, of: issuer)))
        }
        fetcher.configure(fetched)
        for listener in listeners.values { listen(listener) }
        watch()
        certificateWatcher.update(read: certificateStamps)
    }

    /// Looks after files of the agent too, its policy and CRLs: `changed` is called with those that are others than before.
    func watch(_ files: [String], changed: @escaping @ControlPlane ([String]) -> FileSetWatcher.Outcome) {
        agentFiles = files
        agentFilesChanged = changed
        // Where one was read just now, its stamp of before that stays.
        for file in files where stamps[file] == nil { stamps[file] = .some(FileStamp(file)) }
    }

    /// What loops fetch unknown keys by.
    nonisolated var keyFetch: EdgeCore.KeyFetch {
        { [weak self] issuer, done in
            ControlPlane.post {
                guard let self else { return done() }
                self.fetcher.wants(issuer, done: done)
            }
        }
    }

    private func listen(_ listener: EdgeListener) {
        log.info(
            "edge_listening", "external clients are served",
            [("listener", .string(listener.name)), ("address", .string(listener.address?.description ?? ""))])
        shared.loops.first?.submit { [log] core in
            do throws(SystemError) {
                try core.listen(listener)
            } catch {
                log.error("listen_failed", "an edge listener cannot accept", [("detail", .string("\(error)"))])
            }
        }
    }

    /// Takes over what was made of the runtime in force.
    func apply(_ next: EdgeRuntime) {
        runtime = next
        for loop in shared.loops { loop.submit { core in core.apply(next) } }
    }

    // MARK: - Reload

    /// What a reload would change; nothing is changed yet.
    struct Prepared {
        /// The listeners and their certificates, as they would be.
        var runtime: EdgeRuntime { loaded.runtime }
        fileprivate let loaded: EdgeLoader.Loaded
        fileprivate let added: [EdgeListener]
        fileprivate let development: [String: Credentials]
        fileprivate var stamps: FileSetWatcher.Stamps
        fileprivate let certificateStamps: FileSetWatcher.Stamps
    }

    /// Reads every file again and binds listeners that are new.
    func prepare(_ configuration: Configuration.Edge, mesh: MeshTrust? = nil) throws -> Prepared {
        var development = development
        let made = try EdgeDevelopment.certificates(
            for: configuration, directory: stateDirectory, log: log, known: development)
        development.merge(made) { $1 }
        // Before the files are read: what changes meanwhile must be seen as a change.
        let stamps = FileSetWatcher.stamps(of: Self.watchedFiles(configuration) + agentFiles)
        let certificateStamps = FileSetWatcher.stamps(of: Self.certificateFiles(configuration))
        let loaded = try EdgeLoader.load(configuration, development: development, previous: runtime, mesh: mesh)
        let added = try configuration.listeners.filter { listeners[$0.address.description] == nil }.map { try bind($0) }
        return Prepared(
            loaded: loaded, added: added, development: development, stamps: stamps,
            certificateStamps: certificateStamps)
    }

    /// Reads every file of the configuration in force again; what belongs to the agent is left to the agent.
    func prepareAgain() throws -> Prepared {
        var prepared = try prepare(runtime.configuration, mesh: runtime.mesh)
        for file in agentFiles { prepared.stamps[file] = stamps[file] }
        return prepared
    }

    /// Takes over what was prepared. Connections go on; those that lost their right are closed.
    func reload(_ prepared: Prepared) {
        development = prepared.development
        EdgeCertificates.report(prepared.loaded, now: Clock.unixSeconds(), log: log)
        let configuration = prepared.loaded.runtime.configuration
        shared.apply(configuration.limits)
        apply(prepared.loaded.runtime)
        fetched = prepared.loaded.fetched
        fetcher.configure(fetched)
        let wanted = Set(configuration.listeners.map(\.address.description))
        for (name, listener) in listeners where !wanted.contains(name) {
            listeners[name] = nil
            shared.loops.first?.submit { $0.stopListening(listener) }
            listener.removeSocketFile()
        }
        for listener in prepared.added {
            listeners[listener.name] = listener
            listen(listener)
        }
        stamps = prepared.stamps
        certificateWatcher.update(read: prepared.certificateStamps)
    }

    // MARK: - Files that change

    private static func watchedFiles(_ configuration: Configuration.Edge) -> [String] {
        [configuration.authentication.apiKeys, configuration.authentication.revocations].compactMap { $0 }
    }

    private func watch() {
        guard !isStopped else { return }
        timer = ControlPlane.loop.schedule(after: Self.watchInterval, self)
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            lookAtFiles()
            expireTickets()
            watch()
        }
    }

    /// Names that no client asks for keep no keys of tickets beyond their time.
    private func expireTickets() {
        let now = Clock.unixSeconds()
        ticketKeys = runtime.listeners.values.flatMap(\.tickets.values).reduce(0) { $0 + $1.expire(now: now) }
    }

    private func lookAtFiles() {
        let files = Self.watchedFiles(runtime.configuration) + agentFiles
        let now = FileSetWatcher.stamps(of: files)
        let changed = files.filter { stamps[$0] != now[$0] }
        guard !changed.isEmpty else { return }
        let agents = changed.filter(agentFiles.contains)
        if !agents.isEmpty {
            switch agentFilesChanged(agents) {
            // Everything was read again, the other files too.
            case .applied:
                stamps = now
                return
            // The files count as changed until somebody could look at them.
            case .notNow: return
            // What is revoked in the other files counts all the same.
            case .refused: break
            }
        }
        stamps = now
        guard changed.contains(where: { !agentFiles.contains($0) }) else { return }
        let settings = runtime.configuration.authentication
        var authenticator = runtime.authenticator
        do {
            if let file = settings.apiKeys, changed.contains(file) {
                authenticator = authenticator.replacing(apiKeys: try APIKeyStore(reading: EdgeLoader.read(file)))
            }
            if let file = settings.revocations, changed.contains(file) {
                authenticator = authenticator.replacing(revocations: try EdgeLoader.revocations(file))
            }
        } catch {
            log.error(
                "edge_file_refused", "a changed file cannot be read; what was read before stays in force",
                [("files", .init(changed)), ("detail", .string(Agent.lines(of: error).joined(separator: "; ")))])
            return
        }
        log.info("edge_files_applied", "changed files were read", [("files", .init(changed))])
        apply(runtime.with(authenticator))
    }

    // MARK: - The end

    /// No new connections; what is under way may end.
    func drain() {
        for loop in shared.loops { loop.submit { $0.drain() } }
    }

    /// Another process has taken the listeners over: each connection goes on to its next answer, each WebSocket to its end.
    func handOver() {
        for loop in shared.loops { loop.submit { $0.handOver() } }
    }

    /// Requests and WebSocket connections under way.
    func activity() async -> Int {
        var sum = 0
        for loop in shared.loops { sum += await loop.ask { $0.activity } }
        return sum
    }

    /// Tells WebSocket clients that the time to drain is over, and waits until they have it: until the frames under way
    /// have ended and the close frames were read, for `goodbyeTime` at most.
    func sayGoodbye() async {
        let deadline = Clock.monotonicNanoseconds() + Self.goodbyeTime
        for loop in shared.loops { loop.submit { $0.sayGoodbye() } }
        while Clock.monotonicNanoseconds() < deadline {
            var sum = 0
            for loop in shared.loops { sum += await loop.ask { $0.goodbyes } }
            if sum == 0 { return }
            await ControlPlane.sleep(nanoseconds: 20_000_000)
        }
    }

    /// A service may take two seconds to end a frame, and a client as long to read what comes last.
    private static let goodbyeTime: UInt64 = 3 * Clock.second

    /// Ends everything.
    ///
    /// - Parameter keepsFiles: the files of sockets and certificates belong to another process by now.
    func stop(keepsFiles: Bool = false) {
        isStopped = true
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        certificateWatcher.stop()
        fetcher.stop()
        for loop in shared.loops { loop.submit { $0.shutDown() } }
        guard !keepsFiles else { return }
        for listener in listeners.values { listener.removeSocketFile() }
        EdgeDevelopment.remove(for: runtime.configuration, directory: stateDirectory)
    }

    /// The certificates by which clients are connected, by fingerprint.
    func certificatesInUse() async -> Set<String> {
        var all: Set<String> = []
        for loop in shared.loops { all.formUnion(await loop.ask { $0.certificatesInUse }) }
        return all
    }

    /// What all loops show of themselves.
    func report() async -> EdgeReport {
        var report = EdgeReport()
        for loop in shared.loops { report.add(await loop.ask { $0.report }) }
        return report
    }

    /// The CAs for the server that an issuer's keys are fetched from.
    func roots(ofIssuer issuer: String) -> [Certificate] { fetched[issuer]?.context?.configuration.trust?.roots ?? [] }

    /// How good fetched keys are, by issuer.
    var keyFreshness: [String: JWKSCache.Freshness] { fetcher.freshness }
}
