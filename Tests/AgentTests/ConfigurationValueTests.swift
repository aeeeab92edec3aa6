import Agent
import JSON
import Testing

@Suite struct ConfigurationValueTests {
    @Test func everyKeyIsRead() throws {
        let text = """
            {
              "$schema": "docs/mesh.schema.json",
              node: { name: "Web.1", stateDirectory: "/var/lib/mesh", advertise: ["mesh.example:7400", "[2001:DB8::1]:7400"],
                      metadata: { site: "a" } },
              identity: { pkcs12: "n.p12", passphraseFile: "pass" },
              trust: { servers: ["a.crt", "/b.crt"], clients: "c.crt", domain: "mesh.example" },
              tls: { minimumVersion: "1.2", legacyCertificates: true },
              listen: { mesh: "0.0.0.0:7400", control: "c.sock", metrics: "[::1]:9090" },
              peers: [{ node: "db", address: "db.example:7400" }],
              directory: { node: "db", leaseGrace: "1m", renewInterval: "10s" },
              services: [
                { name: "web", target: "127.0.0.1:80", protocol: "http", tags: ["blue", "v1.2"], weight: 7,
                  metadata: { version: "1" }, connectTimeout: "250ms",
                  check: { kind: "none", interval: "9s", timeout: "3s", failures: 3, successes: 4 } },
                { name: "raw", target: "unix:raw.sock" },
                { name: "far", target: "far.example:80", allowNonLoopback: true },
              ],
              upstreams: [
                { listen: "localhost:5432", service: "db", as: "web", node: "db", instance: "db/db", connectTimeout: "2s" },
                { listen: "0.0.0.0:81", service: "mesh.directory", allowNonLoopback: true },
                { listen: "unix:/run/x.sock", service: "x" },
              ],
              policy: { inline: { version: 1 } },
              workers: 3,
              links: { pingInterval: "5s", handshakeTimeout: "6s", idleTimeout: "11s", reconnectMin: "50ms",
                       reconnectMax: "1h", reconnectMaxPermanent: "2s" },
              streams: { window: "4MiB", initialCredit: "32KiB" },
              limits: { receiveBudget: "1GiB", maxStreams: 5, maxLinks: 6, maxConnectionsPerUpstream: 7 },
              log: { level: "debug", format: "json" },
              shutdown: { drainTimeout: "0s" },
            }
            """
        let loaded = try ConfigurationFixture.load(text, name: "/etc/mesh/mesh.json")
        let configuration = loaded.configuration
        #expect(loaded.warnings.isEmpty)
        #expect(configuration.node.name == "Web.1")
        #expect(configuration.node.stateDirectory == "/var/lib/mesh")
        #expect(configuration.node.advertise.map(\.description) == ["mesh.example:7400", "[2001:db8::1]:7400"])
        #expect(configuration.node.metadata == ["site": "a"])
        #expect(configuration.identity.certificate == nil)
        #expect(configuration.identity.pkcs12 == "/etc/mesh/n.p12")
        #expect(configuration.identity.passphrase.file == "/etc/mesh/pass")
        #expect(configuration.trust.servers == ["/etc/mesh/a.crt", "/b.crt"])
        #expect(configuration.trust.clients == ["/etc/mesh/c.crt"])
        #expect(configuration.trust.domain == "mesh.example")
        #expect(configuration.tls.minimumVersion == .tls12)
        #expect(configuration.tls.legacyCertificates)
        #expect(configuration.listen.mesh == .host("0.0.0.0", port: 7400))
        #expect(configuration.listen.control == "/etc/mesh/c.sock")
        #expect(configuration.listen.metrics == .host("::1", port: 9090))
        #expect(configuration.directory.serve == false)
        #expect(configuration.directory.node == "db")
        #expect(configuration.directory.address?.description == "db.example:7400")
        #expect(configuration.directory.leaseGrace == .seconds(60))
        #expect(configuration.directory.renewInterval == .seconds(10))
        #expect(configuration.peers.map(\.node) == ["db"])

        let service = configuration.services[0]
        #expect(service.name == "web")
        #expect(service.protocol == .http)
        #expect(service.tags == ["blue", "v1.2"])
        #expect(service.weight == 7)
        #expect(service.metadata == ["version": "1"])
        #expect(service.connectTimeout == .milliseconds(250))
        #expect(service.check.kind == .none)
        #expect(service.check.interval == .seconds(9))
        #expect(service.check.timeout == .seconds(3))
        #expect(service.check.failures == 3)
        #expect(service.check.successes == 4)
        #expect(configuration.services[1].target.address == .unix(path: "/etc/mesh/raw.sock"))
        #expect(configuration.services[2].target.address.isName)

        let upstream = configuration.upstreams[0]
        #expect(upstream.listen == .host("127.0.0.1", port: 5432))
        #expect(upstream.service == "db")
        #expect(upstream.actAs == "web")
        #expect(upstream.node == "db")
        #expect(upstream.instance == "db/db")
        #expect(upstream.connectTimeout == .seconds(2))
        #expect(configuration.upstreams[2].listen == .unix(path: "/run/x.sock"))

        #expect(configuration.policy.inline?.node.value == ["version": 1])
        #expect(configuration.workers == 3)
        #expect(configuration.links.pingInterval == .seconds(5))
        #expect(configuration.links.handshakeTimeout == .seconds(6))
        #expect(configuration.links.idleTimeout == .seconds(11))
        #expect(configuration.links.reconnectMin == .milliseconds(50))
        #expect(configuration.links.reconnectMax == .seconds(3600))
        #expect(configuration.links.reconnectMaxPermanent == .seconds(2))
        #expect(configuration.streams.window == 4 << 20)
        #expect(configuration.streams.initialCredit == 32 << 10)
        #expect(configuration.limits.receiveBudget == 1 << 30)
        #expect(configuration.limits.maxStreams == 5)
        #expect(configuration.limits.maxLinks == 6)
        #expect(configuration.limits.maxConnectionsPerUpstream == 7)
        #expect(configuration.log.level == .debug)
        #expect(configuration.log.format == .json)
        #expect(configuration.shutdown.drainTimeout == .zero)
    }

