import EventLoop
import Foundation
import JSON
import Testing

/// What happens where no agent answers.
@Suite struct WithoutAgentTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    @Test func theMessageSaysWhatWasTried() throws {
        let result = try mesh(["services"], in: workspace)
        #expect(result.status == 5)
        #expect(result.errors.contains("no agent's control socket at /run/conduit-mesh/control.sock"))
        #expect(result.errors.contains("\nhint: ") && result.errors.contains("--control SOCKET"))
        try workspace.write("{ node: { stateDirectory: 'here' } } // JSON5", to: "mesh.json")
        #expect(try mesh(["services"], in: workspace).errors.contains("here/control/control.sock and /run/"))
        try workspace.write("{ listen: { control: 'there.sock' } }", to: "mesh.json")
        #expect(try mesh(["services"], in: workspace).errors.contains("there.sock and /run/"))
        try workspace.write("{}", to: "mesh.json")
        #expect(try mesh(["services"], in: workspace).errors.contains("state/control/control.sock and /run/"))
        let named = try mesh(["services"], in: workspace, environment: ["MESH_CONTROL": "elsewhere.sock"])
        #expect(named.status == 5 && named.errors.contains("no agent's control socket at elsewhere.sock\n"))
        let flag = try mesh(
            ["--control", "a.sock", "services"], in: workspace, environment: ["MESH_CONTROL": "b.sock"])
        #expect(flag.errors.contains("at a.sock\n"))
    }

    @Test func aBrokenConfigurationIsNamedWithItsPlace() throws {
        try workspace.write("{\n  node: ]\n}", to: "mesh.json")
        let result = try mesh(["services"], in: workspace)
        #expect(result.status == 78)
        #expect(result.errors.contains("mesh.json:2:9"), "\(result.errors)")
    }

    /// A token that others may have read by now is not repeated, and what to do about it is said.
    @Test(arguments: [
        ["join", "mesh-join-1.c2VjcmV0"], ["join", "--token-file", "mesh-join-1.c2VjcmV0"],
        ["join", "--token-file=mesh-join-1.c2VjcmV0"],
    ]) func aTokenInTheCommandLine(_ arguments: [String]) throws {
        let result = try mesh(arguments, in: workspace)
        #expect(result.status == 2)
        #expect(!result.errors.contains("c2VjcmV0") && result.errors.contains("mesh ca token withdraw"))
    }

    /// A wrong directory must not pass for a log in which nothing is wrong.
    @Test func aDirectoryWithoutALog() throws {
        try FileManager.default.createDirectory(atPath: workspace.path("state"), withIntermediateDirectories: true)
        for (directory, text) in [("state", "state holds no file of an audit log"), ("no", "there is no directory no")]
        {
            for command in ["verify", "tail"] {
                let result = try mesh(["audit", command, directory], in: workspace)
                #expect(result.status == 4, "\(result.errors)")
                #expect(result.errors.contains(text), "\(result.errors)")
                #expect(result.errors.contains("audit-NUMBER.log"), "\(result.errors)")
            }
        }
    }

    /// One code for what is missing, one for what is there and cannot be used.
    @Test func exitCodesOfFiles() throws {
        for arguments in [
            ["join", "--token-file", "none"], ["policy", "check", "none"], ["token", "jwks", "--key", "none"],
            ["operator", "list", "none"],
        ] {
            let result = try mesh(arguments, in: workspace)
            #expect(result.status == 4, "\(arguments): \(result.errors)")
            #expect(!result.errors.contains("mesh ca issue"), "\(result.errors)")
        }
        try workspace.write("mesh-join-1.c2VjcmV0", to: "open", mode: 0o644)
        #expect(try mesh(["join", "--token-file", "open"], in: workspace).status == 6)
    }

    @Test func wrongKindsOfFilesAreUsageErrors() throws {
        try workspace.write("", to: "file")
        for path in [".", "file"] {
            let result = try mesh(["status", "--control", path], in: workspace)
            #expect(result.status == 2, "\(result.errors)")
        }
    }

    @Test func aDeadSocketMeansThatTheAgentIsNotRunning() throws {
        let path = workspace.path("dead.sock")
        do { _ = try Socket.listen(.unix(path: path)) }
        #expect(workspace.has("dead.sock"))
        let result = try mesh(["status", "--control", "dead.sock", "--json"], in: workspace)
        #expect(result.status == 5)
        let error = try JSONReader.parse(result.errors)
        #expect(error["error"]?.string == "agent_not_running" && error["exitCode"]?.integer == 5)
        #expect(error["hint"]?.string?.isEmpty == false)
    }

    @Test func somethingElseThanAnAgentIsRecognised() throws {
        let listener = try Socket.listen(.unix(path: workspace.path("odd.sock")))
        let descriptor = listener.rawValue
        let thread = Thread {
            var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&entry, 1, 10_000)
            let connection = accept(descriptor, nil, nil)
            _ = "SSH-2.0-odd\r\n".withCString { send(connection, $0, 13, Int32(MSG_NOSIGNAL)) }
            // Read first: closing with bytes unread would be a reset.
            var buffer = [UInt8](repeating: 0, count: 4096)
            _ = recv(connection, &buffer, buffer.count, 0)
            close(connection)
        }
        thread.start()
        let result = try mesh(["status", "--control", "odd.sock"], in: workspace)
        #expect(result.status == 1)
        #expect(result.errors.contains("does not answer as an agent does"), "\(result.errors)")
        _ = consume listener
    }

    private static let policy = """
        {
          identities: [ { match: { node: "acl" }, services: ["shop"] } ],
          rules: [
            { allow: ["connect"], from: ["service:shop"], to: ["db"] },
            { allow: ["connect"], from: ["group:nobody"], to: ["db"] },
          ],
        }
        """

    @Test func whyAnswersOutOfAFile() throws {
        try workspace.write(Self.policy, to: "p.json")
        let allowed = try mesh(["why", "--from", "service:shop", "--to", "db", "--policy", "p.json"], in: workspace)
        #expect(allowed.status == 0, "\(allowed.errors)")
        #expect(allowed.text.hasPrefix("allowed: ") && allowed.text.contains("p.json:4 "))
        let denied = try mesh(
            ["why", "--from", "acl", "--to", "db", "--policy", "p.json", "--json"], in: workspace)
        #expect(denied.status == 3)
        #expect(denied.errors == "")
        let told = try mesh(["why", "--from", "shop", "--to", "db", "--policy", "p.json"], in: workspace)
        #expect(told.errors.hasPrefix("shop is taken for node:shop; "), "\(told.errors)")
        let json = try JSONReader.parse(denied.text)
        #expect(json["principal"]?.string == "node:acl" && json["allowed"]?.bool == false)
        #expect(try mesh(["why", "--from", "x:y", "--to", "db", "--policy", "p.json"], in: workspace).status == 2)
        #expect(try mesh(["why", "--from", "acl", "--to", "db", "--policy", "none"], in: workspace).status == 4)
    }

    @Test func policiesAreChecked() throws {
        try workspace.write(Self.policy, to: "p.json")
        let good = try mesh(["policy", "check", "p.json"], in: workspace)
        #expect(good.status == 0)
        #expect(good.text.contains("p.json:5:") && good.text.contains("warning: ") && good.text.contains("2 rules"))
        #expect(
            try JSONReader.parse(mesh(["policy", "check", "p.json", "--json"], in: workspace).text)["warnings"]?[0]?[
                "line"]?.integer == 5)
        try workspace.write("{\n  rules: [ { alow: [] } ]\n}", to: "bad.json")
        let bad = try mesh(["policy", "check", "bad.json"], in: workspace)
        #expect(bad.status == 78)
        #expect(bad.errors.contains("bad.json:2:14: ") && bad.errors.contains("allow"), "\(bad.errors)")
    }
}
