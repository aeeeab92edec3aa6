import Foundation
import JSON
import Testing

/// The commands against agents that run.
@Suite struct RunningAgentTests {
    private let agents: TestMesh

    init() throws { agents = try TestMesh.shared.get() }

    @Test func listingsAreReadableAndExact() throws {
        let server = try LocalServer(LocalServer.echo)
        let registered = try agents.run([
            "register", "free-list", "--target", "127.0.0.1:\(server.port)", "--protocol", "http", "--tag", "one",
            "--tag", "two", "--weight", "7", "--meta", "zone=eu", "--check", "none",
        ])
        #expect(registered.status == 0, "\(registered.errors)")
        #expect(registered.text == "registered free-list as beta/free-list\n")
        let found = try JSONReader.parse(agents.run(["lookup", "free-list", "--json"]).text)
        let instance = try #require(found["instances"]?[0])
        #expect(instance["node"]?.string == "beta" && instance["weight"]?.integer == 7)
        #expect(instance["metadata"]?["zone"]?.string == "eu" && instance["protocol"]?.string == "http")
        let table = try agents.run(["lookup", "free-list"]).lines
        #expect(table.count == 2 && table[0].hasPrefix("NODE  HEALTH "))
        #expect(table[1].contains("beta ") && table[1].contains("one, two") && table[1].contains("zone=eu"))
        #expect(try agents.run(["services", "--local"]).text.contains("127.0.0.1:\(server.port)"))
        #expect(try agents.run(["services"]).text.contains("free-list "))
        #expect(try agents.run(["nodes", "beta"]).text.contains("free-list (passing)"))
        let removed = try agents.run(["deregister", "free-list", "--json"])
        #expect(removed.status == 0)
        #expect(try agents.run(["lookup", "free-list"]).status == 4)
        #expect(try agents.run(["deregister", "free-list"]).status == 4)
    }

    @Test(arguments: ["status", "services", "services --local", "nodes", "nodes alpha", "links", "whoami"])
    func everyListingFitsANarrowTerminalAndHasJSON(_ command: String) throws {
        let words = command.split(separator: " ").map(String.init)
        let json = try agents.run(words + ["--json"])
        #expect(json.status == 0 && json.errors == "")
        #expect(try JSONReader.parse(json.text).object?.isEmpty == false)
        let terminal = try TerminalSession(
            words + ["--control", agents.socket("beta")], columns: 60, in: agents.workspace)
        #expect(terminal.finish() == 0)
        // Fingerprints and paths are not cut; nothing else is longer than the terminal.
        #expect(terminal.lines.allSatisfy { $0.count <= 60 }, "\(terminal.screen)")
        #expect(try agents.run(words).status == 0)
    }

    @Test func statusNamesTheNode() throws {
        #expect(try agents.run(["status"], at: "alpha").text.hasPrefix("node           alpha\n"))
        let links = try JSONReader.parse(agents.run(["links", "--json"]).text)
        #expect(links["links"]?[0]?["node"]?.string == "alpha")
        #expect(links["links"]?[0]?["state"]?.string == "established")
        #expect(try agents.run(["whoami"]).text.contains("uid:\(getuid())"))
    }

    @Test(arguments: [
        (["register", "taken", "--target", "80"], Int32(3), "no_rule"),
        (["register", "free-x", "--target", "10.0.0.1:80"], 2, "not_loopback"),
        (["register", "free-x", "--target", "nonsense"], 2, "no port"),
        (["register", "mesh.x", "--target", "80"], 2, "mesh."),
        (["deregister", "free-unknown"], 4, "services --local"), (["lookup", "unknown"], 4, "unknown_service"),
        (["nodes", "unknown"], 4, "unknown_node"), (["connect", "free-unknown"], 4, "mesh services"),
        (["connect", "taken"], 3, "node_not_allowed"), (["connect", "free-a", "--as", "nobody"], 3, "act_as_missing"),
        (["why", "--from", "x:y", "--to", "z"], 2, "node:NAME"),
        (["why", "--from", "node:alpha", "--to", "z", "--at", "unknown"], 5, "unknown"),
    ])
    func failuresHaveExitCodesAndHints(_ arguments: [String], _ status: Int32, _ text: String) throws {
        let result = try agents.run(arguments)
        #expect(result.status == status, "\(result.errors)")
        #expect(result.text == "")
        #expect(result.errors.contains(text), "\(result.errors)")
    }

