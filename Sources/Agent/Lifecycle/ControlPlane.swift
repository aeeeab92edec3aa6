import EventLoop
import Glibc

/// The isolation of everything that decides and remembers: links' supervision, directory, policy, identity, the
/// control API. One loop thread, so its state needs no lock; workers get immutable snapshots from it.
///
/// The byte path never runs here.
@globalActor
public actor ControlPlane {
    /// The actor behind the attribute.
    public static let shared = ControlPlane()

    private static let loopBox = LoopBox()
    private static let thread = startThread()
    private static let executor = LoopExecutor(thread.handle)

    /// The control loop as an executor.
    public nonisolated var unownedExecutor: UnownedSerialExecutor { Self.executor.asUnownedSerialExecutor() }

    /// The control loop. Only to be used on it, which the isolation makes sure of.
    @ControlPlane
    static var loop: EventLoop {
        guard let loop = loopBox.loop else { preconditionFailure("the control loop is set before its first job") }
        return loop
    }

    /// What other threads may use of the control loop.
    static var loopHandle: EventLoop.Handle { thread.handle }

    /// Runs `body` on the control loop, soon, from any thread; bodies keep their order.
    static func post(_ body: @escaping @ControlPlane @Sendable () -> Void) {
        thread.handle.post { assumeIsolated(body) }
    }

    /// Runs `body` now; the caller is on the control loop already (a callback of the loop), which is checked.
    static func assumeIsolated<Result>(_ body: @ControlPlane () throws -> Result) rethrows -> Result {
        shared.preconditionIsolated()
        return try withoutActuallyEscaping(body) { escapable in
            // As MainActor.assumeIsolated does it: the isolation was just checked, the cast drops it from the type.
            try unsafeBitCast(escapable, to: (() throws -> Result).self)()
        }
    }

    /// Waits on the control loop's own clock, without holding it.
    @ControlPlane
    static func sleep(nanoseconds: UInt64) async {
        await withCheckedContinuation { continuation in
            _ = schedule(after: nanoseconds) { continuation.resume() }
        }
    }

    private static func startThread() -> LoopThread {
        do {
            return try LoopThread(name: "control") { loop in loopBox.loop = loop }
        } catch {
            // No thread, no agent: said once, plainly, with the exit code of a failure.
            let text = "mesh-agent: cannot start the control thread: \(error)\n"
            _ = text.withCString { write(STDERR_FILENO, $0, strlen($0)) }
            exit(1)
        }
    }

    /// Holds the loop for its own thread: written there before the first job, read there only.
    private final class LoopBox: @unchecked Sendable {
        var loop: EventLoop?
    }
}
