import Documents
import Foundation
import JSON
import PKI

/// Somebody who signs documents for a test's mesh.
final class TestOperator {
    let mesh: TestMesh
    let key: PrivateKey
    /// The list that names it, signed by the mesh's root.
    let list: SignedDocument

    init(_ mesh: TestMesh) throws {
        self.mesh = mesh
        key = try PrivateKey.generate(.ed25519)
        guard case .issuer(_, let root) = mesh.authority.signer else { throw Failure("the CA has no key") }
        list = try SignedDocument(
            .operators, trustDomain: TestMesh.trustDomain, version: 1, issued: Int64(time(nil)),
            payload: OperatorList([OperatorList.Member(name: "tester", key: key.publicKey)]).payload, signedBy: root)
    }

    /// The file with its key, once `write` made it.
    var keyFile: String { mesh.directory + "/operator.key" }

    /// Writes its key, and the list beside it, as `mesh ca init` does.
    func write() throws {
        try key.write(to: keyFile)
        try SafeFile.write(list.envelope, to: mesh.directory + "/operators.json", mode: 0o644)
    }

    /// Another list of operators, by the mesh's root or another one.
    func list(
        _ version: UInt64, _ members: [(String, PrivateKey)], by root: PrivateKey? = nil
    ) throws -> SignedDocument {
        guard case .issuer(_, let own) = mesh.authority.signer else { throw Failure("the CA has no key") }
        let list = OperatorList(members.map { OperatorList.Member(name: $0.0, key: $0.1.publicKey) })
        return try SignedDocument(
            .operators, trustDomain: TestMesh.trustDomain, version: version, issued: Int64(time(nil)),
            payload: list.payload, signedBy: root ?? own)
    }

    /// A document with these contents.
    func sign(
        _ kind: DocumentKind, _ version: UInt64, _ text: String, domain: String = TestMesh.trustDomain,
        by other: PrivateKey? = nil
    ) throws -> SignedDocument {
        try SignedDocument(
            kind, trustDomain: domain, version: version, issued: Int64(time(nil)), payload: Array(text.utf8),
            signedBy: other ?? key)
    }

    /// A list of revocations.
    func revocations(_ version: UInt64, _ targets: [RevocationEntry.Target]) throws -> SignedDocument {
        let entries = targets.map { RevocationEntry($0, revoked: Int64(time(nil)), reason: "stolen in a test") }
        return try sign(.revocations, version, String(decoding: RevocationSet.payload(entries), as: UTF8.self))
    }
}

extension TestNode {
    /// Gives the agent a document; its answer.
    @discardableResult
    func offer(_ document: SignedDocument) throws -> Answer {
        try control.request(
            "PUT", "/v1/documents/\(document.kind.rawValue)", String(decoding: document.envelope, as: UTF8.self))
    }

    /// Gives the agent a document that it must take.
    func take(_ document: SignedDocument) throws {
        let answer = try offer(document)
        try demandEqual(answer.status, 200, answer.text)
    }

    /// The version of a document in force at the node.
    func documentVersion(_ kind: DocumentKind) throws -> Int64? {
        try control.get("/v1/documents").json["versions"]?[kind.rawValue]?["version"]?.integer
    }

    func waitDocument(_ kind: DocumentKind, version: Int64, within seconds: Double = Deadline.patience) throws {
        try Deadline.until("\(name) has \(kind) version \(version)", within: seconds) {
            try documentVersion(kind) == version
        }
    }
}
