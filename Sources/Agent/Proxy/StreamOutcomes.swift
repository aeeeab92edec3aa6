import EventLoop

/// Which streams of `mesh connect` were reset, kept for a while.
///
/// A Unix socket cannot say it: to an end that has finished its own direction, a reset looks like an orderly end. So the
/// command asks, with the number that it was given when it connected.
final class StreamOutcomes: Sendable {
    /// So many are remembered; who asks does so at once.
    private static let limit = 4096

    private struct Recent {
        var order: [UInt64] = []
        var next = 0
        var ids: Set<UInt64> = []
    }

    private let recent = Locked(Recent())

    /// The stream with this number was reset.
    func wasReset(noting id: UInt64) {
        recent.withLock { recent in
            guard recent.ids.insert(id).inserted else { return }
            guard recent.order.count == Self.limit else { return recent.order.append(id) }
            recent.ids.remove(recent.order[recent.next])
            recent.order[recent.next] = id
            recent.next = (recent.next + 1) % Self.limit
        }
    }

    /// Whether the stream with this number was reset.
    func wasReset(_ id: UInt64) -> Bool { recent.withLock { $0.ids.contains(id) } }
}
