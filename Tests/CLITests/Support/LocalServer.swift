import Foundation
import Synchronization

/// A service as applications have it: a TCP listener on loopback, each connection handled on a thread of its own.
final class LocalServer: Sendable {
    let port: UInt16
    private let descriptor: Int32

    /// Listens on a free port.
    init(_ handle: @escaping @Sendable (Int32) -> Void) throws {
        let (descriptor, port) = try Self.bind(0)
        self.descriptor = descriptor
        self.port = port
        guard listen(descriptor, 64) == 0 else { throw POSIXError(.EIO) }
        Thread.detachNewThread {
            while true {
                let connection = accept(descriptor, nil, nil)
                guard connection >= 0 else { return }
                Thread.detachNewThread {
                    handle(connection)
                    close(connection)
                }
            }
        }
    }

    deinit { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Suites run side by side: what one has been given is not another's, though nobody may listen there yet.
    private static let givenPorts = Mutex<Set<UInt16>>([])

    /// A port on 127.0.0.1 that nothing used just now, and that the kernel gives to nobody who asks for any.
    static func freePort() throws -> UInt16 {
        for _ in 0..<1_000 {
            let wanted = UInt16.random(in: 20_000..<30_000)
            guard givenPorts.withLock({ $0.insert(wanted).inserted }), let (descriptor, port) = try? bind(wanted)
            else { continue }
            close(descriptor)
            return port
        }
        throw POSIXError(.EADDRINUSE)
    }

    /// - Parameter port: 0 for any.
    private static func bind(_ port: UInt16) throws -> (Int32, UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        address.sin_port = port.bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else {
            close(descriptor)
            throw POSIXError(.EADDRINUSE)
        }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }

    /// Sends back what it gets, then ends.
    static let echo: @Sendable (Int32) -> Void = { connection in
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0, buffer.withUnsafeBytes({ sendAll(connection, $0.prefix(count)) }) else { return }
        }
    }

    /// Says how many bytes it got once there are no more.
    static let count: @Sendable (Int32) -> Void = { connection in
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var total = 0
        while true {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            total += count
        }
        _ = Array("\(total)\n".utf8).withUnsafeBytes { sendAll(connection, $0[...]) }
    }

    /// Waits for one byte and breaks the connection off.
    static let reset: @Sendable (Int32) -> Void = { connection in
        var byte: UInt8 = 0
        _ = recv(connection, &byte, 1, 0)
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
    }

    private static func sendAll(_ connection: Int32, _ bytes: Slice<UnsafeRawBufferPointer>) -> Bool {
        var rest = UnsafeRawBufferPointer(rebasing: bytes)
        while !rest.isEmpty {
            let sent = send(connection, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            guard sent > 0 else { return false }
            rest = UnsafeRawBufferPointer(rebasing: rest[sent...])
        }
        return true
    }
}
