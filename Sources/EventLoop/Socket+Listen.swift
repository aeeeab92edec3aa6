internal import CLinux
internal import Glibc

extension Socket {
    /// The longest queue of connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
    public static let defaultBacklog: Int32 = 4096

    /// Binds a socket to `address` and listens on it.
    ///
    /// - Parameters:
    ///   - reusePort: several sockets of this user may listen on the same TCP address and share its connections
    ///     (SO_REUSEPORT), one for each worker.
    ///   - v6Only: an IPv6 wildcard address leaves IPv4 alone (IPV6_V6ONLY); false serves both.
    ///   - mode: permissions of a Unix socket's file, whatever the umask is.
    ///
    /// TCP sockets get SO_REUSEADDR, so that a restart does not wait for old connections, and TCP_NODELAY, which accepted
    /// connections inherit. A Unix socket's file that is
    /// there already is replaced if it is a socket on which nobody listens any more; otherwise the error is EADDRINUSE,
    /// or ENOTSOCK where the file is something else. The file stays when the socket is closed: see
    /// `removeSocketFile`.
    public static func listen(
        _ address: SocketAddress, backlog: Int32 = defaultBacklog, reusePort: Bool = false, v6Only: Bool = true,
        mode: UInt32 = 0o600
    ) throws(SystemError) -> FileDescriptor {
        let socket = try make(address, "listen on")
        switch address {
        case .ipv4:
            try prepare(socket.rawValue, reusePort: reusePort)
            try bind(socket.rawValue, address)
        case .ipv6(_, _, _):
            try prepare(socket.rawValue, reusePort: reusePort)
            try set(socket.rawValue, Int32(IPPROTO_IPV6), IPV6_V6ONLY, v6Only ? 1 : 0, "IPV6_V6ONLY")
            try bind(socket.rawValue, address)
        case .unix(let path) where path.hasPrefix("@"):
            try bind(socket.rawValue, address)
        case .unix(let path):
            let lock = try claim(path)
            defer { flock(lock.rawValue, LOCK_UN) }
            try bindFile(socket.rawValue, path, mode: mode)
            try listen(socket.rawValue, address, backlog)
            return socket
        }
        try listen(socket.rawValue, address, backlog)
        return socket
    }

    /// Removes the file of a Unix socket that this process listened on. A path that is no socket is left alone.
    public static func removeSocketFile(_ path: String) {
        if isSocket(path) == true { unlink(path) }
    }

    private static func prepare(_ fd: Int32, reusePort: Bool) throws(SystemError) {
        try set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "SO_REUSEADDR")
        // Accepted sockets inherit it.
        try setNoDelay(fd)
        if reusePort { try set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "SO_REUSEPORT") }
    }

    private static func bind(_ fd: Int32, _ address: SocketAddress) throws(SystemError) {
        try Syscall.check(address.withRaw { Glibc.bind(fd, $0, $1) }, "bind", "\(address)")
    }

    private static func listen(_ fd: Int32, _ address: SocketAddress, _ backlog: Int32) throws(SystemError) {
        try Syscall.check(Glibc.listen(fd, backlog), "listen", "\(address)")
    }
}

// MARK: - Unix sockets

extension Socket {
    /// How often, and with how many microseconds between, the lock on a socket's directory is tried: one second in all.
    private static let lockAttempts = 1000
    private static let lockPause: UInt32 = 1000

    /// Makes sure that nothing is at `path`: removes the file that a dead listener left.
    ///
    /// Looking, removing, binding and listening happen under the lock on the directory that is returned: of two
    /// processes that start at the same time, the second finds the first one listening instead of removing its fresh
    /// socket.
    private static func claim(_ path: String) throws(SystemError) -> FileDescriptor {
        let address = SocketAddress.unix(path: path)
        let lock = try lockDirectory(of: path)
        guard let isSocket = isSocket(path) else { return lock }
        guard isSocket else { throw SystemError(call: "bind", subject: "\(address)", errno: ENOTSOCK) }
        guard try isDead(address) else { throw SystemError(call: "bind", subject: "\(address)", errno: EADDRINUSE) }
        try Syscall.check(unlink(path), "unlink", path)
        return lock
    }

    private static func bindFile(_ fd: Int32, _ path: String, mode: UInt32) throws(SystemError) {
        let address = SocketAddress.unix(path: path)
        // The file is created with the socket's own mode, so that there is no moment in which others could connect;
        // the umask can only take bits away, which chmod gives back.
        try Syscall.check(fchmod(fd, mode), "fchmod", "\(address)")
        try bind(fd, address)
        try Syscall.check(chmod(path, mode), "chmod", path)
    }

    /// Whether there is a socket at `path`; nil where there is nothing.
    private static func isSocket(_ path: String) -> Bool? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return status.st_mode & S_IFMT == S_IFSOCK
    }

    /// Whether nobody listens on a Unix socket that exists.
    private static func isDead(_ address: SocketAddress) throws(SystemError) -> Bool {
        do throws(SystemError) {
            _ = try connectStart(address)
            return false
        } catch {
            switch error.errno {
            case ECONNREFUSED, ENOENT: return true
            // A socket of another type, which somebody may well use.
            case EPROTOTYPE: return false
            default: throw error
            }
        }
    }

    private static func lockDirectory(of path: String) throws(SystemError) -> FileDescriptor {
        let directory =
            switch path.lastIndex(of: "/") {
            case nil: "."
            case path.startIndex: "/"
            case let slash?: String(path[..<slash])
            }
        let fd = clinux_open(directory, O_RDONLY | O_DIRECTORY)
        try Syscall.check(fd, "open", directory)
        let descriptor = FileDescriptor(owning: fd)
        for _ in 0..<lockAttempts {
            if Syscall.retrying({ flock(fd, LOCK_EX | LOCK_NB) }) == 0 { return descriptor }
            guard errno == EWOULDBLOCK else { break }
            usleep(lockPause)
        }
        throw SystemError(call: "flock", subject: directory, errno: errno)
    }
}
