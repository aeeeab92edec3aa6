import Bytes
import Glibc

/// Whether a private key that group or others may read is refused.
public enum KeyPermissions: Sendable, Hashable {
    /// Refuse with `key_readable_by_others`.
    case enforced
    /// Accept any mode (for secrets mounted by an orchestrator with a group).
    case ignored
}

/// Reading and writing the files that identities live in: bounded reads, atomic writes with an exact mode.
public enum SafeFile {
    /// The largest file that is read, in bytes. A bundle of all public web roots is about 220 KiB.
    public static let sizeLimit = 1 << 20

    /// Whether there is something at `path`.
    public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// Reads a whole regular file.
    ///
    /// - Parameter missing: how to make the file, for the error where it is missing or empty.
    ///
    /// Errors: `unreadable_file`, `too_large`, `empty_file`.
    public static func read(
        _ path: String, limit: Int = sizeLimit, missing: String? = nil
    ) throws(CertificateError) -> [UInt8] {
        try contents(of: path, limit: limit, refusing: 0, missing)
    }

    /// Reads a whole regular file that nobody but root and this user can have written, as ssh demands it of its files (StrictModes):
    /// it is owned by one of them, not writable by others, and by no group but root's and this user's. That is so of the opened file,
    /// not of the path.
    ///
    /// Errors: those of `read`, and `writable_by_others`.
    public static func readOwn(_ path: String, limit: Int = sizeLimit) throws(CertificateError) -> [UInt8] {
        try contents(of: path, limit: limit, refusing: 0, ownOnly: true, nil)
    }

    /// Reads a whole regular file that holds a secret; the mode is that of the opened file, not of the path.
    ///
    /// Errors: those of `read`, and `key_readable_by_others`.
    public static func readSecret(
        _ path: String, limit: Int = sizeLimit, permissions: KeyPermissions = .enforced,
        missing: String? = nil
    ) throws(CertificateError) -> [UInt8] {
        try contents(of: path, limit: limit, refusing: permissions == .enforced ? 0o077 : 0, missing)
    }

    /// Writes a file atomically: temporary file in the same directory, exact mode whatever the umask, fsync, rename,
    /// fsync of the directory. A reader sees the old file or the new one, never a part.
    ///
    /// Errors: `unwritable_file`, also when `replace` is false and the file exists.
    ///
    /// - Parameter owner: whose it is to be; nil for whoever writes it.
    public static func write(
        _ bytes: [UInt8], to path: String, mode: UInt32, replace: Bool = true, owner: FileOwner? = nil
    ) throws(CertificateError) {
        let (directory, name) = split(path)
        let temporary = "\(directory)/.\(name).\(Hex.encode(Sodium.random(6))).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw unwritable(path, "cannot create a file in \(directory)", errno) }
        if let owner, !owner.takes(descriptor) {
            let code = errno
            close(descriptor)
            unlink(temporary)
            throw CertificateError(
                .unwritableFile, "cannot give it to its owner (\(owner)): \(text(of: code))",
                hint: "run this as root, or as the user whose file it is", file: path)
        }
        var failure = store(bytes, in: descriptor, mode: mode)
        if close(descriptor) != 0, failure == 0 { failure = errno }
        if failure == 0 {
            if replace {
                if rename(temporary, path) != 0 { failure = errno }
            } else if link(temporary, path) != 0 {
                failure = errno
            }
        }
        if failure != 0 || !replace { unlink(temporary) }
        guard failure == 0 else { throw unwritable(path, "cannot write", failure) }
        syncDirectory(of: path)
    }

