import CTestSystem
import Foundation

/// Runs `body` on a thread of its own and hands out its result: for applications that a test plays at the same time.
final class Background<Result: Sendable>: @unchecked Sendable {
    private let done = DispatchSemaphore(value: 0)
    private let lock = NSLock()
    private var outcome: Swift.Result<Result, any Error>?

    init(_ body: @escaping @Sendable () throws -> Result) {
        let thread = Thread {
            let outcome = Swift.Result { try body() }
            self.lock.withLock { self.outcome = outcome }
            self.done.signal()
        }
        thread.stackSize = 512 << 10
        thread.start()
    }

    /// Waits for the result.
    func value(within seconds: Double = 120, _ what: String = "a background task") throws -> Result {
        guard done.wait(timeout: .now() + seconds * Deadline.slowness) == .success else {
            throw Failure("\(what) did not end")
        }
        done.signal()
        return try lock.withLock { try outcome!.get() }
    }
}

/// A service that gives each connection to `serve` on a thread of its own.
final class ThreadedService: @unchecked Sendable {
    let listener: ListeningSocket
    var address: String { listener.address }
    private let lock = NSLock()
    private var wires: [Wire] = []
    private var isStopped = false

    init(_ listener: ListeningSocket, _ serve: @escaping @Sendable (Wire) throws -> Void) {
        self.listener = listener
        let thread = Thread {
            while true {
                let raw = Glibc.accept(listener.descriptor, nil, nil)
                guard raw >= 0 else {
                    if errno == EINTR || errno == ECONNABORTED { continue }
                    return
                }
                let wire = Wire(raw)
                self.lock.withLock { self.wires.append(wire) }
                let server = Thread { try? serve(wire) }
                server.stackSize = 512 << 10
                server.start()
            }
        }
        thread.start()
    }

    /// How many connections there have been.
    var count: Int { lock.withLock { wires.count } }

    func stop() {
        // Wakes the accepting thread.
        shutdown(listener.descriptor, Int32(SHUT_RDWR))
        for wire in lock.withLock({ wires }) { wire.stop() }
    }
}

/// Sends back what it gets, for thousands of connections on one thread; half-close is answered with half-close.
final class EchoService: @unchecked Sendable {
    let address: String
    private let listener: ListeningSocket
    private let poll: Int32
    private let stopper: Int32
    private let lock = NSLock()
    private var open: Set<Int32> = []
    private var accepted = 0
    private var resets = 0
    private var isStopped = false
    private let greeting: [UInt8]
    private let finished = DispatchSemaphore(value: 0)

    /// `greeting` is sent first on each connection.
    init(_ listener: ListeningSocket, greeting: String = "") {
        self.listener = listener
        self.greeting = Array(greeting.utf8)
        address = listener.address
        poll = epoll_create1(Int32(EPOLL_CLOEXEC))
        stopper = eventfd(0, Int32(EFD_CLOEXEC))
        add(listener.descriptor)
        add(stopper)
        let thread = Thread { self.run() }
        thread.start()
    }

    /// Open connections.
    var connections: Int { lock.withLock { open.count } }
    /// Connections so far.
    var total: Int { lock.withLock { accepted } }
    /// Connections that ended with a reset.
    var resetCount: Int { lock.withLock { resets } }

    private func add(_ descriptor: Int32) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue
        event.data.fd = descriptor
        epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event)
    }

    private func run() {
        defer { finished.signal() }
        var buffer = [UInt8](repeating: 0, count: 65536)
        var events = [epoll_event](repeating: epoll_event(), count: 256)
        while true {
            let count = epoll_wait(poll, &events, 256, -1)
            if count < 0 {
                if errno == EINTR { continue }
                return
            }
            for event in events[..<Int(count)] {
                let descriptor = event.data.fd
                if descriptor == stopper { return }
                if descriptor == listener.descriptor { accept() } else { serve(descriptor, &buffer) }
            }
        }
    }

    private func accept() {
        let raw = Glibc.accept(listener.descriptor, nil, nil)
        guard raw >= 0 else { return }
        var one: Int32 = 1
        setsockopt(raw, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        lock.withLock {
            open.insert(raw)
            accepted += 1
        }
        if !greeting.isEmpty { _ = send(raw, greeting, greeting.count, Int32(MSG_NOSIGNAL)) }
        add(raw)
    }

    private func serve(_ descriptor: Int32, _ buffer: inout [UInt8]) {
        let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if count < 0, errno == EAGAIN || errno == EINTR { return }
        if count > 0 {
            var done = 0
            while done < count {
                let sent = buffer.withUnsafeBytes {
                    send(descriptor, $0.baseAddress! + done, count - done, Int32(MSG_NOSIGNAL))
                }
                if sent <= 0 { break }
                done += sent
            }
            return
        }
        if count < 0, errno == ECONNRESET { lock.withLock { resets += 1 } }
        lock.withLock { _ = open.remove(descriptor) }
        // A process that is just being started has a copy until it runs its program: without this the loop would go on
        // hearing of the old connection by a number that somebody else's has by then.
        epoll_ctl(poll, EPOLL_CTL_DEL, descriptor, nil)
        close(descriptor)
    }

    func stop() {
        guard
            lock.withLock({ () -> Bool in
                defer { isStopped = true }
                return !isStopped
            })
        else { return }
        var one: UInt64 = 1
        write(stopper, &one, 8)
        finished.wait()
        for descriptor in open { close(descriptor) }
        open = []
        close(poll)
        close(stopper)
        listener.close()
    }
}
