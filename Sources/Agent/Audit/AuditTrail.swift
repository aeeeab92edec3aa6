import Audit
import EventLoop
import JSON

/// Where security events go: takes them from the agent's log on any thread, and hands them to the thread that writes them.
/// Nobody waits: what finds the queue full is counted, and the log says how much it was.
final class AuditTrail: Sendable {
    /// An event on its way to the disk.
    struct Entry: Sendable {
        /// RFC 3339.
        let time: String
        let event: String
        let category: AuditCategory
        let severity: String
        let fields: JSONObject
        /// Anybody can cause it.
        let isStrangers: Bool
    }

    /// What is shown of the log.
    struct Status: Sendable {
        /// The last record that is on disk.
        var sequence: UInt64 = 0
        /// The newest seal.
        var seal: AuditSeal?
        /// Records by category.
        var records: [String: UInt64] = [:]
        /// Events that were counted instead of written.
        var aggregated: UInt64 = 0
        /// Events that were lost, because too many waited.
        var lost: UInt64 = 0
        /// Bytes of all files.
        var bytes = 0
        /// Why nothing can be written; nil while it can.
        var failure: String?
        /// Something that somebody known has done is not written.
        var isBlocked = false
    }

    /// Events that may wait for the disk.
    static let capacity = 8192

    private struct State {
        var queue: [Entry] = []
        /// Those that the writer has taken and not written yet.
        var taken = 0
        var isAnnounced = false
        var aggregator = AuditAggregator()
        var status = Status()
        /// Lost since the log was told of it.
        var untold = 0
        var wake: (@Sendable () -> Void)?
        var changed: (@Sendable () -> Void)?
    }

    private let state = Locked(State())
    /// Where security events go besides.
    private let outputs: [any SecurityEventOutput]

    init(outputs: [any SecurityEventOutput] = []) { self.outputs = outputs }

    /// What it shows.
    var status: Status { state.withLock { $0.status } }

    /// Called on any thread when `isBlocked` or `failure` changes.
    func whenChanged(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.changed = body } }

    // MARK: - From the log

    /// Takes a record of the agent's log, if it tells of a security event.
    func note(_ level: LogLevel, _ event: String, _ message: String, _ fields: [Log.Field]) {
        guard let (name, kind) = AuditMeaning.of(event, fields) else { return }
        func text(_ names: [String]) -> String {
            for name in names { if let found = fields.first(where: { $0.name == name })?.value.string { return found } }
            return ""
        }
        let now = Int64(Clock.monotonicNanoseconds() / Clock.millisecond)
        let isOwn = state.withLock { state -> Bool in
            Self.summarise(&state, now: now, atEnd: false)
            let isWritten = state.aggregator.admits(
                name, kind, reason: text(["reason"]),
                source: text(["from", "client", "peer", "node", "caller", "remote"]), now: now)
            if !isWritten { state.status.aggregated += 1 }
            return isWritten
        }
        guard isOwn else { return }
        var object: JSONObject = ["message": .string(message)]
        for field in fields { object[field.name] = field.value }
        let entry = Entry(
            time: Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()), event: name, category: kind.category,
            severity: level.rawValue, fields: object, isStrangers: kind.cause == .strangers)
        push(entry)
        for output in outputs { output.send(entry) }
    }

    private func push(_ entry: Entry) {
        let wake = state.withLock { state in Self.enqueue(entry, &state) }
        wake?()
    }

    /// Puts an entry into the queue; gives what wakes the writer where it sleeps.
    private static func enqueue(_ entry: Entry, _ state: inout State) -> (@Sendable () -> Void)? {
        guard state.queue.count + state.taken < capacity else {
            state.status.lost += 1
            state.untold += 1
            return nil
        }
        state.queue.append(entry)
        guard !state.isAnnounced, let wake = state.wake else { return nil }
        state.isAnnounced = true
        return wake
    }

    /// Puts what was counted in the minute that is over into the queue.
    private static func summarise(_ state: inout State, now: Int64, atEnd: Bool) {
        for summary in state.aggregator.summaries(now: now, atEnd: atEnd) {
            let entry = Entry(
                time: Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()), event: summary.event,
                category: summary.kind.category, severity: "warning",
                fields: [
                    "message": "more of the same, in one minute", "reason": .string(summary.reason),
                    "count": JSONValue(summary.count), "sources": JSONValue(summary.sources),
                    "from": .array(summary.examples.map { .string($0) }),
                ], isStrangers: summary.kind.cause == .strangers)
            _ = enqueue(entry, &state)
        }
    }

    // MARK: - For the writer

    /// The writer is there; `wake` is called when there is something for it.
    func connect(_ wake: @escaping @Sendable () -> Void) {
        let isWaiting = state.withLock { state -> Bool in
            state.wake = wake
            state.isAnnounced = !state.queue.isEmpty
            return state.isAnnounced
        }
        if isWaiting { wake() }
    }

    /// What waits, and how many were lost since the last call.
    func take(atEnd: Bool = false) -> (entries: [Entry], lost: Int) {
        let now = Int64(Clock.monotonicNanoseconds() / Clock.millisecond)
        return state.withLock { state in
            Self.summarise(&state, now: now, atEnd: atEnd)
            state.isAnnounced = false
            let found = (state.queue, state.untold)
            state.taken += state.queue.count
            state.queue = []
            state.untold = 0
            return found
        }
    }

    /// So many entries that were taken are on disk.
    func wrote(_ entries: some Collection<Entry>, sequence: UInt64, bytes: Int, seal: AuditSeal?) {
        state.withLock { state in
            state.taken -= entries.count
            for entry in entries { state.status.records[entry.category.rawValue, default: 0] += 1 }
            state.status.sequence = sequence
            state.status.bytes = bytes
            if let seal { state.status.seal = seal }
        }
    }

    /// So many entries that were taken are another process's affair.
    func forwarded(_ count: Int) { state.withLock { $0.taken -= count } }

    /// Takes what the process before this one has seen while it ended, whose number is `process`. Syslog has it from that one.
    func adopt(_ entry: Entry, of process: Int32) {
        var fields = entry.fields
        fields["process"] = .integer(Int64(process))
        push(
            Entry(
                time: entry.time, event: entry.event, category: entry.category, severity: entry.severity,
                fields: fields,
                isStrangers: entry.isStrangers))
    }

    /// So many events were lost by that process.
    func adoptLoss(_ count: Int) {
        guard count > 0 else { return }
        let wake = state.withLock { state -> (@Sendable () -> Void)? in
            state.status.lost += UInt64(count)
            state.untold += count
            guard !state.isAnnounced, let wake = state.wake else { return nil }
            state.isAnnounced = true
            return wake
        }
        wake?()
    }

    /// Whether it can be written, and if not, whether that concerns somebody known.
    func report(failure: String?, isBlocked: Bool) {
        let changed = state.withLock { state -> (@Sendable () -> Void)? in
            let isSame = state.status.failure == failure && state.status.isBlocked == isBlocked
            state.status.failure = failure
            state.status.isBlocked = isBlocked
            return isSame ? nil : state.changed
        }
        changed?()
    }
}

/// Somewhere that security events go besides the log.
protocol SecurityEventOutput: Sendable {
    /// Takes an event; never waits.
    func send(_ entry: AuditTrail.Entry)
}
