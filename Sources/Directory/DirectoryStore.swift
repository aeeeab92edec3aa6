import CSQLite
import JSON
import Synchronization

/// The directory's file: SQLite in WAL mode with `synchronous=FULL`.
///
/// ``commit(_:)`` returns only after the write-ahead log was synced. It blocks on the disk: call it on a thread of its
/// own. One process at a time has the file open.
public final class DirectoryStore: Sendable {
    /// Marks the file as ours (`PRAGMA application_id`): "Mesh".
    static let applicationID: Int64 = 0x4D65_7368
    /// One step for each schema version, from the one before; a step is never changed after a release.
    static let migrations: [[String]] = [
        [
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
            "CREATE TABLE nodes (name TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID",
            "INSERT INTO meta VALUES ('epoch', lower(hex(randomblob(16)))), ('revision', 0)",
        ]
    ]

    /// The connection with the lock that goes with it; the database closes first.
    private final class Opened {
        let connection: SQLiteConnection
        let files: StoreFiles

        init(_ connection: SQLiteConnection, _ files: consuming StoreFiles) {
            self.connection = connection
            self.files = files
        }
    }

    /// The file.
    public let path: String
    private let opened: Mutex<Opened?>

    /// Opens the file, or makes it: mode 0600 in a directory of mode 0700.
    ///
    /// - Throws: ``StoreError``: the file is locked, damaged, somebody else's or newer than this program; the disk is
    ///   full; rights are missing.
    public convenience init(path: String) throws(StoreError) {
        try self.init(path: path, vfs: nil)
    }

    /// Opens the file through a VFS, for tests.
    package init(path: String, vfs: String?) throws(StoreError) {
        self.path = path
        let files = try StoreFiles(path: path)
        let connection = try SQLiteConnection(path: path, vfs: vfs)
        try connection.prepare(applicationID: Self.applicationID, migrations: Self.migrations)
        opened = Mutex(Opened(connection, files))
    }

    /// What the store has.
    public func restore() throws(StoreError) -> RestoredDirectory {
        try withConnection { (connection) throws(StoreError) in
            var epoch: String?
            var revision: Int64?
            try connection.run("SELECT key, value FROM meta") { (row) in
                switch row.text(0) {
                case Array("epoch".utf8): epoch = String(decoding: row.text(1), as: UTF8.self)
                case Array("revision".utf8): revision = row.integer(1)
                default: break
                }
            }
            guard let epoch, let revision, revision >= 0 else {
                throw .corrupt(connection.path, "epoch or revision is missing")
            }
            var nodes: [StoredNode] = []
            try connection.run("SELECT name, content FROM nodes") { (row) throws(StoreError) in
                nodes.append(try Self.decode(row, connection.path))
            }
            return RestoredDirectory(epoch: epoch, revision: UInt64(revision), nodes: nodes)
        }
    }

    /// Stores a batch in one transaction and returns after it was synced.
    ///
    /// - Throws: ``StoreError``; then nothing of the batch counts.
    public func commit(_ batch: StoreBatch) throws(StoreError) {
        try withConnection { (connection) throws(StoreError) in
            try connection.transaction { () throws(StoreError) in
                for (node, content) in batch.rows {
                    if let content {
                        try connection.run(
                            "INSERT INTO nodes VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET content = excluded.content",
                            [.text(Array(node.utf8)), .text(content.json.serialized())])
                    } else {
                        try connection.run("DELETE FROM nodes WHERE name = ?", [.text(Array(node.utf8))])
                    }
                }
                try connection.run(
                    "UPDATE meta SET value = ? WHERE key = 'revision'", [.integer(Int64(batch.revision))])
            }
        }
    }

    /// Closes the file; what was committed stays, everything later fails. Closing twice does no harm.
    public func close() {
        opened.withLock { $0 = nil }
    }

    private func withConnection<Result: Sendable>(
        _ body: (SQLiteConnection) throws(StoreError) -> Result
    ) throws(StoreError) -> Result {
        try opened.withLock { (opened) throws(StoreError) -> Result in
            guard let opened else {
                throw StoreError(
                    code: .refused, path: path, message: "the store was closed", hint: "start the directory again")
            }
            return try body(opened.connection)
        }
    }

    private static func decode(_ row: SQLiteConnection.Row, _ path: String) throws(StoreError) -> StoredNode {
        let name = String(decoding: row.text(0), as: UTF8.self)
        do {
            let stored = try StoredNode(json: try JSONReader.parse(row.text(1)))
            guard stored.registration.node == name else {
                throw StoreError.corrupt(path, "the row of \(name) is another node's")
            }
            return stored
        } catch let error as StoreError {
            throw error
        } catch {
            throw .corrupt(path, "the row of \(name) can't be read: \(error)")
        }
    }
}
