import EventLoop

/// A thread of the data plane. Everything on it (links, streams, local connections) stays on it; the rest of the agent
/// reaches it by jobs only.
final class Worker: Sendable {
    /// The worker's place among the agent's workers, from 0.
    let index: Int

    private let thread: LoopThread
    private let box: CoreBox

    /// Starts the thread. `makeCore` runs on it, once, before every job.
    init(index: Int, makeCore: @escaping @Sendable (EventLoop) -> WorkerCore) throws(SystemError) {
        self.index = index
        let box = CoreBox()
        self.box = box
        thread = try LoopThread(name: "worker-\(index)") { loop in
            LoopThread.preferShortTurns()
            box.core = makeCore(loop)
        }
    }

    /// What other threads may use of the worker's loop.
    var handle: EventLoop.Handle { thread.handle }

    /// Runs `job` on the worker's thread, soon; jobs keep their order.
    func submit(_ job: @escaping @Sendable (WorkerCore) -> Void) {
        thread.handle.post { [box] in
            guard let core = box.core else { return }
            job(core)
        }
    }

    /// Runs `job` on the worker's thread and gives its result.
    func ask<Result: Sendable>(_ job: @escaping @Sendable (WorkerCore) -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            submit { core in continuation.resume(returning: job(core)) }
        }
    }

    /// Ends the loop and waits for the thread.
    func stop() {
        submit { core in core.shutDown() }
        thread.handle.stop()
        thread.join()
    }

    /// Holds the core for its thread. Written once on that thread before the first job, read there only.
    private final class CoreBox: @unchecked Sendable {
        var core: WorkerCore?
    }
}

/// Hands a value that is not `Sendable` from one loop to another. The giver keeps no reference to it, and has taken it
/// out of its own loop (descriptor deregistered) before.
struct Handover<Value>: @unchecked Sendable {
    /// What is handed over.
    let value: Value

    /// Wraps `value`; the caller gives it away with this.
    init(_ value: Value) { self.value = value }
}
