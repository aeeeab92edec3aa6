import EventLoop

/// Streams from this node that are open, by instance: what least load is measured by. One for all workers, since each
/// link lives on one of them; used when a stream opens and ends, not on the byte path.
final class InstanceLoad: Sendable {
    private let counts = Locked<[String: Int]>([:])

    /// Open streams to `instance`.
    func count(_ instance: String) -> Int { counts.withLock { $0[instance] ?? 0 } }

    /// A stream to `instance` was opened.
    func add(_ instance: String) { counts.withLock { $0[instance, default: 0] += 1 } }

    /// One of them is over.
    func remove(_ instance: String) {
        counts.withLock { counts in
            guard let count = counts[instance] else { return }
            counts[instance] = count > 1 ? count - 1 : nil
        }
    }
}
