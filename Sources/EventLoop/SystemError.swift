internal import CLinux

/// A system call that failed.
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Name of the call: "bind".
    public let call: String
    /// What it was applied to, an address or a path: "127.0.0.1:80". Nil where there is nothing to name.
    public let subject: String?
    /// The reason, as in `<errno.h>`.
    public let errno: Int32

    /// Describes the failure of `call` on `subject`.
    public init(call: String, subject: String? = nil, errno: Int32) {
        self.call = call
        self.subject = subject
        self.errno = errno
    }

    /// "bind 127.0.0.1:80: Permission denied (EACCES)".
    public var description: String {
        let what = subject.map { "\(call) \($0)" } ?? call
        return "\(what): \(Self.text(errno)) (\(Self.name(errno)))"
    }

    /// Stable code for logs and metrics: the symbol in lower case, "eacces".
    public var code: String { Self.name(errno).lowercased() }

    /// What to do about it, where that can be said without knowing more; nil otherwise.
    public var hint: String? {
        switch (call, errno) {
        case ("bind", Errno.addressInUse), ("listen", Errno.addressInUse):
            "another process listens there; stop it or choose another address"
        case ("bind", Errno.notPermitted):
            "ports below 1024 need CAP_NET_BIND_SERVICE, and a Unix socket a directory that this user may write to"
        case ("bind", Errno.addressNotAvailable):
            "no interface of this host has that address"
        case ("inotify_init1", Errno.tooManyOpenFiles):
            "raise the sysctl fs.inotify.max_user_instances, or the limit of open files (ulimit -n)"
        case ("inotify_add_watch", Errno.noSpace):
            "raise the sysctl fs.inotify.max_user_watches"
        case (_, Errno.tooManyOpenFiles):
            "raise the limit of open files (ulimit -n, or LimitNOFILE= in the systemd unit)"
        case ("connect", Errno.connectionRefused):
            "nothing listens there; check the address and that the service runs"
        case ("connect", Errno.timedOut), ("connect", Errno.hostUnreachable), ("connect", Errno.networkUnreachable):
            "the host does not answer; check the address, the route and firewalls"
        default:
            nil
        }
    }

    /// The symbol of an errno value: "EACCES".
    public static func name(_ errno: Int32) -> String {
        clinux_errno_name(errno).map { String(cString: $0) } ?? "errno \(errno)"
    }

    /// The text of an errno value: "Permission denied".
    public static func text(_ errno: Int32) -> String {
        clinux_errno_text(errno).map { String(cString: $0) } ?? "unknown error"
    }
}
