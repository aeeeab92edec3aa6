import Documents
import Foundation
import PKI

/// The next root of a test's mesh, with which it is rotated by hand.
struct TestRoots {
    let mesh: TestMesh
    let next: CertificateAuthority
    private let crossSigned: [Certificate]

    init(_ mesh: TestMesh) throws {
        self.mesh = mesh
        let now = Int64(time(nil))
        next = try CertificateAuthority.createRoot(name: "Next root", trustDomain: TestMesh.trustDomain, now: now)
        crossSigned = [
            try mesh.authority.crossSign(next.root, now: now), try next.crossSign(mesh.authority.root, now: now),
        ]
    }

    /// - Parameter isVouched: the roots vouch for each other.
    func list(_ old: RootList.State, _ new: RootList.State, isVouched: Bool = true) throws -> RootList {
        try RootList(
            [.init(mesh.authority.root, old), .init(next.root, new)], crossSigned: isVouched ? crossSigned : [],
            trustDomain: TestMesh.trustDomain)
    }

    func key(_ root: CertificateAuthority) throws -> PrivateKey {
        guard case .issuer(_, let key) = root.signer else { throw Failure("the CA has no key") }
        return key
    }

    /// - Parameter age: how many seconds ago it was made.
    func sign(
        _ version: UInt64, _ list: RootList, by root: CertificateAuthority, age: Int64 = 0
    ) throws -> SignedDocument {
        try SignedDocument(
            .trust, trustDomain: TestMesh.trustDomain, version: version, issued: Int64(time(nil)) - age,
            payload: list.payload,
            signedBy: key(root))
    }

    /// A list of somebody who has made a root of the same mesh, and lets it vouch for the mesh's.
    func signedByAStranger() throws -> SignedDocument {
        let now = Int64(time(nil))
        let own = try CertificateAuthority.createRoot(name: "Own", trustDomain: TestMesh.trustDomain, now: now)
        let list = try RootList(
            [.init(own.root, .active), .init(mesh.authority.root, .retired)],
            crossSigned: [try own.crossSign(mesh.authority.root, now: now)], trustDomain: TestMesh.trustDomain)
        return try sign(1, list, by: own)
    }

    /// Gives a node a certificate below the next root, in its files.
    func issue(_ node: TestNode) throws {
        let files = CredentialFiles(certificate: node.directory + "/node.crt", key: node.directory + "/node.key")
        try files.replace(
            by: next.issueCredentials(
                IssueRequest(node: node.name, dnsNames: [], ipAddresses: [], validity: 86_400), now: Int64(time(nil))))
        try demandEqual(try node.reload().status, 200)
    }
}

extension TestNode {
    /// Gives the agent a list of roots that would be refused as a lockout.
    func force(_ list: SignedDocument) throws {
        let answer = try control.request(
            "PUT", "/v1/documents/trust?force=true", String(decoding: list.envelope, as: UTF8.self))
        try demandEqual(answer.status, 200, answer.text)
    }
}
