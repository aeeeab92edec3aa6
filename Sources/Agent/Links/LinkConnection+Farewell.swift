import EventLoop
import TLS

/// The last bytes of a link that ends, and a link whose worker has no memory for it.
extension LinkConnection {
    static let memoryTag = 2
    /// How often a session without memory looks for some, in nanoseconds.
    private static let memoryInterval: UInt64 = 5_000_000

    /// Sends what the socket takes of what waits; whatever comes of it.
    func sendOnce() {
        guard owned != nil else { return }
        tls.withOutput { bytes in
            if case .done(let count) = Syscall.send(descriptor, bytes) { return count }
            return 0
        }
    }

    /// Where the socket does not take the last words at once, it is left open until it has. Whether that was necessary.
    func farewell() -> Bool {
        sendOnce()
        guard tls.pendingOutput > 0, let registration, let socket = owned.take() else { return false }
        core.loop.deregister(registration)
        self.registration = nil
        Farewell(socket, tls, core.loop).start()
        return true
    }

    /// Readable streams wait although their peer would take more: the pump is tried again soon.
    func retryWhenThereIsMemory() {
        guard !awaitsMemory else { return }
        awaitsMemory = true
        core.loop.schedule(after: Self.memoryInterval, self, tag: Self.memoryTag)
    }

    func memoryMayBeBack() {
        awaitsMemory = false
        scheduleFlush()
    }
}

/// Sends the rest of a link's ciphertext and closes the socket: when that is done, when it fails, or after a while.
private final class Farewell: EventHandler, TimerHandler {
    /// In nanoseconds.
    private static let patience: UInt64 = 2_000_000_000

    private var socket: FileDescriptor?
    private let descriptor: Int32
    private let tls: TLSSession
    private unowned let loop: EventLoop
    private var registration: Registration?
    private var timer: TimerID?

    init(_ socket: consuming FileDescriptor, _ tls: TLSSession, _ loop: EventLoop) {
        descriptor = socket.rawValue
        self.socket = consume socket
        self.tls = tls
        self.loop = loop
    }

    func start() {
        registration = try? loop.register(descriptor, [.writable], self)
        guard registration != nil else { return end() }
        timer = loop.schedule(after: Self.patience, self, tag: 0)
    }

    func ready(_ readiness: Readiness, loop: EventLoop) {
        guard readiness.isDisjoint(with: [.hangup, .error]) else { return end() }
        var isBlocked = false
        while tls.pendingOutput > 0, !isBlocked {
            var isBroken = false
            tls.withOutput { bytes in
                switch Syscall.send(descriptor, bytes) {
                case .done(let count): return count
                case .wouldBlock: isBlocked = true
                case .failed: isBroken = true
                }
                return 0
            }
            if isBroken { return end() }
        }
        if tls.pendingOutput == 0 { end() }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        end()
    }

    private func end() {
        if let timer { loop.cancel(timer) }
        timer = nil
        if let registration { loop.deregister(registration) }
        registration = nil
        socket = nil
    }
}
