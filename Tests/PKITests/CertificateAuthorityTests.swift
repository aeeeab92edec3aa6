import PKI
import Testing

@Suite struct CertificateAuthorityTests {
    @Test func rootSaysWhatItIs() throws {
        let root = try Fixture.shared.get().ca.certificate
        #expect(root.isCA && root.pathLength == nil && root.isSelfSigned)
        #expect(root.keyUsage == [.keyCertSign, .cRLSign])
        #expect(root.extendedKeyUsage == nil)
        #expect(root.spiffeURIs == ["spiffe://mesh.test"])
        #expect(root.subject == "CN=Test root")
        #expect(root.notBefore == noon - 300)
        #expect(root.notAfter == noon + 3650 * day)
        #expect(root.constraints.subjectKeyID != nil)
        #expect(root.constraints.subjectKeyID == root.constraints.authorityKeyID)
    }

    @Test func leafSaysWhatWasAskedFor() throws {
        let fixture = try Fixture.shared.get()
        let request = IssueRequest(
            node: "UserService", dnsNames: ["u.example.org", "*.u.example.org"], ipAddresses: ["127.0.1.2", "::1"])
        let issued = try fixture.ca.issueCredentials(request, now: noon)
        let leaf = issued.leaf
        #expect(issued.chain == [leaf])
        #expect(leaf.matches(issued.key))
        #expect(leaf.commonName == "UserService")
        #expect(leaf.uris == ["spiffe://mesh.test/node/UserService"])
        #expect(leaf.dnsNames == ["u.example.org", "*.u.example.org"])
        #expect(leaf.ipAddresses == ["127.0.1.2", "::1"])
        #expect(leaf.keyUsage == .digitalSignature)
        #expect(leaf.extendedKeyUsage == [.serverAuth, .clientAuth])
        #expect(!leaf.isCA && leaf.version == 3)
        #expect(leaf.notBefore == noon - CertificateAuthority.backdating)
        #expect(leaf.notAfter == noon + 90 * day)
        #expect(leaf.isSerialPositive && leaf.serialHex.count >= 28)
        #expect(leaf.constraints.authorityKeyID == fixture.ca.certificate.constraints.subjectKeyID)
        #expect(leaf.signatureAlgorithm == "ecdsa-with-SHA256")
        let again = try fixture.ca.issueCredentials(request, now: noon)
        #expect(again.leaf.serialHex != leaf.serialHex)
    }

    @Test func serialsArePositiveAndSpread() throws {
        let fixture = try Fixture.shared.get()
        let serials = try (0..<40).map { _ in try fixture.leaf() }
        #expect(!serials.contains { !$0.isSerialPositive })
        #expect(Set(serials.map(\.serialHex)).count == 40)
        // The first of 128 random bits is set in about half of them.
        #expect(serials.contains { $0.serialHex.count == 32 && $0.serialHex.first!.hexDigitValue! >= 8 })
    }

    @Test(arguments: [KeyAlgorithm.p384, .ed25519, .rsa2048])
    func otherAlgorithms(_ algorithm: KeyAlgorithm) throws {
        let ca = try CertificateAuthority.createRoot(
            name: "Root", algorithm: algorithm, trustDomain: domain, now: noon)
        let middle = try ca.createIntermediate(name: "Middle", algorithm: algorithm, now: noon)
        let issued = try middle.issueCredentials(IssueRequest(node: "n"), algorithm: algorithm, now: noon)
        let trust = try TrustBundle(roots: [ca.certificate])
        #expect(try issued.validate(trust: trust, trustDomains: [domain], now: noon).nodeName == "n")
    }

    @Test func intermediateIssuesLeavesOnly() throws {
        let fixture = try Fixture.shared.get()
        #expect(fixture.intermediate.certificate.pathLength == 0)
        #expect(reason { try fixture.intermediate.createIntermediate(name: "x", now: noon) } == .badRequest)
        #expect(fixture.intermediate.root == fixture.ca.certificate)
        #expect(fixture.intermediate.intermediates == [fixture.intermediate.certificate])
    }

    @Test(arguments: ["", "a b", "ä", "a/b", "..", "a\0b", String(repeating: "a", count: 64)])
    func refusesNodeNames(_ name: String) throws {
        let ca = try Fixture.shared.get().ca
        #expect(reason { try ca.issueCredentials(IssueRequest(node: name), now: noon) } == .badName)
    }

    @Test func refusesOtherRequests() throws {
        let fixture = try Fixture.shared.get()
        func issue(_ request: IssueRequest, now: Int64 = noon) -> CertificateReason? {
            reason { try fixture.ca.issue(request, for: fixture.key.publicKey, now: now) }
        }
        for name in ["", "a..b", "-a.org", "a.org-", "*", "*.org", "a.*.org", "1.2.3.4", "a b", "a\0.org", "ä.org"] {
            #expect(issue(IssueRequest(node: "n", dnsNames: [name])) == .badName, "\(name)")
        }
        #expect(issue(IssueRequest(node: "n", ipAddresses: ["localhost"])) == .badName)
        #expect(issue(IssueRequest(node: "n", validity: 0)) == .badRequest)
        #expect(issue(IssueRequest(node: "n", validity: .max)) == nil)
        #expect(issue(IssueRequest(node: "n"), now: noon + 4000 * day) == .expired)
        #expect(issue(IssueRequest(node: "n"), now: noon - day) == .notYetValid)
        let weak = try PrivateKey.generateRSA(bits: 1024).publicKey
        #expect(reason { try fixture.ca.issue(IssueRequest(node: "n"), for: weak, now: noon) } == .weakKey)
        func root(_ name: String, _ trustDomain: String, _ validity: Int64 = day) -> CertificateReason? {
            reason {
                try CertificateAuthority.createRoot(name: name, trustDomain: trustDomain, validity: validity, now: noon)
            }
        }
        #expect(root("", domain) == .badName)
        #expect(root(String(repeating: "x", count: 65), domain) == .badName)
        #expect(root("x\ny", domain) == .badName)
        #expect(root("x", "Mesh.Test") == .badSPIFFEID)
        #expect(root("x", domain, 0) == .badRequest)
        #expect(root("x", domain, .max) == .badRequest)
        #expect(root("Größe", domain) == nil)
    }

