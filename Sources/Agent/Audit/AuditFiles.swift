import Audit
import EventLoop
import Glibc
import PKI

/// The directory of an audit log: appends, begins files, removes the oldest. Blocks on the disk; used on the log's own thread.
final class AuditFiles {
    /// A file of the log.
    struct File {
        let name: String
        let first: UInt64
        var size: Int
    }

    /// What somebody else has done to the file that is written.
    enum Change: String {
        /// Nothing has its name any more.
        case removed
        /// Another file has its name.
        case replaced
        /// It is not as long as what was written into it.
        case altered
    }

    /// Which file a name means.
    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64

        init(_ status: stat) {
            device = UInt64(status.st_dev)
            inode = UInt64(status.st_ino)
        }
    }

    let directory: String
    private let maximumTotal: Int
    /// All files, the oldest first.
    private(set) var files: [File]
    private var descriptor: Int32 = -1
    /// The newest file that this process has opened.
    private var identity: Identity?
    /// Why the directory could not be gone on in when the last file was to be begun; nil where that was not it.
    private(set) var directoryProblem: String?
    /// Holds the lock on the directory: two processes would write their chains into each other.
    private var lock: Int32
    /// Bytes that a failed write has left at the end of the newest file, and that could not be taken back.
    private(set) var torn = 0

    /// The bytes of the file that is written; 0 where none is open.
    var currentSize: Int { descriptor >= 0 ? files.last?.size ?? 0 : 0 }
    /// Whether a file is open.
    var isOpen: Bool { descriptor >= 0 }

    /// Looks at the files that there are. The directory is this process' own from now on, until `release`.
    init(directory: String, maximumTotal: Int) throws(StartFailure) {
        self.directory = directory
        self.maximumTotal = maximumTotal
        try StateDirectory.prepare(directory)
        lock = try Self.locked(directory)
        do throws(SystemError) {
            files = try Self.listed(directory)
        } catch {
            Glibc.close(lock)
            throw StartFailure(
                exitCode: 1, lines: ["the audit log in \(directory) cannot be read: \(error)"],
                hint: "see that this user may read the directory")
        }
        // A file that the agent was killed over before its first record was complete.
        while let last = files.last, last.size < AuditLine.largest, !Self.hasRecord(path(last.name)) {
            unlink(path(last.name))
            files.removeLast()
        }
    }

    private static func listed(_ directory: String) throws(SystemError) -> [File] {
        try AuditDirectory.files(directory).map { (name, first) in
            File(name: name, first: first, size: FileStatus.size(directory + "/" + name) ?? 0)
        }
    }

    /// A descriptor of the directory with the lock on it, which the kernel gives back when the process ends, however it does.
    private static func locked(_ directory: String) throws(StartFailure) -> Int32 {
        let descriptor = Glibc.open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            let error = String(cString: strerror(errno))
            throw StartFailure(
                exitCode: 1, lines: ["the audit log in \(directory) cannot be read: \(error)"],
                hint: "see that this user may read the directory")
        }
        // A file system that knows no such locks (some that are mounted from elsewhere) is no reason not to start.
        guard flock(descriptor, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK else { return descriptor }
        Glibc.close(descriptor)
        throw StartFailure(
            exitCode: 1, lines: ["an agent that writes the audit log in \(directory) runs already"],
            hint: "stop it, let this one take over from it (--takeover), or give this one a state directory of its own"
        )
    }

    private static func hasRecord(_ path: String) -> Bool {
        (try? SafeFile.read(path, limit: AuditLine.largest))?.contains(UInt8(ascii: "\n")) ?? false
    }

    deinit { release() }

    /// Goes on with the newest file.
    func reopen() -> Int32 {
        guard let last = files.last else { return ENOENT }
        return opened(Glibc.open(path(last.name), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW))
    }

    /// Begins a file. Gives an error number, 0 for none.
    func begin(first: UInt64) -> Int32 {
        close()
        directoryProblem = nil
        let moved = followDirectory()
        guard moved == 0 else { return moved }
        let name = AuditFileName.name(first: first)
        // Left behind by an attempt that could write nothing.
        if files.last?.name == name, files.last?.size == 0 { discard() }
        let descriptor = Glibc.open(path(name), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        let code = opened(descriptor)
        guard code == 0 else { return code }
        files.append(File(name: name, first: first, size: 0))
        // Whatever the umask.
        guard fchmod(descriptor, 0o600) == 0 else { return errno }
        return AuditDirectory.sync(directory)
    }

    private func opened(_ descriptor: Int32) -> Int32 {
        guard descriptor >= 0 else { return errno }
        close()
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let code = errno
            Glibc.close(descriptor)
            return code
        }
        identity = Identity(status)
        self.descriptor = descriptor
        return 0
    }

    /// Goes on in the directory that has the name now, where somebody has removed or replaced the one that there was: makes it where
    /// there is none, and locks it. Gives an error number, 0 for none.
    private func followDirectory() -> Int32 {
        var (held, found) = (stat(), stat())
        // On a file system from elsewhere what is held may be gone as well (ESTALE).
        let isHeld = fstat(lock, &held) == 0
        if stat(directory, &found) == 0 {
            guard !isHeld || Identity(found) != Identity(held) else { return 0 }
        } else {
            guard errno == ENOENT else { return errno }
        }
        do throws(StartFailure) {
            try StateDirectory.prepare(directory)
            let lock = try Self.locked(directory)
            Glibc.close(self.lock)
            self.lock = lock
        } catch {
            directoryProblem = error.lines.joined(separator: "; ")
            return ESTALE
        }
        do throws(SystemError) {
            files = try Self.listed(directory)
        } catch {
            return error.errno
        }
        return 0
    }

    // MARK: - What others do to the file

    /// What somebody else has done to the file that is written; nil where that is nothing, or no file is open.
    var change: Change? { change(from: currentSize) }

    private func change(from size: Int) -> Change? {
        guard descriptor >= 0, let last = files.last else { return nil }
        var status = stat()
        guard lstat(path(last.name), &status) == 0 else {
            // Other errors say nothing of the file: it is written on, and what cannot be written is told.
            return errno == ENOENT || errno == ENOTDIR ? .removed : nil
        }
        guard Identity(status) == identity else { return .replaced }
        return Int(status.st_size) == size ? nil : .altered
    }

    /// Leaves the file that is written to whoever has changed it: it counts for the log no more, and neither what it was nor what has
    /// its name now is touched.
    func leave() {
        guard isOpen else { return }
        close()
        files.removeLast()
    }

    /// Appends and syncs; gives an error number, 0 for none. After an error the file is as it was before.
    ///
    /// `ESTALE` where the file was removed, replaced or altered meanwhile (``change``), unless it was empty: what is appended would be
    /// nowhere.
    func append(_ bytes: [UInt8]) -> Int32 {
        guard !files.isEmpty, descriptor >= 0 else { return EBADF }
        var written = 0
        var code: Int32 = 0
        bytes.withUnsafeBytes { buffer in
            while written < buffer.count, code == 0 {
                let count = write(descriptor, buffer.baseAddress! + written, buffer.count - written)
                if count >= 0 { written += count } else if errno != EINTR { code = errno }
            }
        }
        if code == 0, fdatasync(descriptor) != 0 { code = errno }
        if code == 0, currentSize > 0, let change = change(from: currentSize + bytes.count) {
            // Somebody else's bytes are never cut off.
            if change == .altered { return ESTALE }
            code = ESTALE
        }
        guard code == 0 else {
            // What is incomplete was never said to be written. Where even that fails, the next file says what is torn here.
            let last = files[files.count - 1]
            if ftruncate(descriptor, off_t(last.size)) != 0 {
                torn = (FileStatus.size(path(last.name)) ?? last.size) - last.size
                close()
            }
            return code
        }
        files[files.count - 1].size += bytes.count
        return 0
    }

    /// Takes back a file that could not be begun. What somebody else has put in its place stays.
    func discard() {
        close()
        guard let last = files.last, last.size == 0 else { return }
        var status = stat()
        if lstat(path(last.name), &status) == 0, Identity(status) == identity { unlink(path(last.name)) }
        files.removeLast()
    }

    /// No more is written into the file.
    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    /// Leaves the directory to another process.
    func release() {
        close()
        if lock >= 0 { Glibc.close(lock) }
        lock = -1
    }

    /// The oldest files that have to go so that the log keeps its bound; never the newest.
    var surplus: [File] {
        var total = files.reduce(0) { $0 + $1.size }
        var found: [File] = []
        for file in files.dropLast() where total > maximumTotal {
            found.append(file)
            total -= file.size
        }
        return found
    }

    /// Removes files, which the log has been told.
    func remove(_ surplus: [File]) {
        for file in surplus {
            unlink(path(file.name))
            files.removeAll { $0.name == file.name }
        }
    }

    func path(_ name: String) -> String { directory + "/" + name }
}

/// Facts about a file.
enum FileStatus {
    /// Its size in bytes; nil where there is none.
    static func size(_ path: String) -> Int? {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : nil
    }
}
