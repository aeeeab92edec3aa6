import Glibc

/// The store's files: made for their owner alone, and locked against a second directory.
package struct StoreFiles: ~Copyable {
    private let lock: Int32

    /// Makes directory and file where they are missing, checks what is there, and takes the lock.
    ///
    /// The lock is a file of its own: closing any descriptor of the database would drop the locks that SQLite has on
    /// it (POSIX `fcntl` locks belong to the process).
    package init(path: String) throws(StoreError) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try Self.makeDirectory(String(path[..<slash]), for: path)
        }
        let lock = try Self.open("\(path)-lock", for: path)
        guard Self.retrying({ flock(lock, LOCK_EX | LOCK_NB) }) == 0 else {
            close(lock)
            throw .locked(path)
        }
        do throws(StoreError) {
            close(try Self.open(path, for: path))
        } catch {
            close(lock)
            throw error
        }
        self.lock = lock
    }

    deinit {
        // Not only closed: a child that is just being started still has a copy, which would keep the lock for it.
        flock(lock, LOCK_UN)
        close(lock)
    }

    private static func makeDirectory(_ directory: String, for path: String) throws(StoreError) {
        var made = ""
        for part in directory.split(separator: "/", omittingEmptySubsequences: false) {
            made += made.isEmpty && part.isEmpty ? "/" : made.hasSuffix("/") || made.isEmpty ? part : "/\(part)"
            guard made != "/", mkdir(made, 0o700) != 0, errno != EEXIST else { continue }
            // A read-only or foreign parent that exists may refuse with another error; what counts is the last one.
            var status = stat()
            guard stat(made, &status) != 0 else { continue }
            throw failure(errno, "can't make the directory \(made)", path)
        }
        var status = stat()
        guard stat(directory, &status) == 0 else { throw failure(errno, "can't read \(directory)", path) }
        guard status.st_mode & 0o022 == 0 else {
            throw StoreError(
                code: .permission, path: path, message: "others can write to \(directory)",
                hint: "chmod 0700 \(directory)")
        }
    }

    private static func open(_ file: String, for path: String) throws(StoreError) -> Int32 {
        let descriptor = retrying { Glibc.open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600) }
        guard descriptor >= 0 else { throw failure(errno, "can't open \(file)", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw StoreError(
                code: .path, path: path, message: "\(file) is no regular file", hint: "name another file")
        }
        if status.st_mode & 0o077 != 0, fchmod(descriptor, 0o600) != 0 {
            let error = failure(errno, "others can read \(file)", path)
            close(descriptor)
            throw error
        }
        return descriptor
    }

    private static func retrying(_ call: () -> Int32) -> Int32 {
        while true {
            let result = call()
            if result != -1 || errno != EINTR { return result }
        }
    }

    private static func failure(_ code: Int32, _ what: String, _ path: String) -> StoreError {
        let message = "\(what): \(String(cString: strerror(code)))"
        return switch code {
        case EACCES, EPERM, EROFS:
            StoreError(
                code: .permission, path: path, message: message,
                hint: "give the agent's user the right to write there, or name another file")
        case ENOSPC, EDQUOT:
            StoreError(code: .diskFull, path: path, message: message, hint: "make room on the disk")
        default:
            StoreError(code: .path, path: path, message: message, hint: "name another file")
        }
    }
}
