import CSQLite
import Synchronization

/// A SQLite VFS whose writes and syncs are recorded and can be made to fail.
final class TraceDisk: Sendable {
    struct State {
        var log: [String] = []
        /// The operations from which on calls fail, with the code; counted down by calls that match.
        var failure: (operation: Int32, after: Int, code: Int32)?
    }

    let name: String
    private let state = Mutex(State())

    init(_ name: String) {
        self.name = name
        let context = Unmanaged.passUnretained(self).toOpaque()
        let hook: mesh_vfs_hook = { context, operation, path, _, _ in
            guard let context, let path else { return SQLITE_OK }
            let disk = Unmanaged<TraceDisk>.fromOpaque(context).takeUnretainedValue()
            return disk.note(operation, String(cString: path))
        }
        mesh_vfs_register(name, hook, context)
    }

    deinit {
        mesh_vfs_unregister(name)
    }

    /// Puts something of the test's own into the record.
    func mark(_ text: String) {
        state.withLock { $0.log.append(text) }
    }

    /// The record since the last time: `write wal`, `sync wal`, `sync db`, ….
    func take() -> [String] {
        state.withLock { (state) in
            let log = state.log
            state.log = []
            return log
        }
    }

    /// Makes calls of an operation fail, all after the first `count`.
    func fail(_ operation: Int32, after count: Int = 0, with code: Int32) {
        state.withLock { $0.failure = (operation, count, code) }
    }

    func heal() {
        state.withLock { $0.failure = nil }
    }

    private func note(_ operation: Int32, _ path: String) -> Int32 {
        let file = path.hasSuffix("-wal") ? "wal" : "db"
        let what =
            switch Int(operation) {
            case Int(MESH_VFS_WRITE): "write"
            case Int(MESH_VFS_SYNC): "sync"
            case Int(MESH_VFS_TRUNCATE): "truncate"
            default: "open"
            }
        return state.withLock {
            $0.log.append("\(what) \(file)")
            guard let failure = $0.failure, failure.operation == operation else { return SQLITE_OK }
            if failure.after > 0 {
                $0.failure?.after -= 1
                return SQLITE_OK
            }
            return failure.code
        }
    }
}
