internal import Synchronization

/// What an agent is willing to hold for applications that do not read: the bound on the sum of all granted credit that
/// its owners have not consumed yet, over all sessions and workers.
///
/// Credit is a promise of memory, so it is taken from here before it is granted and comes back when the bytes were
/// consumed or the stream ended. Three zones keep small streams alive under pressure: windows grow only while less than
/// three quarters are in use, they shrink while more than seven eighths are, and the floor of a new stream may use all.
public final class ReceiveBudget: Sendable {
    /// The bound in bytes.
    public let limit: Int
    private let reserved = Atomic<Int>(0)

    /// A budget of `limit` bytes. The default holds the floor of 16,384 streams.
    public init(limit: Int = 256 << 20) {
        self.limit = max(limit, 0)
    }

    /// Bytes promised now.
    public var used: Int { reserved.load(ordering: .relaxed) }

    /// Takes `count` bytes for a new stream; false, and nothing taken, when they are not there.
    public func reserve(_ count: Int) -> Bool { take(count, upTo: limit) }

    /// Takes `count` bytes to let a window grow; false, and nothing taken, above three quarters of the limit.
    public func reserveGrowth(_ count: Int) -> Bool { take(count, upTo: limit / 4 * 3) }

    /// Gives back `count` bytes.
    public func release(_ count: Int) {
        guard count != 0 else { return }
        let after = reserved.subtract(count, ordering: .relaxed).newValue
        precondition(after >= 0, "more receive budget released than was reserved")
    }

    /// Whether windows should shrink: less than an eighth is free.
    public var isScarce: Bool { used > limit / 8 * 7 }

    private func take(_ count: Int, upTo bound: Int) -> Bool {
        let after = reserved.add(count, ordering: .relaxed).newValue
        if after <= bound { return true }
        reserved.subtract(count, ordering: .relaxed)
        return false
    }
}
