import EventLoop
import Foundation
import Testing

@Suite struct SocketTests {
    @Test(arguments: ["127.0.0.1:0", "127.1.2.3:0", "[::1]:0"])
    func tcpRoundTrip(text: String) throws {
        let listener = try Socket.listen(SocketAddress(parsing: text))
        let address = try #require(Socket.localAddress(listener.rawValue))
        #expect(address.port != 0)
        let client = try connect(address)
        let (accepted, peer) = try #require(try Syscall.accept(listener.rawValue))
        let server = FileDescriptor(owning: accepted)
        #expect(peer == Socket.localAddress(client.rawValue))
        #expect(Socket.peerAddress(client.rawValue) == address)
        #expect(try Syscall.accept(listener.rawValue) == nil)
        #expect(Array("ping".utf8).withUnsafeBytes { Syscall.send(client.rawValue, $0) } == .done(4))
        var buffer = [UInt8](repeating: 0, count: 10)
        #expect(buffer.withUnsafeMutableBytes { Syscall.recv(server.rawValue, $0, peek: true) } == .done(4))
        #expect(buffer.withUnsafeMutableBytes { Syscall.recv(server.rawValue, $0) } == .done(4))
        #expect(buffer.withUnsafeMutableBytes { Syscall.recv(server.rawValue, $0) } == .wouldBlock)
        #expect(buffer.prefix(4) == Array("ping".utf8)[...])
        for fd in [client.rawValue, server.rawValue, listener.rawValue] {
            #expect(fcntl(fd, F_GETFL) & O_NONBLOCK != 0)
            #expect(fcntl(fd, F_GETFD) & FD_CLOEXEC != 0)
        }
    }

    /// Connects; the connection may still be in the queue of the listener.
    private func connect(_ address: SocketAddress) throws -> FileDescriptor {
        switch try Socket.connectStart(address) {
        case .connected(let socket): return socket
        case .inProgress(let socket):
            // On loopback the handshake is over once the call returns.
            #expect(Socket.finishConnect(socket.rawValue, address) == nil)
            return socket
        case .queueFull: throw SystemError(call: "connect", subject: "\(address)", errno: EAGAIN)
        }
    }

    @Test func vectoredTransfers() throws {
        let pair = try Pair()
        let first = Array("one".utf8)
        let second = Array("three".utf8)
        let sent = first.withUnsafeBytes { first in
            second.withUnsafeBytes { second in
                [first, UnsafeRawBufferPointer(start: nil, count: 0), second].withUnsafeBufferPointer {
                    Syscall.writev(pair.far, $0)
                }
            }
        }
        #expect(sent == .done(8))
        var head = [UInt8](repeating: 0, count: 2)
        var rest = [UInt8](repeating: 0, count: 100)
        let received = head.withUnsafeMutableBytes { head in
            rest.withUnsafeMutableBytes { rest in
                [head, rest].withUnsafeBufferPointer { Syscall.readv(pair.near, $0) }
            }
        }
        #expect(received == .done(8))
        #expect(String(decoding: head + rest.prefix(6), as: UTF8.self) == "onethree")
        #expect(Syscall.writev(pair.far, UnsafeBufferPointer(start: nil, count: 0)) == .done(0))
    }

    @Test func transfersReportErrors() throws {
        let pair = try Pair()
        pair.closeFar()
        // A child that another test is just starting may hold its end for a moment longer.
        #expect(isReady(pair.near, POLLIN))
        // No SIGPIPE, or the test process would be gone.
        #expect([UInt8(1)].withUnsafeBytes { Syscall.send(pair.near, $0) } == .failed(EPIPE))
        var buffer = [UInt8](repeating: 0, count: 1)
        #expect(buffer.withUnsafeMutableBytes { Syscall.recv(pair.near, $0) } == .done(0))
        #expect(buffer.withUnsafeMutableBytes { Syscall.read(-1, $0) } == .failed(EBADF))
        #expect([UInt8(1)].withUnsafeBytes { Syscall.write(-1, $0) } == .failed(EBADF))
    }

    @Test func takenAddressIsNamed() throws {
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let address = try #require(Socket.localAddress(listener.rawValue))
        let error = #expect(throws: SystemError.self) { _ = try Socket.listen(address) }
        #expect(error?.description == "bind \(address): Address already in use (EADDRINUSE)")
        #expect(error?.hint != nil)
    }

    @Test func workersShareAPort() throws {
        let first = try Socket.listen(.ipv4(.loopback, port: 0), reusePort: true)
        let address = try #require(Socket.localAddress(first.rawValue))
        let second = try Socket.listen(address, reusePort: true)
        #expect(Socket.localAddress(second.rawValue) == address)
    }

