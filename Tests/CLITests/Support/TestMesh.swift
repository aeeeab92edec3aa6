import Foundation
import JSON
import Testing

/// Two agents with certificates of `mesh ca`: `alpha` serves the directory and the CA, `beta` is where the tests work.
///
/// Made once for all tests. The agents end with this process, however it ends: each has a shell over it that waits
/// for the end of a pipe.
final class TestMesh: Sendable {
    static let shared = Result { try TestMesh() }

    let workspace: Workspace
    /// While they are open, the agents live.
    private let lifelines: [Pipe]

    /// The name that only a denied caller asks for is `forbidden`; what begins with `free-` may be registered at beta.
    private static let policy = """
        { version: 7,
          identities: [
            { match: { node: "alpha" }, permissions: ["mesh-node", "mesh-directory"] },
            { match: { node: "beta" }, services: ["shop"], permissions: ["mesh-node"] },
            { match: { uid: \(getuid()) }, groups: ["operators"] },
          ],
          rules: [
            { allow: ["register", "provide", "connect"], from: ["node:beta"], to: ["free-*"] },
            { allow: ["discover", "register", "connect"], from: ["group:operators"], to: ["**"] },
            { allow: ["act-as"], from: ["node:beta"], to: ["uid:*"] },
            { allow: ["connect"], from: ["service:shop"], to: ["free-shop"], note: "the shop's rule" },
            { allow: ["administer"], from: ["group:operators", "node:beta"], to: ["alpha", "beta"] },
            { allow: ["connect"], from: ["node:beta"], to: ["mesh.agent"] },
          ],
        }
        """

    private init() throws {
        workspace = try Workspace()
        lifelines = [Pipe(), Pipe()]
        try #require(try CLITests.mesh(["ca", "init", "--no-passphrase"], in: workspace).status == 0)
        try workspace.write(Self.policy, to: "policy.json")
        let (port, caPort) = (try LocalServer.freePort(), try LocalServer.freePort())
        for (node, lifeline, directory) in [
            (
                "alpha", lifelines[0],
                """
                directory: { serve: true }, listen: { mesh: "127.0.0.1:\(port)", metrics: null },
                ca: { certificate: "certs/ca.crt", key: "certs/ca.key", listen: "127.0.0.1:\(caPort)" }
                """
            ),
            (
                "beta", lifelines[1],
                "directory: { node: \"alpha\", address: \"127.0.0.1:\(port)\" }, listen: { metrics: null }"
            ),
        ] {
            try #require(try CLITests.mesh(["ca", "issue", node], in: workspace).status == 0)
            try workspace.write(
                """
                { node: { name: "\(node)", stateDirectory: "state-\(node)" },
                  identity: { certificate: "certs/\(node).crt", key: "certs/\(node).key" },
                  trust: { ca: "certs/ca.crt" }, policy: { file: "policy.json" }, \(directory) }
                """, to: "\(node).json")
            try start(node, lifeline)
        }
        for node in ["alpha", "beta"] { try waitUntilReady(node) }
    }

    private func start(_ node: String, _ lifeline: Pipe) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = [
            "-c", "\"$1\" --config \"$2\" 2>\"$2.log\" </dev/null & read -r _; kill -KILL $!; rm -rf \"$3\"", "sh",
            Programs.agent.path, "\(node).json", workspace.url.path,
        ]
        process.currentDirectoryURL = workspace.url
        process.standardInput = lifeline
        // Nothing of ours: whoever reads what the tests write waits for the last one that could write.
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    private func waitUntilReady(_ node: String) throws {
        for _ in 0..<400 {
            let status = try run(["status", "--json"], at: node)
            if status.status == 0, try JSONReader.parse(status.text)["ready"]?.bool == true { return }
            usleep(25_000)
        }
        Issue.record("agent \(node) did not get ready: \(try workspace.read("\(node).json.log"))")
        throw POSIXError(.ETIMEDOUT)
    }

    /// Runs `mesh` with the socket of an agent.
    func run(_ arguments: [String], at node: String = "beta", input: Data? = nil) throws -> Finished {
        try CLITests.mesh(
            arguments, input: input, in: workspace, environment: ["MESH_CONTROL": socket(node)])
    }

    /// The control socket of an agent, from the workspace.
    func socket(_ node: String) -> String { "state-\(node)/control/control.sock" }

    /// Registers a server under a name; it can be reached when this returns.
    func offer(_ name: String, _ server: LocalServer) throws {
        let registered = try run(["register", name, "--target", "\(server.port)", "--check", "none"])
        try #require(registered.status == 0, "\(registered.errors)")
    }
}
