import Foundation

/// What reading a socket came to.
enum Received: Equatable {
    case bytes([UInt8])
    /// The other side finished its direction in order.
    case end
    /// The connection was reset.
    case reset
    /// Nothing came in time.
    case nothing
}

/// A blocking stream socket with deadlines, for the applications that tests play.
final class Wire: @unchecked Sendable {
    // Sendable by hand: a test may read on one thread while it writes on another; the kernel orders both.
    let descriptor: Int32
    private let lock = NSLock()
    private var isOpen = true
    /// Calls that are in the kernel with the descriptor: it is not closed under them, or they would go on with whatever got
    /// its number next.
    private var callsUnderWay = 0
    /// What the last read that came to `.reset` failed with: only a connection's reset, or a descriptor that a mistake of the
    /// test closed.
    private(set) var failure = ""
    /// Whether a send has met the reset: the kernel tells of it once, and reads that come later find an end.
    private var sendWasReset = false

    init(_ descriptor: Int32) {
        self.descriptor = descriptor
        setTimeouts(Deadline.patience)
    }

    deinit { close() }

    /// Connects to `127.0.0.1:80` or `unix:/path`, where wanted from an address of its own.
    convenience init(_ address: String, from source: String? = nil, receiveBuffer: Int32? = nil) throws {
        var storage = sockaddr_storage()
        let length = try Wire.fill(&storage, address)
        let raw = socket(Int32(storage.ss_family), Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard raw >= 0 else { throw Failure("socket: \(Wire.error)") }
        if var receiveBuffer { setsockopt(raw, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        if let source {
            var own = sockaddr_storage()
            let ownLength = try Wire.fill(&own, "\(source):0")
            let bound = withUnsafePointer(to: &own) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, ownLength) }
            }
            guard bound == 0 else {
                let text = Wire.error
                Glibc.close(raw)
                throw Failure("bind \(source): \(text)")
            }
        }
        let result = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(raw, $0, length) }
        }
        // Who is reset at once hears of it here or at his first read, as the kernel likes.
        guard result == 0 || errno == ECONNRESET else {
            let text = Wire.error
            Glibc.close(raw)
            throw Failure("connect \(address): \(text)")
        }
        self.init(raw)
        if storage.ss_family == sa_family_t(AF_INET) {
            var one: Int32 = 1
            setsockopt(raw, Int32(IPPROTO_TCP), TCP_NODELAY, &one, 4)
        }
    }

    static var error: String { String(cString: strerror(errno)) }

    static func fill(_ storage: inout sockaddr_storage, _ address: String) throws -> socklen_t {
        if address.hasPrefix("unix:") {
            let path = Array(address.dropFirst(5).utf8)
            return try withUnsafeMutablePointer(to: &storage) {
                try $0.withMemoryRebound(to: sockaddr_un.self, capacity: 1) { pointer in
                    pointer.pointee.sun_family = sa_family_t(AF_UNIX)
                    guard path.count < MemoryLayout.size(ofValue: pointer.pointee.sun_path) else {
                        throw Failure("the path is too long: \(address)")
                    }
                    withUnsafeMutableBytes(of: &pointer.pointee.sun_path) { $0.copyBytes(from: path) }
                    return socklen_t(MemoryLayout<sockaddr_un>.size)
                }
            }
        }
        let parts = address.split(separator: ":")
        guard parts.count == 2, let port = UInt16(parts[1]) else { throw Failure("not an address: \(address)") }
        return try withUnsafeMutablePointer(to: &storage) {
            try $0.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { pointer in
                pointer.pointee.sin_family = sa_family_t(AF_INET)
                pointer.pointee.sin_port = port.bigEndian
                guard inet_pton(AF_INET, String(parts[0]), &pointer.pointee.sin_addr) == 1 else {
                    throw Failure("not an address: \(address)")
                }
                return socklen_t(MemoryLayout<sockaddr_in>.size)
            }
        }
    }

    func setTimeouts(_ seconds: Double) {
        var time = timeval(tv_sec: Int(seconds), tv_usec: Int((seconds - seconds.rounded(.down)) * 1e6))
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            _ = whileOpen {
                Int(setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)))
            }
        }
    }

    /// One read.
    func receive(atMost: Int = 65536, flags: Int32 = 0) -> Received {
        var buffer = [UInt8](repeating: 0, count: atMost)
        while true {
            let count = whileOpen { recv(descriptor, &buffer, atMost, flags) }
            if count > 0 { return .bytes(Array(buffer[..<count])) }
            if count == 0 { return lock.withLock { sendWasReset } ? .reset : .end }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothing
            default:
                failure = Wire.error
                return .reset
            }
        }
    }

    /// Reads into `buffer`; 0 at the end. Throws on a reset or when nothing comes.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = whileOpen { recv(descriptor, buffer.baseAddress, buffer.count, 0) }
            if count >= 0 { return count }
            if errno == EINTR { continue }
            throw Failure("recv: \(Wire.error)")
        }
    }

    /// Reads exactly `count` bytes.
    func receive(exactly count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            switch receive(atMost: count - bytes.count) {
            case .bytes(let more): bytes += more
            case let other: throw Failure("\(other) after \(bytes.count) of \(count) bytes \(failure)")
            }
        }
        return bytes
    }

    /// Reads until the other side ends its direction.
    func receiveAll() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            switch receive() {
            case .bytes(let more): bytes += more
            case .end: return bytes
            case let other: throw Failure("\(other) after \(bytes.count) bytes \(failure)")
            }
        }
    }

    func send(_ bytes: UnsafeRawBufferPointer) throws {
        var done = 0
        while done < bytes.count {
            let count = whileOpen {
                Glibc.send(descriptor, bytes.baseAddress! + done, bytes.count - done, Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == ECONNRESET { lock.withLock { sendWasReset = true } }
                throw Failure("send after \(done) bytes: \(Wire.error)")
            }
            done += count
        }
    }

    func send(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try send($0) } }
    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends without waiting; how many bytes the kernel took.
    func sendNow(_ bytes: [UInt8]) -> Int {
        max(0, whileOpen { Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)) })
    }

    func finishSending() { stop(SHUT_WR) }

    /// Ends directions; a call of another thread that waits for one returns.
    func stop(_ directions: Int = Int(SHUT_RDWR)) {
        _ = whileOpen { Int(shutdown(descriptor, Int32(directions))) }
    }

    /// Closes in order. A call on another thread ends first.
    func close() {
        lock.withLock {
            guard isOpen else { return }
            isOpen = false
            if callsUnderWay == 0 { Glibc.close(descriptor) } else { shutdown(descriptor, Int32(SHUT_RDWR)) }
        }
    }

    /// Makes one call with the descriptor; once it is closed, fails with EBADF instead.
    private func whileOpen(_ call: () -> Int) -> Int {
        let isOpen = lock.withLock {
            if self.isOpen { callsUnderWay += 1 }
            return self.isOpen
        }
        guard isOpen else {
            errno = EBADF
            return -1
        }
        let result = call()
        let error = errno
        lock.withLock {
            callsUnderWay -= 1
            if !self.isOpen, callsUnderWay == 0 { Glibc.close(descriptor) }
        }
        errno = error
        return result
    }

    /// Closes with a reset (SO_LINGER 0).
    func abort() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        _ = whileOpen {
            Int(
                setsockopt(
                    descriptor, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size)))
        }
        close()
    }

    /// Sends `bytes` and waits for them to come back.
    func echo(_ bytes: [UInt8]) throws {
        try send(bytes)
        let back = try receive(exactly: bytes.count)
        guard back == bytes else { throw Failure("the echo differs") }
    }

    func echo(_ text: String = "ping") throws { try echo(Array(text.utf8)) }
}

