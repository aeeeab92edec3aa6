internal import CLinux
internal import Glibc

/// Making sockets and setting their options. All sockets are non-blocking and close-on-exec.
public enum Socket {
    /// A connection attempt that was started.
    public enum ConnectStart: ~Copyable {
        /// Connected at once; usual for Unix sockets.
        case connected(FileDescriptor)
        /// Under way: when the descriptor becomes writable, `finishConnect` tells the outcome.
        case inProgress(FileDescriptor)
        /// A Unix socket whose queue is full: try again a little later.
        case queueFull
    }

    /// Starts to connect to `address`; TCP_NODELAY is set on TCP sockets.
    public static func connectStart(_ address: SocketAddress) throws(SystemError) -> ConnectStart {
        let socket = try make(address, "connect")
        if address.port != nil { try setNoDelay(socket.rawValue) }
        // After EINTR a non-blocking connect goes on by itself; repeating it would say EALREADY.
        let result = address.withRaw { Glibc.connect(socket.rawValue, $0, $1) }
        if result == 0 { return .connected(socket) }
        switch errno {
        case EINPROGRESS, EINTR: return .inProgress(socket)
        case EAGAIN: return .queueFull
        case let error: throw SystemError(call: "connect", subject: "\(address)", errno: error)
        }
    }

    /// The outcome of a connect that was under way, once the descriptor is writable: nil if it succeeded.
    ///
    /// A TCP socket that connected to itself (possible when the destination port is in the ephemeral range and nobody
    /// listens) counts as refused.
    public static func finishConnect(_ fd: Int32, _ address: SocketAddress) -> SystemError? {
        func failed(_ error: Int32) -> SystemError {
            SystemError(call: "connect", subject: "\(address)", errno: error)
        }
        let error = takeError(fd)
        if error != 0 { return failed(error) }
        if address.port != nil, address.isLoopback { return localAddress(fd) == address ? failed(ECONNREFUSED) : nil }
        return peerAddress(fd) == nil ? failed(ENOTCONN) : nil
    }

    /// Two connected Unix stream sockets.
    public static func pair() throws(SystemError) -> SocketPair {
        var fds: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &fds) { pair in
            pair.withMemoryRebound(to: Int32.self, capacity: 2) { clinux_socketpair($0) }
        }
        try Syscall.check(result, "socketpair")
        return SocketPair(first: FileDescriptor(owning: fds.0), second: FileDescriptor(owning: fds.1))
    }

    /// A stream socket of the address's family; `call` is what the caller is about to do with it.
    static func make(_ address: SocketAddress, _ call: String) throws(SystemError) -> FileDescriptor {
        let fd = clinux_socket(address.family, Int32(SOCK_STREAM.rawValue))
        try Syscall.check(fd, "socket", "(to \(call) \(address))")
        return FileDescriptor(owning: fd)
    }
}

/// Two connected sockets.
public struct SocketPair: ~Copyable {
    /// One end.
    public var first: FileDescriptor
    /// The other end.
    public var second: FileDescriptor

    /// Gives the two ends to `body`.
    public consuming func split<R>(_ body: (consuming FileDescriptor, consuming FileDescriptor) -> R) -> R {
        body(first, second)
    }
}

// MARK: - Options

extension Socket {
    /// Sends small writes at once (TCP_NODELAY).
    public static func setNoDelay(_ fd: Int32, _ isOn: Bool = true) throws(SystemError) {
        try set(fd, Int32(IPPROTO_TCP), TCP_NODELAY, isOn ? 1 : 0, "TCP_NODELAY")
    }

    /// Makes closing the socket reset the connection (SO_LINGER 0): the peer sees ECONNRESET instead of an end of file.
    public static func setLingerZero(_ fd: Int32) throws(SystemError) {
        var value = linger(l_onoff: 1, l_linger: 0)
        let result = setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        try Syscall.check(result, "setsockopt SO_LINGER", "fd \(fd)")
    }

