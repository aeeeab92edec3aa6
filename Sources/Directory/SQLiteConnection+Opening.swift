extension SQLiteConnection {
    /// Makes a file ready: alone on it, with a synced write-ahead log, sound, ours, and with the newest schema.
    ///
    /// - Parameters:
    ///   - applicationID: marks the file as ours (`PRAGMA application_id`).
    ///   - migrations: the statements of each schema version, from the one before.
    /// - Throws: ``StoreError``: the file is locked, damaged, somebody else's or newer than this program; the disk fails.
    package func prepare(applicationID: Int64, migrations: [[String]]) throws(StoreError) {
        // Alone on the file: SQLite then needs no shared memory, and a second writer gets SQLITE_BUSY.
        try run("PRAGMA locking_mode = EXCLUSIVE")
        try run("PRAGMA cell_size_check = ON")
        let id = try integer("PRAGMA application_id") ?? 0
        let version = try integer("PRAGMA user_version") ?? 0
        let tables = try integer("SELECT count(*) FROM sqlite_schema") ?? 0
        guard id == applicationID || (id == 0 && tables == 0) else {
            throw StoreError(
                code: .foreign, path: path, message: "the file is another program's database",
                hint: "name another file")
        }
        guard version <= migrations.count else {
            throw StoreError(
                code: .newerSchema, path: path,
                message: "the file has schema \(version), this program knows \(migrations.count)",
                hint: "run the newer version again, or move the file away: every agent registers anew by itself")
        }
        var mode = ""
        try run("PRAGMA journal_mode = WAL") { (row) in mode = String(decoding: row.text(0), as: UTF8.self) }
        guard mode == "wal" else {
            throw StoreError(
                code: .inputOutput, path: path, message: "the file system can't have a write-ahead log",
                hint: "put the file on a local file system")
        }
        // Every commit syncs the log before it returns.
        try run("PRAGMA synchronous = FULL")
        // A log that grew in a burst is cut back to this at the next checkpoint.
        try run("PRAGMA journal_size_limit = 16777216")
        try check()
        try migrate(migrations, from: Int(version), applicationID)
    }

    private func check() throws(StoreError) {
        var finding = ""
        try run("PRAGMA quick_check(1)") { (row) in finding = String(decoding: row.text(0), as: UTF8.self) }
        guard finding == "ok" else { throw .corrupt(path, "the file is damaged: \(finding)") }
    }

    private func migrate(_ migrations: [[String]], from version: Int, _ applicationID: Int64) throws(StoreError) {
        guard version < migrations.count else { return }
        try transaction { () throws(StoreError) in
            for step in migrations[version...] {
                for statement in step { try run(statement) }
            }
            try run("PRAGMA application_id = \(applicationID)")
            try run("PRAGMA user_version = \(migrations.count)")
        }
    }
}
