import Bytes
import Gateway
import HTTP
import SeededRandom
import Testing

@Suite struct ProxyTrustTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var headers: [(String, String)]
        var peer: SocketPeer = .address(.of("10.0.0.1"), port: 4000)
        var certificate = false
        var proxy: ProxyHeader.Origin?
        var dialect = ProxyTrust.Dialect.any
        /// What comes out: address, scheme and host; or the reason of the refusal.
        var address: String?
        var scheme = ClientInfo.Scheme.http
        var host = "edge.example.org"
        var reason: String?

        var testDescription: String { name }

        init(
            _ name: String, _ headers: [(String, String)], _ address: String? = nil,
            _ scheme: ClientInfo.Scheme = .http, host: String = "edge.example.org",
            peer: SocketPeer = .address(.of("10.0.0.1"), port: 4000), proxy: ProxyHeader.Origin? = nil,
            dialect: ProxyTrust.Dialect = .any, refused reason: String? = nil
        ) {
            self.name = name
            self.headers = headers
            self.address = address
            self.scheme = scheme
            self.host = host
            self.peer = peer
            self.proxy = proxy
            self.dialect = dialect
            self.reason = reason
        }
    }

    private static func relayed(_ address: String) -> ProxyHeader.Origin {
        .relayed(source: .init(.of(address), 99), destination: .init(.of("192.0.2.200"), 443))
    }

    /// Trusted are 10.0.0.0/8, 2001:db8:ffff::/48 and peers on Unix sockets.
    static let cases: [Case] = [
        Case("a direct client", [], "203.0.113.9", peer: .address(.of("203.0.113.9"), port: 1)),
        Case(
            "a spoofer: nothing of his is read",
            [
                ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil.example"),
                ("X-Real-IP", "1.1.1.1"), ("Forwarded", "for=1.1.1.1;proto=https;host=evil"), ("Client-Cert", ":AAAA:"),
            ], "203.0.113.9", peer: .address(.of("203.0.113.9"), port: 1)),
        Case(
            "a spoofer's garbage is no error", [("X-Forwarded-For", "%")], "203.0.113.9",
            peer: .address(.of("203.0.113.9"), port: 1)),
        Case(
            "loopback is nobody special", [("X-Forwarded-For", "1.1.1.1")], "127.0.0.1",
            peer: .address(.of("127.0.0.1"), port: 1)),
        Case("a proxy without fields is the client", [], "10.0.0.1"),
        Case("one proxy", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
        Case(
            "a mapped proxy is trusted as IPv4", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9",
            peer: .address(.of("::ffff:10.0.0.1"), port: 1)),
        Case(
            "what the client sent first is not looked at", [("X-Forwarded-For", "1.1.1.1, 203.0.113.9")], "203.0.113.9"),
        Case("not even if it is garbage", [("X-Forwarded-For", "\u{600}<script>,,%, 203.0.113.9")], "203.0.113.9"),
        Case("two proxies", [("X-Forwarded-For", "203.0.113.9, 10.2.0.1")], "203.0.113.9"),
        Case(
            "two proxies, two lines", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "10.2.0.1")],
            "203.0.113.9"),
        Case(
            "a forged proxy in front of the client", [("X-Forwarded-For", "8.8.8.8, 10.9.9.9, 203.0.113.9, 10.2.0.1")],
            "203.0.113.9"),
        Case("all trusted: the leftmost", [("X-Forwarded-For", "10.3.0.1, 10.2.0.1")], "10.3.0.1"),
        Case("mapped elements are IPv4", [("X-Forwarded-For", "203.0.113.9, ::ffff:10.2.0.1")], "203.0.113.9"),
        Case("ports and brackets", [("X-Forwarded-For", "[2001:db8::9]:444, 10.2.0.1:80")], "2001:db8::9"),
        Case("bare IPv6", [("X-Forwarded-For", "2001:db8::9")], "2001:db8::9"),
        Case("unknown ends the chain at the proxy", [("X-Forwarded-For", "203.0.113.9, unknown")], "10.0.0.1"),
        Case(
            "garbage where it counts", [("X-Forwarded-For", "203.0.113.9, 10.2.0.1, host")],
            refused: "bad_forwarded_field"),
        Case("an empty element where it counts", [("X-Forwarded-For", "203.0.113.9,")], refused: "bad_forwarded_field"),
        Case("an empty field", [("X-Forwarded-For", "")], refused: "bad_forwarded_field"),
        Case("X-Real-IP alone", [("X-Real-IP", "203.0.113.9")], "203.0.113.9"),
        Case(
            "X-Real-IP of the client", [("X-Forwarded-For", "203.0.113.9"), ("X-Real-IP", "203.0.113.9")], "203.0.113.9"
        ),
        Case(
            "X-Real-IP of a proxy on the way",
            [("X-Forwarded-For", "203.0.113.9, 10.2.0.1"), ("X-Real-IP", "10.2.0.1")], "203.0.113.9"),
        Case(
            "X-Forwarded-For passed on by a proxy that sets X-Real-IP",
            [("X-Forwarded-For", "1.1.1.1"), ("X-Real-IP", "203.0.113.9")], refused: "forwarded_contradiction"),
        Case("two X-Real-IP", [("X-Real-IP", "1.1.1.1"), ("X-Real-IP", "1.1.1.1")], refused: "bad_forwarded_field"),
        Case("a list in X-Real-IP", [("X-Real-IP", "1.1.1.1, 2.2.2.2")], refused: "bad_forwarded_field"),
        Case(
            "https at the proxy", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")], "203.0.113.9",
            .https),
        Case(
            "wss counts as https", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "WSS")], "203.0.113.9",
            .https),
        Case(
            "the scheme of the client's hop",
            [("X-Forwarded-For", "203.0.113.9, 10.2.0.1"), ("X-Forwarded-Proto", "https, http")], "203.0.113.9", .https),
        Case(
            "one scheme for two hops", [("X-Forwarded-For", "203.0.113.9, 10.2.0.1"), ("X-Forwarded-Proto", "https")],
            "203.0.113.9", .https),
        Case(
            "a scheme that the client put in front",
            [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https, http")], "203.0.113.9", .http),
        Case("no scheme", [("X-Forwarded-Proto", "gopher")], refused: "bad_forwarded_field"),
        Case(
            "a host", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Host", "www.example.org:8443")], "203.0.113.9",
            host: "www.example.org:8443"),
        Case("no host", [("X-Forwarded-Host", "a b")], refused: "bad_forwarded_field"),
        Case("a host with user", [("X-Forwarded-Host", "a@b")], refused: "bad_forwarded_field"),
        Case(
            "Forwarded", [("Forwarded", "for=203.0.113.9;proto=https;host=www.example.org")], "203.0.113.9", .https,
            host: "www.example.org"),
        Case("Forwarded, quoted", [("Forwarded", "For=\"[2001:db8::9]:4711\"")], "2001:db8::9"),
        Case(
            "Forwarded, two hops", [("Forwarded", "for=203.0.113.9;proto=https, for=10.2.0.1;proto=http")],
            "203.0.113.9", .https),
        Case(
            "Forwarded, the client in front",
            [("Forwarded", "for=1.1.1.1;proto=https;host=evil"), ("Forwarded", "for=203.0.113.9;proto=http")],
            "203.0.113.9", .http),
        Case("Forwarded, hidden", [("Forwarded", "for=_secret;proto=https")], "10.0.0.1", .https),
        Case("Forwarded, unknown", [("Forwarded", "for=unknown")], "10.0.0.1"),
        Case("Forwarded without for", [("Forwarded", "proto=https")], "10.0.0.1", .https),
        Case("Forwarded, hidden port", [("Forwarded", "for=\"203.0.113.9:_x\"")], "203.0.113.9"),
        Case(
            "Forwarded, an open quote in front", [("Forwarded", "for=\"1.1.1.1, for=203.0.113.9")],
            refused: "bad_forwarded_field"),
        Case(
            "Forwarded, a quote that swallows", [("Forwarded", "for=1.1.1.1;x=\", for=203.0.113.9;proto=\"https\"")],
            refused: "bad_forwarded_field"),
        Case("Forwarded, doubled", [("Forwarded", "for=1.1.1.1;for=203.0.113.9")], refused: "bad_forwarded_field"),
        Case("Forwarded, no pair", [("Forwarded", "203.0.113.9")], refused: "bad_forwarded_field"),
        Case("Forwarded, an empty element", [("Forwarded", "for=203.0.113.9,")], refused: "bad_forwarded_field"),
        Case("Forwarded, bare IPv6", [("Forwarded", "for=2001:db8::9")], refused: "bad_forwarded_field"),
        Case("both agree", [("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "203.0.113.9")], "203.0.113.9"),
        Case(
            "both disagree", [("Forwarded", "for=1.1.1.1"), ("X-Forwarded-For", "203.0.113.9")],
            refused: "forwarded_contradiction"),
        Case(
            "schemes disagree",
            [
                ("Forwarded", "for=203.0.113.9;proto=https"), ("X-Forwarded-For", "203.0.113.9"),
                ("X-Forwarded-Proto", "http"),
            ], refused: "forwarded_contradiction"),
        Case(
            "hosts disagree",
            [("Forwarded", "for=203.0.113.9;host=a"), ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Host", "b")],
            refused: "forwarded_contradiction"),
        Case(
            "dialect x-forwarded", [("Forwarded", "for=1.1.1.1;proto=https"), ("X-Forwarded-For", "203.0.113.9")],
            "203.0.113.9", dialect: .xForwarded),
        Case(
            "dialect x-forwarded: the other may be garbage", [("Forwarded", "%"), ("X-Forwarded-For", "203.0.113.9")],
            "203.0.113.9", dialect: .xForwarded),
        Case(
            "dialect forwarded",
            [
                ("Forwarded", "for=203.0.113.9"), ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "b"), ("X-Real-IP", "1.1.1.1"),
            ], "203.0.113.9", dialect: .forwarded),
        Case("a Unix proxy", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9", peer: .unix),
        Case("a Unix proxy without fields", [], nil, peer: .unix),
        Case(
            "a chain without end",
            [("X-Forwarded-For", Array(repeating: "10.0.0.2", count: 65).joined(separator: ","))],
            refused: "bad_forwarded_field"),
        Case(
            "PROXY from a trusted peer", [("X-Forwarded-For", "1.1.1.1")], "203.0.113.9", proxy: relayed("203.0.113.9")),
        Case(
            "PROXY for another trusted proxy", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9",
            proxy: relayed("10.4.0.1")),
        Case("PROXY LOCAL", [("X-Forwarded-For", "203.0.113.9")], "203.0.113.9", proxy: .local),
        Case("PROXY UNKNOWN: nobody we trust", [("X-Forwarded-For", "1.1.1.1")], "10.0.0.1", proxy: .unknown),
        Case(
            "PROXY from a stranger", [], "203.0.113.9", peer: .address(.of("203.0.113.9"), port: 1),
            proxy: relayed("10.0.0.1")),
        Case("PROXY for loopback", [("X-Forwarded-For", "1.1.1.1")], "127.0.0.1", proxy: relayed("127.0.0.1")),
    ]

    private static func trust(_ dialect: ProxyTrust.Dialect = .any) throws -> ProxyTrust {
        ProxyTrust(
            proxies: try CIDRSet(parsing: ["10.0.0.0/8", "2001:db8:ffff::/48"]), trustsUnix: true, dialect: dialect)
    }

    @Test(arguments: cases) func whoTheClientIs(_ test: Case) throws {
        let facts = ConnectionFacts(
            peer: test.peer, isTLS: false, peerHasCertificate: test.certificate,
            proxyHeader: test.proxy.map { ProxyHeader(version: 2, origin: $0) })
        let trust = try Self.trust(test.dialect)
        do throws(EdgeRefusal) {
            let client = try trust.client(of: facts, request: request(test.headers))
            #expect(test.reason == nil)
            #expect(client.address?.description == test.address)
            #expect(client.scheme == test.scheme)
            #expect(client.host?.description == test.host)
            #expect(client.certificate == nil)
        } catch {
            #expect(error.reason == test.reason && error.status == 400)
        }
    }

    @Test func proxiesOnTheWayAreNamed() throws {
        let facts = ConnectionFacts(peer: .address(ip("10.0.0.1"), port: 1), isTLS: true)
        let client = try Self.trust().client(
            of: facts, request: request([("X-Forwarded-For", "9.9.9.9, 203.0.113.9, 10.2.0.1, 10.3.0.1")]))
        #expect(client.proxies == [ip("10.2.0.1"), ip("10.3.0.1"), ip("10.0.0.1")])
        #expect(client.cameThroughProxy && client.scheme == .https && client.port == nil)
    }

    struct CertificateCase: Sendable {
        let peer: SocketPeer
        let certificate: Bool
        let proxy: ProxyHeader.Origin?
        let counts: Bool
    }

    @Test(arguments: [
        CertificateCase(peer: .address(.of("10.0.0.1"), port: 1), certificate: false, proxy: nil, counts: false),
        CertificateCase(peer: .address(.of("10.0.0.1"), port: 1), certificate: true, proxy: nil, counts: true),
        CertificateCase(peer: .address(.of("203.0.113.9"), port: 1), certificate: true, proxy: nil, counts: false),
        CertificateCase(peer: .unix, certificate: false, proxy: nil, counts: true),
        CertificateCase(peer: .unix, certificate: false, proxy: .local, counts: true),
        CertificateCase(peer: .unix, certificate: false, proxy: relayed("10.4.0.1"), counts: false),
        CertificateCase(peer: .unix, certificate: true, proxy: relayed("10.4.0.1"), counts: true),
        CertificateCase(peer: .unix, certificate: false, proxy: .unknown, counts: false),
        CertificateCase(
            peer: .address(.of("10.0.0.1"), port: 1), certificate: true, proxy: relayed("203.0.113.9"), counts: false),
    ])
    func clientCertCountsFromAuthenticatedProxiesOnly(_ test: CertificateCase) throws {
        let der: [UInt8] = [0x30, 3, 2, 1, 5]
        let facts = ConnectionFacts(
            peer: test.peer, isTLS: true, peerHasCertificate: test.certificate,
            proxyHeader: test.proxy.map { ProxyHeader(version: 2, origin: $0) })
        let text = ":\(Base64.encode(der)):"
        let head = request([("Client-Cert", text), ("Client-Cert-Chain", "\(text), \(text)")])
        let client = try Self.trust().client(of: facts, request: head)
        #expect(client.certificate == (test.counts ? der : nil))
        #expect(client.certificateChain == (test.counts ? [der, der] : []))
        // Garbage is an error only where the field counts.
        let garbage = request([("Client-Cert", "MAMCAQU=")])
        let reason = refusal { _ = try Self.trust().client(of: facts, request: garbage) }
        #expect(reason == (test.counts ? "bad_client_cert_field" : nil))
    }

    @Test(arguments: [
        "", "::", ":=:", ":MAMCAQU:", ":MAMCAQU=: ;a=1", "MAMCAQU=", ":MAMC AQU=:", ":MAMCAQU=:, :MAMCAQU=:",
    ])
    func refusesClientCert(_ text: String) throws {
        let facts = ConnectionFacts(peer: .unix, isTLS: false)
        let reason = refusal { _ = try Self.trust().client(of: facts, request: request([("Client-Cert", text)])) }
        #expect(reason == "bad_client_cert_field")
    }

    @Test func theAddressIsKnownBeforeTheFirstRequest() throws {
        let header = ProxyHeader(version: 1, origin: Self.relayed("203.0.113.9"))
        let trusted = ConnectionFacts(peer: .address(ip("10.0.0.1"), port: 1), isTLS: false, proxyHeader: header)
        #expect(try Self.trust().address(of: trusted) == ip("203.0.113.9"))
        let stranger = ConnectionFacts(peer: .address(ip("192.0.2.3"), port: 1), isTLS: false, proxyHeader: header)
        #expect(try Self.trust().address(of: stranger) == ip("192.0.2.3"))
        #expect(!ProxyTrust.nobody.trusts(.unix) && !ProxyTrust.nobody.trusts(.address(ip("127.0.0.1"), port: 1)))
    }

    /// Whatever an untrusted peer sends, it is the client.
    @Test func strangersAlwaysSpeakForThemselves() throws {
        var random = SeededRandom(3)
        let names = [
            "X-Forwarded-For", "X-Real-IP", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "Client-Cert",
        ]
        let values = [
            "10.0.0.1", "for=10.0.0.1", "https", "evil", "unknown", "\"", ",", "127.0.0.1, 10.0.0.1", ":AAAA:",
        ]
        for _ in 0..<500 {
            let headers = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                (names.randomElement(using: &random) ?? "", values.randomElement(using: &random) ?? "")
            }
            let facts = ConnectionFacts(
                peer: .address(ip("203.0.113.9"), port: 7), isTLS: false, peerHasCertificate: true)
            let client = try Self.trust().client(of: facts, request: request(headers))
            let expected = ClientInfo(
                address: ip("203.0.113.9"), port: 7, scheme: .http, host: try HTTPAuthority(parsing: "edge.example.org")
            )
            #expect(client == expected)
        }
    }

    private func request(_ headers: [(String, String)]) -> HTTPRequestHead { GatewayTests.request(.get, "/", headers) }
}
