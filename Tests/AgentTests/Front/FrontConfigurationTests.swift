import Agent
import Testing

/// Flags, files, precedence and what follows from them.
@Suite struct FrontConfigurationTests {
    private let pair = ["certificate-file": "/tls/server.pem", "private-key-file": "/tls/server.key"]

    private func merged(_ flags: [String: String], _ more: [String: String]) -> [String: String] {
        flags.merging(more) { $1 }
    }

    @Test func serverSide() throws {
        let effective = try FrontFixture.load(merged(pair, ["listen": "0.0.0.0:8443"]))
        #expect(effective.listener.tls == .application)
        #expect(effective.listener.minimumVersion == .tls12)
        #expect(effective.route.service == "backend")
        #expect(effective.route.require == .none)
        #expect(effective.target.url.description == "ws://127.0.0.1:8690")
        #expect(!effective.front.isClientSide)
        #expect(effective.warnings.isEmpty)
        #expect(
            FrontFixture.value("edge.listeners[0].certificates[0].key", effective)
                == "/tls/server.key <- flag --private-key-file")
        #expect(FrontFixture.value("targets[0].url", effective) == "ws://127.0.0.1:8690 <- flag --to")
        #expect(FrontFixture.value("edge.limits.header", effective) == "64KiB <- default")
    }

    @Test func clientSide() throws {
        let effective = try FrontFixture.load(
            merged(pair, ["listen": "127.0.0.1:9000", "to": "wss://host.example:8443", "ca-file": "ca.crt"]))
        #expect(effective.front.isClientSide)
        #expect(effective.listener.tls == .disabled)
        #expect(effective.listener.certificates.isEmpty)
        #expect(effective.target.certificate == "/tls/server.pem")
        #expect(effective.target.key == "/tls/server.key")
        #expect(effective.target.ca == ["ca.crt"])
        #expect(!effective.target.insecure)
        #expect(FrontFixture.value("targets[0].ca", effective) == "ca.crt <- flag --ca-file")
    }

    @Test func bothSides() throws {
        let effective = try FrontFixture.load(
            merged(
                pair,
                [
                    "to": "https://host.example", "tls-mode": "application", "to-ca-file": "/tls/other.crt",
                    "server-name": "inner.example",
                ]))
        #expect(!effective.front.isClientSide)
        #expect(effective.listener.certificates.count == 1)
        #expect(effective.target.certificate == nil)
        #expect(effective.target.ca == ["/tls/other.crt"])
        #expect(effective.target.serverName == "inner.example")
        #expect(effective.target.url.address.port == 443)
        let switched = try FrontFixture.load(merged(pair, ["to": "wss://h.example", "tls-enabled": "true"]))
        #expect(switched.listener.certificates.count == 1)
    }

    @Test func insecureWarnsEveryTime() throws {
        let flags = ["listen": "127.0.0.1:9000", "to": "wss://host.example:8443", "insecure": "true"]
        #expect(try FrontFixture.warnings(flags) == ["flag --insecure targets[0].insecure insecure"])
        #expect(
            try FrontFixture.warnings(merged(flags, ["ca-file": "/ca.crt"])).sorted() == [
                "flag --ca-file targets[0].ca conflict", "flag --insecure targets[0].insecure insecure",
            ])
    }

    @Test func developmentCertificate() throws {
        let loopback = try FrontFixture.load(["tls-enabled": "true"])
        #expect(loopback.listener.tls == .application)
        #expect(loopback.listener.developmentNames == ["localhost"])
        #expect(loopback.listener.developmentAddresses == ["127.0.0.1"])
        #expect(
            try FrontFixture.warnings(["tls-enabled": "true"]) == [
                "flag --tls-enabled edge.listeners[0].developmentCertificate.names insecure"
            ])
        let one = try FrontFixture.load([
            "tls-enabled": "true", "listen": "192.0.2.9:8443", "public-origin": "https://ws.example.com",
        ])
        #expect(one.listener.developmentAddresses == ["192.0.2.9"])
        #expect(one.listener.developmentNames.contains("ws.example.com"))
        let all = try FrontFixture.load(["tls-enabled": "true", "listen": "0.0.0.0:8443"])
        #expect(all.listener.developmentAddresses.contains("127.0.0.1"))
        #expect(all.listener.developmentNames.contains("localhost"))
    }

    // MARK: - Precedence

    @Test func flagBeforeEnvironmentBeforeFileBeforeDefault() throws {
        let ini = "[server]\nhost = 127.0.0.3\nport = 9003\ntransport = http\n"
        try FrontFixture.withFile(ini) { file in
            let environment = ["X_SERVER_HOST": "127.0.0.2", "X_SERVER_PORT": "9002"]
            let flags = ["import": file, "env-prefix": "X_SERVER"]
            let all = try FrontFixture.load(merged(flags, ["port": "9001"]), environment)
            #expect(all.listener.address.description == "127.0.0.2:9001")
            #expect(FrontFixture.value("edge.listeners[0].address", all).hasSuffix("flag --port"))
            #expect(all.front.transport == .http)
            #expect(FrontFixture.value("transport", all) == "http <- \(file):4:13")
            let whole = try FrontFixture.load(merged(flags, ["listen": "127.0.0.9:9"]), environment)
            #expect(whole.listener.address.description == "127.0.0.9:9")
            let none = try FrontFixture.load(["import": file])
            #expect(none.listener.address.description == "127.0.0.3:9003")
            #expect(FrontFixture.value("edge.listeners[0].address", none).hasSuffix("\(file):2:8"))
        }
    }

    @Test func listenAndItsPartsExclude() {
        #expect(
            FrontFixture.problems(["listen": "127.0.0.1:1", "port": "2"])
                == ["flag --port edge.listeners[0].address conflict"])
    }

    @Test func switchingOff() throws {
        // From the same source, certificate and key imply TLS.
        let same = try FrontFixture.load(merged(pair, ["tls-enabled": "false"]))
        #expect(same.listener.tls == .application)
        #expect(same.warnings.map(\.code) == [.conflict])
        // From a stronger one, it is switched off.
        let environment = ["MCP_WS_CERT_FILE": "/a.pem", "MCP_WS_KEY_FILE": "/a.key"]
        let stronger = try FrontFixture.load(["env-prefix": "MCP", "tls-enabled": "false"], environment)
        #expect(stronger.listener.tls == .disabled)
        #expect(stronger.listener.certificates.isEmpty)
        #expect(stronger.warnings.map(\.code) == [.conflict])
        #expect(
            FrontFixture.problems(
                ["env-prefix": "MCP", "tls-enabled": "false", "listen": "0.0.0.0:8443"], environment)
                == ["flag --listen edge.listeners[0].address not_loopback"])
    }

    // MARK: - Requirements

    @Test func requirementFollowsFromWhatCanBeChecked() throws {
        let keys = ["edge-authentication-api-keys": "/keys.json"]
        let verify = merged(pair, ["verify-client": "true", "ca-file": "/ca.crt"])
        #expect(try FrontFixture.load(merged(pair, keys)).route.require == .token)
        #expect(try FrontFixture.load(verify).route.require == .certificate)
        #expect(try FrontFixture.load(merged(verify, keys)).route.require == .both)
        #expect(try FrontFixture.load(merged(merged(verify, keys), ["require": "either"])).route.require == .either)
    }

    @Test func pathOfTheTarget() throws {
        let effective = try FrontFixture.load(["to": "http://127.0.0.1:8000/mcp"])
        #expect(effective.route.rewrite == "/mcp")
        #expect(FrontFixture.value("edge.routes[0].rewrite", effective) == "/mcp <- flag --to")
    }

    @Test(arguments: [
        ("ws", FrontTransport.ws), ("sse", .sse), ("http", .http), ("streamable-http", .http),
    ]) func transports(text: String, transport: FrontTransport) throws {
        #expect(try FrontFixture.load(["transport": text]).front.transport == transport)
    }

    // MARK: - Mistakes

    /// Flags, and what is wrong with them.
    static let mistakes: [([String: String], [String])] = [
        (
            ["certificate-file": "/a"],
            ["flag --certificate-file edge.listeners[0].certificates[0].certificate conflict"]
        ),
        (["private-key-file": "/a"], ["flag --private-key-file edge.listeners[0].certificates[0].key conflict"]),
        (["listen": "0.0.0.0:8443"], ["flag --listen edge.listeners[0].address not_loopback"]),
        (["listen": "8443"], ["flag --listen edge.listeners[0].address bad_value"]),
        (["listen": "box.example:8443"], ["flag --listen edge.listeners[0].address bad_value"]),
        (["host": "box.example", "port": "1"], ["flag --host edge.listeners[0].address bad_value"]),
        (["port": "0x50"], ["flag --port edge.listeners[0].address bad_value"]),
        (["to": "127.0.0.1:8690"], ["flag --to targets[0].url bad_value"]),
        (["to": "ftp://127.0.0.1"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://user@127.0.0.1:1"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://127.0.0.1:1/a?b=c"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://127.0.0.1:1/../x"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://127.0.0.1:0"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://127.0.0.1:99999"], ["flag --to targets[0].url bad_value"]),
        (["to": "ws://127.0.0.1:8443"], ["flag --to targets[0].url conflict"]),
        (["transport": "stdio"], ["flag --transport transport bad_value"]),
        (["transport": "grpc"], ["flag --transport transport bad_value"]),
        (["insecure": "true"], ["flag --insecure targets[0].insecure conflict"]),
        (["server-name": "a.example"], ["flag --server-name targets[0].serverName conflict"]),
        (["to-ca-file": "/ca"], ["flag --to-ca-file targets[0].ca conflict"]),
        (
            ["verify-client": "true", "ca-file": "/ca"],
            [
                "flag --verify-client edge.listeners[0].clientCertificates.mode conflict"
            ]
        ),
        (
            ["to": "wss://h.example", "verify-client": "true"],
            [
                "flag --verify-client edge.listeners[0].clientCertificates.mode conflict"
            ]
        ),
        (
            ["to": "wss://h.example", "certificate-file": "/a"],
            ["flag --certificate-file targets[0].certificate conflict"]
        ),
        (["to": "wss://h.example", "ca-file": "/a", "to-ca-file": "/b"], ["flag --ca-file targets[0].ca conflict"]),
        (["tls-enabled": "true", "tls-mode": "disabled"], ["flag --tls-enabled edge.listeners[0].tls conflict"]),
        (["tls-enabled": "false", "tls-mode": "application"], ["flag --tls-enabled edge.listeners[0].tls conflict"]),
        (["tls-mode": "application"], ["flag --tls-mode edge.listeners[0].tls missing_key"]),
        (["tls-mode": "behind_proxy"], ["edge.listeners[0].trustedProxies missing_key"]),
        (["tls-mode": "both"], ["flag --tls-mode edge.listeners[0].tls bad_value"]),
        (["require": "token"], ["flag --require edge.routes[0].require conflict"]),
        (["require": "certificate"], ["flag --require edge.routes[0].require conflict"]),
        (["scopes": "a"], ["flag --scopes edge.routes[0].scopes conflict"]),
        (
            ["minimum-tls-version": "1.1", "tls-enabled": "true"],
            [
                "flag --minimum-tls-version edge.listeners[0].minimumVersion bad_value"
            ]
        ),
        (["config": "/does/not/exist"], ["flag --config unreadable_file"]),
        (["import": "/does/not/exist"], ["flag --import unreadable_file"]),
        (["edge-limits-connections": "many"], ["flag --edge-limits-connections edge.limits.connections wrong_type"]),
        (["lisen": "127.0.0.1:1"], ["flag --lisen unknown_key"]),
        (["hosts": "ws.example:8443"], ["flag --hosts edge.listeners[0].hosts[0] bad_value"]),
        (["listen-metrics": "192.0.2.1:9464"], ["flag --listen-metrics listen.metrics not_loopback"]),
        (["listen-metrics": "127.0.0.1:8443"], ["flag --listen-metrics listen.metrics duplicate"]),
        (
            ["edge-authentication-dpop-accepts-others": "true"],
            ["flag --edge-authentication-dpop-accepts-others edge.authentication.dpop.acceptsOthers conflict"]
        ),
    ]

    @Test(arguments: mistakes.indices) func mistake(index: Int) {
        let (flags, problems) = Self.mistakes[index]
        #expect(FrontFixture.problems(flags) == problems, "\(flags)")
    }

    @Test func nowhereToLeadTo() {
        do throws(ConfigurationError) {
            _ = try FrontLoader.load(flags: ["tls-enabled": "true"])
            Issue.record("it was accepted")
        } catch {
            #expect(error.issues.map(FrontFixture.short) == ["targets missing_key"])
        }
    }
}
