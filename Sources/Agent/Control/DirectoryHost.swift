import Directory
import EventLoop
import HTTP
import JSON
import Policy

/// The directory on the node that serves it: requests in, answers out, with a thread of its own for the disk.
@ControlPlane
final class DirectoryHost {
    /// How often watchers are told that the directory is alive, in nanoseconds.
    private static let heartbeatInterval: UInt64 = 10_000_000_000

    private unowned let agent: Agent
    private let path: String
    private var store: DirectoryStore
    /// Another process is about to open the file.
    private var isSuspended = false
    private let disk: LoopThread
    private var service: DirectoryService
    private var waiting: [StoreWriter.Ticket: CheckedContinuation<DirectoryService.Reply, Never>] = [:]
    private var watchers: [WatchHub.WatcherID: ControlStream] = [:]
    private var isCommitting = false
    private var isStopped = false
    private var isTurnDue = false
    private var timer: TimerID?
    private var heartbeat: TimerID?
    private(set) var commits: UInt64 = 0
    private(set) var commitFailures: UInt64 = 0

    /// Opens the directory's file.
    init(agent: Agent, path: String) throws {
        self.agent = agent
        self.path = path
        store = try DirectoryStore(path: path)
        disk = try LoopThread(name: "directory")
        let leases = agent.configuration.directory
        let settings = LeaseSettings(
            lease: max(Int64(leases.renewInterval.nanoseconds / 1_000_000) * 3, 3_000),
            grace: Int64(leases.leaseGrace.nanoseconds / 1_000_000))
        service = DirectoryService(
            restored: try store.restore(), policy: agent.policy, trustDomain: agent.identity.trustDomain,
            settings: settings, now: Self.now)
    }

    private static var now: DirectoryTime {
        DirectoryTime(
            monotonic: Int64(Clock.monotonicNanoseconds() / 1_000_000), unix: Clock.unixMilliseconds())
    }

    /// What the directory has committed.
    var snapshot: DirectorySnapshot { service.snapshot }

    /// How many watch.
    var watcherCount: Int { watchers.count }

    /// Starts leases and heartbeats.
    func start() {
        heartbeat = ControlPlane.schedule(after: Self.heartbeatInterval) { [self] in beat() }
        turn()
    }

    /// Closes the file, after what was under way.
    func stop() {
        isStopped = true
        for id in [timer, heartbeat].compactMap({ $0 }) { ControlPlane.loop.cancel(id) }
        disk.stopAndJoin()
        store.close()
    }

    /// Closes the file for another process, after what was under way. Writes wait from now on.
    func suspend() async {
        isSuspended = true
        let store = store
        await withCheckedContinuation { continuation in
            disk.handle.post {
                store.close()
                continuation.resume()
            }
        }
    }

    /// Opens the file again; what waited is written.
    func resume() {
        guard isSuspended else { return }
        do throws(StoreError) {
            store = try DirectoryStore(path: path)
        } catch {
            agent.log.error(
                "directory_store_failed", "the directory cannot open its file again; nothing is acknowledged",
                [("detail", .string("\(error)"))])
        }
        isSuspended = false
        turn()
    }

    /// The policy was replaced.
    func policyChanged() {
        service.setPolicy(agent.policy)
        turn()
        tellWatchers()
    }

    /// The link to a node was established or lost.
    func linkChanged(node: String, isUp: Bool) {
        guard !isUp, let bootID = service.snapshot.node(node)?.bootID else { return }
        service.linkLost(node: node, bootID: bootID)
        turn()
    }

    // MARK: - Requests

    /// Answers a request of `principal`; a write is answered after it is on the disk.
    func answer(_ operation: DirectoryOperation, by principal: Principal) async -> ControlAnswer {
        switch service.perform(operation, by: principal) {
        case .reply(let reply): return Self.answer(reply)
        case .pending(let ticket):
            let reply = await withCheckedContinuation { continuation in
                waiting[ticket] = continuation
                turnSoon()
            }
            return Self.answer(reply)
        case .watching(let id):
            return .stream(contentType: "application/x-ndjson") { [weak self] stream in self?.start(id, stream) }
        }
    }

