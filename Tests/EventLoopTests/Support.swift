import EventLoop
import Foundation
import Testing

/// A handler made of closures, which the loop keeps alive. Every kind of call the loop makes ends up here.
final class Probe: EventHandler, TimerHandler, TickHandler {
    var onReady: (Readiness, EventLoop) -> Void = { _, _ in }
    var onTimer: (Int, EventLoop) -> Void = { _, _ in }
    var onTickEnd: (EventLoop) -> Void = { _ in }
    var onDeinit: () -> Void = {}

    func ready(_ readiness: Readiness, loop: EventLoop) { onReady(readiness, loop) }
    func timerFired(tag: Int, loop: EventLoop) { onTimer(tag, loop) }
    func tickEnded(loop: EventLoop) { onTickEnd(loop) }

    /// Breaks the cycle of a probe that its own closures refer to.
    func forget() {
        onReady = { _, _ in }
        onTimer = { _, _ in }
        onTickEnd = { _ in }
    }

    deinit { onDeinit() }
}

/// Takes connections and failures of a listener.
final class Door: AcceptHandler {
    var onAccept: (Int32, SocketAddress, Listener) -> Void = { _, _, _ in }
    var onFailure: (SystemError, Listener) -> Void = { _, _ in }
    /// The numbers of the accepted descriptors; closed with the door.
    var descriptors: [Int32] = []

    func accepted(
        _ descriptor: consuming FileDescriptor, from peer: SocketAddress, listener: Listener, loop: EventLoop
    ) {
        let number = descriptor.release()
        descriptors.append(number)
        onAccept(number, peer, listener)
    }

    func acceptFailed(_ error: SystemError, listener: Listener, loop: EventLoop) { onFailure(error, listener) }

    deinit { for descriptor in descriptors { close(descriptor) } }
}

/// Remembers the outcome of a connector and stops the loop.
final class Outcome: ConnectHandler {
    var address: SocketAddress?
    var descriptor: Int32?
    var error: ConnectError?
    var calls = 0

    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
    ) {
        self.descriptor = descriptor.release()
        self.address = address
        calls += 1
        loop.handle.stop()
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.error = error
        calls += 1
        loop.handle.stop()
    }

    deinit { if let descriptor { close(descriptor) } }
}

extension EventLoop {
    /// Runs the loop until the test stops it; a test that hangs fails instead.
    func runTest(_ location: SourceLocation = #_sourceLocation) {
        let guardian = Probe()
        guardian.onTimer = { _, loop in
            Issue.record("the loop was not stopped within 20 s", sourceLocation: location)
            loop.handle.stop()
        }
        let timer = schedule(after: 20 * Clock.second, guardian)
        run()
        cancel(timer)
    }
}

/// A directory that goes with the value.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/mesh-loop-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Two connected sockets as plain numbers, closed with the value unless forgotten.
final class Pair {
    var near: Int32
    var far: Int32

    init() throws {
        let pair = try Socket.pair()
        (near, far) = pair.split { ($0.release(), $1.release()) }
    }

    func closeNear() {
        if near >= 0 { close(near) }
        near = -1
    }

    func closeFar() {
        if far >= 0 { close(far) }
        far = -1
    }

    /// Writes bytes at the far end, to be read at the near one.
    func feed(_ text: String = "x") {
        #expect(Array(text.utf8).withUnsafeBytes { Syscall.send(far, $0) } == .done(text.utf8.count))
    }

    deinit {
        closeNear()
        closeFar()
    }
}

/// Reads what is there, at most 64 KiB.
func readAll(_ fd: Int32) -> (String, IOResult) {
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let result = buffer.withUnsafeMutableBytes { Syscall.recv(fd, $0) }
        guard case .done(let count) = result, count > 0 else { return (String(decoding: text, as: UTF8.self), result) }
        text += buffer.prefix(count)
    }
}

/// Whether the descriptor becomes ready for one of the events, or fails, within ten seconds: on a busy machine the kernel delivers
/// between two sockets of loopback later than at once.
func isReady(_ fd: Int32, _ events: Int32) -> Bool {
    var wanted = pollfd(fd: fd, events: Int16(events), revents: 0)
    return poll(&wanted, 1, 10_000) == 1
}

/// A value that the threads of a test share.
final class Shared<Value: Sendable>: Sendable {
    private let locked: Locked<Value>
    init(_ value: Value) { locked = Locked(value) }
    func withLock<R>(_ body: (inout Value) -> R) -> R { locked.withLock(body) }
    var value: Value { locked.withLock { $0 } }
}