    @Test func defaultsAreThoseOfTheDesign() throws {
        let loaded = try ConfigurationFixture.load(ConfigurationFixture.text(""), name: "conf/mesh.json")
        let configuration = loaded.configuration
        #expect(configuration.node.name == nil)
        #expect(configuration.node.stateDirectory == "conf/state")
        #expect(configuration.listen.control == "conf/state/control/control.sock")
        #expect(configuration.directory.store == "conf/state/directory.sqlite")
        #expect(configuration.identity.certificate == "conf/n.crt")
        #expect(configuration.trust.servers == ["conf/ca.crt"])
        #expect(configuration.trust.clients == ["conf/ca.crt"])
        #expect(configuration.node.advertise == [.host("127.0.0.1", port: 7400)])
        #expect(configuration.tls.minimumVersion == .tls13)
        #expect(!configuration.tls.legacyCertificates)
        #expect(configuration.listen.metrics == nil)
        #expect(configuration.workers >= 1)
        #expect(configuration.directory.leaseGrace == .seconds(15))
        #expect(configuration.directory.renewInterval == .seconds(5))
        #expect(configuration.links.pingInterval == .seconds(10))
        #expect(configuration.links.reconnectMin == .milliseconds(100))
        #expect(configuration.links.reconnectMax == .seconds(30))
        #expect(configuration.links.reconnectMaxPermanent == .milliseconds(500))
        #expect(configuration.streams.window == 1 << 20)
        #expect(configuration.streams.initialCredit == 16 << 10)
        #expect(configuration.limits.receiveBudget == 512 << 20)
        #expect(configuration.shutdown.drainTimeout == .seconds(10))
        #expect(loaded.warnings.isEmpty)
    }

    @Test func defaultsOfServicesAndUpstreams() throws {
        let configuration = try ConfigurationFixture.configuration(
            "services: [{ name: 'a', target: '127.0.0.1:1' }], upstreams: [{ listen: '127.0.0.1:2', service: 'a' }]")
        var service = Configuration.Service()
        service.name = "a"
        service.target = Configuration.Target(.host("127.0.0.1", port: 1))
        #expect(configuration.services == [service])
        #expect(service.weight == 100)
        #expect(service.check.kind == .tcp)
        #expect(service.check.interval == .seconds(5))
        #expect(configuration.upstreams[0].actAs == nil)
        #expect(configuration.upstreams[0].connectTimeout == .seconds(5))
    }

    @Test func anExplicitListenNullIsNone() throws {
        let text = "{\(ConfigurationFixture.base) listen: { mesh: null }, directory: { node: 'd', address: 'd:1' } }"
        let loaded = try ConfigurationFixture.load(text)
        #expect(loaded.configuration.listen.mesh == nil)
        #expect(loaded.configuration.node.advertise == [])
    }

