import Foundation
import PKI
import Testing

@Suite struct PEMTests {
    private func pem(_ certificates: Certificate...) -> [UInt8] { Array(certificates.map(\.pem).joined().utf8) }

    @Test func readsCertificatesInOrderWithTextAround() throws {
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.leaf()
        let text =
            "\u{FEFF}Bag Attributes: x\r\n" + leaf.pem.replacingOccurrences(of: "\n", with: "  \r\n") + "subject=…\n"
            + fixture.ca.certificate.pem
        #expect(try Certificate.parsePEM(Array(text.utf8)) == [leaf, fixture.ca.certificate])
    }

    @Test func namesWhatIsWrong() throws {
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.leaf()
        let key = try fixture.key.pem()
        let good = leaf.pem
        func parse(_ text: String) -> CertificateReason? { reason { try Certificate.parsePEM(Array(text.utf8)) } }
        #expect(parse("") == .emptyFile)
        #expect(parse(" \n\n\t") == .emptyFile)
        #expect(parse("hello") == .notPEM)
        #expect(reason { try Certificate.parsePEM(leaf.der) } == .derInsteadOfPEM)
        #expect(reason { try Certificate.parsePEM(key) } == .missingCertificate)
        #expect(parse(String(good.dropLast(30))) == .notPEM)
        #expect(parse(good.replacingOccurrences(of: "END CERTIFICATE", with: "END CERTIFICAT")) == .notPEM)
        #expect(parse("-----END CERTIFICATE-----\n" + good) == .notPEM)
        #expect(parse(good.replacingOccurrences(of: "\nMII", with: "\nM#I")) == .malformed)
        #expect(parse(good.replacingOccurrences(of: "\nMII", with: "\nMIJ")) == .malformed)
        #expect(parse("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n") == .malformed)
        #expect(parse(String(repeating: good, count: 32)) == nil)
        #expect(parse(String(repeating: good, count: 33)) == .tooLarge)
        #expect(parse(String(repeating: "-----BEGIN X-----\nAAAA\n-----END X-----\n", count: 65)) == .tooLarge)
        #expect(reason { try Certificate.parsePEM([0xFF, 0xFE] + good.utf8.flatMap { [$0, 0] }) } == .notPEM)
        let pfx = try Credentials(chain: [leaf], key: fixture.key).pkcs12(passphrase: Passphrase("x"))
        let error = #expect(throws: CertificateError.self) { try Certificate.parsePEM(pfx) }
        #expect(error?.reason == .derInsteadOfPEM && error?.message.contains("PKCS#12") == true)
    }

    @Test func trailingBytesAreRefused() throws {
        let leaf = try Fixture.shared.get().leaf()
        #expect(reason { try Certificate(der: leaf.der + [0]) } == .malformed)
        #expect(reason { try Certificate(der: leaf.der.dropLast()) } == .malformed)
        #expect(reason { try Certificate(der: []) } == .malformed)
    }

    @Test func undecodableNameIsMalformed() throws {
        let fixture = try Fixture.shared.get()
        var der = try fixture.leaf { $0.subject = [.commonName("QQQQ")] }.der
        let place = try #require((0..<der.count - 4).first { der[$0..<$0 + 4].elementsEqual("QQQQ".utf8) })
        der[place] = 0xC0
        #expect(reason { try Certificate(der: der) } == .malformed)
    }

    @Test func keyFiles() throws {
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.leaf()
        let key = try fixture.key.pem()
        #expect(reason { try PrivateKey(pem: Array(leaf.pem.utf8)) } == .missingKey)
        #expect(reason { try PrivateKey(pem: leaf.der) } == .derInsteadOfPEM)
        #expect(reason { try PrivateKey(pem: []) } == .emptyFile)
        // One file for both, in either order.
        #expect(try PrivateKey(pem: Array(leaf.pem.utf8) + key).publicKey == fixture.key.publicKey)
        #expect(try Certificate.parsePEM(key + Array(leaf.pem.utf8)) == [leaf])
        let broken = String(decoding: key, as: UTF8.self).replacingOccurrences(of: "\nMIG", with: "\nMIH")
        #expect(reason { try PrivateKey(pem: Array(broken.utf8)) } == .malformed)
    }

