import EventLoop

/// A thread of a front: a loop with its part of the edge.
final class FrontThread: Sendable {
    /// The part of the edge, as others see it.
    let loop: EdgeLoop
    private let thread: LoopThread

    /// Starts the thread. `make` runs on it, once, before every job.
    init(
        index: Int, make: @escaping @Sendable (EventLoop, EdgeLoop) -> EdgeCore
    ) throws(SystemError) {
        let box = LoopBox()
        thread = try LoopThread(name: "front-\(index)") { loop in box.loop = loop }
        let edge = EdgeLoop(index: index, handle: thread.handle)
        loop = edge
        thread.handle.post {
            guard let loop = box.loop else { return }
            edge.install(make(loop, edge))
        }
    }

    /// Ends the loop, after what was submitted to it, and waits for the thread.
    func stop() {
        loop.submit { _ in }
        thread.stopAndJoin()
    }

    /// Written once on the thread, read there only.
    private final class LoopBox: @unchecked Sendable {
        var loop: EventLoop?
    }
}