    /// Syncs the directory that a file lies in, so that a rename survives the loss of power.
    static func syncDirectory(of path: String) {
        let folder = open(split(path).directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { return }
        // A file system that cannot sync directories (EINVAL) gives no better promise; the file itself is synced.
        _ = fsync(folder)
        _ = close(folder)
    }

    private static func contents(
        of path: String, limit: Int, refusing mask: mode_t, ownOnly: Bool = false, _ missing: String?
    ) throws(CertificateError) -> [UInt8] {
        // Non-blocking, so that a FIFO put there by mistake does not hang the start.
        let descriptor = retrying { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
        guard descriptor >= 0 else { throw unreadable(path, errno, missing) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno, missing) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CertificateError(
                .unreadableFile, "is not a regular file", hint: "give the path of a regular file", file: path)
        }
        guard status.st_mode & mask == 0 else {
            let mode = String(status.st_mode & 0o777, radix: 8)
            throw CertificateError(
                .keyReadableByOthers, "group or others have access to this secret (mode 0\(mode))",
                hint: "run: chmod 600 \(path)", file: path)
        }
        if ownOnly { try demandOwn(status, path) }
        guard status.st_size <= limit else { throw tooLarge(path, limit) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(status.st_size) + 1)
        var chunk = [UInt8](repeating: 0, count: 16_384)
        defer { chunk.wipe() }
        while true {
            let count = chunk.withUnsafeMutableBytes { buffer in
                retrying { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
            }
            guard count >= 0 else { throw unreadable(path, errno, missing) }
            guard count > 0 else { break }
            bytes.append(contentsOf: chunk[..<count])
            guard bytes.count <= limit else { throw tooLarge(path, limit) }
        }
        guard !bytes.isEmpty else {
            throw CertificateError(
                .emptyFile, "the file is empty", hint: missing ?? "was it cut short? Copy it again", file: path)
        }
        return bytes
    }

    private static func demandOwn(_ status: stat, _ path: String) throws(CertificateError) {
        let mode = String(status.st_mode & 0o777, radix: 8)
        let who: String
        if status.st_uid != 0, status.st_uid != geteuid() {
            who = "it belongs to the user \(status.st_uid), who is neither root nor this one"
        } else if status.st_mode & 0o002 != 0 {
            who = "everybody may write it (mode 0\(mode))"
        } else if status.st_mode & 0o020 != 0, status.st_gid != 0, status.st_gid != getegid() {
            who = "the group \(status.st_gid) may write it (mode 0\(mode))"
        } else {
            return
        }
        throw CertificateError(
            .writableByOthers, who, hint: "look at it, then make it yours: chown, chmod go-w \(path)", file: path)
    }

    /// Writes, sets the mode and syncs; 0 or an errno.
    private static func store(_ bytes: [UInt8], in descriptor: Int32, mode: UInt32) -> Int32 {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                retrying { Glibc.write(descriptor, buffer.baseAddress! + offset, buffer.count - offset) }
            }
            guard count >= 0 else { return errno }
            offset += count
        }
        guard fchmod(descriptor, mode) == 0, retrying({ fsync(descriptor) }) == 0 else { return errno }
        return 0
    }

    private static func retrying<Value: SignedInteger>(_ call: () -> Value) -> Value {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    private static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        let name = String(path[path.index(after: slash)...])
        return (slash == path.startIndex ? "/" : String(path[..<slash]), name)
    }

    private static func tooLarge(_ path: String, _ limit: Int) -> CertificateError {
        CertificateError(
            .tooLarge, "the file is larger than \(limit) bytes",
            hint: "keys and certificate chains are a few KiB; check the path", file: path)
    }

    private static func unreadable(_ path: String, _ code: Int32, _ missing: String?) -> CertificateError {
        let hint =
            switch code {
            case ENOENT: missing ?? "check the path"
            case EACCES: "run as the user that owns the file, or give that user access (ls -l \(path))"
            default: "check the path (ls -l \(path))"
            }
        return CertificateError(
            .unreadableFile, "cannot read: \(text(of: code))", hint: hint, file: path, isMissingFile: code == ENOENT)
    }

    private static func unwritable(_ path: String, _ what: String, _ code: Int32) -> CertificateError {
        let hint =
            code == EEXIST ? "move the old file away, or ask for it to be replaced" : "check directory and rights"
        return CertificateError(.unwritableFile, "\(what): \(text(of: code))", hint: hint, file: path)
    }

    private static func text(of code: Int32) -> String { String(cString: strerror(code)) }
}

/// The user and group to whom a file belongs.
public struct FileOwner: Sendable, Hashable, CustomStringConvertible {
    /// The user's number.
    public let user: UInt32
    /// The group's number.
    public let group: UInt32

    /// The owner of a file; nil where there is none.
    public init?(of path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        (user, group) = (status.st_uid, status.st_gid)
    }

    /// Gives an open file to this owner; false with errno where that is not permitted.
    func takes(_ descriptor: Int32) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return status.st_uid == user && status.st_gid == group || fchown(descriptor, user, group) == 0
    }

    /// `USER:GROUP`, as `chown` takes it.
    public var description: String { "\(user):\(group)" }
}
