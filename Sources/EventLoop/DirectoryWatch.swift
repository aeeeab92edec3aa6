internal import CLinux
internal import Glibc

/// Tells when something in a set of directories changes: a file written, renamed, removed, a symlink replaced (inotify(7)).
///
/// It says that something has happened, not what: whoever cares looks. Directories that do not exist are passed over.
public final class DirectoryWatch {
    private var descriptor: FileDescriptor?
    private var registration: Registration?
    private var watched: [String: Int32] = [:]
    private let loop: EventLoop
    private let changed: () -> Void

    /// Watches nothing yet; `changed` is called on the loop's thread, once for all that happened meanwhile.
    public init(loop: EventLoop, changed: @escaping () -> Void) throws(SystemError) {
        self.loop = loop
        self.changed = changed
        let fd = clinux_inotify()
        try Syscall.check(fd, "inotify_init1")
        descriptor = FileDescriptor(owning: fd)
        registration = try loop.register(fd, .readable, self)
    }

    /// Watches these directories and no others.
    ///
    /// - Returns: why the kernel does not watch one of those that exist: ENOSPC where the user has used up
    ///   `fs.inotify.max_user_watches`. The others are watched.
    @discardableResult
    public func set(_ directories: Set<String>) -> SystemError? {
        guard let fd = descriptor?.rawValue else { return nil }
        var failure: SystemError?
        for (directory, watch) in watched where !directories.contains(directory) {
            _ = clinux_unwatch(fd, watch)
            watched[directory] = nil
        }
        for directory in directories {
            // Once more for those that are watched: the name may mean another directory now.
            let watch = directory.withCString { clinux_watch(fd, $0) }
            watched[directory] = watch >= 0 ? watch : nil
            if watch < 0, ![Errno.noSuchFile, Errno.notDirectory].contains(errno) {
                failure = SystemError(call: "inotify_add_watch", subject: directory, errno: errno)
            }
        }
        return failure
    }

    /// Ends.
    public func close() {
        if let registration = registration.take() { loop.deregister(registration) }
        descriptor = nil
        watched = [:]
    }
}

extension DirectoryWatch: EventHandler {
    /// Reads what happened.
    public func ready(_ readiness: Readiness, loop: EventLoop) {
        var hasChanged = false
        withUnsafeTemporaryAllocation(byteCount: 16 << 10, alignment: 8) { buffer in
            while let fd = descriptor?.rawValue, case .done(let count) = Syscall.read(fd, buffer), count > 0 {
                hasChanged = true
            }
        }
        if hasChanged { changed() }
    }
}
