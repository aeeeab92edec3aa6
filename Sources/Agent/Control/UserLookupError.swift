import EventLoop

/// The host's list of users could not be asked, so that nobody knows whom a rule for a user's name is about.
public struct UserLookupError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Whose entry was looked for.
    public let uid: UInt32
    /// What the C library said.
    public let errno: Int32

    /// `the name of uid 1000 cannot be looked up: Input/output error`
    public var description: String { "the name of uid \(uid) cannot be looked up: \(SystemError.text(errno))" }

    /// What to do about it.
    public var hint: String { "getent passwd \(uid) asks the same; see passwd in /etc/nsswitch.conf" }
}
