internal import Synchronization

/// How many streams all peers of an agent may have open here at once, over all sessions and workers. The limit can be changed
/// while streams run: those that are beyond a smaller one go on. A stream that changes its lane takes its place with it
/// (`DetachedStream`).
public final class StreamQuota: Sendable {
    private let bound: Atomic<Int>
    private let open = Atomic<Int>(0)
    private let refusedForNumber = Atomic<UInt64>(0)
    private let refusedForBudget = Atomic<UInt64>(0)

    /// A quota of `limit` streams; without one only the sessions' own limits count.
    public init(limit: Int = .max) { bound = Atomic(max(limit, 0)) }

    /// The most streams.
    public var limit: Int {
        get { bound.load(ordering: .relaxed) }
        set { bound.store(max(newValue, 0), ordering: .relaxed) }
    }

    /// Streams that are open now.
    public var used: Int { open.load(ordering: .relaxed) }

    /// How many OPENs were refused because there were too many streams, here or in their session, and because the receive
    /// budget held no more.
    public var refusals: (tooMany: UInt64, overloaded: UInt64) {
        (refusedForNumber.load(ordering: .relaxed), refusedForBudget.load(ordering: .relaxed))
    }

    /// Takes a place; false, and nothing taken, where there is none.
    func take() -> Bool {
        guard open.add(1, ordering: .relaxed).newValue <= limit else {
            open.subtract(1, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Gives a place back.
    func give() {
        let after = open.subtract(1, ordering: .relaxed).newValue
        precondition(after >= 0, "more streams ended than were opened")
    }

    /// An OPEN was refused.
    func refused(_ reason: LinkReason) {
        switch reason {
        case .tooManyStreams: refusedForNumber.add(1, ordering: .relaxed)
        case .streamOverloaded: refusedForBudget.add(1, ordering: .relaxed)
        default: break
        }
    }
}
