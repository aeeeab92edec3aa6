import Agent
import Enrolment
import Foundation
import PKI
import Testing

/// Where a certificate from a CA is put.
@Suite struct EnrolmentFilesTests {
    private let directory = NSTemporaryDirectory() + "enrolment-files-\(UUID().uuidString)"
    private let now = Int64(time(nil))

    /// A mesh with two roots, during a rotation, and the first certificate of a node there.
    private func joined() throws -> (credentials: Credentials, issued: IssuedIdentity, root: Certificate) {
        let domain = "example.mesh"
        let ca = try CertificateAuthority.createRoot(name: "Root", trustDomain: domain, now: now)
        let next = try CertificateAuthority.createRoot(name: "Next root", trustDomain: domain, now: now)
        let credentials = try ca.issueCredentials(IssueRequest(node: "db-1"), now: now)
        let issued = IssuedIdentity(
            chain: credentials.chain, trust: try TrustBundle(roots: [ca.root, next.root]),
            grant: try NodeGrant(node: "db-1", dnsNames: [], ipAddresses: []), trustDomain: domain, documents: [])
        return (credentials, issued, ca.root)
    }

    /// A CA could not issue with the next root in the file of its own certificate.
    @Test(arguments: [true, false]) func aCAsOwnFileStaysAsItIs(addsRoots: Bool) throws {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let (credentials, issued, root) = try joined()
        let trust = directory + "/ca.crt"
        try root.pem.write(toFile: trust, atomically: true, encoding: .utf8)
        let files = EnrolmentFiles(
            pair: CredentialFiles(certificate: directory + "/db-1.crt", key: directory + "/db-1.key"), trust: trust)
        try files.write(credentials, issued, address: "ca.example:7443", addsRoots: addsRoots)
        #expect(try TrustBundle.load(file: trust).roots.count == (addsRoots ? 2 : 1))
        #expect(try Certificate.load(file: directory + "/db-1.crt").first == credentials.leaf)
    }
}