/// A listening socket of a test.
final class ListeningSocket: @unchecked Sendable {
    let descriptor: Int32
    let address: String
    private let lock = NSLock()
    private var isOpen = true

    /// `port` 0: any.
    init(host: String, port: Int = 0, receiveBuffer: Int32? = nil) throws {
        var storage = sockaddr_storage()
        let length = try Wire.fill(&storage, "\(host):\(port)")
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.descriptor = descriptor
        var one: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, 4)
        if var receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        let bound = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0, listen(descriptor, 4096) == 0 else { throw Failure("listen \(host):\(port): \(Wire.error)") }
        var actual = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &actual) {
            _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        address = "\(host):\(UInt16(bigEndian: actual.sin_port))"
    }

    /// On a Unix socket.
    init(path: String) throws {
        var storage = sockaddr_storage()
        let length = try Wire.fill(&storage, "unix:\(path)")
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.descriptor = descriptor
        let bound = withUnsafePointer(to: &storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        guard bound == 0, listen(descriptor, 4096) == 0 else { throw Failure("listen \(path): \(Wire.error)") }
        address = "unix:\(path)"
    }

    deinit { close() }

    /// Waits for a connection.
    func accept(within seconds: Double = Deadline.patience) throws -> Wire {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, Int32(seconds * 1000)) == 1 else { throw Failure("nobody connected to \(address)") }
        let raw = Glibc.accept(descriptor, nil, nil)
        guard raw >= 0 else { throw Failure("accept: \(Wire.error)") }
        return Wire(raw)
    }

    func close() {
        lock.withLock {
            guard isOpen else { return }
            isOpen = false
            Glibc.close(descriptor)
        }
    }
}

/// The kernel destroys the connections of links to these nodes, whoever dialled them. Only for root.
func cutLinks(to nodes: [TestNode]) throws {
    for node in nodes {
        let result = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
        guard result.status == 0 else { throw Failure("ss -K: \(result.output)") }
    }
}
