import Enrolment
import Foundation
import PKI
import TestPrograms
import Testing

@Suite struct NodeGrantTests {
    /// A request with any names, made by the openssl program.
    private static func request(_ subject: String, _ names: String? = nil) throws -> CertificateSigningRequest {
        let directory = NSTemporaryDirectory() + "/csr-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let words = [
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            directory + "/key", "-out", directory + "/csr", "-outform", "DER", "-subj", subject,
        ]
        let program = try runProgram("openssl", words + (names.map { ["-addext", "subjectAltName=\($0)"] } ?? []))
        try #require(program.status == 0, "\(program.text)")
        return try CertificateSigningRequest(der: Array(Data(contentsOf: URL(fileURLWithPath: directory + "/csr"))))
    }

    private func grant() throws -> NodeGrant {
        try NodeGrant(node: "db-1", dnsNames: ["db.test"], ipAddresses: ["192.0.2.7", "2001:db8::7"])
    }

    @Test(
        arguments: [
            ("/CN=db-1", nil), ("/O=anything", nil), ("/CN=db-1", "DNS:DB.test"), ("/CN=db-1", "IP:2001:db8:0:0::7"),
            ("/CN=db-1", "URI:spiffe://mesh.test/node/db-1,DNS:db.test,IP:192.0.2.7"),
        ] as [(String, String?)])
    func whatIsGrantedMayBeAskedFor(subject: String, names: String?) throws {
        let request = try Self.request(subject, names)
        #expect(reason { try grant().check(request, trustDomain: domain) } == nil)
    }

    @Test(
        arguments: [
            ("/CN=db-2", nil, .wrongNode), ("/CN=DB-1", nil, .wrongNode),
            ("/CN=db-1", "URI:spiffe://mesh.test/node/db-2", .wrongNode),
            ("/CN=db-1", "URI:spiffe://mesh.test/ca", .wrongNode),
            ("/CN=db-1", "URI:https://db.test/", .namesNotGranted),
            ("/CN=db-1", "DNS:db.test,DNS:www.test", .namesNotGranted),
            ("/CN=db-1", "DNS:*.test", .namesNotGranted),
            ("/CN=db-1", "IP:192.0.2.8", .namesNotGranted),
            ("/CN=db-1", "email:root@db.test", .namesNotGranted),
            ("/CN=db-1", "RID:1.2.3.4", .namesNotGranted),
        ] as [(String, String?, EnrolmentError.Reason)])
    func askingForMoreIsRefused(subject: String, names: String?, expected: EnrolmentError.Reason) throws {
        let request = try Self.request(subject, names)
        #expect(reason { try grant().check(request, trustDomain: domain) } == expected)
    }

    @Test func theCertificateHasExactlyTheGrantedNamesWhateverWasAskedFor() throws {
        let ca = try CertificateAuthority.createRoot(name: "Root", trustDomain: domain, now: noon)
        let request = try Self.request("/O=Else/CN=db-1", "DNS:db.test")
        let leaf = try ca.issue(grant().issueRequest(validity: 60), for: request.publicKey, now: noon)
        #expect(leaf.subject == "CN=db-1")
        #expect(leaf.dnsNames == ["db.test"])
        #expect(leaf.ipAddresses == ["192.0.2.7", "2001:db8::7"])
        #expect(try grant().isExactly(leaf, trustDomain: domain))
        #expect(try !grant().isExactly(leaf, trustDomain: "other.test"))
        #expect(try !NodeGrant(node: "db-1").isExactly(leaf, trustDomain: domain))
    }

    @Test func grantsHaveLegalNamesOnly() {
        #expect(throws: CertificateError.self) { try NodeGrant(node: "a/b") }
        #expect(throws: CertificateError.self) { try NodeGrant(node: "a", dnsNames: ["no name"]) }
        #expect(throws: CertificateError.self) { try NodeGrant(node: "a", ipAddresses: ["1.2.3"]) }
    }
}
