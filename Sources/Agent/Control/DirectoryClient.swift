import Bytes
import Directory
import EventLoop
import HTTP
import JSON
import Link
import Policy

/// This agent's side of the directory: keeps its registration there, and a copy of everything here.
///
/// The agent is authoritative for its own registration; the directory's copy repairs itself, because each renewal carries
/// the registration's hash. When the directory is down, the last copy goes on being used.
@ControlPlane
final class DirectoryClient {
    /// Nothing came on the watch for so long: it is dead. The directory sends a line every ten seconds.
    private static let watchTimeout: UInt64 = 30_000_000_000
    /// The longest line of a watch: a change is one registration at most, whose size the directory bounds far below.
    private static let maximumLine = 32 << 20
    /// After the start, an attempt that comes before the first link is no news; in nanoseconds.
    private static let startGrace: UInt64 = 1_000_000_000
    private static let shortestRetry: UInt64 = 100_000_000
    private static let longestRetry: UInt64 = 5_000_000_000

    /// The node that serves the directory.
    let node: String
    private unowned let agent: Agent
    /// What the directory said last.
    private(set) var snapshot = DirectorySnapshot()
    /// Whether the directory has been reached since the start.
    private(set) var hasSnapshot = false
    private var needsSnapshot = true
    /// Whether the registration stands and the watch runs.
    private(set) var isConnected = false {
        didSet { if oldValue, !isConnected { unreachedSince = Clock.unixMilliseconds() } }
    }
    /// When the directory was lost last, in milliseconds since 1970; nil where it has not been since the start.
    private var unreachedSince: Int64?
    private var registered: HTTPClientConnection?
    private var watch: HTTPClientConnection?
    private var watchEnd: String?
    private var watchBackoff = DirectoryClient.shortestRetry
    private var line: [UInt8] = []
    private var lastHeard: UInt64 = 0
    private var acknowledgedHash: String?
    private var isDirty = false
    /// How many changes of the registration there were, and how many of them the directory has acknowledged.
    private var changes: UInt64 = 0
    private var acknowledgedChanges: UInt64 = 0
    /// The revision at which the directory took the registration last.
    private var acknowledgedRevision: UInt64 = 0
    private var isStopped = false
    private var wakers: [CheckedContinuation<Void, Never>] = []
    private var refusedServices: Set<String> = []
    /// It has taken a registration of this run.
    private var wasReached = false
    private var lastProblem = ""
    /// Somebody watches the copy: called with each change's lines.
    private var observers: [UInt64: @ControlPlane (WatchLine) -> Void] = [:]
    private var nextObserver: UInt64 = 0

    init(agent: Agent, node: String) {
        self.agent = agent
        self.node = node
    }

    private var isLocal: Bool { node == agent.shared.node }

    /// Whether what is shown of the directory is kept up, and if not, since when; stands beside everything that is.
    var reachJSON: JSONObject {
        [
            "node": .string(node), "reached": .bool(isConnected),
            "unreachedSince": isConnected ? .null : unreachedSince.map { .integer($0) } ?? .null,
        ]
    }

    /// Starts to register and to watch; goes on until stopped.
    func start() {
        Task { @ControlPlane in await keepRegistered() }
        Task { @ControlPlane in await keepWatching() }
    }

    /// Stops; what is known stays.
    func stop() {
        isStopped = true
        registered?.close("stopped")
        watch?.close("stopped")
        wake()
    }

    /// Goes by the copy that another process of this node had, until the directory gives a newer one.
    func assume(_ known: DirectorySnapshot) {
        snapshot = known
        hasSnapshot = true
    }

    /// The link to a node came up.
    func linked(_ node: String) {
        if node == self.node { wake() }
    }

    /// Services or their health changed: tell the directory soon.
    func registrationChanged() {
        changes += 1
        isDirty = true
        wake()
    }

    /// Tells the directory now, and waits until it has acknowledged that and the copy here shows it, so that whoever
    /// registered can look up at once; false when the directory cannot be reached.
    func synchronise() async -> Bool {
        registrationChanged()
        let wanted = changes
        for _ in 0..<40 {
            // Not merely sent: what is registered now is what the directory has, and what a look-up here finds.
            if acknowledgedChanges >= wanted, snapshot.revision >= acknowledgedRevision { return true }
            await ControlPlane.sleep(nanoseconds: 25_000_000)
        }
        return acknowledgedChanges >= wanted
    }

    /// Everything that this node registers now.
    private var registration: Directory.Registration {
        let configuration = agent.configuration
        let services = agent.registry.entries.values.compactMap { entry -> Instance? in
            let service = entry.service
            guard !agent.isOutOfService else { return nil }
            guard agent.policy.authorizeRegister(node: agent.own, service: service.name).allowed else { return nil }
            return Instance(
                service: service.name, node: agent.shared.node, protocol: service.protocol.rawValue, tags: service.tags,
                weight: service.weight, metadata: service.metadata,
                health: agent.registry.isHealthy(service.name) ? .passing : .critical)
        }
        return Directory.Registration(
            node: agent.shared.node, bootID: agent.shared.bootID.description,
            addresses: configuration.node.advertise.map(\.description), metadata: configuration.node.metadata,
            services: services)
    }

