/// Why the store could not do what it was asked.
public struct StoreError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The stable name of a failure.
    public enum Code: String, Sendable, CaseIterable {
        /// Another directory has the file open.
        case locked = "store_locked"
        /// The file is damaged.
        case corrupt = "store_corrupt"
        /// The file is a database, but none of ours.
        case foreign = "store_foreign"
        /// A newer version wrote the file.
        case newerSchema = "store_newer_schema"
        /// The disk is full, or the quota.
        case diskFull = "store_disk_full"
        /// Reading, writing or syncing failed.
        case inputOutput = "store_io_error"
        /// Missing rights, or a directory that others could write to.
        case permission = "store_permission"
        /// The path can't be used: a missing directory, no regular file.
        case path = "store_path"
        /// SQLite refused something that it should not refuse.
        case refused = "store_refused"
    }

    /// The stable name of the failure.
    public let code: Code
    /// The store's file.
    public let path: String
    /// What happened, with SQLite's own words where it said some.
    public let message: String
    /// What to do next.
    public let hint: String

    /// An error from its parts.
    public init(code: Code, path: String, message: String, hint: String) {
        self.code = code
        self.path = path
        self.message = message
        self.hint = hint
    }

    /// `/var/lib/mesh/directory.db: …; …`
    public var description: String { "\(path): \(message); \(hint)" }
}
