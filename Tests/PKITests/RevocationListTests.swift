import Foundation
import PKI
import TestPrograms
import Testing

/// CRLs made by `openssl ca`, as an operator makes them.
@Suite struct RevocationListTests {
    /// A CA's directory as `openssl ca` wants it.
    private final class Register {
        let url: URL

        init(_ authority: CertificateAuthority) throws {
            url = FileManager.default.temporaryDirectory.appendingPathComponent("crl-\(UUID().uuidString)")
            try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
            try authority.write(
                certificateFile: path("ca.crt").path, keyFile: path("ca.key").path, passphrase: nil)
            try "".write(to: path("index.txt"), atomically: true, encoding: .utf8)
            try "01".write(to: path("crlnumber"), atomically: true, encoding: .utf8)
            try """
            [ca]
            default_ca = own
            [own]
            database = \(url.path)/index.txt
            crlnumber = \(url.path)/crlnumber
            certificate = \(url.path)/ca.crt
            private_key = \(url.path)/ca.key
            default_md = sha256
            """.write(to: path("ca.cnf"), atomically: true, encoding: .utf8)
        }

        deinit { try? FileManager.default.removeItem(at: url) }

        func path(_ name: String) -> URL { url.appendingPathComponent(name) }

        func revoke(_ certificate: Certificate) throws {
            try certificate.pem.write(to: path("gone.crt"), atomically: true, encoding: .utf8)
            try run(["ca", "-config", path("ca.cnf").path, "-revoke", path("gone.crt").path])
        }

        func list(from: String = "270101000000Z", to: String = "270201000000Z") throws -> String {
            let file = path("\(UUID().uuidString).crl").path
            try run([
                "ca", "-config", path("ca.cnf").path, "-gencrl", "-crl_lastupdate", from, "-crl_nextupdate", to, "-out",
                file,
            ])
            return file
        }

        func run(_ arguments: [String]) throws {
            let program = try runProgram("openssl", arguments)
            #expect(program.status == 0, "\(arguments): \(program.text)")
        }
    }

    private func outcome(
        _ chain: [Certificate], _ files: [String], _ mode: RevocationLists.Mode, trust: TrustBundle
    ) throws -> CertificateReason? {
        let lists = try files.flatMap { try CertificateRevocationList.load(file: $0) }
        let verifier = ChainVerifier(trust: trust, revocation: RevocationLists(lists, mode: mode))
        return reason { try verifier.verify(chain, expecting: expectation()) }
    }

