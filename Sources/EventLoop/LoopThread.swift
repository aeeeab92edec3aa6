internal import CLinux
internal import Glibc
internal import Synchronization

/// A thread with a loop of its own.
///
/// Dropped without `join()`, the loop is stopped and the thread ends by itself.
public final class LoopThread: Sendable {
    /// The loop of the thread.
    public let handle: EventLoop.Handle
    private let thread: pthread_t
    private let isJoined = Atomic<Bool>(false)

    /// Starts a thread that calls `setUp` with its loop and then runs it until it is stopped.
    ///
    /// `name` is what `top -H` shows; the kernel keeps 15 bytes of it.
    public init(
        name: String, setUp: @escaping @Sendable (EventLoop) -> Void = { _ in }
    ) throws(SystemError) {
        let loop = try EventLoop()
        handle = loop.handle
        let start = Unmanaged.passRetained(Start(name: name, loop: loop, setUp: setUp))
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { runLoopThread($0) }, start.toOpaque())
        guard error == 0 else {
            start.release()
            throw SystemError(call: "pthread_create", subject: name, errno: error)
        }
        self.thread = thread
    }

    deinit {
        guard !isJoined.load(ordering: .acquiring) else { return }
        handle.stop()
        pthread_detach(thread)
    }

    /// Waits until the loop was stopped and the thread has ended. Only the first call waits; never on the thread itself.
    public func join() {
        precondition(!handle.isOnLoopThread, "a thread cannot wait for itself")
        guard !isJoined.exchange(true, ordering: .acquiringAndReleasing) else { return }
        pthread_join(thread, nil)
    }

    /// Stops the loop and waits until the thread has ended.
    public func stopAndJoin() {
        handle.stop()
        join()
    }
}

extension LoopThread {
    /// Names the calling thread for `top -H` and debuggers; the kernel keeps 15 bytes.
    public static func setCurrentThreadName(_ name: String) {
        var bytes = Array(name.utf8.prefix(15))
        // Not in the middle of a character.
        while !bytes.isEmpty, String(validating: bytes, as: UTF8.self) == nil { bytes.removeLast() }
        bytes.append(0)
        bytes.withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { _ = clinux_set_thread_name($0.baseAddress) }
        }
    }

    /// Asks the scheduler for short turns of the calling thread: who has work of microseconds, again and again, is let in at
    /// once then, where others have the cores with longer turns. Its share of them stays the same. No effect before Linux 6.12.
    public static func preferShortTurns() {
        // Refused only to threads with a scheduling class of their own, which somebody chose.
        _ = clinux_set_slice(shortTurn)
    }

    /// The least that the kernel takes, in nanoseconds.
    static let shortTurn: UInt64 = 100_000

    /// The turn that the calling thread asked for, in nanoseconds; 0 where the kernel does not say.
    static var turn: UInt64 { clinux_get_slice() }

    /// The name of the calling thread.
    public static var currentThreadName: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) { buffer in
            guard let base = buffer.baseAddress, clinux_get_thread_name(base, 16) == 0 else { return "" }
            return String(cString: base)
        }
    }
}

/// What a new thread needs; made by the one thread and used by the other.
private final class Start {
    let name: String
    let loop: EventLoop
    let setUp: @Sendable (EventLoop) -> Void

    init(name: String, loop: EventLoop, setUp: @escaping @Sendable (EventLoop) -> Void) {
        self.name = name
        self.loop = loop
        self.setUp = setUp
    }
}

private func runLoopThread(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument else { return nil }
    let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
    LoopThread.setCurrentThreadName(start.name)
    start.setUp(start.loop)
    start.loop.run()
    return nil
}
