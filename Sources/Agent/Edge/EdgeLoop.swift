import EventLoop
import Synchronization

/// A loop of the edge as other threads see it.
final class EdgeLoop: Sendable {
    /// Its place among the edge's loops, from 0; part of connection ids.
    let index: Int
    private let handle: EventLoop.Handle
    private let box = CoreBox()
    private let open = Atomic<Int>(0)

    /// A loop on the thread behind `handle`; `install` follows on that thread.
    init(index: Int, handle: EventLoop.Handle) {
        self.index = index
        self.handle = handle
    }

    /// Gives the loop its core; on its own thread, before any job.
    func install(_ core: EdgeCore) { box.core = core }

    /// Connections that live there or are on their way.
    var openConnections: Int { open.load(ordering: .relaxed) }

    /// A connection is on its way.
    func willOpen() { open.add(1, ordering: .relaxed) }

    /// A connection there is over.
    func didClose() { open.subtract(1, ordering: .relaxed) }

    /// Runs `job` on the loop's thread, soon; jobs keep their order.
    func submit(_ job: @escaping @Sendable (EdgeCore) -> Void) {
        handle.post { [box] in
            guard let core = box.core else { return }
            job(core)
        }
    }

    /// Runs `job` on the loop's thread and gives its result.
    func ask<Result: Sendable>(_ job: @escaping @Sendable (EdgeCore) -> Result) async -> Result {
        await withCheckedContinuation { continuation in
            submit { core in continuation.resume(returning: job(core)) }
        }
    }

    /// Written once on the loop's thread, read there only.
    private final class CoreBox: @unchecked Sendable {
        var core: EdgeCore?
    }
}
