import Foundation
import JSON
import PKI
import Testing

@Suite struct InspectTests {
    private let workspace: Workspace
    private static let now = Int64(Date().timeIntervalSince1970)

    init() throws { workspace = try Workspace() }

    private func authority(_ name: String = "test CA", at time: Int64 = now) throws -> CertificateAuthority {
        try CertificateAuthority.createRoot(name: name, trustDomain: "mesh.test", now: time)
    }

    /// The reasons that `mesh ca inspect --json` gives, with its exit code.
    private func faults(_ arguments: [String]) throws -> (status: Int32, reasons: [String]) {
        let result = try mesh(["ca", "inspect", "--json"] + arguments, in: workspace)
        let files = try JSONReader.parse(result.text)["files"]?.array ?? []
        let reasons = files.flatMap { $0["faults"]?.array ?? [] }.compactMap { $0["reason"]?.string }
        return (result.status, reasons)
    }

    @Test func eachFaultHasItsReason() throws {
        let past = Self.now - 400 * 86_400
        let (ca, old) = (try authority(), try authority(at: past))
        let good = try ca.issueCredentials(IssueRequest(node: "a"), now: Self.now)
        let other = try ca.issueCredentials(IssueRequest(node: "b"), now: Self.now)
        let expired = try old.issueCredentials(IssueRequest(node: "a"), now: past)
        let early = try authority(at: Self.now).issueCredentials(IssueRequest(node: "a"), now: Self.now + 86_400)
        try workspace.write(ca.certificate.pem, to: "ca.crt")
        try workspace.write(good.certificatePEM, to: "good.crt")
        try workspace.write(Data(good.key.pem()), to: "good.key", mode: 0o600)
        try workspace.write(Data(good.key.pem()), to: "open.key", mode: 0o644)
        try workspace.write(Data(other.key.pem()), to: "other.key", mode: 0o600)
        try workspace.write(expired.certificatePEM, to: "expired.crt")
        try workspace.write(early.certificatePEM, to: "early.crt")
        try workspace.write(ca.certificate.pem + good.certificatePEM, to: "swapped.crt")
        try workspace.write("", to: "empty.crt")
        try workspace.write("hello\n", to: "text.crt")
        try workspace.write(String(good.certificatePEM.prefix(300)), to: "cut.crt")
        let cases: [([String], [String])] = [
            (["good.crt"], []), (["good.crt", "--key", "good.key", "--ca", "ca.crt"], []), (["ca.crt"], []),
            (["good.key"], []), (["expired.crt"], ["expired"]), (["early.crt"], ["not_yet_valid"]),
            (["good.crt", "--key", "other.key"], ["key_mismatch"]), (["open.key"], ["key_readable_by_others"]),
            (["swapped.crt"], ["wrong_order"]), (["empty.crt"], ["empty_file"]), (["text.crt"], ["not_pem"]),
            (["cut.crt"], ["not_pem"]), (["absent.crt"], ["unreadable_file"]),
            (["good.crt", "expired.crt", "open.key"], ["expired", "key_readable_by_others"]),
        ]
        for (arguments, reasons) in cases {
            let found = try faults(arguments)
            #expect(found.reasons == reasons, "\(arguments)")
            #expect(found.status == (reasons.isEmpty ? 0 : 6), "\(arguments)")
        }
        try workspace.write(authority().certificate.pem, to: "foreign.crt")
        #expect(try faults(["good.crt", "--ca", "foreign.crt"]).status == 6)
    }

    @Test func expiryNamesBothTimes() throws {
        let past = Self.now - 400 * 86_400
        let expired = try authority(at: past).issueCredentials(IssueRequest(node: "a"), now: past)
        try workspace.write(expired.certificatePEM, to: "expired.crt")
        let text = try mesh(["ca", "inspect", "expired.crt"], in: workspace).text
        #expect(text.contains("expired at \(UTCTime.text(expired.leaf.notAfter)); now it is "))
        #expect(text.contains("hint   make another one: mesh ca token create "))
    }

    @Test func otherFormsAreRecognised() throws {
        let good = try authority().issueCredentials(IssueRequest(node: "a"), now: Self.now)
        try workspace.write(Data(good.leaf.der), to: "a.der")
        #expect(try mesh(["ca", "inspect", "a.der"], in: workspace).text.contains("openssl x509 -inform DER"))
        try workspace.write(Data(good.key.pem(encryptedWith: Passphrase("p"))), to: "a.key", mode: 0o600)
        let locked = try mesh(["ca", "inspect", "a.key"], in: workspace)
        #expect(locked.status == 0 && locked.text.contains("the key is encrypted"))
        try workspace.write("p", to: "pass", mode: 0o600)
        let opened = try mesh(["ca", "inspect", "a.key", "--passphrase-file", "pass"], in: workspace)
        #expect(opened.status == 0 && opened.text.contains("ECDSA P-256, encrypted"))
        #expect(opened.text.contains(good.leaf.spkiSHA256))
    }
}