    /// A reply as a response.
    static func answer(_ reply: DirectoryService.Reply) -> ControlAnswer {
        switch reply {
        case .success(let value): return .response(.json(value.text() + "\n"))
        case .problem(let problem): return Self.answer(problem)
        }
    }

    /// A problem as a response.
    static func answer(_ problem: DirectoryProblem) -> ControlAnswer {
        let answer = Problem(problem.reason, status: problem.status, title: problem.title, detail: problem.detail)
        var response = answer.response()
        if problem.status == 503 { response.head.headers.set("Retry-After", "1") }
        return .response(response)
    }

    private func start(_ id: WatchHub.WatcherID, _ stream: ControlStream) {
        watchers[id] = stream
        stream.whenClosed { [weak self] in
            self?.watchers[id] = nil
            self?.service.unsubscribe(id)
        }
        // The first line comes at once, so that the watcher knows that it is watching.
        stream.send(service.heartbeat)
        tell(id)
    }

    // MARK: - Writing

    /// Takes a turn behind the requests that are at hand already. Each would find the disk idle else, and the first would get
    /// a sync of its own while all others wait for the next.
    private func turnSoon() {
        guard !isTurnDue, !isCommitting else { return }
        isTurnDue = true
        ControlPlane.post { [weak self] in
            self?.isTurnDue = false
            self?.turn()
        }
    }

    /// Takes what is pending to the disk, one batch at a time.
    private func turn() {
        guard !isCommitting, !isStopped, !isSuspended else { return }
        while true {
            switch service.step(at: Self.now) {
            case .idle: return scheduleTimer()
            case .reply(let replies): send(replies)
            case .commit(let batch): return commit(batch)
            }
        }
    }

    private func commit(_ batch: StoreBatch) {
        isCommitting = true
        let store = store
        disk.handle.post {
            let result: Result<Void, StoreError>
            do throws(StoreError) {
                try store.commit(batch)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            ControlPlane.post { [weak self] in self?.committed(result) }
        }
    }

    private func committed(_ result: Result<Void, StoreError>) {
        isCommitting = false
        switch result {
        case .success: commits += 1
        case .failure(let error):
            commitFailures += 1
            agent.log.error(
                "directory_store_failed", "the directory could not store a change; nothing was acknowledged",
                [("detail", .string("\(error)"))])
        }
        send(service.finish(result, at: Self.now))
        tellWatchers()
        turn()
    }

    private func send(_ replies: [(ticket: StoreWriter.Ticket, reply: DirectoryService.Reply)]) {
        for (ticket, reply) in replies { waiting.removeValue(forKey: ticket)?.resume(returning: reply) }
    }

    private func scheduleTimer() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
        guard let deadline = service.nextDeadline() else { return }
        timer = ControlPlane.schedule(at: UInt64(max(deadline, 0)) * 1_000_000) { [self] in
            timer = nil
            turn()
        }
    }

    // MARK: - Watching

    private func tellWatchers() {
        for id in service.watchersWithNews { tell(id) }
    }

    private func tell(_ id: WatchHub.WatcherID) {
        guard let stream = watchers[id] else { return }
        while watchers[id] != nil {
            switch service.nextLines(id) {
            case .idle: return
            case .lines(let bytes): stream.send(bytes)
            case .startOver(let bytes):
                watchers[id] = nil
                stream.send(bytes)
                stream.end()
            }
        }
    }

    private func beat() {
        heartbeat = ControlPlane.schedule(after: Self.heartbeatInterval) { [self] in beat() }
        let line = service.heartbeat
        for stream in watchers.values { stream.send(line) }
    }
}