    /// Asks a silent peer for signs of life after `idle` seconds, `count` times with `interval` seconds between.
    public static func setKeepAlive(
        _ fd: Int32, idle: Int32 = 60, interval: Int32 = 10, count: Int32 = 3
    ) throws(SystemError) {
        try set(fd, SOL_SOCKET, SO_KEEPALIVE, 1, "SO_KEEPALIVE")
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPIDLE, idle, "TCP_KEEPIDLE")
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPINTVL, interval, "TCP_KEEPINTVL")
        try set(fd, Int32(IPPROTO_TCP), TCP_KEEPCNT, count, "TCP_KEEPCNT")
    }

    /// Reports a socket as writable only while less than `bytes` wait unsent in the kernel (TCP_NOTSENT_LOWAT), so that
    /// what is sent next is chosen late.
    public static func setNotSentLowat(_ fd: Int32, _ bytes: Int32) throws(SystemError) {
        try set(fd, Int32(IPPROTO_TCP), TCP_NOTSENT_LOWAT, bytes, "TCP_NOTSENT_LOWAT")
    }

    /// Gives a connection up when sent bytes stay unacknowledged for so long (TCP_USER_TIMEOUT).
    public static func setUserTimeout(_ fd: Int32, milliseconds: Int32) throws(SystemError) {
        try set(fd, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, milliseconds, "TCP_USER_TIMEOUT")
    }

    /// Chooses the congestion control ("cubic", "bbr"); the kernel must have it (ENOENT).
    public static func setCongestionControl(_ fd: Int32, _ name: String) throws(SystemError) {
        var name = name
        let result = name.withUTF8 {
            setsockopt(fd, Int32(IPPROTO_TCP), TCP_CONGESTION, $0.baseAddress, socklen_t($0.count))
        }
        try Syscall.check(result, "setsockopt TCP_CONGESTION", "fd \(fd)")
    }

    /// Asks for kernel buffers of these sizes in bytes; nil leaves one to the kernel, which adapts it by itself.
    ///
    /// The kernel doubles the values for its bookkeeping and caps them (net.core.rmem_max, wmem_max).
    public static func setBufferSizes(_ fd: Int32, send: Int32? = nil, receive: Int32? = nil) throws(SystemError) {
        if let send { try set(fd, SOL_SOCKET, SO_SNDBUF, send, "SO_SNDBUF") }
        if let receive { try set(fd, SOL_SOCKET, SO_RCVBUF, receive, "SO_RCVBUF") }
    }

    /// The sizes of the kernel's buffers in bytes, its bookkeeping included.
    public static func bufferSizes(_ fd: Int32) throws(SystemError) -> (send: Int32, receive: Int32) {
        (try get(fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"), try get(fd, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"))
    }

    /// Takes the error that is pending on a socket (SO_ERROR); 0 without one.
    public static func takeError(_ fd: Int32) -> Int32 {
        do throws(SystemError) {
            return try get(fd, SOL_SOCKET, SO_ERROR, "SO_ERROR")
        } catch {
            return error.errno
        }
    }

    static func set(_ fd: Int32, _ level: Int32, _ option: Int32, _ value: Int32, _ name: String) throws(SystemError) {
        var value = value
        let result = setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        if result == -1 {
            let error = errno
            throw SystemError(call: "setsockopt \(name)", subject: "fd \(fd)", errno: error)
        }
    }

    private static func get(_ fd: Int32, _ level: Int32, _ option: Int32, _ name: String) throws(SystemError) -> Int32 {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        if getsockopt(fd, level, option, &value, &length) == -1 {
            let error = errno
            throw SystemError(call: "getsockopt \(name)", subject: "fd \(fd)", errno: error)
        }
        return value
    }
}

// MARK: - Who is who

/// Who is at the other end of a Unix socket, as of its connect (or listen).
public struct PeerCredentials: Hashable, Sendable {
    /// Process id.
    public let pid: Int32
    /// Effective user id.
    public let uid: UInt32
    /// Effective group id.
    public let gid: UInt32
}

extension Socket {
    /// The kernel's word on who is at the other end of a Unix socket (SO_PEERCRED); ENOTCONN for other sockets.
    public static func peerCredentials(_ fd: Int32) throws(SystemError) -> PeerCredentials {
        var pid: pid_t = 0
        var uid: uid_t = 0
        var gid: gid_t = 0
        try Syscall.check(clinux_peer_credentials(fd, &pid, &uid, &gid), "getsockopt SO_PEERCRED", "fd \(fd)")
        return PeerCredentials(pid: pid, uid: uid, gid: gid)
    }

    /// The kernel's word on the supplementary groups of who is at the other end of a Unix socket (SO_PEERGROUPS), as of its
    /// connect (or listen); the effective group need not be among them. ENOTCONN for other sockets.
    public static func peerGroups(_ fd: Int32) throws(SystemError) -> [UInt32] {
        var room = 32
        while true {
            var count = Int32(room)
            var result: Int32 = 0
            var error: Int32 = 0
            let groups = [UInt32](unsafeUninitializedCapacity: room) { buffer, filled in
                result = clinux_peer_groups(fd, buffer.baseAddress, &count)
                error = errno
                filled = result == 0 ? Int(count) : 0
            }
            if result == 0 { return groups }
            // What they are does not change any more: the second try has room for all.
            guard error == ERANGE, count > room else {
                throw SystemError(call: "getsockopt SO_PEERGROUPS", subject: "fd \(fd)", errno: error)
            }
            room = Int(count)
        }
    }

    /// The address a socket is bound to; nil if `fd` is no socket of a known family.
    public static func localAddress(_ fd: Int32) -> SocketAddress? {
        address { getsockname(fd, $0, $1) }
    }

    /// The address a socket is connected to; nil if it is not connected.
    public static func peerAddress(_ fd: Int32) -> SocketAddress? {
        address { getpeername(fd, $0, $1) }
    }

    private static func address(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &length) }
        }
        return result == 0 ? SocketAddress(storage, length: length) : nil
    }
}
