internal import CLinux
internal import Glibc

/// What a non-blocking transfer did.
public enum IOResult: Equatable, Sendable {
    /// So many bytes were transferred; 0 from a read is the end of the file.
    case done(Int)
    /// Nothing can be transferred now (EAGAIN); the loop tells when.
    case wouldBlock
    /// It failed with this errno value.
    case failed(Int32)
}

/// System calls on descriptors, each repeated when a signal interrupted it (EINTR).
///
/// Transfers return an `IOResult` instead of throwing: "would block" is no error and occurs all the time.
public enum Syscall {
    /// Reads into `buffer`.
    public static func read(_ fd: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> IOResult {
        transfer { Glibc.read(fd, buffer.baseAddress, buffer.count) }
    }

    /// Writes from `buffer`. On sockets use `send`, which cannot raise SIGPIPE.
    public static func write(_ fd: Int32, _ buffer: UnsafeRawBufferPointer) -> IOResult {
        transfer { Glibc.write(fd, buffer.baseAddress, buffer.count) }
    }

    /// Reads into several buffers, in order; at most `maximumBuffers` of them are used.
    public static func readv(_ fd: Int32, _ buffers: UnsafeBufferPointer<UnsafeMutableRawBufferPointer>) -> IOResult {
        vectored(buffers.count) { vectors, count in
            for index in 0..<count {
                vectors[index] = iovec(iov_base: buffers[index].baseAddress, iov_len: buffers[index].count)
            }
            return transfer { Glibc.readv(fd, vectors, Int32(count)) }
        }
    }

    /// Writes from several buffers, in order; at most `maximumBuffers` of them are used.
    public static func writev(_ fd: Int32, _ buffers: UnsafeBufferPointer<UnsafeRawBufferPointer>) -> IOResult {
        vectored(buffers.count) { vectors, count in
            for index in 0..<count {
                let base = UnsafeMutableRawPointer(mutating: buffers[index].baseAddress)
                vectors[index] = iovec(iov_base: base, iov_len: buffers[index].count)
            }
            return transfer { Glibc.writev(fd, vectors, Int32(count)) }
        }
    }

    /// How many buffers one vectored call takes: their descriptions stay on the stack (1 KiB).
    public static let maximumBuffers = 64

    private static func vectored(_ count: Int, _ body: (UnsafeMutablePointer<iovec>, Int) -> IOResult) -> IOResult {
        guard count > 0 else { return .done(0) }
        let count = min(count, maximumBuffers)
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
            body(vectors.baseAddress.unsafelyUnwrapped, count)
        }
    }

    /// Receives from a socket.
    public static func recv(_ fd: Int32, _ buffer: UnsafeMutableRawBufferPointer, peek: Bool = false) -> IOResult {
        let flags = peek ? Int32(MSG_PEEK) : 0
        return transfer { Glibc.recv(fd, buffer.baseAddress, buffer.count, flags) }
    }

    /// Sends to a socket, without SIGPIPE (MSG_NOSIGNAL). `more` says that more follows at once (MSG_MORE).
    public static func send(_ fd: Int32, _ buffer: UnsafeRawBufferPointer, more: Bool = false) -> IOResult {
        let flags = Int32(MSG_NOSIGNAL) | (more ? Int32(MSG_MORE) : 0)
        return transfer { Glibc.send(fd, buffer.baseAddress, buffer.count, flags) }
    }

    /// Ends the sending direction of a socket: the peer reads the end of the file after what was sent.
    public static func shutdownWrite(_ fd: Int32) throws(SystemError) {
        try check(Glibc.shutdown(fd, Int32(SHUT_WR)), "shutdown")
    }

    /// Ends both directions of a socket.
    public static func shutdownBoth(_ fd: Int32) throws(SystemError) {
        try check(Glibc.shutdown(fd, Int32(SHUT_RDWR)), "shutdown")
    }

    /// Accepts a connection, non-blocking and close-on-exec; nil when none is waiting.
    public static func accept(
        _ fd: Int32
    ) throws(SystemError) -> (descriptor: Int32, peer: SocketAddress)? {
        var storage = sockaddr_storage()
        var length = socklen_t()
        let accepted = retrying { clinux_accept(fd, &storage, &length) }
        if accepted < 0 {
            if errno == EAGAIN { return nil }
            throw SystemError(call: "accept", errno: errno)
        }
        return (accepted, SocketAddress(storage, length: length) ?? .unix(path: ""))
    }

    /// Runs `call` until no signal interrupts it.
    static func retrying<T: BinaryInteger>(_ call: () -> T) -> T {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    /// Runs a transferring call until no signal interrupts it, and sorts its result.
    private static func transfer(_ call: () -> Int) -> IOResult {
        let count = retrying(call)
        if count >= 0 { return .done(count) }
        let error = errno
        return error == EAGAIN ? .wouldBlock : .failed(error)
    }

    /// Turns a result of -1 into an error that names `call` and what it was applied to.
    static func check(
        _ result: Int32, _ call: String, _ subject: @autoclosure () -> String? = nil
    ) throws(SystemError) {
        if result == -1 {
            let error = errno
            throw SystemError(call: call, subject: subject(), errno: error)
        }
    }
}
