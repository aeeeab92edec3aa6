import CSQLite
import Directory
import Foundation
import Testing

@Suite struct DirectoryStoreTests {
    /// A directory of its own that goes with the test.
    final class Folder {
        let path: String

        init() {
            path = NSTemporaryDirectory() + "directory-store-\(UUID().uuidString)"
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        var file: String { path + "/state/directory.db" }
    }

    private let folder = Folder()

    private func batch(_ registrations: Registration..., revision: UInt64) -> StoreBatch {
        StoreBatch(
            rows: registrations.map {
                ($0.node, StoredNode(registration: $0, submittedHash: $0.hash, state: .up, since: 7))
            }, revision: revision)
    }

    private func mode(_ path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    private func sql(_ text: String) {
        var handle: OpaquePointer?
        #expect(sqlite3_open(folder.file, &handle) == SQLITE_OK)
        #expect(sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK)
        #expect(sqlite3_close(handle) == SQLITE_OK)
    }

    /// In a process of its own: the mask concerns all threads.
    @Test func newStoreIsEmptyAndItsOwners() async {
        await #expect(processExitsWith: .success) {
            let suite = DirectoryStoreTests()
            let folder = suite.folder
            let mask = umask(0)
            defer { umask(mask) }
            let store = try DirectoryStore(path: folder.file)
            let restored = try store.restore()
            #expect(restored.revision == 0)
            #expect(restored.nodes.isEmpty)
            #expect(restored.epoch.utf8.count == 32)
            try store.commit(suite.batch(Make.registration("A", "x"), revision: 1))
            #expect(suite.mode(folder.path + "/state") == 0o700)
            for name in try FileManager.default.contentsOfDirectory(atPath: folder.path + "/state") {
                #expect(suite.mode(folder.path + "/state/" + name) == 0o600, "\(name)")
            }
        }
    }

    @Test func epochsDiffer() throws {
        let other = Folder()
        let one = try DirectoryStore(path: folder.file).restore().epoch
        #expect(try DirectoryStore(path: other.file).restore().epoch != one)
        #expect(try DirectoryStore(path: folder.file).restore().epoch == one)
    }

    @Test func everythingComesBack() throws {
        let first = Registration(
            node: "ACL", bootID: Make.boot("a"), addresses: ["127.0.1.3:7400", "[::1]:7400"],
            metadata: ["zone": "ü \"1\"\n"],
            services: [
                Instance(
                    service: "db", node: "ACL", protocol: "postgres", tags: ["main", "ssd"], weight: 7,
                    metadata: ["k": "v"], health: .critical)
            ])
        let second = Make.registration("B", "web")
        do {
            let store = try DirectoryStore(path: folder.file)
            try store.commit(batch(first, second, Make.registration("gone", "x"), revision: 3))
            try store.commit(StoreBatch(rows: [("gone", nil), ("never", nil)], revision: 4))
            store.close()
        }
        let restored = try DirectoryStore(path: folder.file).restore()
        #expect(restored.revision == 4)
        #expect(
            restored.nodes.sorted { $0.registration.node < $1.registration.node }.map(\.registration) == [
                first, second,
            ])
        #expect(restored.nodes.allSatisfy { $0.state == .up && $0.since == 7 })
        #expect(Set(restored.nodes.map(\.submittedHash)) == [first.hash, second.hash])
    }

    @Test func closedStoreRefuses() throws {
        let store = try DirectoryStore(path: folder.file)
        store.close()
        store.close()
        let error = #expect(throws: StoreError.self) { try store.restore() }
        #expect(error?.code == .refused)
    }

