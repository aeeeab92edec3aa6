import Agent
import JSON
import Testing

/// A front's files: JSON5 with the edge's keys, and INI.
@Suite struct FrontFileTests {
    private let file = """
        {
          transport: "ws",
          targets: [
            { name: "mahavishnu", url: "ws://127.0.0.1:8690" },
            { name: "mcp", url: "http://127.0.0.1:8000/mcp" },
          ],
          edge: {
            listeners: [{
              address: "0.0.0.0:8443",
              certificates: [{ certificate: "tls/server.pem", key: "tls/server.key" }],
              hsts: { maxAge: "1d" },
            }],
            routes: [
              { path: "/ws", service: "mahavishnu", rewrite: "/" , require: "none" },
              { path: "/mcp", service: "mcp" },
            ],
            authentication: { apiKeys: "keys.json" },
            limits: { connectionsPerAddress: 50 },
          },
          log: { level: "debug" },
        }
        """

    @Test func wholeFile() throws {
        try FrontFixture.withFile(file) { path in
            let effective = try FrontLoader.load(flags: ["config": path])
            let directory = path.split(separator: "/").dropLast().joined(separator: "/")
            #expect(effective.front.targets.count == 2)
            #expect(effective.listener.certificates[0].certificate == "/\(directory)/tls/server.pem")
            #expect(effective.front.configuration.edge.routes[0].require == .none)
            #expect(effective.front.configuration.edge.routes[1].require == .token)
            #expect(effective.front.configuration.edge.routes[1].rewrite == "/mcp")
            #expect(effective.front.configuration.edge.limits.connectionsPerAddress == 50)
            #expect(effective.front.configuration.log.level == .debug)
            #expect(FrontFixture.value("targets[1].url", effective) == "http://127.0.0.1:8000/mcp <- \(path):5:25")
            #expect(effective.warnings.isEmpty)
        }
    }

    @Test func flagsOverrideTheOnlyListener() throws {
        try FrontFixture.withFile(file) { path in
            let effective = try FrontFixture.load([
                "config": path, "listen": "127.0.0.1:7000", "certificate-file": "/b.pem", "private-key-file": "/b.key",
            ])
            #expect(effective.listener.address.port == 7000)
            #expect(effective.listener.certificates.map(\.certificate) == ["/b.pem"])
            #expect(
                FrontFixture.problems(["config": path, "to": "ws://127.0.0.1:1", "require": "none"])
                    == [
                        "flag --require conflict", "flag --to conflict",
                    ].reversed())
        }
    }

    @Test(arguments: [
        ("{ targets: [{ url: \"ws://127.0.0.1:1\", port: 1 }] }", ["1:40 targets[0].port unknown_key"]),
        ("{ targets: [{ name: \"a\" }] }", ["1:13 targets[0] missing_key"]),
        ("{ targets: [{ url: 7 }] }", ["1:20 targets[0].url wrong_type"]),
        ("{ target: {} }", ["1:3 target unknown_key"]),
        ("{ services: [] }", ["1:3 services unknown_key"]),
        ("{ transport: \"stdio\" }", ["1:14 transport bad_value"]),
        (
            "{ targets: [{ url: \"ws://127.0.0.1:1\" }, { url: \"ws://127.0.0.1:2\" }] }",
            ["targets[1].name duplicate"]
        ),
        (
            "{ targets: [{ url: \"ws://127.0.0.1:1\" }], edge: { routes: [{ service: \"backent\" }] } }",
            ["1:71 edge.routes[0].service bad_value"]
        ),
        ("{ targets: [", ["1:13 bad_syntax"]),
    ]) func mistakes(content: String, problems: [String]) throws {
        try FrontFixture.withFile(content) { path in
            let found = FrontFixture.problems(["config": path]).filter { !$0.hasPrefix("targets missing") }
            #expect(found == problems)
        }
    }

    @Test func modesOfTheFileAreKept() throws {
        let content = """
            { targets: [{ url: "http://127.0.0.1:1" }],
              edge: { listeners: [{ address: "0.0.0.0:80", tls: "behind_proxy", trustedProxies: ["10.0.0.1"] }] } }
            """
        try FrontFixture.withFile(content) { path in
            let effective = try FrontFixture.load(["config": path])
            #expect(effective.listener.tls == .behindProxy)
            // A file that has a listener without certificates means TLS, as an agent's does.
            try FrontFixture.withFile(
                "{ targets: [{ url: \"http://127.0.0.1:1\" }], edge: { listeners: [{ address: \"127.0.0.1:2\" }] } }"
            ) { path in
                #expect(FrontFixture.problems(["config": path]) == ["1:65 edge.listeners[0].tls missing_key"])
            }
        }
    }

    // MARK: - INI

    private func imported(_ content: String) throws -> [String] {
        try FrontFixture.withFile(content) { FrontFixture.problems(["import": $0]) }
    }

    @Test func importedINI() throws {
        let ini = """
            # The server's own file.
            [platform]
            host = platform.example
            certificate_file = /no.pem

            [server]
              ; indented comment
            Transport = sse
            host : 0.0.0.0
            port=8443
            certificate_file = /tls/server.pem
            private_key_file = /tls/server.key
            include_tags = a,b
            """
        try FrontFixture.withFile(ini) { path in
            let effective = try FrontFixture.load(["import": path])
            #expect(effective.front.transport == .sse)
            #expect(effective.listener.address.description == "0.0.0.0:8443")
            #expect(effective.listener.certificates[0].certificate == "/tls/server.pem")
            #expect(
                FrontFixture.value("edge.listeners[0].certificates[0].certificate", effective)
                    == "/tls/server.pem <- \(path):11:20")
            #expect(effective.warnings.isEmpty)
            #expect(effective.file == path)
        }
    }

    @Test func brokenINI() throws {
        #expect(try imported("host = 1\n") == ["1:1 bad_syntax"])
        #expect(try imported("[server\nhost = 1\n") == ["1:1 bad_syntax"])
        #expect(try imported("[server]\nhost\n") == ["2:1 bad_syntax"])
        #expect(try imported("[server]\nport = 1\nPORT = 2\n") == ["3:1 bad_syntax"])
        #expect(try imported("[server]\n= 2\n") == ["2:1 bad_syntax"])
        #expect(try imported("[Server]\nport = 1\n") == ["1:1 missing_key"])
        #expect(try imported("\n") == ["1:1 missing_key"])
        #expect(try imported("[server]\ntransport = stdio\n") == ["2:13 transport bad_value"])
        #expect(
            try imported("[server]\ncertificate_file = /a\n") == [
                "2:20 edge.listeners[0].certificates[0].certificate conflict"
            ])
        #expect(try imported("[server]\nhost = 127.0.0.1\n  127.0.0.2\n") == ["2:8 host bad_value"])
    }

    @Test func slipsInINI() throws {
        try FrontFixture.withFile("[server]\nport = 1\ncertificate_fil = /a\n") { path in
            let warnings = try FrontFixture.warnings(["import": path])
            #expect(warnings == ["3:19 certificate_fil unknown_key"])
        }
    }

    @Test func reportForPrograms() throws {
        let json = try FrontFixture.load(["tls-enabled": "true"]).describeJSON()
        let values = json["values"]?.array ?? []
        let url = values.first { $0["key"]?.string == "targets[0].url" }
        #expect(url?["origin"]?["name"]?.string == "--to")
        #expect(json["warnings"]?.array?.count == 1)
    }
}
