import Agent
import Testing

/// The variables of the servers that a front stands before.
@Suite struct FrontEnvironmentTests {
    static let prefixes = [
        "MAHAVISHNU", "AKOSHA", "CRACKERJACK", "DHRUVA", "EXCALIDRAW", "FASTBLOCKS", "MCP", "MY_OWN_2",
    ]

    /// What a variable can be: absent, empty, or one of two values.
    private static let flags: [String?] = [nil, "", "true", "false"]
    private static let files: [String?] = [nil, "", "FILE"]

    /// What must come of a combination.
    private enum Outcome: Equatable {
        case disabled
        case development
        case certificate
        case problem([String])
    }

    private static func expected(
        _ prefix: String, enabled: String?, certificate: String?, key: String?, ca: String?, verify: String?
    ) -> Outcome {
        func isSet(_ text: String?) -> Bool { text?.isEmpty == false }
        let listener = "edge.listeners[0]"
        var problems: [String] = []
        let mode: Outcome
        switch (isSet(certificate), isSet(key)) {
        case (true, true): mode = .certificate
        case (true, false):
            mode = .certificate
            problems.append("environment \(prefix)_WS_CERT_FILE \(listener).certificates[0].certificate conflict")
        case (false, true):
            mode = .certificate
            problems.append("environment \(prefix)_WS_KEY_FILE \(listener).certificates[0].key conflict")
        case (false, false): mode = enabled == "true" ? .development : .disabled
        }
        if verify == "true" {
            if mode == .disabled {
                problems.append(
                    "environment \(prefix)_WS_VERIFY_CLIENT \(listener).clientCertificates.mode conflict")
            }
            if !isSet(ca) { problems.append("\(listener).clientCertificates.ca missing_key") }
        }
        return problems.isEmpty ? mode : .problem(problems.sorted())
    }

    /// All 4 × 3 × 3 × 3 × 4 combinations of the five variables.
    @Test(arguments: prefixes) func everyCombination(prefix: String) {
        for enabled in Self.flags {
            for certificate in Self.files {
                for key in Self.files {
                    for ca in Self.files {
                        for verify in Self.flags { check(prefix, enabled, certificate, key, ca, verify) }
                    }
                }
            }
        }
    }