    @Test func whyNamesRuleFileAndLine() throws {
        let allowed = try agents.run(["why", "--from", "service:shop", "--to", "free-shop"])
        #expect(allowed.status == 0)
        #expect(allowed.text.contains("policy.json:11 ") && allowed.text.contains("the shop's rule"), "\(allowed.text)")
        #expect(allowed.text.contains("  asked    beta\n"))
        let denied = try agents.run(["why", "--from", "service:shop", "--to", "free-other"])
        #expect(denied.status == 3 && denied.text.hasPrefix("denied: ") && denied.text.contains("  nearest "))
        #expect(try agents.run(["authorize", "--from", "service:shop", "--to", "free-shop"]).text.hasPrefix("allowed"))
        #expect(try agents.run(["authorize", "--from", "service:shop", "--to", "free-other"]).status == 3)
        let elsewhere = try agents.run(["why", "--from", "service:shop", "--to", "free-shop", "--at", "alpha"])
        #expect(elsewhere.status == 0 && elsewhere.text.contains("  asked    alpha\n"), "\(elsewhere.errors)")
    }

    /// The version is the file's own, not that of a document of the mesh.
    @Test func whyNamesTheVersionOfTheFile() throws {
        let asked = try agents.run(["why", "--from", "service:shop", "--to", "free-shop"])
        let lines = asked.lines.suffix(2).map(String.init)
        #expect(lines[0].hasPrefix("  policy   policy.json version 7 ("), "\(asked.text)")
        #expect(lines[1] == "  asked    beta", "\(asked.text)")
    }

    @Test func whatIsNotFoundIsNamedAndTheNearestSuggested() throws {
        let server = try LocalServer(LocalServer.echo)
        try agents.offer("free-hello", server)
        let asking = ["why", "--from", "node:alpha", "--to", "z", "--at"]
        let cases: [([String], Int32, String, String?)] = [
            (["lookup", "free-helo"], 4, "free-helo", "did you mean free-hello?"),
            (["lookup", "nothing-like-it"], 4, "nothing-like-it", nil),
            (["nodes", "betta"], 4, "betta", "did you mean beta?"),
            (["nodes", "nothing-like-it"], 4, "nothing-like-it", nil),
            (asking + ["alphaa"], 5, "alphaa", "did you mean alpha? mesh nodes lists all"),
            (asking + ["nothing-like-it"], 5, "nothing-like-it", "mesh nodes lists all"),
            (
                ["policy", "replay", "policy.json", "--at", "alphaa"], 5, "alphaa",
                "did you mean alpha? mesh nodes lists all"
            ),
        ]
        for (arguments, status, name, hint) in cases {
            let result = try agents.run(arguments)
            #expect(result.status == status, "\(result.errors)")
            let lines = result.errors.split(separator: "\n").map(String.init)
            #expect(lines[0].contains(name), "\(result.errors)")
            #expect(lines.dropFirst() == (hint.map { ["hint: \($0)"] } ?? [])[...], "\(result.errors)")
        }
        #expect(try agents.run(["deregister", "free-hello"]).status == 0)
    }

    /// Only a warning, since a service may be registered later; without an agent nobody knows what is registered.
    @Test func aServiceThatIsSpeltAlmostLikeAnotherIsWarnedOf() throws {
        let server = try LocalServer(LocalServer.echo)
        try agents.offer("free-greeting", server)
        try agents.workspace.write(
            """
            { rules: [
              { allow: "connect", from: "uid:1", to: ["free-greting", "free-greeting"] },
              { allow: "connect", from: "uid:1", to: ["free-greeting-2", "nothing-like-it", "free-greetin*"] },
              { allow: "act-as", from: "uid:1", to: "service:free-greting" },
              { deny: ["link", "administer"], from: "node:alpha", to: "free-greting" },
            ] }
            """, to: "spelt.json")
        let check = ["policy", "check", "spelt.json"]
        let found = try agents.run(check)
        #expect(found.status == 0, "\(found.errors)")
        let warnings = found.lines.filter { $0.contains("you may discover") }
        let expected =
            "spelt.json:2:3: warning: no service free-greting is among those that you may discover; did you mean \"free-greeting\"?"
        #expect(warnings.map(String.init) == [expected], "\(found.text)")
        let json = try JSONReader.parse(agents.run(check + ["--json"]).text)
        let codes = json["warnings"]?.array?.map { $0["code"]?.string ?? "" } ?? []
        #expect(codes.filter { $0 == "unknown_service" }.count == 1, "\(json)")
        let alone = try mesh(check, in: agents.workspace, environment: ["MESH_CONTROL": "no-agent.sock"])
        #expect(alone.status == 0 && !alone.text.contains("you may discover"), "\(alone.text)")
        #expect(try agents.run(["deregister", "free-greeting"]).status == 0)
    }

    // MARK: - Width

