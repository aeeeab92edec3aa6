import Synchronization

/// What is a job on its way from one worker to another, and on neither: connections of streams that change their lane, and links that
/// are being made.
///
/// Workers are asked one after the other what they have. What goes from one that has not been asked yet to one that has is missed by
/// both, unless it is counted here.
final class HandoverCount: Sendable {
    /// What had begun and ended at a moment.
    struct Moment: Sendable, Equatable {
        let begun: UInt64
        let ended: UInt64
    }

    private let begun = Atomic<UInt64>(0)
    private let ended = Atomic<UInt64>(0)

    /// A worker gives something away. In the same turn of its loop it stops to count it.
    func begin() { begun.add(1, ordering: .sequentiallyConsistent) }

    /// A worker has got one. In the same turn of its loop it begins to count it, or ends it.
    func end() { ended.add(1, ordering: .sequentiallyConsistent) }

    /// How far it is.
    var now: Moment {
        // In this order, so that what is under way is never fewer than there are.
        let ended = ended.load(ordering: .sequentiallyConsistent)
        return Moment(begun: begun.load(ordering: .sequentiallyConsistent), ended: ended)
    }

    /// The most that a count over all workers has missed which began at `start`: those under way then, and those that have
    /// begun since.
    func missed(since start: Moment) -> Int {
        Int(clamping: now.begun &- start.ended)
    }
}