    @Test func credentialsCheckKeyAndOrder() throws {
        let fixture = try Fixture.shared.get()
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        let (leaf, middle, root) = (issued.leaf, fixture.intermediate.certificate, fixture.ca.certificate)
        #expect(issued.chain == [leaf, middle])
        func load(_ chain: [Certificate], _ key: PrivateKey? = nil) -> CertificateReason? {
            reason { try Credentials(chain: chain, key: key ?? issued.key) }
        }
        #expect(load([leaf, middle, root]) == nil)
        #expect(load([]) == .missingCertificate)
        #expect(load([leaf], fixture.key) == .keyMismatch)
        #expect(load([middle, leaf]) == .wrongOrder)
        #expect(load([leaf, root, middle]) == .wrongOrder)
        #expect(load([leaf, root]) == .missingIntermediate)

        let scratch = try Scratch()
        try issued.write(certificateFile: scratch.file("a.crt"), keyFile: scratch.file("a.key"))
        let files = (scratch.file("a.crt"), scratch.file("a.key"))
        #expect(try Credentials.load(certificateFile: files.0, keyFile: files.1).chain == issued.chain)
        let error = #expect(throws: CertificateError.self) {
            try Credentials.load(certificateFile: files.1, keyFile: files.0, permissions: .ignored)
        }
        #expect(error?.reason == .missingCertificate && error?.file == files.1)
        #expect(error?.hint.contains("swapped") == true)
    }

    @Test func loaderNamesTheIssuerThatIsNotTrusted() throws {
        let fixture = try Fixture.shared.get()
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        let bare = try Credentials(chain: [issued.leaf], key: issued.key)
        let error = #expect(throws: CertificateError.self) {
            try bare.validate(trust: fixture.trust, trustDomains: [domain], now: noon)
        }
        #expect(error?.reason == .untrustedIssuer)
        #expect(error?.message.contains("CN=Test intermediate") == true)
        #expect(error?.hint.contains("append its certificate") == true)
        // Another CA is trusted: no intermediate is absent, and nobody says so.
        let other = try CertificateAuthority.createRoot(name: "Other", trustDomain: domain, now: noon)
        let wrong = #expect(throws: CertificateError.self) {
            try fixture.ca.issueCredentials(IssueRequest(node: "ACL"), now: noon)
                .validate(trust: try TrustBundle(roots: [other.certificate]), trustDomains: [domain], now: noon)
        }
        #expect(wrong?.reason == .untrustedIssuer)
        #expect(wrong?.message.contains("trusted: CN=Other") == true)
        #expect(wrong?.hint.contains("trust.ca") == true)
        #expect(try issued.validate(trust: fixture.trust, trustDomains: [domain], now: noon).nodeName == "ACL")
        let serverOnly = try fixture.ca.issueCredentials(
            IssueRequest(node: "ACL", usages: [.serverAuth]), now: noon)
        #expect(reason { try serverOnly.validate(trust: fixture.trust, trustDomains: nil, now: noon) } == .wrongUsage)
    }

    @Test func trustHoldsOnlyCAs() throws {
        let fixture = try Fixture.shared.get()
        #expect(reason { try TrustBundle(roots: []) } == .missingCertificate)
        #expect(reason { try TrustBundle(roots: [fixture.leaf()]) } == .notACA)
        let both = try TrustBundle(roots: [fixture.foreign.certificate]).merging(fixture.trust).merging(fixture.trust)
        #expect(both.roots == [fixture.foreign.certificate, fixture.ca.certificate])
    }

    /// Bytes that go wrong in every way must give an error, never a crash: what the fuzz targets do for longer.
    @Test func damagedBytesNeverCrash() throws {
        let fixture = try Fixture.shared.get()
        let der = try fixture.leaf { $0.alternativeNames.append(try .ip("::1")) }.der
        let secret = try fixture.key.pem()
        let pfx = try Credentials(chain: [fixture.leaf()], key: fixture.key).pkcs12(passphrase: Passphrase(""))
        var random = SystemRandomNumberGenerator()
        for round in 0..<1500 {
            func damage(_ bytes: [UInt8]) -> [UInt8] {
                var bytes = bytes
                for _ in 0...Int(random.next() % 3) {
                    bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
                }
                return round % 5 == 0 ? Array(bytes.prefix(Int(random.next() % UInt64(bytes.count)))) : bytes
            }
            if let certificate = try? Certificate(der: damage(der)) {
                _ = certificate.summary(now: noon).lines
                _ = reason { try ChainVerifier(trust: fixture.trust).verify([certificate], expecting: expectation()) }
            }
            _ = try? PrivateKey(pem: damage(secret))
            _ = try? Certificate.parsePEM(damage(Array(fixture.ca.certificate.pem.utf8)))
            if round % 50 == 0 { _ = try? Credentials(pkcs12: damage(pfx), passphrase: nil) }
        }
    }

    @Test func rootsOfTheSystem() throws {
        let fixture = try Fixture.shared.get()
        let directory = NSTemporaryDirectory() + "conduit-roots-\(getpid())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = directory + "/roots.crt"
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        let many = String(repeating: fixture.ca.certificate.pem, count: 100)
        try (broken + many + fixture.leaf().pem).write(toFile: file, atomically: true, encoding: .utf8)
        #expect(try TrustBundle.system(files: ["/nowhere", file]).roots.count == 100)
        #expect(reason { try TrustBundle.system(files: ["/nowhere"]) } == .missingCertificate)
        try broken.write(toFile: file, atomically: true, encoding: .utf8)
        let error = #expect(throws: CertificateError.self) { try TrustBundle.system(files: [file]) }
        #expect(error?.reason == .missingCertificate && error?.file == file)
    }
}