    @Test func wildcardOfSixServesFourOnlyWhenAsked() throws {
        // The IPv4 port is free: unless somebody else listens on it, on all of many.
        #expect(
            try (0..<20).contains { _ in
                let only = try Socket.listen(.ipv6(.any, port: 0))
                let port = try #require(Socket.localAddress(only.rawValue)?.port)
                return (try? Socket.listen(.ipv4(.any, port: port))) != nil
            })
        let both = try Socket.listen(.ipv6(.any, port: 0), v6Only: false)
        let shared = try #require(Socket.localAddress(both.rawValue)?.port)
        let client = try connect(.ipv4(.loopback, port: shared))
        _ = client.rawValue
        let (accepted, peer) = try #require(try Syscall.accept(both.rawValue))
        close(accepted)
        #expect(peer.isLoopback)
    }

    @Test func optionsAreSet() throws {
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let client = try connect(#require(Socket.localAddress(listener.rawValue)))
        let fd = client.rawValue
        func option(_ level: Int32, _ name: Int32, of socket: Int32? = nil) -> Int32 {
            var value: Int32 = -1
            var length = socklen_t(MemoryLayout<Int32>.size)
            #expect(getsockopt(socket ?? fd, level, name, &value, &length) == 0)
            return value
        }
        let tcp = Int32(IPPROTO_TCP)
        #expect(option(tcp, TCP_NODELAY) == 1)
        let (accepted, _) = try #require(try Syscall.accept(listener.rawValue))
        #expect(option(tcp, TCP_NODELAY, of: accepted) == 1)
        close(accepted)
        try Socket.setNoDelay(fd, false)
        #expect(option(tcp, TCP_NODELAY) == 0)
        try Socket.setKeepAlive(fd, idle: 11, interval: 7, count: 4)
        #expect(option(SOL_SOCKET, SO_KEEPALIVE) == 1)
        #expect((option(tcp, TCP_KEEPIDLE), option(tcp, TCP_KEEPINTVL), option(tcp, TCP_KEEPCNT)) == (11, 7, 4))
        try Socket.setNotSentLowat(fd, 16_384)
        #expect(option(tcp, TCP_NOTSENT_LOWAT) == 16_384)
        try Socket.setUserTimeout(fd, milliseconds: 5000)
        #expect(option(tcp, TCP_USER_TIMEOUT) == 5000)
        try Socket.setCongestionControl(fd, "reno")
        try Socket.setBufferSizes(fd, send: 65_536, receive: 32_768)
        let sizes = try Socket.bufferSizes(fd)
        #expect((sizes.send, sizes.receive) == (131_072, 65_536))
        #expect(Socket.takeError(fd) == 0)
        let error = #expect(throws: SystemError.self) { try Socket.setNoDelay(-1) }
        #expect(error?.description == "setsockopt TCP_NODELAY fd -1: Bad file descriptor (EBADF)")
    }

    @Test func lingerZeroResets() throws {
        let listener = try Socket.listen(.ipv4(.loopback, port: 0))
        let client = try connect(#require(Socket.localAddress(listener.rawValue)))
        let (accepted, _) = try #require(try Syscall.accept(listener.rawValue))
        try Socket.setLingerZero(accepted)
        close(accepted)
        #expect(isReady(client.rawValue, POLLIN))
        #expect(readAll(client.rawValue).1 == .failed(ECONNRESET))
    }

    /// Possible when the port of a local service that is down is chosen as the client's own.
    @Test func connectionToItselfIsRefused() throws {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var raw = sockaddr_in()
        raw.sin_family = sa_family_t(AF_INET)
        raw.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                #expect(bind(socket, $0, length) == 0)
                #expect(getsockname(socket, $0, &length) == 0)
                #expect(Foundation.connect(socket, $0, length) == 0)
            }
        }
        let own = try #require(Socket.localAddress(socket))
        #expect(Socket.peerAddress(socket) == own)
        #expect(Socket.finishConnect(socket, own)?.errno == ECONNREFUSED)
    }

    @Test func descriptorsCloseThemselves() throws {
        let pair = try Pair()
        do {
            let owned = FileDescriptor(owning: pair.far)
            #expect(owned.rawValue == pair.far)
        }
        pair.far = -1
        #expect(isReady(pair.near, POLLIN))
        #expect(readAll(pair.near).1 == .done(0))
        let second = try Pair()
        FileDescriptor(owning: second.far).close()
        second.far = -1
        #expect(isReady(second.near, POLLIN))
        #expect(readAll(second.near).1 == .done(0))
        let third = try Pair()
        let released = FileDescriptor(owning: third.far).release()
        #expect(released == third.far)
        #expect(readAll(third.near).1 == .wouldBlock)
    }
}

@Suite struct UnixSocketTests {
    /// Leaves the file of a socket on which nobody listens, also where a child that another test is just starting still
    /// has a copy of the descriptor.
    private func die(_ listener: Int32) {
        #expect(shutdown(listener, Int32(SHUT_RDWR)) == 0)
    }

