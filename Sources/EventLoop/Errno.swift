internal import Glibc

/// The errno values this room reacts to, by name; callers may compare `SystemError.errno` with them.
public enum Errno {
    /// EACCES
    public static let notPermitted = EACCES
    /// EADDRINUSE
    public static let addressInUse = EADDRINUSE
    /// EADDRNOTAVAIL
    public static let addressNotAvailable = EADDRNOTAVAIL
    /// EBADF
    public static let badDescriptor = EBADF
    /// ECONNABORTED
    public static let connectionAborted = ECONNABORTED
    /// ECONNREFUSED
    public static let connectionRefused = ECONNREFUSED
    /// ECONNRESET
    public static let connectionReset = ECONNRESET
    /// EEXIST
    public static let exists = EEXIST
    /// EHOSTUNREACH
    public static let hostUnreachable = EHOSTUNREACH
    /// EMFILE: this process has no descriptor left.
    public static let tooManyOpenFiles = EMFILE
    /// ENETUNREACH
    public static let networkUnreachable = ENETUNREACH
    /// ENOENT
    public static let noSuchFile = ENOENT
    /// ENOSPC
    public static let noSpace = ENOSPC
    /// ENOTDIR
    public static let notDirectory = ENOTDIR
    /// ENOTSOCK
    public static let notSocket = ENOTSOCK
    /// EPIPE
    public static let brokenPipe = EPIPE
    /// ETIMEDOUT
    public static let timedOut = ETIMEDOUT
    /// EAGAIN
    public static let wouldBlock = EAGAIN
}
