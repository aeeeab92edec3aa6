/// Runs the jobs of actors on a loop's thread.
///
/// An actor that returns this as its `unownedExecutor` shares the loop's thread: code on the loop enters it with
/// `assumeIsolated`, without waiting. The loop must run as long as the actor is used; jobs enqueued after its end are
/// never run.
public final class LoopExecutor: SerialExecutor {
    /// The loop whose thread runs the jobs.
    public let handle: EventLoop.Handle

    /// An executor on the thread of `handle`'s loop.
    public init(_ handle: EventLoop.Handle) { self.handle = handle }

    /// Queues `job` behind what was posted to the loop before.
    public func enqueue(_ job: consuming ExecutorJob) {
        handle.enqueue(.actor(UnownedJob(job), self))
    }

    /// The reference by which the concurrency runtime knows this executor.
    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// Stops the process unless it is called on the loop's thread.
    public func checkIsolated() {
        precondition(handle.isOnLoopThread, "not on the thread of the executor's loop")
    }

    /// Whether the caller runs on the loop's thread.
    public func isIsolatingCurrentContext() -> Bool? { handle.isOnLoopThread }

    func run(_ job: UnownedJob) { job.runSynchronously(on: asUnownedSerialExecutor()) }
}
