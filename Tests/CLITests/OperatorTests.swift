import Documents
import Foundation
import JSON
import PKI
import Testing

/// Who may sign documents: made with the CA, changed by the root's key.
@Suite struct OperatorTests {
    private let workspace: Workspace

    init() throws {
        workspace = try Workspace()
        try workspace.write("secret\n", to: "pass", mode: 0o600)
        try #require(
            try mesh(["ca", "init", "--trust-domain", "mesh.test", "--passphrase-file", "pass"], in: workspace).status
                == 0)
    }

    private func document() throws -> SignedDocument {
        try SignedDocument(
            envelope: Array(Data(contentsOf: URL(fileURLWithPath: workspace.path("certs/operators.json")))))
    }

    @Test func theCAMakesTheFirst() throws {
        #expect(try workspace.mode("certs/operator.key") == 0o600)
        #expect(try workspace.read("certs/operator.key").hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        let root = try Certificate.load(file: workspace.path("certs/ca.crt"))[0]
        var ledger = DocumentLedger(trustDomain: "mesh.test", roots: [root])
        #expect(try ledger.take(try document(), now: 1_800_000_000) == .taken)
        let key = try PrivateKey.load(file: workspace.path("certs/operator.key"), passphrase: Passphrase("secret"))
        #expect(ledger.operators?.members.map(\.name) == ["operator"])
        #expect(ledger.operators?.member(signer: key.publicKey.spkiSHA256) != nil)
        let list = try mesh(["operator", "list"], in: workspace)
        #expect(list.status == 0 && list.text.contains("spki-sha256:\(key.publicKey.spkiSHA256)"), "\(list.errors)")
    }

    @Test func addedAndRemoved() throws {
        let added = try mesh(["operator", "add", "carol", "--passphrase-file", "pass"], in: workspace)
        #expect(added.status == 0, "\(added.errors)")
        #expect(added.text.contains("Next: mesh operator apply certs/operators.json"))
        #expect(try workspace.mode("certs/carol.key") == 0o600)
        #expect(try workspace.read("certs/carol.key").hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        #expect(try document().version == 2)
        #expect(try mesh(["operator", "add", "carol", "--passphrase-file", "pass"], in: workspace).status == 1)
        let removed = try mesh(["operator", "remove", "operator", "--passphrase-file", "pass"], in: workspace)
        #expect(removed.status == 0, "\(removed.errors)")
        let root = try Certificate.load(file: workspace.path("certs/ca.crt"))[0]
        var ledger = DocumentLedger(trustDomain: "mesh.test", roots: [root])
        #expect(try ledger.take(try document(), now: 1_800_000_000) == .taken)
        #expect(ledger.operators?.members.map(\.name) == ["carol"])
        let last = try mesh(["operator", "remove", "carol", "--passphrase-file", "pass"], in: workspace)
        #expect(last.status == 1 && last.errors.contains("last operator"), "\(last.errors)")
        #expect(try mesh(["operator", "remove", "nobody", "--passphrase-file", "pass"], in: workspace).status == 4)
        #expect(try document().version == 3, "what failed changed the list")
    }

    /// What was seen of a mesh goes with the files of its CA: a CA that is made anew in their place begins anew.
    @Test func whatWasSeenOfAFormerMeshIsForgotten() throws {
        func add(_ name: String) throws -> Finished {
            try mesh(["operator", "add", name, "--passphrase-file", "pass"], in: workspace)
        }
        #expect(try add("carol").status == 0)
        let seen = workspace.path("certs/seen/mesh.test")
        try FileManager.default.createDirectory(atPath: seen, withIntermediateDirectories: true)
        try FileManager.default.copyItem(
            atPath: workspace.path("certs/operators.json"), toPath: seen + "/operators.json")
        for name in try FileManager.default.contentsOfDirectory(atPath: workspace.path("certs")) where name != "seen" {
            try FileManager.default.removeItem(atPath: workspace.path("certs/" + name))
        }
        let made = try mesh(["ca", "init", "--trust-domain", "mesh.test", "--passphrase-file", "pass"], in: workspace)
        #expect(made.status == 0, "\(made.errors)")
        let list = workspace.path("certs/operators.json")
        let first = try Data(contentsOf: URL(fileURLWithPath: list))
        let added = try add("bob")
        #expect(added.status == 0, "\(added.errors)")
        // What was seen of this one counts, and the way back is said.
        try FileManager.default.createDirectory(atPath: seen, withIntermediateDirectories: true)
        try FileManager.default.moveItem(atPath: list, toPath: seen + "/operators.json")
        try first.write(to: URL(fileURLWithPath: list))
        let stale = try add("dora")
        #expect(stale.status == 1 && stale.errors.contains("(stale_list)"), "\(stale.errors)")
        #expect(
            stale.errors.contains("certs/seen/mesh.test/operators.json, to be put in place of certs/operators.json"),
            "\(stale.errors)")
        #expect(!FileManager.default.fileExists(atPath: workspace.path("certs/dora.key")))
        try FileManager.default.removeItem(atPath: list)
        try FileManager.default.copyItem(atPath: seen + "/operators.json", toPath: list)
        #expect(try add("dora").status == 0)
        #expect(try document().version == 3)
    }

    @Test(arguments: ["ca", "a/b", "", "with space"]) func badNames(_ name: String) throws {
        #expect(try mesh(["operator", "add", name, "--passphrase-file", "pass"], in: workspace).status == 2)
    }
}
