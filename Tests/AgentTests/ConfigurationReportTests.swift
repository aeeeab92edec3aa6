import Agent
import JSON
import Testing

@Suite struct ConfigurationReportTests {
    static let text = ConfigurationFixture.text(
        """
        node: { name: "n", metadata: { site: "a", dbPassword: "hunter2" } },
        services: [{ name: "web", target: "127.0.0.1:80", tags: ["a", "b"] }],
        """)

    @Test func everyValueIsPrintedWithItsOrigin() throws {
        let loaded = try ConfigurationFixture.load(
            Self.text, flags: ["log-level": "error"], environment: ["MESH_SHUTDOWN_DRAIN_TIMEOUT": "60s"])
        let lines = loaded.describe().split(separator: "\n").map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
        }
        for line in [
            "node.name n mesh.json:4:15", "node.stateDirectory state default",
            "identity.certificate n.crt mesh.json:1:27",
            "identity.pkcs12 none default", "trust.ca ca.crt mesh.json:1:65", "trust.clients ca.crt mesh.json:1:65",
            "listen.mesh 127.0.0.1:7400 mesh.json:2:45", "node.advertise 127.0.0.1:7400 mesh.json:2:45",
            "peers none default",
            "services[0].name web mesh.json:5:20", "services[0].tags a, b mesh.json:5:57",
            "services[0].check.interval 5s default",
            "services[0].weight 100 default", "upstreams none default", "log.level error flag --log-level",
            "shutdown.drainTimeout 1m environment MESH_SHUTDOWN_DRAIN_TIMEOUT", "limits.receiveBudget 512MiB default",
            "directory.serve true mesh.json:2:21",
        ] {
            #expect(lines.contains(line), "\(line)")
        }
        #expect(lines.count == loaded.entries.count)
    }

    @Test func secretsAreMasked() throws {
        let loaded = try ConfigurationFixture.load(Self.text)
        #expect(!loaded.describe().contains("hunter2"))
        #expect(!loaded.describeJSON().text().contains("hunter2"))
        #expect(loaded.describe().contains("\"site\":\"a\""))
    }

    @Test func programsGetTheSame() throws {
        let loaded = try ConfigurationFixture.load(Self.text, environment: ["MESH_X": "1"])
        let report = try JSONReader.parse(loaded.describeJSON().serialized(pretty: true))
        #expect(report["file"] == "mesh.json")
        let values = try #require(report["values"]?.array)
        #expect(values.count == loaded.entries.count)
        #expect(
            values.contains([
                "key": "services[0].tags", "value": ["a", "b"],
                "origin": ["kind": "file", "file": "mesh.json", "line": 5, "column": 57],
            ]))
        #expect(
            values.contains([
                "key": "workers", "value": JSONValue(loaded.configuration.workers), "origin": ["kind": "default"],
            ]))
        #expect(report["warnings"]?[0]?["code"] == "unknown_variable")
    }

    @Test func errorsForPrograms() throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationFixture.load(ConfigurationFixture.text("workers: 0"))
        }
        #expect(
            error.json["errors"]?[0]
                == [
                    "code": "out_of_range", "key": "workers", "message": "expected an integer from 1 to 256, found 0",
                    "hint": nil, "origin": ["kind": "file", "file": "mesh.json", "line": 4, "column": 10],
                ])
    }
}
