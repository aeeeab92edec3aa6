import Glibc
import TLS

/// A blocking socket on the loopback and a session over it: test code, so that the sessions meet somebody else's TLS.
final class Loopback {
    let session: TLSSession
    private let socket: Int32
    private let window = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)

    /// Seconds after which a silent peer fails the test.
    static let patience = 20

    init(_ session: TLSSession, socket: Int32) {
        self.session = session
        self.socket = socket
        var limit = timeval(tv_sec: Loopback.patience, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit {
        close(socket)
        window.deallocate()
    }

    /// Shakes hands; the error is nil on success.
    func connect() -> TLSError? {
        while true {
            let step = session.handshake()
            flush()
            switch step {
            case .complete: return nil
            case .failed(let error): return error
            case .wantsInput: receive()
            }
        }
    }

    /// Reads until `count` bytes are there, or the end.
    func read(_ count: Int) -> Reading {
        var result = Reading()
        while result.bytes.count < count {
            let more = readAll(session)
            flush()
            result.bytes += more.bytes
            result.last = more.last
            guard more.wantsInput else { return result }
            if result.bytes.count < count { receive() }
        }
        return result
    }

    func send(_ bytes: [UInt8]) -> TLSError? {
        let error = write(bytes, to: session)
        flush()
        return error
    }

    func flush() {
        while session.pendingOutput > 0 {
            session.withOutput { output in
                let sent = Glibc.send(socket, output.baseAddress, output.count, Int32(MSG_NOSIGNAL))
                return sent > 0 ? sent : output.count
            }
        }
    }

    private func receive() {
        let count = recv(socket, window.baseAddress, window.count, 0)
        if count > 0 {
            session.setInput(UnsafeRawBufferPointer(rebasing: window[..<count]))
        } else {
            session.receivedEOF()
        }
    }
}

/// A listening socket on a port of the system's choice.
final class Listener {
    let socket: Int32
    let port: UInt16

    init() throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.socket = socket
        var address = loopbackAddress(port: 0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(socket, address, size) == 0 && listen(socket, 4) == 0 && getsockname(socket, address, &size) == 0
            }
        }
        guard bound else { throw PreparationFailed(description: "no listener on the loopback") }
        port = UInt16(bigEndian: address.sin_port)
        var limit = timeval(tv_sec: Loopback.patience, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(socket) }

    func accept() throws -> Int32 {
        let accepted = Glibc.accept(socket, nil, nil)
        guard accepted >= 0 else { throw PreparationFailed(description: "nobody connected") }
        return accepted
    }
}

/// Connects to a port of the loopback.
func dial(_ port: UInt16) throws -> Int32 {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = loopbackAddress(port: port)
    let connected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
    guard connected else {
        close(socket)
        throw PreparationFailed(description: "no connection to port \(port)")
    }
    return socket
}

private func loopbackAddress(port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return address
}
