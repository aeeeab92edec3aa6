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
            [delta]
            2.5.29.27 = critical,ASN1:INTEGER:1
            [nodes]
            issuingDistributionPoint = critical,@nodes-scope
            [nodes-scope]
            onlyuser = TRUE
            [cas]
            issuingDistributionPoint = critical,@cas-scope
            [cas-scope]
            onlyCA = TRUE
            [attributes]
            issuingDistributionPoint = critical,@attributes-scope
            [attributes-scope]
            onlyAA = TRUE
            [reasons]
            issuingDistributionPoint = critical,@reasons-scope
            [reasons-scope]
            onlysomereasons = keyCompromise
            [indirect]
            issuingDistributionPoint = critical,@indirect-scope
            [indirect-scope]
            indirectCRL = TRUE
            [point]
            issuingDistributionPoint = @point-scope
            [point-scope]
            fullname = URI:http://crl.test/1.crl
            [keyed]
            authorityKeyIdentifier = keyid
            [unreadable]
            2.5.29.28 = critical,ASN1:NULL
            [unknown]
            1.2.3.4 = critical,ASN1:NULL
            [harmless]
            1.2.3.4 = ASN1:NULL
            """.write(to: path("ca.cnf"), atomically: true, encoding: .utf8)
        }

        deinit { try? FileManager.default.removeItem(at: url) }

        func path(_ name: String) -> URL { url.appendingPathComponent(name) }

        func revoke(_ certificate: Certificate, _ more: [String] = []) throws {
            try certificate.pem.write(to: path("gone.crt"), atomically: true, encoding: .utf8)
            try run(["ca", "-config", path("ca.cnf").path, "-revoke", path("gone.crt").path] + more)
        }

        /// - Parameter extensions: the section that has the list's extensions.
        func list(
            from: String = "270101000000Z", to: String = "270201000000Z", extensions: String? = nil
        ) throws -> String {
            let file = path("\(UUID().uuidString).crl").path
            try run(
                ["ca", "-config", path("ca.cnf").path, "-gencrl", "-crl_lastupdate", from, "-crl_nextupdate", to]
                    + ["-out", file] + (extensions.map { ["-crlexts", $0] } ?? []))
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
        // Made by a clock that is four minutes ahead, and by one that is six.
        let ahead = try register.list(from: "270115080400Z")
        let tooFarAhead = try register.list(from: "270115080600Z")
        let cases: [(String, [Certificate], [String], soft: CertificateReason?, hard: CertificateReason?)] = [
            ("good", good, [now], nil, nil), ("revoked", gone, [now], .revoked, .revoked),
            ("revoked, seen by an old list only", gone, [old], .revoked, .revocationUnknown),
            ("not on an old list", good, [old], nil, .revocationUnknown),
            ("list of the future", good, [early], nil, .revocationUnknown),
            ("list of a clock that is ahead", good, [ahead], nil, nil),
            ("revoked on a list of a clock that is ahead", gone, [ahead], .revoked, .revoked),
            ("list of a clock that is too far ahead", good, [tooFarAhead], nil, .revocationUnknown),
            ("no list", good, [], nil, .revocationUnknown), ("not yet revoked", gone, [before], nil, nil),
        ]
        for (name, chain, files, soft, hard) in cases {
            #expect(try outcome(chain, files, .soft, trust: trust) == soft, "\(name), soft")
            #expect(try outcome(chain, files, .hard, trust: trust) == hard, "\(name), hard")
        }
    }

    /// Where clocks differ too far, it is said that they do.
    @Test func aListOfTheFutureSaysWhatIsWrong() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let register = try Register(ca)
        let lists = try CertificateRevocationList.load(file: try register.list(from: "270115080600Z"))
        let good = try ca.issueCredentials(IssueRequest(node: "A"), now: noon).chain
        let verifier = ChainVerifier(
            trust: try TrustBundle(roots: [ca.certificate]), revocation: RevocationLists(lists, mode: .hard))
        let refused = #expect(throws: CertificateError.self) { try verifier.verify(good, expecting: expectation()) }
        #expect(refused?.message.contains("clock") == true && refused?.hint.contains("clocks") == true)
        let judged = #expect(throws: CertificateError.self) {
            try RevocationListSuccession.judge(lists[0], after: nil, issuers: [ca.certificate], now: noon)
        }
        #expect(judged?.message.contains("clock says 2027-01-15") == true, "\(judged?.message ?? "")")
        #expect(lists[0].isFresh(at: noon) == false && lists[0].isFresh(at: noon + 60))
    }

    /// A list with a part of what was revoked says nothing of the rest: it is no list here, and takes no other's place.
    @Test func listsThatAreNotComplete() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let register = try Register(ca)
        let gone = try ca.issueCredentials(IssueRequest(node: "B"), now: noon).chain[0]
        try register.revoke(gone, ["-crl_reason", "superseded"])
        let cases: [(String, CertificateReason?, String)] = [
            ("delta", .partialList, "delta"), ("nodes", .partialList, "no CA's only"),
            ("cas", .partialList, "CAs only"), ("attributes", .partialList, "attribute"),
            ("reasons", .partialList, "some reasons"), ("indirect", .partialList, "indirect"),
            ("point", .partialList, "one distribution point"), ("unreadable", .badExtension, "cannot be read"),
            ("unknown", .badExtension, "1.2.3.4"), ("harmless", nil, ""),
        ]
        for (section, expected, words) in cases {
            let file = try register.list(extensions: section)
            do throws(CertificateError) {
                _ = try CertificateRevocationList.load(file: file)
                #expect(expected == nil, "\(section) was taken")
            } catch {
                #expect(error.reason == expected, "\(section): \(error)")
                #expect(error.message.contains(words), "\(section): \(error.message)")
            }
        }
    }

    /// A list with an entry that is not understood cannot be used (RFC 5280, section 5.3), and one with another issuer's is indirect.
    @Test func entriesThatAreNotUnderstood() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let register = try Register(ca)
        let gone = try ca.issueCredentials(IssueRequest(node: "B"), now: noon).chain[0]
        try register.revoke(gone, ["-crl_reason", "keyCompromise"])
        let der = register.path("list.der").path
        try register.run(["crl", "-in", try register.list(), "-outform", "DER", "-out", der])
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: der)))
        // The entry's reason: an extension without "critical", of ten bytes.
        let reason: [UInt8] = [0x30, 0x0A, 0x06, 0x03, 0x55, 0x1D, 0x15, 0x04, 0x03, 0x0A, 0x01, 0x01]
        func changed(_ other: [UInt8]) throws -> [UInt8] {
            let start = try #require(
                bytes.indices.first { bytes[$0...].starts(with: reason) }, "the entry has its reason")
            return Array(bytes[..<start]) + other + Array(bytes[(start + reason.count)...])
        }
        #expect(try CertificateRevocationList(der: bytes).count == 1)
        let critical = try changed([0x30, 0x0A, 0x06, 0x03, 0x55, 0x1D, 0x15, 0x01, 0x01, 0xFF, 0x04, 0x00])
        #expect(refusal(of: critical) == .badExtension)
        let ofAnother = try changed([0x30, 0x0A, 0x06, 0x03, 0x55, 0x1D, 0x1D, 0x04, 0x03, 0x0A, 0x01, 0x01])
        #expect(refusal(of: ofAnother) == .partialList)
    }

    private func refusal(of der: [UInt8]) -> CertificateReason? {
        reason { try CertificateRevocationList(der: der) }
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

    /// CAs of one name are told apart by their keys, where the list says which one has signed it.
    @Test func whoseAListSaysThatItIs() throws {
        let ca = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let namesake = try CertificateAuthority.createRoot(name: "CRL root", trustDomain: domain, now: noon)
        let other = try CertificateAuthority.createRoot(name: "Other root", trustDomain: domain, now: noon)
        let register = try Register(ca)
        let keyed = try CertificateRevocationList.load(file: try register.list(extensions: "keyed"))[0]
        #expect(keyed.claims(issuer: ca.certificate))
        #expect(!keyed.claims(issuer: namesake.certificate))
        let bare = try CertificateRevocationList.load(file: try register.list())[0]
        #expect(bare.claims(issuer: ca.certificate) && bare.claims(issuer: namesake.certificate))
        #expect(!bare.claims(issuer: other.certificate))
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