    @Test func onlyTheOwnerMayConnect() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a.sock"
        let listener = try Socket.listen(.unix(path: path))
        var status = stat()
        #expect(lstat(path, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o600)
        #expect(Socket.localAddress(listener.rawValue) == .unix(path: path))
        let open = directory.path + "/b.sock"
        let other = try Socket.listen(.unix(path: open), mode: 0o666)
        _ = other.rawValue
        #expect(lstat(open, &status) == 0)
        #expect(status.st_mode & 0o7777 == 0o666)
    }

    @Test func peerCredentialsAreTheKernels() throws {
        let directory = try TemporaryDirectory()
        let address = SocketAddress.unix(path: directory.path + "/a.sock")
        let listener = try Socket.listen(address)
        guard case .connected(let client) = try Socket.connectStart(address) else {
            Issue.record("not connected at once")
            return
        }
        let (accepted, peer) = try #require(try Syscall.accept(listener.rawValue))
        let server = FileDescriptor(owning: accepted)
        #expect(peer == .unix(path: ""))
        let expected = (getpid(), getuid(), getgid())
        for fd in [server.rawValue, client.rawValue] {
            let credentials = try Socket.peerCredentials(fd)
            #expect((credentials.pid, credentials.uid, credentials.gid) == expected)
        }
        var groups = [gid_t](repeating: 0, count: 65_536)
        let count = getgroups(Int32(groups.count), &groups)
        for fd in [server.rawValue, client.rawValue] {
            #expect(try Socket.peerGroups(fd).sorted() == groups[..<Int(count)].sorted())
        }
        let tcp = try Socket.listen(.ipv4(.loopback, port: 0))
        let tcpNumber = tcp.rawValue
        #expect(throws: SystemError.self) { try Socket.peerCredentials(tcpNumber) }
        #expect(throws: SystemError.self) { try Socket.peerGroups(tcpNumber) }
    }

    @Test func deadSocketIsReplacedLiveOneIsNot() throws {
        let directory = try TemporaryDirectory()
        let address = SocketAddress.unix(path: directory.path + "/a.sock")
        do {
            let first = try Socket.listen(address)
            _ = first.rawValue
            let error = #expect(throws: SystemError.self) { _ = try Socket.listen(address) }
            #expect(error == SystemError(call: "bind", subject: "\(address)", errno: EADDRINUSE))
            // The failed attempt has left the live socket alone.
            guard case .connected = try Socket.connectStart(address) else {
                Issue.record("the live socket was harmed")
                return
            }
            die(first.rawValue)
        }
        let second = try Socket.listen(address)
        _ = second.rawValue
        Socket.removeSocketFile(address.host)
        #expect(access(address.host, F_OK) == -1)
    }

    @Test func otherFilesAreLeftAlone() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/precious"
        try "data".write(toFile: path, atomically: false, encoding: .utf8)
        let error = #expect(throws: SystemError.self) { _ = try Socket.listen(.unix(path: path)) }
        #expect(error?.errno == ENOTSOCK)
        Socket.removeSocketFile(path)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == "data")
        let link = directory.path + "/link"
        #expect(symlink(path, link) == 0)
        #expect(throws: SystemError.self) { _ = try Socket.listen(.unix(path: link)) }
        let missing = #expect(throws: SystemError.self) {
            _ = try Socket.listen(.unix(path: directory.path + "/none/a.sock"))
        }
        #expect(missing?.description.contains("\(directory.path)/none: No such file") == true)
    }

    /// Several processes, here threads, start at once on the path of a dead one: exactly one gets it.
    @Test func ofManyThatReplaceADeadSocketOneWins() throws {
        for _ in 0..<40 {
            let directory = try TemporaryDirectory()
            let address = SocketAddress.unix(path: directory.path + "/a.sock")
            do {
                let dead = try Socket.listen(address)
                die(dead.rawValue)
            }
            let winners = Shared<[Int32]>([])
            let losers = Shared<[SystemError]>([])
            let start = Shared(0)
            let threads = try (0..<4).map { _ in
                try LoopThread(name: "rival") { loop in
                    start.withLock { $0 += 1 }
                    while start.value < 4 { sched_yield() }
                    do throws(SystemError) {
                        let number = try Socket.listen(address).release()
                        winners.withLock { $0.append(number) }
                    } catch {
                        losers.withLock { $0.append(error) }
                    }
                    loop.handle.stop()
                }
            }
            for thread in threads { thread.join() }
            let numbers = winners.value
            #expect(numbers.count == 1)
            #expect(losers.value.map(\.errno) == [EADDRINUSE, EADDRINUSE, EADDRINUSE])
            if case .connected = try Socket.connectStart(address) {} else { Issue.record("nobody listens") }
            numbers.forEach { close($0) }
        }
    }

    @Test func abstractSockets() throws {
        let address = SocketAddress.unix(path: "@conduit-mesh-test-\(getpid())")
        let listener = try Socket.listen(address)
        #expect(Socket.localAddress(listener.rawValue) == address)
        guard case .connected = try Socket.connectStart(address) else {
            Issue.record("not connected")
            return
        }
        #expect(throws: SystemError(call: "bind", subject: "\(address)", errno: EADDRINUSE)) {
            _ = try Socket.listen(address)
        }
    }
}