    @Test func leafNeverOutlivesItsCA() throws {
        let ca = try CertificateAuthority.createRoot(name: "r", trustDomain: domain, validity: 10 * day, now: noon)
        let later = noon + 5 * day
        let leaf = try ca.issueCredentials(IssueRequest(node: "n"), now: later).leaf
        #expect(leaf.notAfter == ca.certificate.notAfter)
        let first = try ca.issueCredentials(IssueRequest(node: "n"), now: noon).leaf
        #expect(first.notBefore == ca.certificate.notBefore)
    }

    @Test func survivesItsFiles() throws {
        let scratch = try Scratch()
        let fixture = try Fixture.shared.get()
        let files = (scratch.file("ca.crt"), scratch.file("ca.key"))
        try fixture.intermediate.write(
            certificateFile: files.0, keyFile: files.1, passphrase: Passphrase("secret"))
        #expect(try scratch.mode("ca.key") == 0o600)
        let loaded = try CertificateAuthority.load(
            certificateFile: files.0, keyFile: files.1, passphrase: Passphrase("secret"))
        #expect(loaded.trustDomain == domain)
        #expect(loaded.root == fixture.ca.certificate)
        let issued = try loaded.issueCredentials(IssueRequest(node: "n"), now: noon)
        #expect(try issued.validate(trust: fixture.trust, trustDomains: [domain], now: noon).nodeName == "n")
        #expect(reason { try CertificateAuthority.load(certificateFile: files.0, keyFile: files.1) } == .badPassphrase)
        // A CA is not overwritten by mistake.
        #expect(
            reason {
                try fixture.ca.write(certificateFile: files.0, keyFile: files.1, passphrase: nil)
            } == .unwritableFile)
        #expect(
            reason {
                try CertificateAuthority.load(
                    certificateFile: files.0, keyFile: files.1, passphrase: Passphrase("secret"), trustDomain: "o.test")
            } == .untrustedDomain)
    }

    @Test func leafIsNoAuthority() throws {
        let fixture = try Fixture.shared.get()
        #expect(reason { try CertificateAuthority(chain: [fixture.leaf()], key: fixture.key) } == .notACA)
    }

    @Test func summaryHasTheFacts() throws {
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.ca.issueCredentials(
            IssueRequest(node: "ACL", dnsNames: ["acl.test"]), now: noon
        ).leaf
        let summary = leaf.summary(now: noon)
        #expect(summary.validity == "valid" && summary.daysRemaining == 90)
        #expect(summary.node == "ACL" && summary.remarks.isEmpty)
        #expect(summary.lines.contains("SPIFFE ID       spiffe://mesh.test/node/ACL"))
        #expect(summary.lines.contains { $0.hasPrefix("Valid") && $0.hasSuffix("(90 days left)") })
        #expect(leaf.summary(now: noon + 91 * day).validity == "expired")
        #expect(leaf.summary(now: noon - day).validity == "not_yet_valid")
        let bare = try fixture.leaf { $0.version = 1 }.summary(now: noon)
        #expect(bare.remarks.count == 2)
    }

    /// Days that are left are rounded down, and negative when and only when the end has come.
    @Test func daysAreRoundedByOneRule() {
        let end = noon + 30 * day
        let expiry = CertificateExpiry(notBefore: noon - 200 * day, notAfter: end)
        for (left, days) in [
            (30 * day, 30), (30 * day - 1, 29), (day, 1), (day - 1, 0), (1, 0), (0, -1), (-1, -1), (-day + 1, -1),
            (-day, -2),
        ] {
            let now = end - left
            #expect(expiry.daysRemaining(at: now) == days, "\(left) s left")
            #expect((expiry.daysRemaining(at: now) < 0) == (now >= end))
        }
    }

    @Test func builderCanSignForItself() throws {
        let fixture = try Fixture.shared.get()
        let certificate = try fixture.builder().build(signedBy: .own(fixture.key))
        #expect(certificate.isSelfSigned && certificate.matches(fixture.key))
        var odd = fixture.builder()
        odd.digest = .md5
        #expect(reason { try odd.build(signedBy: .own(fixture.key)) } == .badRequest)
        let rsa = try PrivateKey.generate(.rsa2048)
        odd.publicKey = rsa.publicKey
        #expect(try odd.build(signedBy: .own(rsa)).hasWeakSignatureDigest)
        odd.extraExtensions = [RawExtension(oid: "not.an.oid", isCritical: false, value: [])]
        #expect(reason { try odd.build(signedBy: .own(rsa)) } == .badRequest)
    }
}
