import PKI
import Testing

@Suite struct ServerCertificateReviewTests {
    private let now: Int64 = 1_800_000_000

    private func credentials(
        dns: [String] = ["shop.test"], ip: [String] = [], days: Int64 = 90, at start: Int64? = nil
    ) throws -> Credentials {
        try DevelopmentCertificate.make(
            name: dns.first ?? ip.first ?? "x", dnsNames: dns, ipAddresses: ip, validity: days * 86_400,
            now: start ?? now
        ).credentials
    }

    private func review(
        _ credentials: Credentials, _ hosts: [String] = [], at time: Int64? = nil, file: String = "/x/a.crt"
    )
        -> ServerCertificateReview
    {
        ServerCertificateReview(credentials, file: file, hosts: hosts, now: time ?? now)
    }

    @Test func aGoodCertificateHasNothing() throws {
        let good = review(
            try credentials(dns: ["shop.test", "*.shop.test"], ip: ["192.0.2.1"]), ["shop.test", "192.0.2.1"])
        #expect(good.problems == [] && good.warnings == [])
        #expect(review(try credentials(dns: ["*.shop.test"]), ["a.shop.test", "*.shop.test"]).problems == [])
    }

    @Test func times() throws {
        let made = try credentials()
        let past = review(made, at: now + 93 * 86_400)
        #expect(past.problems.map(\.reason) == [.expired])
        #expect(past.problems[0].message.contains("expired 3 days ago"))
        #expect(past.problems[0].hint.contains("openssl x509 -noout -dates -in /x/a.crt"))
        #expect(review(made, at: now - 86_400).problems.map(\.reason) == [.notYetValid])
        let soon = review(made, at: now + 80 * 86_400)
        #expect(soon.problems == [] && soon.warnings.map(\.reason) == [.expired])
        #expect(soon.warnings[0].message.contains("expires in 10 d"))
        #expect(review(made, at: now + 70 * 86_400).warnings == [])
        // One that lives for a day is warned of in its last third.
        let short = try credentials(days: 1)
        #expect(review(short, at: now + 12 * 3600).warnings == [])
        #expect(review(short, at: now + 20 * 3600).warnings.count == 1)
    }

    @Test func names() throws {
        let made = try credentials(dns: ["shop.test", "*.eu.test"], ip: ["192.0.2.1"])
        let wrong = review(
            made, ["shop.test", "www.shop.test", "a.b.eu.test", "192.0.2.2", "*.shop.test", "*.eu.test"])
        #expect(wrong.problems.map(\.reason) == [.wrongName, .wrongName, .wrongName, .wrongName])
        #expect(
            wrong.problems[0].message
                == "clients come to www.shop.test, and the certificate is for shop.test, *.eu.test, 192.0.2.1")
        #expect(wrong.problems[0].hint.contains("openssl x509 -noout -ext subjectAltName -in /x/a.crt"))
    }

    @Test func formsThatClientsRefuse() throws {
        let fixture = try Fixture.shared.get()
        let key = try PrivateKey.generate(.p256)
        var builder = CertificateBuilder(
            subject: [.commonName("shop.test")], publicKey: key.publicKey, notBefore: now - 1,
            notAfter: now + 90 * 86_400)
        builder.extendedKeyUsage = [.clientAuth]
        let leaf = try builder.build(signedBy: fixture.ca.signer)
        let made = try Credentials(chain: [leaf], key: key)
        let found = review(made)
        #expect(found.problems.map(\.reason) == [.wrongName, .wrongUsage])
        #expect(found.problems[0].message.contains("names no host"))
        let certbot = review(made, file: "/etc/letsencrypt/live/shop.test/cert.pem")
        #expect(certbot.warnings.map(\.reason) == [.missingIntermediate])
        #expect(certbot.warnings[0].hint.contains("fullchain.pem"))
    }
}
