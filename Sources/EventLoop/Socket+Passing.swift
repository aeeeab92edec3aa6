internal import CLinux
internal import Glibc

// Descriptors that pass from one process to another: over a Unix socket, or inherited at its start.

extension Socket {
    /// How many descriptors one message carries at most.
    public static let maximumPassed = Int(CLINUX_MAXIMUM_DESCRIPTORS)

    /// Sends `bytes` on a Unix socket, with descriptors that the receiver gets copies of (SCM_RIGHTS, unix(7)); they arrive
    /// with the first of the bytes. At most `maximumPassed`.
    public static func send(_ fd: Int32, _ bytes: UnsafeRawBufferPointer, passing descriptors: [Int32]) -> IOResult {
        let count = Syscall.retrying {
            clinux_send_descriptors(fd, bytes.baseAddress, bytes.count, descriptors, Int32(descriptors.count))
        }
        if count >= 0 { return .done(count) }
        let error = errno
        return error == EAGAIN ? .wouldBlock : .failed(error)
    }

    /// Receives bytes from a Unix socket, and appends the descriptors that came with them to `descriptors`, whose owner is the
    /// caller.
    public static func receive(
        _ fd: Int32, _ room: UnsafeMutableRawBufferPointer, descriptors: inout [Int32]
    ) -> IOResult {
        var passed = [Int32](repeating: -1, count: maximumPassed)
        var number: Int32 = 0
        let count = Syscall.retrying {
            clinux_receive_descriptors(fd, room.baseAddress, room.count, &passed, &number)
        }
        if count < 0 {
            let error = errno
            return error == EAGAIN ? .wouldBlock : .failed(error)
        }
        descriptors += passed[..<Int(number)]
        return .done(count)
    }

    /// Another descriptor for the same open file.
    public static func duplicate(_ fd: Int32) throws(SystemError) -> FileDescriptor {
        let copy = clinux_duplicate(fd)
        try Syscall.check(copy, "fcntl", "fd \(fd)")
        return FileDescriptor(owning: copy)
    }

    /// Takes ownership of a descriptor that another process opened, and makes it non-blocking and close-on-exec.
    public static func inherit(_ fd: Int32) throws(SystemError) -> FileDescriptor {
        try Syscall.check(clinux_prepare_inherited(fd), "fcntl", "fd \(fd)")
        return FileDescriptor(owning: fd)
    }

    /// Whether a descriptor is a stream socket that listens.
    public static func isListening(_ fd: Int32) -> Bool {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &length) == 0 && value != 0
    }
}
