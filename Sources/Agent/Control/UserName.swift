import Glibc

/// Names of local users.
enum UserName {
    /// The user's name; `nil` where the host has none for the number.
    static func of(_ uid: UInt32) -> String? {
        var entry = passwd()
        var result: UnsafeMutablePointer<passwd>?
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { buffer in
            guard let base = buffer.baseAddress, getpwuid_r(uid, &entry, base, buffer.count, &result) == 0,
                result != nil,
                let name = entry.pw_name
            else { return nil }
            return String(cString: name)
        }
    }
}
