import Synchronization

/// How busy a lane is. Written by the worker that has the lane, at the end of a tick; read by all when a stream is opened.
final class LaneLoad: Sendable {
    /// A lane on which a full frame of a bulk transfer went either way within this time, in nanoseconds, carries bulk: a
    /// stream with a slow reader sends one now and then.
    private static let bulkTime: UInt64 = 1_000_000_000

    private let streams = Atomic<Int>(0)
    /// Connections on their way to the lane's worker, to be opened there.
    private let coming = Atomic<Int>(0)
    private let bulkAt = Atomic<UInt64>(0)

    /// What the session says of itself.
    func update(streams count: Int, lastBulk: UInt64) {
        streams.store(count, ordering: .relaxed)
        bulkAt.store(lastBulk, ordering: .relaxed)
    }

    /// A connection was sent to the lane's worker.
    func send() { coming.add(1, ordering: .relaxed) }

    /// It is there.
    func arrived() { coming.subtract(1, ordering: .relaxed) }

    /// Streams, and connections that will be.
    var count: Int { streams.load(ordering: .relaxed) + coming.load(ordering: .relaxed) }

    /// Whether the lane carries bulk at `now`, monotonic nanoseconds.
    func isBulk(now: UInt64) -> Bool {
        let last = bulkAt.load(ordering: .relaxed)
        return last != 0 && now < last + Self.bulkTime
    }
}

/// A lane that takes new streams, and where its link lives.
struct LaneRoute: Sendable {
    /// Which lane.
    let number: UInt8
    /// The index of its worker.
    let worker: Int
    /// How busy it is.
    let load: LaneLoad
}
