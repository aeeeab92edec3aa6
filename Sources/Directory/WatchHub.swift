/// Who watches the directory, and the changes that they can still be told.
///
/// All watchers read one history, each at its own place, so that a watcher costs a few words however slow it is. Who
/// falls behind the history is told to start over. No callbacks: after ``publish(_:)`` ask ``watchersWithNews`` and
/// take each one's ``next(_:maximumBytes:visible:)`` when its stream can be written.
public struct WatchHub: Sendable {
    /// Names a watcher.
    public struct WatcherID: Sendable, Hashable {
        let number: UInt64
    }

    /// What a watcher is to be sent.
    public enum Delivery: Sendable, Hashable {
        /// Whole lines.
        case lines([UInt8])
        /// Nothing now.
        case idle
        /// A last line; the watcher is forgotten.
        case startOver([UInt8])
    }

    /// How much is remembered.
    public struct Limits: Sendable, Hashable {
        /// Changes.
        public var changes: Int
        /// Bytes of their lines.
        public var bytes: Int
        /// Watchers at a time.
        public var watchers: Int

        /// Limits, by default 16,384 changes, 16 MiB and 10,000 watchers.
        public init(changes: Int = 16_384, bytes: Int = 16 << 20, watchers: Int = 10_000) {
            self.changes = changes
            self.bytes = bytes
            self.watchers = watchers
        }
    }

    private struct Entry {
        let change: DirectoryChange
        let line: [UInt8]
    }

    private struct Watcher {
        /// The last revision that it was told.
        var told: UInt64
        var mustStartOver: WatchLine.StartOver?
    }

    /// The revision of the last published change.
    public private(set) var revision: UInt64
    private let epoch: String
    private let limits: Limits
    /// Changes with consecutive revisions up to `revision`; those before `first` are forgotten.
    private var history: [Entry] = []
    private var first = 0
    private var bytes = 0
    private var watchers: [WatcherID: Watcher] = [:]
    private var nextNumber: UInt64 = 1

    /// A hub that remembers nothing before `revision`.
    public init(epoch: String, revision: UInt64, limits: Limits = Limits()) {
        self.epoch = epoch
        self.revision = revision
        self.limits = limits
    }

    /// How many watchers there are.
    public var watcherCount: Int { watchers.count }

    /// The oldest revision from which one can watch.
    public var oldestRevision: UInt64 { revision - UInt64(history.count - first) }

    /// Starts a watcher at what it knows; nil when that is too old, of another store or never was (start over with a
    /// snapshot), or when there are too many watchers.
    public mutating func subscribe(from known: UInt64, epoch: String? = nil) -> WatcherID? {
        guard epoch ?? self.epoch == self.epoch, known >= oldestRevision, known <= revision,
            watchers.count < limits.watchers
        else { return nil }
        let id = WatcherID(number: nextNumber)
        nextNumber += 1
        watchers[id] = Watcher(told: known)
        return id
    }

    /// Whether another watcher would be one too many.
    public var isFull: Bool { watchers.count >= limits.watchers }

    /// Forgets a watcher.
    public mutating func unsubscribe(_ id: WatcherID) {
        watchers[id] = nil
    }

    /// Takes in what was committed, in order.
    public mutating func publish(_ changes: [DirectoryChange]) {
        for change in changes where change.revision == revision + 1 {
            let entry = Entry(change: change, line: WatchLine.change(change).bytes)
            history.append(entry)
            bytes += entry.line.count
            revision = change.revision
        }
        while history.count - first > limits.changes || bytes > limits.bytes {
            bytes -= history[first].line.count
            first += 1
        }
        // The forgotten part is cut off when it is the larger one: constant cost for each change.
        if first > history.count / 2 {
            history.removeFirst(first)
            first = 0
        }
    }

    /// Tells everybody to start over.
    public mutating func startOver(_ reason: WatchLine.StartOver) {
        for id in watchers.keys { watchers[id]?.mustStartOver = reason }
    }

    /// The watchers that have something to be told.
    public var watchersWithNews: [WatcherID] {
        watchers.filter { $0.value.told < revision || $0.value.mustStartOver != nil }.map(\.key)
    }

    /// What a watcher is to be sent now: as many lines as fit `maximumBytes`, at least one.
    ///
    /// - Parameter visible: Whether the watcher may see a service; changes of others are left out.
    public mutating func next(
        _ id: WatcherID, maximumBytes: Int = 256 << 10, visible: (String) -> Bool
    ) -> Delivery {
        guard var watcher = watchers[id] else { return .idle }
        if watcher.told < oldestRevision { watcher.mustStartOver = watcher.mustStartOver ?? .compacted }
        if let reason = watcher.mustStartOver {
            watchers[id] = nil
            return .startOver(WatchLine.startOver(reason).bytes)
        }
        var lines: [UInt8] = []
        while watcher.told < revision, lines.count < maximumBytes {
            let entry = history[first + Int(watcher.told - oldestRevision)]
            if let line = Self.line(entry, visible) {
                if !lines.isEmpty, lines.count + line.count > maximumBytes { break }
                lines += line
            }
            watcher.told = entry.change.revision
        }
        watchers[id] = watcher
        return lines.isEmpty ? .idle : .lines(lines)
    }

    /// The line of a change as far as it is visible; nil when nothing is.
    private static func line(_ entry: Entry, _ visible: (String) -> Bool) -> [UInt8]? {
        let events = entry.change.events
        guard !events.allSatisfy({ $0.service.map(visible) ?? true }) else { return entry.line }
        let seen = events.filter { $0.service.map(visible) ?? true }
        guard !seen.isEmpty else { return nil }
        return WatchLine.change(DirectoryChange(revision: entry.change.revision, events: seen)).bytes
    }
}
