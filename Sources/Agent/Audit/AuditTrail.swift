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
        /// Files that somebody else has removed, replaced or altered while they were written.
        var filesChanged: UInt64 = 0
        /// Why nothing can be written; nil while it can.
        var failure: String?
        /// Something that somebody known has done is not written.
        var isBlocked = false
    }

    private typealias Call = @Sendable () -> Void

    private struct State {
        var queue: [Entry] = []
        /// What waits here and with the writer, and what was lost since the log was told of it.
        var backlog = AuditBacklog()
        /// Another process has the files, or may have them soon: that nothing is written is not the disk's fault.
        var isHeld = false
        /// Since when that is so.
        var heldSince: UInt64 = 0
        /// When that was over last, less what had been waited for the disk before.
        var heldUntil: UInt64 = 0
        var isAnnounced = false
        var aggregator = AuditAggregator()
        var status = Status()
        var wake: Call?
        var changed: Call?
    }

    private let state = Locked(State())
    /// Where security events go besides.
    private let outputs: [any SecurityEventOutput]
    /// How long what somebody known has done may wait for the disk, in nanoseconds.
    let maximumDelay: UInt64

    /// - Parameter maximumDelay: in nanoseconds; beyond it the log counts as one that cannot be written.
    init(outputs: [any SecurityEventOutput] = [], maximumDelay: UInt64 = .max) {
        self.outputs = outputs
        self.maximumDelay = maximumDelay
    }

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
        let (isOwn, calls) = state.withLock { state -> (Bool, [Call]) in
            let calls = Self.summarise(&state, now: now, atEnd: false)
            let isWritten = state.aggregator.admits(
                name, kind, reason: text(["reason"]), source: text(Self.sources), now: now)
            if !isWritten { state.status.aggregated += 1 }
            return (isWritten, calls)
        }
        for call in calls { call() }
        guard isOwn else { return }
        var object: JSONObject = ["message": .string(message)]
        for field in fields { object[field.name] = field.value }
        let entry = Entry(
            time: Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()), event: name, category: kind.category,
            severity: level.rawValue, fields: AuditFields.bounded(object), isStrangers: kind.cause == .strangers)
        push(entry)
        for output in outputs { output.send(entry) }
    }

    /// The fields that tell where an event comes from; the first that is there counts.
    private static let sources = ["from", "client", "peer", "node", "caller", "remote", "origin"]

    private func push(_ entry: Entry) {
        let calls = state.withLock { state in Self.enqueue(entry, &state) }
        for call in calls { call() }
    }

    /// Puts an entry into the queue; gives what is to be called without the lock.
    private static func enqueue(_ entry: Entry, _ state: inout State) -> [Call] {
        guard state.backlog.admits(isStrangers: entry.isStrangers, at: Clock.monotonicNanoseconds()) else {
            state.status.lost += 1
            return entry.isStrangers ? [] : block(&state)
        }
        state.queue.append(entry)
        return announce(&state)
    }

    /// Something that somebody known has done is lost, whether or not the writer has found out yet that the disk takes nothing.
    private static func block(_ state: inout State) -> [Call] {
        guard !state.status.isBlocked || state.status.failure == nil else { return [] }
        state.status.isBlocked = true
        state.status.failure = state.status.failure ?? "too many events wait for the disk"
        return [state.changed].compactMap { $0 }
    }

    /// What wakes the writer, where it sleeps.
    private static func announce(_ state: inout State) -> [Call] {
        guard !state.isAnnounced, let wake = state.wake else { return [] }
        state.isAnnounced = true
        return [wake]
    }

    /// Puts what was counted in the minute that is over into the queue; gives what is to be called without the lock.
    private static func summarise(_ state: inout State, now: Int64, atEnd: Bool) -> [Call] {
        state.aggregator.summaries(now: now, atEnd: atEnd).flatMap { summary in
            let entry = Entry(
                time: Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()), event: summary.event,
                category: summary.kind.category, severity: "warning",
                fields: [
                    "message": "more of the same, in one minute", "reason": .string(summary.reason),
                    "count": JSONValue(summary.count), "sources": JSONValue(summary.sources),
                    "from": .array(summary.examples.map { .string($0) }),
                ], isStrangers: summary.kind.cause == .strangers)
            return enqueue(entry, &state)
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
    func take(atEnd: Bool = false) -> (entries: [Entry], lost: AuditBacklog.Count) {
        let now = Int64(Clock.monotonicNanoseconds() / Clock.millisecond)
        let (found, lost, calls) = state.withLock { state -> ([Entry], AuditBacklog.Count, [Call]) in
            // Whoever asks need not be woken for it.
            state.isAnnounced = true
            let calls = Self.summarise(&state, now: now, atEnd: atEnd)
            state.isAnnounced = false
            defer { state.queue = [] }
            return (state.queue, state.backlog.takeLost(), calls)
        }
        for call in calls { call() }
        return (found, lost)
    }

    /// So many entries that were taken are on disk.
    func wrote(_ entries: some Collection<Entry>, sequence: UInt64, bytes: Int, seal: AuditSeal?) {
        state.withLock { state in
            for entry in entries {
                state.backlog.left(isStrangers: entry.isStrangers)
                state.status.records[entry.category.rawValue, default: 0] += 1
            }
            state.status.sequence = sequence
            state.status.bytes = bytes
            if let seal { state.status.seal = seal }
        }
    }

    /// Somebody else has removed, replaced or altered the file that is written.
    func fileChanged() { state.withLock { $0.status.filesChanged += 1 } }

    /// These entries, which were taken, are another process's affair.
    func forwarded(_ entries: [Entry]) {
        state.withLock { state in for entry in entries { state.backlog.left(isStrangers: entry.isStrangers) } }
    }

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
    func adoptLoss(_ count: AuditBacklog.Count) {
        guard count.total > 0 else { return }
        let calls = state.withLock { state -> [Call] in
            state.status.lost += UInt64(count.total)
            state.backlog.add(lost: count)
            return Self.announce(&state)
        }
        for call in calls { call() }
    }

    // MARK: - Time

    private static let lateText = "the disk takes nothing, or too little: events have waited longer than audit.maxDelay"

    /// How long the oldest event of somebody known has waited for the disk at `now`, in nanoseconds; 0 where none waits.
    func delay(at now: UInt64) -> UInt64 { state.withLock { Self.delay($0, at: now) } }

    private static func delay(_ state: State, at now: UInt64) -> UInt64 {
        guard !state.isHeld, let oldest = state.backlog.oldestKnown else { return 0 }
        let since = max(oldest, state.heldUntil)
        return now > since ? now - since : 0
    }

    /// A disk that does not answer says nothing by itself: looks whether it has had its time at `now`.
    func judgeDelay(at now: UInt64) {
        let calls = state.withLock { state -> [Call] in
            guard Self.delay(state, at: now) >= maximumDelay, !state.status.isBlocked || state.status.failure == nil
            else { return [] }
            state.status.isBlocked = true
            state.status.failure = state.status.failure ?? Self.lateText
            return [state.changed].compactMap { $0 }
        }
        for call in calls { call() }
    }

    /// Nothing is written from now on, since another process has the files or may have them soon.
    func hold(at now: UInt64) {
        state.withLock { state in
            state.isHeld = true
            state.heldSince = now
        }
    }

    /// What waited goes on to wait for the disk.
    func goOn(at now: UInt64) {
        state.withLock { state in
            let since = max(state.backlog.oldestKnown ?? .max, state.heldUntil)
            state.isHeld = false
            state.heldUntil = now - (state.heldSince > since ? state.heldSince - since : 0)
        }
    }

    /// Whether it can be written, and if not, whether that concerns somebody known.
    func report(failure: String?, isBlocked: Bool) {
        let now = Clock.monotonicNanoseconds()
        let changed = state.withLock { state -> (@Sendable () -> Void)? in
            // What was written may have been too little.
            let isLate = failure == nil && Self.delay(state, at: now) >= maximumDelay
            let (why, blocks) = (isLate ? Self.lateText : failure, isLate || isBlocked)
            let isSame = state.status.failure == why && state.status.isBlocked == blocks
            state.status.failure = why
            state.status.isBlocked = blocks
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
