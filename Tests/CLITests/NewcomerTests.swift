import Foundation
import JSON
import Testing

/// What somebody reads who uses the programs for the first time.
@Suite struct NewcomerTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    private func agent(_ arguments: [String] = [], _ environment: [String: String] = [:]) throws -> Finished {
        try mesh(arguments, in: workspace, environment: environment, program: Programs.agent)
    }

    /// Without a configuration the agent says so, and not what an empty one would lack.
    @Test func theAgentWithoutAConfiguration() throws {
        for check in [[], ["--check"]] {
            let nothing = try agent(check)
            #expect(nothing.status == 78)
            #expect(nothing.errors.hasPrefix("mesh-agent: no configuration is named\nhint: "), "\(nothing.errors)")
            #expect(nothing.errors.contains("--config FILE") && !nothing.errors.contains("trust.servers"))
        }
        try workspace.write("{}", to: "mesh.json")
        let beside = try agent()
        #expect(beside.status == 78)
        #expect(beside.errors.contains("the mesh.json in this directory is not read"), "\(beside.errors)")
        #expect(beside.errors.contains("\nhint: name it: mesh-agent --config mesh.json"), "\(beside.errors)")
        #expect(!beside.errors.contains("trust.servers"), "\(beside.errors)")
        // Whoever gives values in another way hears what is still missing, too.
        for given in [try agent(["--node-name", "a"]), try agent([], ["MESH_NODE_NAME": "a"])] {
            #expect(given.errors.contains("no configuration is named"), "\(given.errors)")
            #expect(given.errors.contains("trust.servers"), "\(given.errors)")
        }
    }

    /// What to do stands behind "hint:" in every program.
    @Test func hintsLookAlike() throws {
        #expect(try agent(["--confg", "x"]).errors.contains("\nhint: did you mean --config?\n"))
        #expect(try mesh(["statsu"], in: workspace).errors.contains("\nhint: did you mean status?\n"))
        let identity = "identity: { certificate: 'none.crt', key: 'none.key' }, trust: { ca: 'none.crt' }"
        try workspace.write("{ version: 1, rules: [] }", to: "policy.json")
        try workspace.write("{ \(identity), policy: { file: 'policy.json' } }", to: "mesh.json")
        let missing = try agent(["--config", "mesh.json"])
        #expect(missing.status == 6 && missing.errors.contains("\nhint: "), "\(missing.errors)")
        #expect(!missing.errors.contains("mesh-agent: hint"), "\(missing.errors)")
        #expect(missing.errors.contains("mesh ca token create --node NODE and mesh join"), "\(missing.errors)")
    }

    /// Whoever sets an agent up hears of all files that he has to make in one run.
    @Test func everyFileThatIsMissingIsNamed() throws {
        try workspace.write(
            """
            {
              node: { name: "db-1" },
              identity: { certificate: "db-1.crt", key: "db-1.key", passphraseFile: "key.pass" },
              trust: { ca: ["ca.crt", "partner.crt"], revocation: { files: ["list.crl"] } },
              policy: { file: "policy.json" },
              services: [
                { name: "web", target: "https://127.0.0.1:8443", tls: { ca: "web-ca.crt", certificate: "us.crt", key: "us.key" } },
                { name: "api", target: "https://127.0.0.1:8444", tls: { ca: "web-ca.crt" } }
              ],
              edge: {
                listeners: [
                  { address: "127.0.0.1:9443", certificates: [{ certificate: "edge.crt", key: "edge.key" }] }
                ],
                authentication: { apiKeys: "keys.json" },
                routes: [{ path: "/", service: "web", require: "token" }]
              }
            }
            """, to: "mesh.json")
        let files = [
            "identity.certificate: db-1.crt", "identity.key: db-1.key", "identity.passphraseFile: key.pass",
            "trust.ca: ca.crt", "trust.ca: partner.crt", "trust.revocation.files: list.crl", "policy.file: policy.json",
            "services[0].tls.ca: web-ca.crt", "services[0].tls.certificate: us.crt", "services[0].tls.key: us.key",
            "edge.listeners[0].certificates[0].certificate: edge.crt",
            "edge.listeners[0].certificates[0].key: edge.key", "edge.authentication.apiKeys: keys.json",
        ]
        for (arguments, status) in [(["--check"], 78), ([], 6)] as [([String], Int32)] {
            let refused = try agent(["--config", "mesh.json"] + arguments)
            #expect(refused.status == status, "\(refused.errors)")
            let lines = refused.errors.split(separator: "\n").filter { $0.contains("(unreadable_file)") }
            #expect(
                lines.map(String.init)
                    == files.map { "mesh-agent: \($0): cannot read: No such file or directory (unreadable_file)" })
            // What mends several stands once.
            let hints = refused.errors.components(separatedBy: "mesh ca token create --node NODE and mesh join")
            #expect(hints.count == 3, "one for the identity, one for what the target is shown: \(refused.errors)")
        }
        // With those that are there, what is wrong with them is told beside those that are not.
        try workspace.write("{ version: 1, rules: [{}] }", to: "policy.json")
        let both = try agent(["--config", "mesh.json", "--check"])
        #expect(both.errors.contains("policy.json:1:") && both.errors.contains("db-1.crt"), "\(both.errors)")
        #expect(!both.errors.contains("policy.file: policy.json"), "\(both.errors)")
    }

    /// A token that is there may be on its way to a host: it is not replaced by a slip, and none is made meanwhile.
    @Test func aTokenFileIsNotReplaced() throws {
        try workspace.write("kept", to: "db-1.token", mode: 0o600)
        let create = ["ca", "token", "create", "--node", "db-1", "--out", "db-1.token"]
        let refused = try mesh(create, in: workspace)
        #expect(refused.status == 1 && refused.errors.contains("db-1.token exists already"), "\(refused.errors)")
        #expect(refused.errors.contains("--force"), "\(refused.errors)")
        // With --force it goes on, as far as there is an agent.
        #expect(try mesh(create + ["--force"], in: workspace).status == 5)
        #expect(try workspace.read("db-1.token") == "kept")
    }

    @Test func aDirectoryIsNamedAsItWasGiven() throws {
        let result = try mesh(["ca", "init", "--no-passphrase", "--out", "/proc/mesh//here"], in: workspace)
        #expect(result.status == 1)
        #expect(result.errors.contains("cannot make the directory /proc/mesh: "), "\(result.errors)")
    }

    /// Days are rounded by one rule, whichever command counts them.
    @Test func daysAreCountedAlike() throws {
        #expect(try mesh(["ca", "init", "--no-passphrase"], in: workspace).status == 0)
        #expect(try mesh(["ca", "issue", "a", "--days", "3"], in: workspace).status == 0)
        let checked = try JSONReader.parse(mesh(["cert", "check", "certs/a.crt", "--json"], in: workspace).text)
        let days = try #require(checked["days_remaining"]?.integer)
        // Three in the second in which it was issued.
        #expect((2...3).contains(days))
        #expect(checked["files"]?[0]?["certificates"]?[0]?["daysRemaining"]?.integer == days, "\(checked)")
    }
}