    @Test func eachStateOfACertificate() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let trust = try TrustBundle(roots: [ca.certificate])
        let register = try Register(ca)
        let good = try ca.issueCredentials(IssueRequest(node: "A"), now: noon).chain
        let gone = try ca.issueCredentials(IssueRequest(node: "B"), now: noon).chain
        let before = try register.list()
        try register.revoke(gone[0])
        let now = try register.list()
        let old = try register.list(from: "260101000000Z", to: "260201000000Z")
        let early = try register.list(from: "280101000000Z", to: "280201000000Z")
        let cases: [(String, [Certificate], [String], soft: CertificateReason?, hard: CertificateReason?)] = [
            ("good", good, [now], nil, nil), ("revoked", gone, [now], .revoked, .revoked),
            ("revoked, seen by an old list only", gone, [old], .revoked, .revocationUnknown),
            ("not on an old list", good, [old], nil, .revocationUnknown),
            ("list of the future", good, [early], nil, .revocationUnknown),
            ("no list", good, [], nil, .revocationUnknown), ("not yet revoked", gone, [before], nil, nil),
        ]
        for (name, chain, files, soft, hard) in cases {
            #expect(try outcome(chain, files, .soft, trust: trust) == soft, "\(name), soft")
            #expect(try outcome(chain, files, .hard, trust: trust) == hard, "\(name), hard")
        }
    }

    /// A list with the issuer's name and somebody else's signature proves nothing.
    @Test func forgedListsAreNoticed() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let fake = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let trust = try TrustBundle(roots: [ca.certificate])
        let register = try Register(fake)
        let forged = try register.list()
        let good = try ca.issueCredentials(IssueRequest(node: "A"), now: noon).chain
        defer { withExtendedLifetime(register) {} }
        for mode in RevocationLists.Mode.allCases {
            #expect(try outcome(good, [forged], mode, trust: trust) == .revocationUnknown)
        }
    }

    /// What may take the place of a list that is known, and of whom there is none in its time.
    @Test func whatMayTakeAListsPlace() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let fake = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let second = try CertificateAuthority.createRoot(name: "Second", trustDomain: domain, now: noon)
        let (own, forged, other) = (try Register(ca), try Register(fake), try Register(second))
        func load(_ file: String) throws -> CertificateRevocationList {
            try CertificateRevocationList.load(file: file)[0]
        }
        let older = try load(try own.list(from: "261201000000Z")), known = try load(try own.list())
        let newer = try load(try own.list(from: "270102000000Z"))
        let early = try load(try own.list(from: "270115090000Z"))
        let (foreign, another) = (try load(try forged.list()), try load(try other.list()))
        typealias Succession = RevocationListSuccession
        func judge(
            _ list: CertificateRevocationList, _ before: CertificateRevocationList?, _ issuers: [Certificate]
        ) throws -> Succession { try Succession.judge(list, after: before, issuers: issuers, now: noon) }
        let both = [ca.certificate, second.certificate]
        #expect(try judge(known, nil, both) == .newer)
        #expect(try judge(newer, known, both) == .newer)
        #expect(try judge(known, known, both) == .unchanged)
        #expect(try judge(older, known, both) == .older)
        // Made in the same second: the number tells them apart.
        let next = try load(try own.list())
        #expect(known.thisUpdate == next.thisUpdate && known.number != next.number)
        #expect(try judge(next, known, both) == .newer)
        #expect(try judge(known, next, both) == .older)
        #expect(reason { try judge(another, nil, [ca.certificate]) } == .unknownCA)
        #expect(reason { try judge(foreign, nil, both) } == .badSignature)
        #expect(reason { try judge(early, nil, both) } == .notYetValid)
        #expect(reason { try judge(another, known, both) } == .wrongName)
        // The CA of the known list does not count any more.
        #expect(try judge(another, known, [second.certificate]) == .newer)
        // Two CAs of one name, as in a change of keys.
        #expect(try judge(known, nil, [fake.certificate, ca.certificate]) == .newer)

        func stale(_ lists: [CertificateRevocationList], at now: Int64 = noon) -> [String] {
            RevocationLists(lists, mode: .hard).withoutFreshList(both, at: now).map(\.subject)
        }
        #expect(stale([known, another]).isEmpty)
        #expect(stale([known]) == [second.certificate.subject])
        #expect(stale([foreign, another]) == [ca.certificate.subject])
        #expect(stale([known, another], at: noon + 60 * day).count == 2)
    }

    @Test func filesAndTheirFaults() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let register = try Register(ca)
        let file = try register.list()
        let list = try CertificateRevocationList.load(file: file)[0]
        #expect(list.issuer == ca.certificate.subject && list.count == 0)
        #expect(list.nextUpdate == 1_801_440_000)
        let der = register.path("list.der").path
        try register.run(["crl", "-in", file, "-outform", "DER", "-out", der])
        #expect(try CertificateRevocationList.load(file: der).count == 1)
        let twice = register.path("twice").path
        try Data(try Data(contentsOf: URL(fileURLWithPath: file)) + Data(contentsOf: URL(fileURLWithPath: file)))
            .write(to: URL(fileURLWithPath: twice))
        #expect(try CertificateRevocationList.load(file: twice).count == 2)
        #expect(reason { try CertificateRevocationList.load(file: register.path("ca.crt").path) } == .notPEM)
        #expect(reason { try CertificateRevocationList.load(file: register.path("none").path) } == .unreadableFile)
        #expect(reason { try CertificateRevocationList(der: [0x30, 0x03, 0x02, 0x01, 0x01]) } == .malformed)
        #expect(reason { try CertificateRevocationList(der: []) } == .malformed)
    }
}
