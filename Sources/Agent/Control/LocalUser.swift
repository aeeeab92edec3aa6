import Policy

/// A user of this host: what the kernel says of a process at the other end of a Unix socket, and his name.
struct LocalUser: Sendable, Hashable, CustomStringConvertible {
    /// Effective user id.
    let uid: UInt32
    /// The login name; nil where the host has none for the number, and before it was looked up (``LocalUsers/named(_:)``).
    var name: String?
    /// The effective group, and the supplementary ones.
    let gids: [UInt32]

    /// What a policy maps.
    var subject: Subject { .user(uid: uid, name: name, gids: gids) }

    /// `uid:1000`
    var description: String { "uid:\(uid)" }
}
