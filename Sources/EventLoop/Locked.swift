public import Glibc

/// A value behind a lock, for what several threads share. Never used on the byte path.
///
/// It is a `pthread_mutex_t`, not `Synchronization.Mutex`: that one is built on futexes in the uninstrumented standard
/// library, which the thread sanitizer cannot see, so that every use of it on Linux is reported as a race.
public struct Locked<Value>: ~Copyable, @unchecked Sendable {
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline let value: UnsafeMutablePointer<Value>

    /// Protects `initial`, which nobody else may keep a reference into.
    public init(_ initial: sending Value) {
        mutex = .allocate(capacity: 1)
        value = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        value.initialize(to: initial)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        value.deinitialize(count: 1)
        value.deallocate()
    }

    /// Calls `body` with the value while no other thread has it. Not reentrant.
    @inlinable
    public borrowing func withLock<R, E>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value.pointee)
    }
}