    @Test(arguments: [
        ("certs", 80, "ROOT"), ("certs", 60, "ROOT"), ("links", 80, "MOVED, CLOCK, REMOTE"),
        ("links", 60, "RECEIVED, SENT, RESUMED, MOVED, CLOCK, REMOTE"),
    ]) func columnsThatAreLeftOutAreNamed(_ command: String, _ columns: UInt16, _ missing: String) throws {
        let terminal = try TerminalSession(
            [command, "--control", agents.socket("beta")], columns: columns, in: agents.workspace)
        _ = terminal.finish()
        let text = terminal.lines.joined(separator: " ")
        let told = text.split(separator: "left out for want of width: ", maxSplits: 1).last.map(String.init) ?? ""
        #expect(told.contains("\(missing); --json, or a wider terminal, has them"), "\(terminal.screen)")
        #expect(terminal.lines.allSatisfy { $0.count <= Int(columns) }, "\(terminal.screen)")
        let piped = try agents.run([command])
        #expect(piped.errors == "" && piped.text.contains(missing.suffix(4)), "\(piped.errors)")
    }

    /// Which node a token is for, and whether it is open, is what the list is looked at for.
    @Test(arguments: [UInt16(60), 80]) func tokensKeepNodeAndState(_ columns: UInt16) throws {
        // Each its own: the cases run side by side.
        let node = "node-with-longer-name-\(columns)"
        let file = "width-\(columns).token"
        let made = try agents.run(["ca", "token", "create", "--node", node, "--out", file], at: "alpha")
        #expect(made.status == 0, "\(made.errors)")
        let terminal = try TerminalSession(
            ["ca", "token", "list", "--control", agents.socket("alpha")], columns: columns, in: agents.workspace)
        #expect(terminal.finish() == 0)
        #expect(terminal.lines.contains { $0.hasPrefix("\(node)  open") }, "\(terminal.screen)")
        #expect(terminal.lines.allSatisfy { $0.count <= Int(columns) }, "\(terminal.screen)")
        // What is left of an id still names the token.
        let row = try #require(terminal.lines.last { $0.hasPrefix("\(node)  open") })
        let id = try #require(row.split(separator: " ").last).prefix { $0 != "…" }
        let withdrawn = try agents.run(["ca", "token", "withdraw", String(id)], at: "alpha")
        #expect(withdrawn.status == 0, "\(withdrawn.errors)")
    }

    // MARK: - Connecting

    @Test func bothDirectionsEndOnTheirOwn() throws {
        let server = try LocalServer(LocalServer.count)
        try agents.offer("free-count", server)
        let result = try agents.run(["connect", "free-count"], input: Data(repeating: 7, count: 3_000_001))
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.text == "3000001\n")
        let empty = try agents.run(["connect", "free-count", "--node", "beta"])
        #expect(empty.text == "0\n")
        let elsewhere = try agents.run(["connect", "free-count", "--node", "alpha"])
        #expect(elsewhere.status == 4, "\(elsewhere.errors)")
    }

    @Test func bytesArriveUnchanged() throws {
        let server = try LocalServer(LocalServer.echo)
        try agents.offer("free-echo", server)
        var state: UInt64 = 1
        let bytes = (0..<2_000_000).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
        let result = try agents.run(["connect", "free-echo"], input: Data(bytes))
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.output == Data(bytes))
    }

    @Test func aBrokenConnectionIsNoSuccess() throws {
        let server = try LocalServer(LocalServer.reset)
        try agents.offer("free-reset", server)
        let terminal = try TerminalSession(
            ["connect", "free-reset", "--control", agents.socket("beta")], in: agents.workspace)
        terminal.type("x")
        #expect(terminal.finish() == 5)
        #expect(terminal.screen.contains("broken off"), "\(terminal.screen)")
    }

    /// Our input has ended long before: to the socket alone a reset would look like the end.
    @Test func aResetAfterOurInputsEndIsNoSuccess() throws {
        let server = try LocalServer { connection in
            var buffer = [UInt8](repeating: 0, count: 4096)
            while recv(connection, &buffer, buffer.count, 0) > 0 {}
            var value = linger(l_onoff: 1, l_linger: 0)
            setsockopt(connection, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        }
        try agents.offer("free-late-reset", server)
        let result = try agents.run(["connect", "free-late-reset"], input: Data("all of it\n".utf8))
        #expect(result.status == 5 && result.errors.contains("broken off"), "\(result.errors)")
    }

    @Test func atATerminalTheAnswersEndIsTheEnd() throws {
        let server = try LocalServer { connection in
            _ = "welcome\n".withCString { send(connection, $0, 8, 0) }
        }
        try agents.offer("free-welcome", server)
        let terminal = try TerminalSession(
            ["connect", "free-welcome", "--control", agents.socket("beta")], in: agents.workspace)
        #expect(terminal.finish() == 0)
        #expect(terminal.lines == ["welcome"])
    }

    @Test func aServiceThatDoesNotListenIsUnreachable() throws {
        let port = try LocalServer.freePort()
        #expect(try agents.run(["register", "free-dead", "--target", "\(port)", "--check", "none"]).status == 0)
        let result = try agents.run(["connect", "free-dead"])
        #expect(result.status == 5, "\(result.errors)")
        #expect(result.errors.contains("\nhint: mesh lookup free-dead"), "\(result.errors)")
    }
}
