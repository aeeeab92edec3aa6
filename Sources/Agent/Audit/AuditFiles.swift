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

    let directory: String
    private let maximumTotal: Int
    /// All files, the oldest first.
    private(set) var files: [File]
    private var descriptor: Int32 = -1
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
            files = try AuditDirectory.files(directory).map { (name, first) in
                File(name: name, first: first, size: FileStatus.size(directory + "/" + name) ?? 0)
            }
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
        self.descriptor = descriptor
        return 0
    }

    /// Appends and syncs; gives an error number, 0 for none. After an error the file is as it was before.
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

    /// Takes back a file that could not be begun.
    func discard() {
        close()
        guard let last = files.last, last.size == 0 else { return }
        unlink(path(last.name))
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
