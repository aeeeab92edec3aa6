import Foundation
import PKI
import Synchronization
import Testing

@Suite struct CredentialFilesTests {
    private func files(_ scratch: Scratch) -> CredentialFiles {
        CredentialFiles(certificate: scratch.file("node.crt"), key: scratch.file("node.key"))
    }

    private func issue() throws -> Credentials {
        try Fixture.shared.get().ca.issueCredentials(IssueRequest(node: "db-1", validity: day), now: noon)
    }

    private func mode(_ path: String) throws -> Int {
        try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }

    private func load(_ files: CredentialFiles) throws -> Credentials {
        try Credentials.load(certificateFile: files.certificate, keyFile: files.key)
    }

    /// In a process of its own: the mask concerns all threads.
    @Test func replacesBothWithExactModesAndLeavesNothingBehind() async {
        await #expect(processExitsWith: .success) {
            let suite = CredentialFilesTests()
            let scratch = try Scratch()
            let files = suite.files(scratch)
            let old = umask(0)
            defer { umask(old) }
            for _ in 0..<2 {
                let credentials = try suite.issue()
                try files.replace(by: credentials)
                #expect(try suite.load(files).leaf == credentials.leaf)
            }
            #expect(try suite.mode(files.key) == 0o600)
            #expect(try suite.mode(files.certificate) == 0o644)
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted() == ["node.crt", "node.key"])
        }
    }

    /// An encrypted key that waits is not encrypted once more, and need not be opened to be used; another one takes its place.
    @Test func anEncryptedKeyThatWaitsIsUsedAsItIs() throws {
        let scratch = try Scratch()
        let plain = files(scratch)
        let passphrase = Passphrase("correct horse")
        let files = CredentialFiles(certificate: plain.certificate, key: plain.key, passphrase: passphrase)
        let key = try files.pendingKey()
        let waiting = try Data(contentsOf: URL(fileURLWithPath: files.nextKey))
        #expect(try files.pendingKey() === key)
        let leaf = try Fixture.shared.get().ca.issue(
            IssueRequest(node: "db-1", validity: day), for: key.publicKey, now: noon)
        try files.replace(by: Credentials(chain: [leaf], key: key))
        #expect(try Data(contentsOf: URL(fileURLWithPath: files.key)) == waiting)
        #expect(!FileManager.default.fileExists(atPath: files.nextKey))

        _ = try files.pendingKey()
        let other = try issue()
        try files.replace(by: other)
        let loaded = try Credentials.load(
            certificateFile: files.certificate, keyFile: files.key, passphrase: passphrase)
        #expect(loaded.leaf == other.leaf && loaded.key === other.key)
    }

    /// A plain key that waits from before there was a passphrase is not put in place as it is.
    @Test func aPlainKeyThatWaitsIsEncrypted() throws {
        let scratch = try Scratch()
        let plain = files(scratch)
        let key = try plain.pendingKey()
        let passphrase = Passphrase("correct horse")
        let files = CredentialFiles(certificate: plain.certificate, key: plain.key, passphrase: passphrase)
        #expect(try files.pendingKey().publicKey == key.publicKey)
        let leaf = try Fixture.shared.get().ca.issue(
            IssueRequest(node: "db-1", validity: day), for: key.publicKey, now: noon)
        try files.replace(by: Credentials(chain: [leaf], key: files.pendingKey()))
        #expect(try String(contentsOfFile: files.key, encoding: .utf8).contains("BEGIN ENCRYPTED PRIVATE KEY"))
    }

    /// An agent finishes what it finds begun, also where whoever began it goes on.
    @Test func twoMayFinishTheSameChange() throws {
        let scratch = try Scratch()
        let files = files(scratch)
        let credentials = try (0..<2).map { _ in try issue() }
        let isOver = Mutex(false)
        let failures = Mutex<[String]>([])
        let ended = DispatchSemaphore(value: 0)
        let finisher = Thread {
            while !isOver.withLock({ $0 }) {
                do { try files.finishReplacing() } catch { failures.withLock { $0.append("\(error)") } }
            }
            ended.signal()
        }
        finisher.start()
        for round in 0..<50 { try files.replace(by: credentials[round % 2]) }
        isOver.withLock { $0 = true }
        ended.wait()
        #expect(failures.withLock { $0 } == [])
        #expect(try load(files).leaf == credentials[1].leaf)
    }

    @Test func wherePowerFailsInBetweenTheChangeIsCarriedOut() throws {
        let (old, new) = (try issue(), try issue())
        // Decided, nothing moved; then decided, the key moved.
        for keyMoved in [false, true] {
            let scratch = try Scratch()
            let files = files(scratch)
            try files.replace(by: old)
            try new.write(certificateFile: files.certificate + ".next", keyFile: keyMoved ? files.key : files.nextKey)
            try files.finishReplacing()
            #expect(try load(files).leaf == new.leaf)
        }
    }

    /// In a process of its own: the mask concerns all threads.
    @Test func aKeyThatWaitsIsAskedWithAgain() async {
        await #expect(processExitsWith: .success) {
            let suite = CredentialFilesTests()
            let scratch = try Scratch()
            let files = suite.files(scratch)
            let old = umask(0)
            defer { umask(old) }
            let key = try files.pendingKey()
            #expect(try suite.mode(files.nextKey) == 0o600)
            #expect(try files.pendingKey().publicKey == key.publicKey)
            // A key alone decides nothing.
            try files.finishReplacing()
            #expect(!files.exist)
            let leaf = try Fixture.shared.get().ca.issue(
                IssueRequest(node: "db-1", validity: day), for: key.publicKey, now: noon)
            try files.replace(by: Credentials(chain: [leaf], key: key))
            #expect(try suite.load(files).key.publicKey == key.publicKey)
            #expect(try files.pendingKey().publicKey != key.publicKey)
        }
    }
}
