import Glibc

/// The host's lists of users and groups, as nsswitch.conf names them. Every question may block: it may go to a name service.
public enum UserDatabase {
    /// A user as the lists have him.
    public struct Entry: Sendable, Hashable {
        /// The login name.
        public let name: String
        /// The primary group.
        public let gid: UInt32
    }

    /// The most memory for one entry, in bytes. What needs more is no user.
    private static let maximumEntry = 1 << 20
    /// The most groups of one user that Linux has (NGROUPS_MAX).
    private static let maximumGroups: Int32 = 65_536

    /// The entry of a uid; nil where the host has none.
    /// - Throws: ``UserLookupError`` when the lists could not be asked, so that nobody knows.
    public static func entry(of uid: UInt32) throws(UserLookupError) -> Entry? {
        var room = 4096
        while true {
            var found: Entry?
            var record = passwd()
            let error = withUnsafeTemporaryAllocation(of: CChar.self, capacity: room) { buffer -> Int32 in
                var result: UnsafeMutablePointer<passwd>?
                let error = getpwuid_r(uid, &record, buffer.baseAddress!, buffer.count, &result)
                if error == 0, result != nil, let name = record.pw_name {
                    found = Entry(name: String(cString: name), gid: record.pw_gid)
                }
                return error
            }
            switch error {
            case 0: return found
            // getpwuid_r(3): all of these are said of a uid that nobody has.
            case ENOENT, ESRCH, EBADF, EPERM: return nil
            case EINTR: continue
            case ERANGE where room < maximumEntry: room *= 4
            default: throw UserLookupError(uid: uid, errno: error)
            }
        }
    }

    /// The groups that the lists give a user, with the primary one: what a login gets. A running process may have others.
    public static func groups(of entry: Entry) -> [UInt32] {
        var room: Int32 = 64
        while true {
            var count = room
            var enough = false
            let groups = [UInt32](unsafeUninitializedCapacity: Int(room)) { buffer, filled in
                enough = getgrouplist(entry.name, entry.gid, buffer.baseAddress!, &count) >= 0
                filled = enough ? Int(count) : 0
            }
            if enough { return groups }
            guard room < maximumGroups else { return [entry.gid] }
            room = min(max(count, room * 2), maximumGroups)
        }
    }
}
