/// How many events wait for the disk, and for how many there is room. What strangers cause has room of its own, so that it never takes
/// any from what somebody known does. Pure.
public struct AuditBacklog: Sendable {
    /// Numbers of events, by who causes them.
    public struct Count: Sendable, Equatable {
        /// Those of whoever has proven who he is, and the agent's own.
        public var known: Int
        /// Those that anybody can cause who reaches a listener.
        public var strangers: Int

        /// Numbers of events.
        public init(known: Int = 0, strangers: Int = 0) {
            self.known = known
            self.strangers = strangers
        }

        /// All of them.
        public var total: Int { known + strangers }

        /// The number of the strangers', or of the others.
        public subscript(isStrangers isStrangers: Bool) -> Int {
            get { isStrangers ? strangers : known }
            set { if isStrangers { strangers = newValue } else { known = newValue } }
        }

        /// Both numbers added.
        public static func += (left: inout Count, right: Count) {
            left.known += right.known
            left.strangers += right.strangers
        }
    }

    /// Events that may wait. A record is 16 KiB at most and some hundred bytes as a rule.
    public static let capacity = Count(known: 8192, strangers: 2048)

    /// Those that wait.
    public private(set) var waiting = Count()
    /// Those that found no room since `takeLost`.
    public private(set) var lost = Count()
    /// When each of the known ones came that wait, the oldest first from `head` on.
    private var times: [UInt64] = []
    private var head = 0

    /// Nothing waits.
    public init() {}

    /// When the oldest one came of those that somebody known has caused and that wait; nil where none does.
    public var oldestKnown: UInt64? { head < times.count ? times[head] : nil }

    /// Whether there is room for one more, which then waits; else it is lost.
    ///
    /// - Parameter now: when it comes, by a clock that does not go back.
    public mutating func admits(isStrangers: Bool, at now: UInt64) -> Bool {
        guard waiting[isStrangers: isStrangers] < Self.capacity[isStrangers: isStrangers] else {
            lost[isStrangers: isStrangers] += 1
            return false
        }
        waiting[isStrangers: isStrangers] += 1
        if !isStrangers { times.append(now) }
        return true
    }

    /// One does not wait any more, the oldest of its kind.
    public mutating func left(isStrangers: Bool) {
        waiting[isStrangers: isStrangers] -= 1
        guard !isStrangers else { return }
        head += 1
        guard head == times.count || head >= Self.capacity.known / 2 else { return }
        times.removeFirst(head)
        head = 0
    }

    /// Some were lost elsewhere.
    public mutating func add(lost more: Count) { lost += more }

    /// Those that were lost since the last call.
    public mutating func takeLost() -> Count {
        defer { lost = Count() }
        return lost
    }
}
