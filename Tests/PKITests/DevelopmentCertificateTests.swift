import Foundation
import PKI
import Testing

@Suite struct DevelopmentCertificateTests {
    private let now: Int64 = 1_800_000_000

    private func make(_ name: String, dns: [String] = [], ip: [String] = []) throws -> DevelopmentCertificate {
        try DevelopmentCertificate.make(name: name, dnsNames: dns, ipAddresses: ip, now: now)
    }

    @Test func clientsThatTrustItsAuthorityAcceptItByEveryName() throws {
        let made = try make("shop.test", dns: ["*.shop.test", "localhost"], ip: ["127.0.0.1", "::1", "192.0.2.7"])
        let leaf = made.credentials.leaf
        #expect(leaf.dnsNames == ["shop.test", "*.shop.test", "localhost"])
        #expect(leaf.ipAddresses == ["127.0.0.1", "::1", "192.0.2.7"])
        #expect(leaf.commonName == "shop.test" && !leaf.isCA)
        let verifier = ChainVerifier(trust: try TrustBundle(roots: [made.authority]))
        for host in ["shop.test", "a.shop.test", "localhost", "127.0.0.1", "::1", "192.0.2.7"] {
            let expected = PeerVerification.Expectation(
                role: .serverOfLink, hostName: host, isForeignServer: true, trustDomains: nil, now: now)
            _ = try verifier.verify(made.credentials.chain, expecting: expected)
        }
        for (host, wanted, at) in [
            ("other.test", CertificateReason.wrongName, now), ("127.0.0.2", .wrongName, now),
            ("shop.test", .expired, now + 31 * 86_400), ("shop.test", .notYetValid, now - 3600),
        ] {
            let expected = PeerVerification.Expectation(
                role: .serverOfLink, hostName: host, isForeignServer: true, trustDomains: nil, now: at)
            #expect(reason { try verifier.verify(made.credentials.chain, expecting: expected) } == wanted)
        }
    }

    @Test func eachHasAnAuthorityOfItsOwn() throws {
        let (first, second) = (try make("a.test"), try make("a.test"))
        let expected = PeerVerification.Expectation(
            role: .serverOfLink, hostName: "a.test", isForeignServer: true, trustDomains: nil, now: now)
        let verifier = ChainVerifier(trust: try TrustBundle(roots: [first.authority]))
        #expect(reason { try verifier.verify(second.credentials.chain, expecting: expected) } == .unknownCA)
        #expect(first.authority.pathLength == 0)
    }

    @Test func addressesNeverBecomeDNSNames() throws {
        #expect(try make("192.0.2.1").credentials.leaf.ipAddresses == ["192.0.2.1"])
        #expect(try make("192.0.2.1").credentials.leaf.dnsNames == [])
        #expect(try make("My laptop", ip: ["127.0.0.1"]).credentials.leaf.dnsNames == [])
        let error = #expect(throws: CertificateError.self) { try make("a", dns: ["192.0.2.1"]) }
        #expect(error?.reason == .badName && error?.hint == "it is an IP address: --ip 192.0.2.1")
    }

    @Test func whatCannotBe() {
        #expect(reason { try make("") } == .badName)
        #expect(reason { try make("ü.test") } == .badName)
        #expect(reason { try make(String(repeating: "x", count: 65)) } == .badName)
        #expect(reason { try make("My laptop") } == .badName)
        #expect(reason { try make("a", dns: ["a b"]) } == .badName)
        #expect(reason { try make("a", ip: ["localhost"]) } == .badName)
        for validity: Int64 in [0, -1, 399 * 86_400, .max] {
            #expect(reason { try DevelopmentCertificate.make(name: "a", validity: validity, now: now) } == .badRequest)
        }
    }

    @Test func namesOfListeners() {
        let loopback = DevelopmentCertificate.names(forListenersAt: ["127.0.0.1", "127.0.0.1", "::1"])
        #expect(loopback.dnsNames == ["localhost"] && loopback.ipAddresses == ["127.0.0.1", "::1"])
        let outside = DevelopmentCertificate.names(forListenersAt: ["192.0.2.7"])
        #expect(!outside.dnsNames.contains("localhost") && outside.ipAddresses == ["192.0.2.7"])
        let all = DevelopmentCertificate.names(forListenersAt: ["0.0.0.0"])
        #expect(all.dnsNames.contains("localhost") && all.ipAddresses.contains("127.0.0.1"))
        #expect(all.ipAddresses.allSatisfy { !$0.contains(":") })
    }

    @Test func filesAreWrittenOnceAndRemoved() throws {
        let directory = NSTemporaryDirectory() + "conduit-development-\(getpid())"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let made = try make("shop.test")
        let files = DevelopmentCertificate.Files(directory: directory, name: "shop")
        try made.write(files)
        func mode(_ file: String) throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
        }
        #expect(try mode(files.key) == 0o600 && mode(files.certificate) == 0o644 && mode(files.authority) == 0o644)
        let read = try Credentials.load(certificateFile: files.certificate, keyFile: files.key)
        #expect(read.leaf == made.credentials.leaf)
        #expect(try Certificate.load(file: files.authority) == [made.authority])
        try FileManager.default.removeItem(atPath: files.certificate)
        #expect(reason { try make("shop.test").write(files) } == .unwritableFile)
        #expect(!FileManager.default.fileExists(atPath: files.certificate), "nothing is written beside old files")
        try make("shop.test").write(files, replace: true)
        files.remove()
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
    }
}
