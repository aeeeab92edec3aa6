internal import CLinux
internal import Glibc

/// Receives signals as events.
public protocol SignalHandler: AnyObject {
    /// A signal arrived. Called on the loop's thread; several that arrived meanwhile may be one.
    func signalReceived(_ signal: Int32, loop: EventLoop)
}

/// Delivers signals as events of a loop (signalfd), where the handler may do anything, unlike in a signal handler.
///
/// Signals reach it only if no thread takes them in the usual way: call `blockInAllThreads` first in `main`, before
/// any other thread starts. The loop keeps the source alive, and the source its handler, until `close()`. Programs that
/// are started from the process inherit the blocked signals; unblock them in the child.
public final class SignalSource {
    private var descriptor: FileDescriptor?
    private var registration: Registration?
    private let handler: any SignalHandler
    private let loop: EventLoop

    /// Delivers `signals` (SIGTERM, …), which must be blocked, to `handler`.
    public init(_ signals: [Int32], loop: EventLoop, handler: any SignalHandler) throws(SystemError) {
        self.loop = loop
        self.handler = handler
        let fd = clinux_signalfd(signals, Int32(signals.count))
        try Syscall.check(fd, "signalfd")
        descriptor = FileDescriptor(owning: fd)
        registration = try loop.register(fd, .readable, self)
    }

    /// Ends the delivery; the signals stay blocked.
    public func close() {
        if let registration = registration.take() { loop.deregister(registration) }
        descriptor = nil
    }

    /// Blocks `signals` in the calling thread and all threads that it starts from now on.
    public static func blockInAllThreads(_ signals: [Int32]) {
        // Fails only for a bad operation code.
        _ = clinux_block_signals(signals, Int32(signals.count))
    }

    /// Undoes `blockInAllThreads` for the calling thread.
    public static func unblock(_ signals: [Int32]) {
        _ = clinux_unblock_signals(signals, Int32(signals.count))
    }

    /// Makes writing to a closed pipe or socket an error (EPIPE) instead of the end of the process.
    public static func ignoreBrokenPipes() {
        // Fails only for a bad signal number.
        _ = clinux_ignore_signal(SIGPIPE)
    }
}

extension SignalSource: EventHandler {
    /// Reads the signals that arrived.
    public func ready(_ readiness: Readiness, loop: EventLoop) {
        var information = signalfd_siginfo()
        while let fd = descriptor?.rawValue {
            let result = withUnsafeMutableBytes(of: &information) { Syscall.read(fd, $0) }
            guard result == .done(MemoryLayout<signalfd_siginfo>.size) else { return }
            handler.signalReceived(Int32(bitPattern: information.ssi_signo), loop: loop)
        }
    }
}
