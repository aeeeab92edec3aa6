import CSQLite

/// One SQLite connection: the thin layer between Swift and the C library. Used by one thread at a time.
package final class SQLiteConnection {
    /// The file.
    package let path: String
    private let handle: OpaquePointer
    private var statements: [String: OpaquePointer] = [:]

    /// Opens an existing file.
    package init(path: String, vfs: String?) throws(StoreError) {
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(path, &handle, flags, vfs)
        guard code == SQLITE_OK, let handle else {
            let error = Self.error(code, handle, path)
            sqlite3_close_v2(handle)
            throw error
        }
        self.path = path
        self.handle = handle
        _ = mesh_sqlite_set_defensive(handle)
    }

    deinit {
        for statement in statements.values { sqlite3_finalize(statement) }
        sqlite3_close_v2(handle)
    }

    /// What a statement is given.
    package enum Value {
        /// UTF-8.
        case text([UInt8])
        /// A number.
        case integer(Int64)
    }

    /// A row that is being read; valid until the closure that gets it returns.
    package struct Row {
        fileprivate let statement: OpaquePointer

        /// An integer column.
        package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

        /// A text column.
        package func text(_ column: Int32) -> [UInt8] {
            let count = Int(sqlite3_column_bytes(statement, column))
            guard count > 0, let bytes = sqlite3_column_blob(statement, column) else { return [] }
            return Array(UnsafeRawBufferPointer(start: bytes, count: count))
        }
    }

    /// Runs a statement to its end, every row through `read`. Statements are prepared once and kept.
    package func run(
        _ sql: String, _ values: [Value] = [], _ read: (Row) throws(StoreError) -> Void = { (_) in }
    ) throws(StoreError) {
        let statement = try prepared(sql)
        defer {
            sqlite3_reset(statement)
            sqlite3_clear_bindings(statement)
        }
        for (number, value) in values.enumerated() {
            let code =
                switch value {
                case .integer(let integer): sqlite3_bind_int64(statement, Int32(number + 1), integer)
                case .text(let bytes):
                    bytes.withUnsafeBytes {
                        mesh_sqlite_bind_text(
                            statement, Int32(number + 1), $0.baseAddress?.assumingMemoryBound(to: CChar.self),
                            Int32($0.count))
                    }
                }
            guard code == SQLITE_OK else { throw failure(code) }
        }
        while true {
            let code = sqlite3_step(statement)
            if code == SQLITE_DONE { return }
            guard code == SQLITE_ROW else { throw failure(code) }
            try read(Row(statement: statement))
        }
    }

    /// The one integer that a statement gives.
    package func integer(_ sql: String) throws(StoreError) -> Int64? {
        var result: Int64?
        try run(sql) { (row) in result = row.integer(0) }
        return result
    }

    /// Runs `body` in one transaction; on an error nothing of it remains.
    package func transaction(_ body: () throws(StoreError) -> Void) throws(StoreError) {
        try run("BEGIN IMMEDIATE")
        do throws(StoreError) {
            try body()
            try run("COMMIT")
        } catch {
            // After some failures SQLite has already rolled back, and says so by this.
            if sqlite3_get_autocommit(handle) == 0 { try? run("ROLLBACK") }
            throw error
        }
    }

    private func prepared(_ sql: String) throws(StoreError) -> OpaquePointer {
        if let statement = statements[sql] { return statement }
        var statement: OpaquePointer?
        let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let statement else { throw failure(code) }
        statements[sql] = statement
        return statement
    }

    private func failure(_ code: Int32) -> StoreError {
        Self.error(code, handle, path)
    }

    private static func error(_ code: Int32, _ handle: OpaquePointer?, _ path: String) -> StoreError {
        let text = handle.flatMap(sqlite3_errmsg).map { String(cString: $0) } ?? String(cString: sqlite3_errstr(code))
        let message = "SQLite: \(text) (\(code))"
        return switch code & 0xFF {
        case SQLITE_BUSY, SQLITE_LOCKED: .locked(path)
        case SQLITE_CORRUPT, SQLITE_NOTADB: .corrupt(path, message)
        case SQLITE_FULL:
            StoreError(
                code: .diskFull, path: path, message: message,
                hint:
                    "make room on the disk; nothing that was acknowledged is lost, and the directory goes on by itself")
        case SQLITE_IOERR, SQLITE_CANTOPEN:
            StoreError(
                code: .inputOutput, path: path, message: message, hint: "look into the kernel's log for disk errors")
        case SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH:
            StoreError(
                code: .permission, path: path, message: message,
                hint: "give the agent's user the right to write the file and its directory")
        default:
            StoreError(code: .refused, path: path, message: message, hint: "this is a defect; please report it")
        }
    }
}

extension StoreError {
    static func locked(_ path: String) -> StoreError {
        StoreError(
            code: .locked, path: path,
            message: "another process has the file open: does another agent run with this state directory?",
            hint: "stop that one, or give this one a state directory of its own (node.stateDirectory)")
    }

    static func corrupt(_ path: String, _ message: String) -> StoreError {
        StoreError(
            code: .corrupt, path: path, message: message,
            hint: "move the file (and its -wal) away and start again: every agent registers anew by itself")
    }
}
