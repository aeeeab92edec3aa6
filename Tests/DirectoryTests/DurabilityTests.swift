import CSQLite
import Directory
import Policy
import Testing

/// What reaches the disk, and when: through a VFS that records and fails.
@Suite struct DurabilityTests {
    private let folder = DirectoryStoreTests.Folder()
    private let disk: TraceDisk
    private let store: DirectoryStore

    init() throws {
        disk = TraceDisk("trace-\(folder.path)")
        store = try DirectoryStore(path: folder.file, vfs: disk.name)
        _ = disk.take()
    }

    private func batch(_ node: String, _ revision: UInt64) -> StoreBatch {
        let registration = Make.registration(node, "web")
        let stored = StoredNode(registration: registration, submittedHash: registration.hash, state: .up, since: 0)
        return StoreBatch(rows: [(node, stored)], revision: revision)
    }

    @Test func commitReturnsAfterTheSync() throws {
        for revision in 1...20 {
            try store.commit(batch("n\(revision)", UInt64(revision)))
            disk.mark("answered")
            let log = disk.take()
            let lastWrite = try #require(log.lastIndex(of: "write wal"))
            let sync = try #require(log.lastIndex(of: "sync wal"), "\(log)")
            #expect(lastWrite < sync)
            #expect(log.last == "answered")
            #expect(log.count { $0 == "sync wal" } == 1, "one sync for a transaction: \(log)")
        }
    }

    /// The whole way: a registration through the service, its reply after the sync.
    @Test func replyComesAfterTheSync() throws {
        let policy = try PolicyDocument.parse(
            "{ identities: [{ match: { node: '**' }, permissions: 'mesh-node' }], "
                + "rules: [{ allow: 'register', from: 'node:**', to: '**' }] }", file: "p")
        var service = DirectoryService(
            restored: try store.restore(), policy: policy, trustDomain: "m", settings: Make.settings, now: Make.time(0))
        let node = policy.principal(for: .node(commonName: nil, spiffe: "spiffe://m/node/A"))
        guard case .pending(let ticket) = service.perform(.register(Make.registration("A", "web")), by: node) else {
            Issue.record("not pending")
            return
        }
        #expect(service.snapshot.nodeCount == 0)
        guard case .commit(let batch) = service.step(at: Make.time(1)) else {
            Issue.record("nothing to store")
            return
        }
        #expect(disk.take().isEmpty)
        // Readers see nothing that is not on the disk.
        #expect(service.snapshot.nodeCount == 0)
        try store.commit(batch)
        let replies = service.finish(.success(()), at: Make.time(2))
        disk.mark("reply")
        #expect(replies.map(\.ticket) == [ticket])
        #expect(service.snapshot.nodeCount == 1)
        let log = disk.take()
        #expect(log.last == "reply")
        #expect(log.contains("sync wal"))
    }

    @Test(arguments: [1, 2, 64, 500]) func aBatchCostsOneSync(_ count: Int) throws {
        var rows: [(node: String, content: StoredNode?)] = []
        for number in 0..<count { rows += batch("n\(number)", 1).rows }
        try store.commit(StoreBatch(rows: rows, revision: 1))
        #expect(disk.take().count { $0 == "sync wal" } == 1)
        #expect(try store.restore().nodes.count == count)
    }

    @Test func fullDiskIsReportedAndLosesNothing() throws {
        try store.commit(batch("A", 1))
        disk.fail(Int32(MESH_VFS_WRITE), with: SQLITE_FULL)
        let error = #expect(throws: StoreError.self) { try store.commit(batch("B", 2)) }
        #expect(error?.code == .diskFull)
        #expect(error?.hint.contains("make room") == true)
        #expect(try store.restore().nodes.map(\.registration.node) == ["A"])
        #expect(try store.restore().revision == 1)
        // With room again it goes on.
        disk.heal()
        try store.commit(batch("C", 2))
        store.close()
        let restored = try DirectoryStore(path: folder.file).restore()
        #expect(Set(restored.nodes.map(\.registration.node)) == ["A", "C"])
        #expect(restored.revision == 2)
    }

    @Test func diskThatFillsInTheMiddleStoresAllOrNothing() throws {
        try store.commit(batch("A", 1))
        for after in 0..<8 {
            disk.fail(Int32(MESH_VFS_WRITE), after: after, with: SQLITE_FULL)
            var rows: [(node: String, content: StoredNode?)] = []
            for number in 0..<60 { rows += batch("b\(number)", 2).rows }
            let error = #expect(throws: StoreError.self) {
                try store.commit(StoreBatch(rows: rows, revision: 2))
            }
            #expect(error?.code == .diskFull)
            disk.heal()
            #expect(try store.restore().nodes.count == 1)
        }
    }

    @Test func failedSyncIsNoAnswer() throws {
        try store.commit(batch("A", 1))
        disk.fail(Int32(MESH_VFS_SYNC), with: SQLITE_IOERR | (4 << 8))
        let error = #expect(throws: StoreError.self) { try store.commit(batch("B", 2)) }
        #expect(error?.code == .inputOutput)
        disk.heal()
        #expect(try store.restore().nodes.map(\.registration.node) == ["A"])
        try store.commit(batch("C", 2))
        #expect(try store.restore().nodes.count == 2)
    }

    @Test func checkpointsSyncBothFiles() throws {
        // Past a thousand pages the log is brought into the database, and both are synced first.
        var log: [String] = []
        for revision in 1...60 {
            var rows: [(node: String, content: StoredNode?)] = []
            for number in 0..<100 { rows += batch("n\(number)-\(revision)", 1).rows }
            try store.commit(StoreBatch(rows: rows, revision: UInt64(revision)))
            log += disk.take()
        }
        let write = try #require(log.firstIndex(of: "write db"))
        #expect(log[..<write].last == "sync wal" || log[..<write].last == "truncate db", "\(log[..<write].suffix(3))")
        #expect(log[write...].contains("sync db"))
    }
}
