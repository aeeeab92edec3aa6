import CSodium
internal import Synchronization

/// Where secrets lie that this process holds itself: between guard pages, left out of core dumps, wiped when released, and locked, so that
/// they are never written to swap, as far as the limit of the process goes (RLIMIT_MEMLOCK). Where it does not, they lie there all
/// the same, and whoever wants to know is told once.
public enum GuardedMemory {
    /// How many secrets there are.
    public struct Usage: Sendable, Equatable {
        /// In locked memory.
        public var locked = 0
        /// In memory that could not be locked.
        public var unlocked = 0
    }

    private struct State {
        var usage = Usage()
        var hasFailed = false
        var tell: (@Sendable () -> Void)?
    }

    private static let state = Mutex(State())

    /// What this process holds now.
    public static var usage: Usage { state.withLock { $0.usage } }

    /// Calls `tell` once: when memory cannot be locked for the first time, at once where that is behind us. On any thread.
    public static func whenUnlocked(_ tell: @escaping @Sendable () -> Void) {
        let isBehind = state.withLock { state in
            if !state.hasFailed { state.tell = tell }
            return state.hasFailed
        }
        if isBehind { tell() }
    }

    /// Memory of one secret.
    struct Block {
        let pointer: UnsafeMutableRawPointer
        let isLocked: Bool
    }

    /// So many bytes of unknown content. Without memory for keys there is nothing that could go on.
    static func allocate(_ count: Int) -> Block {
        Sodium.start()
        let size = max(1, count)
        guard let pointer = sodium_malloc(size) else { preconditionFailure("no memory for keys") }
        // sodium_malloc locks what it can and does not say whether it could; doing so again does, and costs nothing more.
        let isLocked = sodium_mlock(pointer, size) == 0
        let tell = state.withLock { state -> (@Sendable () -> Void)? in
            if isLocked { state.usage.locked += 1 } else { state.usage.unlocked += 1 }
            guard !isLocked, !state.hasFailed else { return nil }
            state.hasFailed = true
            defer { state.tell = nil }
            return state.tell
        }
        tell?()
        return Block(pointer: pointer, isLocked: isLocked)
    }

    /// Wipes it and gives it back.
    static func free(_ block: Block) {
        sodium_free(block.pointer)
        state.withLock { if block.isLocked { $0.usage.locked -= 1 } else { $0.usage.unlocked -= 1 } }
    }
}