    @Test(
        arguments: [
            ("1ms", 1_000_000), ("30s", 30_000_000_000), ("2m", 120_000_000_000), ("1h", 3_600_000_000_000),
            ("0s", 0), ("1m30s", 90_000_000_000),
        ] as [(String, UInt64)])
    func durationsAreNanoseconds(text: String, nanoseconds: UInt64) throws {
        let configuration = try ConfigurationFixture.configuration("shutdown: { drainTimeout: '\(text)' }")
        #expect(configuration.shutdown.drainTimeout.nanoseconds == nanoseconds)
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80", true), ("127.9.9.9:80", "127.9.9.9:80", true), ("[::1]:80", "[::1]:80", true),
        ("LocalHost:80", "127.0.0.1:80", true), ("unix:/run/x", "unix:/run/x", true), ("unix:@x", "unix:@x", true),
        ("[0:0::1]:80", "[::1]:80", true), ("10.0.0.1:80", "10.0.0.1:80", false),
        ("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true),
        ("127.example:80", "127.example:80", false), ("[fe80::1%eth0]:80", "[fe80::1%eth0]:80", false),
        ("a_b-c.example:65535", "a_b-c.example:65535", false),
    ])
    func addresses(text: String, canonical: String, isLoopback: Bool) throws {
        let configuration = try ConfigurationFixture.configuration(
            "services: [{ name: 'a', target: '\(text)', allowNonLoopback: true }]")
        #expect(configuration.services[0].target.description == canonical)
        #expect(configuration.services[0].target.address.isLoopback == isLoopback)
    }

    @Test(arguments: [
        ("https://db.internal:8443", "https://db.internal:8443", "db.internal", "db.internal:8443"),
        ("https://db.internal", "https://db.internal:443", "db.internal", "db.internal:443"),
        ("WSS://LocalHost/", "wss://localhost:443", "localhost", "127.0.0.1:443"),
        ("tls://[::1]:5433", "tls://[::1]:5433", "::1", "[::1]:5433"),
        ("https://[0::1]", "https://[::1]:443", "::1", "[::1]:443"),
        ("tls://192.0.2.7:1", "tls://192.0.2.7:1", "192.0.2.7", "192.0.2.7:1"),
    ])
    func targetsWithTLS(text: String, canonical: String, host: String, address: String) throws {
        let target = try ConfigurationFixture.configuration("services: [{ name: 'a', target: '\(text)' }]").services[0]
            .target
        #expect(target.description == canonical)
        #expect(target.host == host && target.address.description == address && target.isTLS)
    }

    @Test func tlsOfATarget() throws {
        let service = try ConfigurationFixture.configuration(
            "services: [{ name: 'a', target: 'https://127.0.0.1:1', tls: { ca: 'ca.crt', serverName: 'x.test', "
                + "certificate: '/a.crt', key: '/a.key' } }]"
        ).services[0]
        #expect(service.tls.ca.count == 1 && service.tls.ca[0].hasSuffix("ca.crt"))
        #expect(service.tls.serverName == "x.test")
        #expect(service.tls.certificate == "/a.crt" && service.tls.key == "/a.key")
    }

    /// The inline policy's text stands where it stands in the file, so that its own mistakes have the right place.
    @Test func anInlinePolicyKeepsItsPlaces() throws {
        let text = ConfigurationFixture.text("/* é */ log: {},").replacing("policy: { file: \"p.json\" },", with: "")
            .replacing("log: {}", with: "policy: { inline: {\n   rules: [ 'x' ], } }")
        let policy = try #require(try ConfigurationFixture.load(text).configuration.policy.inline)
        #expect(policy.source == "mesh.json")
        let document = try JSONReader.parseDocument(policy.text, dialect: .json5)
        #expect(document.position(of: [])?.description == "4:27")
        #expect(document.position(of: ["rules", 0])?.description == "5:13")
        #expect(document.value == ["rules": ["x"]])
    }
}

extension String {
    /// The text with every occurrence replaced.
    func replacing(_ old: String, with new: String) -> String {
        var result = ""
        var rest = self[...]
        while let range = rest.firstRange(of: old) {
            result += rest[..<range.lowerBound] + new
            rest = rest[range.upperBound...]
        }
        return result + rest
    }
}