    @Test func twoDirectoriesCannotShareAFile() throws {
        let store = try DirectoryStore(path: folder.file)
        let error = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file) }
        #expect(error?.code == .locked)
        #expect(error?.hint.contains("stop that one") == true)
        // The failed attempt did not take the first one's locks away.
        try store.commit(batch(Make.registration("A"), revision: 1))
        #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file) }
        store.close()
        #expect(try DirectoryStore(path: folder.file).restore().revision == 1)
    }

    @Test func otherProgramsCannotWriteMeanwhile() throws {
        let store = try DirectoryStore(path: folder.file)
        try store.commit(batch(Make.registration("A"), revision: 1))
        var handle: OpaquePointer?
        #expect(sqlite3_open(folder.file, &handle) == SQLITE_OK)
        #expect(sqlite3_exec(handle, "DELETE FROM nodes", nil, nil, nil) == SQLITE_BUSY)
        sqlite3_close(handle)
    }

    @Test func foreignDatabaseIsLeftAlone() throws {
        try FileManager.default.createDirectory(
            atPath: folder.path + "/state", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        sql("CREATE TABLE precious (x); INSERT INTO precious VALUES (1)")
        let error = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file) }
        #expect(error?.code == .foreign)
    }

    @Test func newerSchemaIsLeftAlone() throws {
        try DirectoryStore(path: folder.file).close()
        sql("PRAGMA user_version = 99")
        let error = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file) }
        #expect(error?.code == .newerSchema)
        #expect(error?.message == "the file has schema 99, this program knows 1")
    }

    @Test(arguments: ["text", "header", "page", "row", "meta", "name", "revision"])
    func damageIsNamed(_ kind: String) throws {
        do {
            let store = try DirectoryStore(path: folder.file)
            let rows = (0..<200).flatMap { batch(Make.registration("node-\($0)", "web", "db"), revision: 1).rows }
            try store.commit(StoreBatch(rows: rows, revision: 1))
            store.close()
        }
        func write(_ bytes: [UInt8], at offset: UInt64) throws {
            let handle = try #require(FileHandle(forUpdatingAtPath: folder.file))
            try handle.seek(toOffset: offset)
            try handle.write(contentsOf: Data(bytes))
            try handle.close()
        }
        switch kind {
        case "text":
            try Data("this is no database, however long it may be".utf8).write(to: URL(fileURLWithPath: folder.file))
        case "header": try write([UInt8](repeating: 0xFF, count: 16), at: 0)
        case "page": try write([UInt8](repeating: 0x5A, count: 4096), at: 4 * 4096)
        case "row": sql("UPDATE nodes SET content = '{' WHERE name = 'node-7'")
        case "name": sql("UPDATE nodes SET name = 'else' WHERE name = 'node-7'")
        case "revision": sql("UPDATE meta SET value = -1 WHERE key = 'revision'")
        default: sql("DELETE FROM meta")
        }
        let error = #expect(throws: StoreError.self) { _ = try DirectoryStore(path: folder.file).restore() }
        #expect(error?.code == .corrupt, "\(error.debugDescription)")
        #expect(error?.hint.contains("move the file") == true)
    }

    @Test func writableDirectoryIsRefused() throws {
        try FileManager.default.createDirectory(
            atPath: folder.path + "/state", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o777])
        chmod(folder.path + "/state", 0o777)
        let error = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file) }
        #expect(error?.code == .permission)
        #expect(error?.hint == "chmod 0700 \(folder.path)/state")
    }

    @Test func readableFileIsClosedToOthers() throws {
        try DirectoryStore(path: folder.file).close()
        chmod(folder.file, 0o644)
        try DirectoryStore(path: folder.file).close()
        #expect(mode(folder.file) == 0o600)
    }

    @Test func pathsThatCannotBeUsed() throws {
        try DirectoryStore(path: folder.file).close()
        let below = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.file + "/x.db") }
        #expect(below?.code == .path)
        try FileManager.default.createDirectory(
            atPath: folder.path + "/state/folder", withIntermediateDirectories: false)
        let directory = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.path + "/state/folder") }
        #expect(directory?.code == .path)
        symlink(folder.file, folder.path + "/state/link")
        let link = #expect(throws: StoreError.self) { try DirectoryStore(path: folder.path + "/state/link") }
        #expect(link?.code == .path)
    }
}