    private func check(
        _ prefix: String, _ enabled: String?, _ certificate: String?, _ key: String?, _ ca: String?, _ verify: String?
    ) {
        var environment: [String: String] = ["UNRELATED_WS_CERT_FILE": "/other.pem"]
        environment["\(prefix)_WS_TLS_ENABLED"] = enabled
        environment["\(prefix)_WS_CERT_FILE"] = certificate.map { $0.isEmpty ? "" : "/tls/server.pem" }
        environment["\(prefix)_WS_KEY_FILE"] = key.map { $0.isEmpty ? "" : "/tls/server.key" }
        environment["\(prefix)_WS_CA_FILE"] = ca.map { $0.isEmpty ? "" : "/tls/ca.pem" }
        environment["\(prefix)_WS_VERIFY_CLIENT"] = verify
        let wanted = Self.expected(prefix, enabled: enabled, certificate: certificate, key: key, ca: ca, verify: verify)
        let found: Outcome
        do throws(ConfigurationError) {
            let effective = try FrontFixture.load(["env-prefix": prefix], environment)
            let listener = effective.listener
            found =
                listener.tls == .disabled
                ? .disabled : listener.certificates.isEmpty ? .development : .certificate
            #expect(listener.clientCertificates == (verify == "true" ? .required : .none))
            #expect(listener.clientCA == (ca == "FILE" ? ["/tls/ca.pem"] : []))
            #expect(effective.route.require == (verify == "true" ? .certificate : .none))
            if found == .certificate {
                #expect(listener.certificates[0].certificate == "/tls/server.pem")
                #expect(listener.certificates[0].key == "/tls/server.key")
                #expect(
                    effective.origin(of: "edge.listeners[0].certificates[0].certificate")
                        == .environment("\(prefix)_WS_CERT_FILE"))
                let isContradicted = effective.warnings.contains {
                    $0.origin == .environment("\(prefix)_WS_TLS_ENABLED") && $0.code == .conflict
                }
                #expect(isContradicted == (enabled == "false"))
            }
            #expect(effective.warnings.contains { $0.code == .insecure } == (found == .development))
        } catch {
            // The order of problems that have no place in a file says nothing.
            found = .problem(error.issues.map(FrontFixture.short).sorted())
        }
        let place = "\(environment)"
        #expect(found == wanted, "\(place)")
    }

    @Test(arguments: [
        ("true", true), ("1", true), ("yes", true), ("on", true), ("TRUE", true), ("false", false), ("0", false),
        ("no", false), ("off", false), ("False", false),
    ]) func booleans(text: String, isOn: Bool) throws {
        let effective = try FrontFixture.load(["env-prefix": "MCP"], ["MCP_WS_TLS_ENABLED": text])
        #expect((effective.listener.tls == .application) == isOn)
    }

    @Test func badBoolean() {
        #expect(
            FrontFixture.problems(["env-prefix": "MCP"], ["MCP_WS_TLS_ENABLED": "ja"])
                == ["environment MCP_WS_TLS_ENABLED bad_value"])
        #expect(
            FrontFixture.problems(
                ["env-prefix": "MCP"], ["MCP_WS_VERIFY_CLIENT": "maybe", "MCP_WS_TLS_ENABLED": "true"])
                == ["environment MCP_WS_VERIFY_CLIENT bad_value"])
    }

    @Test func nothingIsReadWithoutPrefix() throws {
        let effective = try FrontFixture.load([:], ["MCP_WS_TLS_ENABLED": "true", "MESH_EDGE_LIMITS_HEADER": "1KiB"])
        #expect(effective.listener.tls == .disabled)
        #expect(effective.front.configuration.edge.limits.header == 64 << 10)
    }

    @Test(arguments: ["mahavishnu", "MCP_", "", "A B", "7UP"]) func badPrefix(prefix: String) {
        #expect(FrontFixture.problems(["env-prefix": prefix]) == ["flag --env-prefix bad_value"])
    }

    @Test func prefixIsHelpedWith() {
        do throws(ConfigurationError) {
            _ = try FrontFixture.load(["env-prefix": "excalidraw-mcp_"])
            Issue.record("it was accepted")
        } catch {
            #expect(error.issues[0].hint?.hasSuffix("--env-prefix EXCALIDRAW_MCP") == true)
        }
    }

    @Test func slipsAreWarnedOf() throws {
        let warnings = try FrontFixture.load(["env-prefix": "MCP"], ["MCP_WS_CERTFILE": "/a.pem"]).warnings
        #expect(warnings.map(FrontFixture.short).contains("flag --env-prefix unknown_variable"))
        #expect(warnings.contains { $0.hint == "did you mean MCP_WS_CERT_FILE?" })
    }

    // MARK: - The style of MCP servers

    static let server = [
        "ITENTIAL_MCP_SERVER_TRANSPORT": "sse", "ITENTIAL_MCP_SERVER_HOST": "0.0.0.0",
        "ITENTIAL_MCP_SERVER_PORT": "8443", "ITENTIAL_MCP_SERVER_CERTIFICATE_FILE": "/tls/server.pem",
        "ITENTIAL_MCP_SERVER_PRIVATE_KEY_FILE": "/tls/server.key",
    ]

    @Test func serverStyle() throws {
        let effective = try FrontFixture.load(["env-prefix": "ITENTIAL_MCP_SERVER"], Self.server)
        #expect(effective.front.transport == .sse)
        #expect(
            FrontFixture.value("edge.listeners[0].address", effective)
                == "0.0.0.0:8443 <- environment ITENTIAL_MCP_SERVER_HOST")
        #expect(effective.listener.tls == .application)
        #expect(effective.warnings.isEmpty)
    }

    /// Every subset of the five: certificate without key is an error, everything else has a default.
    @Test func everySubsetOfTheServerStyle() {
        let names = Self.server.keys.sorted()
        for bits in 0..<(1 << names.count) {
            var environment: [String: String] = [:]
            for (index, name) in names.enumerated() where bits & (1 << index) != 0 {
                environment[name] = Self.server[name]
            }
            func has(_ suffix: String) -> Bool { environment["ITENTIAL_MCP_SERVER_" + suffix] != nil }
            var wanted: [String] = []
            if has("CERTIFICATE_FILE") != has("PRIVATE_KEY_FILE") {
                let (suffix, field) =
                    has("CERTIFICATE_FILE") ? ("CERTIFICATE_FILE", "certificate") : ("PRIVATE_KEY_FILE", "key")
                wanted = [
                    "environment ITENTIAL_MCP_SERVER_\(suffix) edge.listeners[0].certificates[0].\(field) conflict"
                ]
            } else if has("HOST"), !has("CERTIFICATE_FILE") {
                wanted = ["environment ITENTIAL_MCP_SERVER_HOST edge.listeners[0].address not_loopback"]
            }
            #expect(
                FrontFixture.problems(["env-prefix": "ITENTIAL_MCP_SERVER"], environment) == wanted, "\(environment)")
        }
    }

    @Test func stdioIsRefused() {
        var environment = Self.server
        environment["ITENTIAL_MCP_SERVER_TRANSPORT"] = "stdio"
        do throws(ConfigurationError) {
            _ = try FrontFixture.load(["env-prefix": "ITENTIAL_MCP_SERVER"], environment)
            Issue.record("stdio was accepted")
        } catch {
            #expect(
                error.issues.map(FrontFixture.short) == [
                    "environment ITENTIAL_MCP_SERVER_TRANSPORT transport bad_value"
                ])
            #expect(error.issues[0].message.contains("TLS does not apply to it"))
        }
    }

    @Test(arguments: ["8443x", "65536", "-1", " 80"]) func badPort(port: String) {
        var environment = Self.server
        environment["ITENTIAL_MCP_SERVER_PORT"] = port
        #expect(FrontFixture.problems(["env-prefix": "ITENTIAL_MCP_SERVER"], environment).count == 1)
    }

    /// A server's own MAHAVISHNU_PORT is not the front's.
    @Test func hostAndPortAloneAreTheServersOwn() throws {
        let effective = try FrontFixture.load(
            ["env-prefix": "MAHAVISHNU"], ["MAHAVISHNU_PORT": "8680", "MAHAVISHNU_HOST": "0.0.0.0"])
        #expect(FrontFixture.value("edge.listeners[0].address", effective) == "127.0.0.1:8443 <- default")
        let both = try FrontFixture.load(
            ["env-prefix": "MAHAVISHNU"],
            ["MAHAVISHNU_PORT": "8680", "MAHAVISHNU_WS_TLS_ENABLED": "true", "MAHAVISHNU_CERTIFICATE_FILE": "/x"])
        #expect(both.listener.address.port == 8443)
        #expect(
            both.warnings.map(FrontFixture.short).contains("environment MAHAVISHNU_CERTIFICATE_FILE conflict"))
    }
}