    // MARK: - Registering

    private func keepRegistered() async {
        var backoff = Self.shortestRetry
        while !isStopped {
            do {
                try await register()
                backoff = Self.shortestRetry
                if !isDirty { await wait(agent.configuration.directory.renewInterval.nanoseconds) }
            } catch {
                registered?.close("failed")
                registered = nil
                acknowledgedHash = nil
                report("register", "\(error)")
                // Its link is dialled by the supervisor, in its own time.
                await wait(Self.pause(error, backoff))
                backoff = min(backoff * 2, Self.longestRetry)
            }
        }
    }

    /// Sends the registration where it changed, a renewal otherwise.
    private func register() async throws {
        guard isLocal || agent.supervisor.isLinked(to: node) else {
            throw HTTPClientError(description: "no link to the directory's node \(node)")
        }
        let registration = registration
        let covered = changes
        let path = "/v1/directory/nodes/" + PercentEncoding.encode(registration.node)
        isDirty = false
        if acknowledgedHash == registration.hash {
            let body: JSONValue = ["bootId": .string(registration.bootID), "hash": .string(registration.hash)]
            let answer = try await send(.post, path + "/renew", body)
            if answer.head.status == 200 { return succeeded(covered) }
            acknowledgedHash = nil
            guard answer.head.status == 409 || answer.head.status == 404 else { throw Self.error(answer) }
        }
        let answer = try await send(.put, path, registration.json)
        guard answer.head.status == 200 else { throw Self.error(answer) }
        let value = try JSONReader.parse(answer.body)
        acknowledgedHash = value["hash"]?.string
        acknowledgedRevision = UInt64(clamping: value["revision"]?.integer ?? 0)
        let refused = (value["refused"]?.array ?? []).compactMap { (item: JSONValue) in item["service"]?.string }
        if Set(refused) != refusedServices, !refused.isEmpty {
            agent.log.warning(
                "registration_refused", "the directory refused services of this node",
                [
                    ("services", .init(refused)),
                    ("hint", .string("mesh why --from node:\(registration.node) --to SERVICE --verb register")),
                ])
        }
        refusedServices = Set(refused)
        succeeded(covered)
    }

    private func succeeded(_ covered: UInt64) {
        acknowledgedChanges = covered
        if !lastProblem.isEmpty || !wasReached {
            agent.log.info("directory_reached", "registered with the directory", [("directory", .string(node))])
        }
        wasReached = true
        lastProblem = ""
    }

    private func send(_ method: HTTPMethod, _ target: String, _ body: JSONValue) async throws -> HTTPResponse {
        if registered == nil || registered?.isClosed == true {
            registered = try agent.open(node: node, service: Policy.Name.directoryService)
        }
        guard let registered else { throw HTTPClientError(description: "no connection to the directory") }
        return try await registered.send(
            try HTTPRequest(method, target, host: Policy.Name.directoryService, body: body.serialized()))
    }

    /// Takes the registration back: the node ends.
    func deregister() async {
        // From here on nothing registers again.
        isStopped = true
        // Without a link the answer would be a timeout, for which the drain would wait.
        guard acknowledgedHash != nil, isLocal || agent.supervisor.isLinked(to: node) else { return }
        let path = "/v1/directory/nodes/" + PercentEncoding.encode(agent.shared.node)
        _ = try? await send(.delete, path + "?bootId=\(agent.shared.bootID)", .null)
    }

    private static func error(_ answer: HTTPResponse) -> HTTPClientError {
        let value = try? JSONReader.parse(answer.body)
        let reason = value?["reason"]?.string ?? "status \(answer.head.status)"
        let seconds = answer.head.headers["Retry-After"].flatMap { UInt64($0) } ?? 0
        return HTTPClientError(
            description: "\(reason): \(value?["detail"]?.string ?? "")", retryAfter: min(seconds, 60) * Clock.second)
    }

    /// A pause with full jitter, behind the delay that the directory named: many nodes that were refused by one directory, or lost
    /// it, do not come back to it in step.
    private static func pause(_ error: any Error, _ backoff: UInt64) -> UInt64 {
        ((error as? HTTPClientError)?.retryAfter ?? 0) + UInt64.random(in: 0...backoff)
    }

    private func report(_ what: String, _ problem: String) {
        // At a start the first link is still on its way.
        guard Clock.monotonicNanoseconds() - agent.startedAt > Self.startGrace else { return }
        guard !isStopped, problem != lastProblem else { return }
        lastProblem = problem
        agent.log.warning(
            "directory_unreachable", "the directory does not take this node's registration; it is tried again",
            [("directory", .string(node)), ("detail", .string(problem))])
    }

