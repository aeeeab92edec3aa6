import EventLoop
import Glibc
import JSON

/// The agent was told to end before it served anything. That is an end as asked for, with exit code 0; the log says so.
struct ToldToStop: Error, CustomStringConvertible {
    /// The signal's name.
    let signal: String

    var description: String { "it was told to stop by \(signal) before it served anything" }
}

/// A part of the start that may take long, such as asking a CA that is away: signals reach it, as nobody else hears them before the
/// agent serves. What comes first decides; a signal that comes later belongs to whoever listens next.
@ControlPlane
final class StartWait {
    private let log: Log
    /// Another process serves: its service goes on, whatever becomes of this one.
    private let isSuccessor: Bool
    private var continuation: CheckedContinuation<Void, any Error>?
    private var signals: SignalSource?
    private var task: Task<Void, Never>?

    private init(_ log: Log, isSuccessor: Bool) { (self.log, self.isSuccessor) = (log, isSuccessor) }

    /// Does `work`, unless SIGTERM or SIGINT comes first: then it is left where it is, and tries nothing again.
    ///
    /// Errors: those of `work`; `ToldToStop`.
    static func run(
        _ log: Log, isSuccessor: Bool, _ work: @escaping @ControlPlane () async throws -> Void
    ) async throws {
        let wait = StartWait(log, isSuccessor: isSuccessor)
        wait.signals = try SignalSource([SIGTERM, SIGINT], loop: ControlPlane.loop, handler: Ear(wait))
        try await withCheckedThrowingContinuation { continuation in
            wait.continuation = continuation
            wait.task = Task { @ControlPlane in
                do {
                    try await work()
                    wait.end(.success(()))
                } catch {
                    wait.end(.failure(error))
                }
            }
        }
    }

    private func end(_ result: Result<Void, any Error>) {
        signals.take()?.close()
        continuation.take()?.resume(with: result)
    }

    private func stop(_ signal: Int32) {
        guard continuation != nil else { return }
        let name = signal == SIGINT ? "SIGINT" : "SIGTERM"
        log.info("stopped", "told to stop while it waited for its certificate", [("why", .string(name))])
        if !isSuccessor { Systemd.notify("STOPPING=1") }
        task?.cancel()
        end(.failure(ToldToStop(signal: name)))
    }

    private final class Ear: SignalHandler {
        private let wait: StartWait

        init(_ wait: StartWait) { self.wait = wait }

        func signalReceived(_ signal: Int32, loop: EventLoop) {
            ControlPlane.assumeIsolated { [wait] in wait.stop(signal) }
        }
    }
}