    // MARK: - Watching

    private func keepWatching() async {
        while !isStopped {
            var pause = UInt64.random(in: 0...watchBackoff)
            do {
                try await watchOnce()
            } catch {
                pause = Self.pause(error, watchBackoff)
                agent.log.debug("watch_ended", "the watch of the directory ended", [("detail", .string("\(error)"))])
            }
            watch?.close("ended")
            watch = nil
            isConnected = false
            await wait(pause)
            watchBackoff = min(watchBackoff * 2, Self.longestRetry)
        }
    }

    /// A snapshot, then changes, until the watch ends.
    private func watchOnce() async throws {
        guard isLocal || agent.supervisor.isLinked(to: node) else {
            throw HTTPClientError(description: "no link to the directory's node \(node)")
        }
        let service = Policy.Name.directoryService
        let connection = try agent.open(node: node, service: service)
        watch = connection
        if needsSnapshot { try await takeSnapshot(connection) }
        watchEnd = nil
        line = []
        var answer = try await startWatch(connection)
        if answer.head.status == 410 {
            connection.close("start over")
            let fresh = try agent.open(node: node, service: service)
            watch = fresh
            try await takeSnapshot(fresh)
            answer = try await startWatch(fresh)
        }
        guard answer.head.status == 200 else { throw Self.error(answer) }
        isConnected = true
        watchBackoff = Self.shortestRetry
        lastHeard = Clock.monotonicNanoseconds()
        while let watch, !watch.isClosed, watchEnd == nil, !isStopped {
            await ControlPlane.sleep(nanoseconds: 250_000_000)
            guard Clock.monotonicNanoseconds() - lastHeard < Self.watchTimeout else {
                throw HTTPClientError(description: "the directory fell silent")
            }
        }
    }

    private func startWatch(_ connection: HTTPClientConnection) async throws -> HTTPResponse {
        let query = HTTPQuery.encode([("from", String(snapshot.revision)), ("epoch", snapshot.epoch)])
        return try await connection.stream(
            try HTTPRequest(.get, "/v1/directory/watch?\(query)", host: Policy.Name.directoryService)
        ) { [weak self] bytes in self?.received(bytes) }
    }

    private func takeSnapshot(_ connection: HTTPClientConnection) async throws {
        let answer = try await connection.send(
            try HTTPRequest(.get, "/v1/directory/snapshot", host: Policy.Name.directoryService))
        guard answer.head.status == 200 else { throw Self.error(answer) }
        let fresh = try DirectorySnapshot(json: try JSONReader.parse(answer.body))
        snapshot = fresh
        hasSnapshot = true
        needsSnapshot = false
        agent.directoryChanged()
        tell(.startOver(.compacted))
    }

    private func received(_ bytes: UnsafeRawBufferPointer) {
        lastHeard = Clock.monotonicNanoseconds()
        let before = snapshot.revision
        for piece in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            // Every piece but the first comes behind a newline, which ends the line before it.
            if piece.offset > 0 {
                take(line)
                line.removeAll(keepingCapacity: true)
            }
            line.append(contentsOf: piece.element)
        }
        if line.count > Self.maximumLine {
            line = []
            watchEnd = "line_too_long"
        }
        // Once for all changes that came together: each snapshot costs every worker a little, and the next change a copy.
        if snapshot.revision != before { agent.directoryChanged() }
    }

    private func take(_ bytes: [UInt8]) {
        do {
            let parsed = try WatchLine(json: try JSONReader.parse(bytes))
            switch parsed {
            case .heartbeat: break
            case .change(let change):
                snapshot.apply(change)
                tell(parsed)
            case .startOver(let reason):
                watchEnd = reason.rawValue
                needsSnapshot = true
            }
        } catch {
            agent.log.error(
                "directory_line", "the directory sent a line that is none", [("detail", .string("\(error)"))])
            watchEnd = "malformed"
        }
    }

    // MARK: - Local watchers

    /// Calls `body` with every change of the copy until the returned number is given to `unobserve`.
    func observe(_ body: @escaping @ControlPlane (WatchLine) -> Void) -> UInt64 {
        nextObserver += 1
        observers[nextObserver] = body
        return nextObserver
    }

    /// Ends an observation.
    func unobserve(_ id: UInt64) { observers[id] = nil }

    private func tell(_ line: WatchLine) {
        for observer in observers.values { observer(line) }
    }

    // MARK: - Waiting

    private func wait(_ nanoseconds: UInt64) async {
        guard !isStopped else { return }
        let id = ControlPlane.schedule(after: nanoseconds) { [self] in wake() }
        await withCheckedContinuation { wakers.append($0) }
        ControlPlane.loop.cancel(id)
    }

    private func wake() {
        let waiting = wakers
        wakers = []
        for waker in waiting { waker.resume() }
    }
}
