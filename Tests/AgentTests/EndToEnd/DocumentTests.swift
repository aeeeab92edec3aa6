import Documents
import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// Signed mesh documents: from one agent to all, for ever, and from nobody else.
    @Suite struct Documents {
        /// Whatever is not the next word of an operator is refused, with its reason, its count and a record, and changes nothing.
        @Test func onlyOperatorsAndOnlyForward() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let stranger = try PrivateKey.generate(.ed25519)
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node")
                try mesh.start()
                let text = mesh.policy.text
                func refused(_ document: SignedDocument, _ status: Int, _ reason: String) throws {
                    let answer = try node.offer(document)
                    try demandEqual(answer.status, status, answer.text)
                    try demandEqual(answer.reason, reason)
                    try demand(answer.json["hint"]?.string?.isEmpty == false, "no hint: \(answer.text)")
                }
                try refused(try operators.sign(.policy, 1, text), 409, "no_operators")
                try node.take(operators.list)
                try directory.waitDocument(.operators, version: 1)
                let third = try operators.sign(.policy, 3, text)
                try node.take(third)
                try directory.waitDocument(.policy, version: 3)
                try refused(try operators.sign(.policy, 2, text), 409, "older_document")
                try refused(try operators.sign(.policy, 9, text, by: stranger), 403, "unknown_operator")
                try refused(try operators.sign(.policy, 9, text, domain: "other.test"), 403, "other_mesh")
                try refused(try operators.sign(.policy, 9, "{ rules: 1 }"), 422, "bad_document_content")
                var forged = try demandValue(third.json.object, "an object")
                forged["version"] = 9
                let answer = try node.control.request(
                    "PUT", "/v1/documents/policy", JSONValue.object(forged).text())
                try demandEqual(answer.reason, "bad_document_signature", answer.text)
                try demandEqual(
                    try node.control.request("PUT", "/v1/documents/policy", "{}").reason, "malformed_document")
                try demandEqual(
                    try node.control.request(
                        "PUT", "/v1/documents/revocations", String(decoding: third.envelope, as: UTF8.self)
                    ).reason, "wrong_document_kind")
                try demandEqual(try node.offer(third).json["outcome"]?.string, "known")
                for other in [node, directory] { try demandEqual(try other.documentVersion(.policy), 3, other.name) }
                try demandEqual(
                    try node.metric("mesh_documents_total{kind=\"policy\",result=\"older_document\"}"), 1)
                try demandEqual(try node.metric("mesh_document_version{kind=\"policy\"}"), 3)
                let records = node.records.filter { $0.event == "document_refused" }
                try demand(records.contains { $0["reason"] == "bad_document_signature" }, "no record: \(records)")
                try demandEqual(directory.count("document_refused"), 0, "refused documents travelled")
            }
        }

        /// A document, once applied, wins over the file: after a reload and after a restart, with nobody else there.
        @Test func aDocumentWinsOverTheFile() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                try Wire(pair.upstream).echo()
                let wire = try Wire(pair.upstream)
                try wire.echo()
                var policy = mesh.policy
                policy.revoke("service:shop", to: "echo")
                try pair.directory.take(operators.list)
                try pair.directory.take(try operators.sign(.policy, 1, policy.text))
                try demandEqual(wire.receive(), .reset, "a stream that lost its right")
                try pair.server.waitDocument(.policy, version: 1)
                try pair.client.waitDocument(.policy, version: 1)
                // The file still allows it.
                try demandEqual(try pair.client.reload().status, 200)
                try demandEqual(try pair.server.reload().status, 200)
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "after a reload")
                let why = try pair.client.control.get("/v1/why?from=service:shop&to=echo").json
                try demandEqual(why["policy"]?["version"]?.integer, 1, "\(why)")
                try demandEqual(why["policy"]?["source"]?.string, "document")
                try demandEqual(why["allowed"]?.bool, false)
                let told = try pair.client.mesh(["why", "--from", "service:shop", "--to", "echo"]).output
                try demand(told.contains("  asked    Client, which goes by version 1 of the mesh's policy\n"), told)
                // Alone after a restart it still goes by what it had.
                pair.directory.kill()
                pair.server.kill()
                pair.server.expectEnd()
                try pair.server.start()
                try Deadline.until("the server answers") { (try? pair.server.documentVersion(.policy)) == 1 }
                let other = try pair.server.offer(try operators.sign(.policy, 1, mesh.policy.text))
                try demandEqual(other.reason, "older_document", other.text)
                let check = try runProgram(
                    [TestMesh.binaries + "/mesh-agent", "--config", pair.server.configurationFile, "--check"])
                try demand(check.output.contains("document: policy version 1"), check.output)
                // What cannot be read is no start, since then the node would take any old version.
                pair.server.kill()
                try "{}".write(
                    toFile: pair.server.directory + "/state/documents/policy.json", atomically: true, encoding: .utf8)
                try pair.server.launch()
                pair.server.expectEnd()
                try demandEqual(try pair.server.running().wait(within: Deadline.patience), 78)
                try demand(try pair.server.running().output.contains("malformed_document"), "no reason")
            }
        }

        /// Two nodes that may link with nobody any more hear of it before the directory lets them go, and let go of each other.
        @Test func aPolicyThatTakesTheRightToLink() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let outcasts = [pair.client, pair.server]
                var denying = mesh.policy
                denying.rules.append(["deny": ["link"], "from": ["node:Client", "node:Server"], "to": ["*"]])
                try pair.directory.take(operators.list)
                try pair.directory.take(try operators.sign(.policy, 1, mesh.policy.text))
                for node in outcasts { try node.waitDocument(.policy, version: 1) }
                // A slow host may take longer than it is waited for, and then the right is given back and taken again.
                var wire = try Wire(pair.upstream)
                var start = Deadline.now
                var end: Background<(Received, Double)>?
                var isTold = false
                for round in 0..<8 where !isTold {
                    try wire.echo()
                    start = Deadline.now
                    end = Background { [wire] in (wire.receive(), Deadline.now) }
                    try pair.directory.take(try operators.sign(.policy, UInt64(2 * round + 2), denying.text))
                    isTold = try outcasts.allSatisfy { node in
                        let told = try pair.directory.waitFor("unlinked_node_told", skipping: round) {
                            $0["node"] == node.name
                        }
                        try demandEqual(told["reason"], "policy_changed")
                        return told.value["acknowledged"]?.bool == true
                    }
                    guard !isTold else { break }
                    try pair.directory.take(try operators.sign(.policy, UInt64(2 * round + 3), mesh.policy.text))
                    for node in outcasts {
                        try node.waitLinked(to: pair.directory, within: 60 * Deadline.slowness)
                        try node.waitDocument(.policy, version: Int64(2 * round + 3))
                    }
                    try pair.client.waitInstances(of: "echo", at: ["Server"])
                    wire = try Wire(pair.upstream)
                }
                try demand(isTold, "the nodes never have the document in time")
                let (seen, ended) = try #require(end).value()
                try demandEqual(seen, .reset, "a stream between them")
                try demand(ended - start < 1 * Deadline.slowness, "it took \(ended - start) s")
                for node in outcasts {
                    try pair.directory.waitFor("link_lost") {
                        $0["node"] == node.name && $0["reason"] == "policy_changed"
                    }
                    try Deadline.until("\(node.name) has no link") {
                        try (outcasts + [pair.directory]).allSatisfy {
                            try $0.name == node.name || !node.isLinked(to: $0)
                        }
                    }
                    try demandEqual(
                        try node.documentVersion(.policy), try pair.directory.documentVersion(.policy), node.name)
                }
                try demand(
                    pair.client.count("link_lost") { $0["node"] == "Server" && $0["reason"] == "policy_changed" } > 0
                        || pair.server.count("link_lost") { $0["node"] == "Client" && $0["reason"] == "policy_changed" }
                            > 0,
                    "the link between them ended for another reason")
            }
        }

        /// Connections that come in the last moment of a link end with it: none waits for a link of which nobody has been asked
        /// for another, until its own time is over.
        @Test func nobodyHangsInTheLastMomentOfALink() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                var patient = ""
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.peer(server)
                    patient = client.upstream("echo", as: "shop", port: 8002, more: ["connectTimeout": "300s"])
                }
                var denying = mesh.policy
                denying.rules.append(["deny": ["link"], "from": ["node:Server"], "to": ["*"]])
                try pair.directory.take(operators.list)
                try pair.directory.take(try operators.sign(.policy, 1, mesh.policy.text))
                for node in [pair.client, pair.server] { try node.waitDocument(.policy, version: 1) }
                try pair.client.waitLinked(to: pair.server)
                try Wire(pair.upstream).echo()
                // It cannot acknowledge, so the last moment takes as long as it may.
                try pair.server.running().signal(SIGSTOP)
                defer { try? pair.server.running().signal(SIGCONT) }
                let isOver = Counter()
                let callers = Background { [upstream = patient] in
                    var wires: [Wire] = []
                    while isOver.value == 0, wires.count < 2000 {
                        // A connect, or a send, that meets the reset already has not hung.
                        if let wire = try? Wire(upstream) {
                            try? wire.send("hello")
                            wires.append(wire)
                        }
                        Thread.sleep(forTimeInterval: 0.001)
                    }
                    try demand(!wires.isEmpty, "connections in the last moment")
                    return wires
                }
                try pair.directory.take(try operators.sign(.policy, 2, denying.text))
                try pair.client.waitFor("unlinked_node_told") { $0["node"] == "Server" }
                isOver.add(1)
                for wire in try callers.value() {
                    wire.setTimeouts(10 * Deadline.slowness)
                    try demandEqual(wire.receive(), .reset, "a connection")
                }
            }
        }

        /// The commands as an operator uses them, from the first document on.
        @Test func commands() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node")
                try mesh.start()
                try operators.write()
                func run(_ arguments: [String], _ status: Int32 = 0) throws -> String {
                    let result = try runProgram(
                        [TestMesh.binaries + "/mesh"] + arguments, environment: ["MESH_CONTROL": node.controlPath])
                    try demandEqual(result.status, status, "\(arguments): \(result.output)")
                    return result.output
                }
                let key = ["--key", operators.keyFile]
                let file = mesh.directory + "/next.json"
                func write(_ text: String) throws { try text.write(toFile: file, atomically: true, encoding: .utf8) }
                try write(mesh.policy.text)
                try demand(try run(["documents"]).contains("no mesh document is in force"), "documents before")
                _ = try run(["policy", "diff", file], 4)
                let applied = try run(["policy", "apply", file] + key)
                try demand(applied.contains("policy version 1 is in force here"), applied)
                try demand(applied.contains("2 of 2 nodes have it"), applied)
                try demandEqual(try directory.documentVersion(.policy), 1)
                try demand(try run(["policy", "diff", file]).contains("the same as version 1"), "no difference")
                try write(mesh.policy.text + "// changed\n")
                try demand(try run(["policy", "diff", file], 1).contains("// changed"), "the changed line")
                try write("{ rules: 7 }")
                _ = try run(["policy", "apply", file] + key, 78)
                try demandEqual(try node.documentVersion(.policy), 1)
                try demand(try run(["status"]).contains("mesh document, version 1"), "status")
                // By a key that is on no list.
                let stranger = mesh.directory + "/stranger.key"
                try PrivateKey.generate(.ed25519).write(to: stranger)
                let refused = try run(["revoke", "Ghost", "--reason", "test", "--force", "--key", stranger], 3)
                try demand(refused.contains("unknown_operator"), refused)
                _ = try run(["revoke", "Ghost"] + key, 2)
                let revoked = try run(["revoke", "Ghost", "--reason", "never came back", "--force"] + key)
                try demand(revoked.contains("revoked node:Ghost (revocations version 1)"), revoked)
                _ = try run(["revoke", "serial:0A", "--issuer", "CN=Old CA", "--reason", "retired"] + key)
                _ = try run(["revoke", "serial:0A", "--reason", "no issuer"] + key, 2)
                _ = try run(["revoke", "spki-sha256:AAAA", "--reason", "no digest"] + key, 2)
                let list = try run(["revoke", "--list"])
                try demand(list.contains("node:Ghost") && list.contains("serial:0a") && list.contains("retired"), list)
                try demandEqual(try directory.documentVersion(.revocations), 2)
                _ = try run(["revoke", "Ghost", "--undo"] + key)
                _ = try run(["revoke", "Ghost", "--undo"] + key, 4)
                try demand(try !run(["revoke", "--list"]).contains("Ghost"), "taken off the list")
                let table = try run(["documents"])
                try demand(table.contains("Directory") && table.contains("current") && table.contains("tester"), table)
                directory.kill()
                directory.expectEnd()
                try Deadline.until("the directory is gone") { try !node.isLinked(to: directory) }
                try write(mesh.policy.text + "// third\n")
                let late = try run(["policy", "apply", file] + key, 5)
                try demand(late.contains("older: Directory, which is not linked"), late)
                try demand(late.contains("no other node has it"), late)
            }
        }

        /// Key and passphrase are looked at before what changes is shown; where that is cut, the rest is not hidden.
        @Test func applyingLooksAtTheKeyFirst() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                try operators.write()
                let file = mesh.directory + "/next.json"
                func write(_ name: String) throws {
                    let lines = (1...30).map { "// \(name) \($0)\n" }.joined()
                    try (mesh.policy.text + "\n" + lines).write(toFile: file, atomically: true, encoding: .utf8)
                }
                func apply(_ key: String, _ more: [String] = []) throws -> CommandResult {
                    try directory.mesh(["policy", "apply", file, "--key", key] + more)
                }
                let (sealed, stranger) = (mesh.directory + "/sealed.key", mesh.directory + "/stranger.key")
                try operators.key.write(to: sealed, encryptedWith: Passphrase("correct horse"))
                try PrivateKey.generate(.ed25519).write(to: stranger)
                try SafeFile.write(Array("wrong\n".utf8), to: mesh.directory + "/wrong", mode: 0o600)
                try write("first")
                let refusals: [(String, [String], Int32, String)] = [
                    (operators.keyFile, ["--passphrase-file", "nosuch"], 4, "nosuch"),
                    (mesh.directory + "/nosuch.key", [], 4, "nosuch.key"),
                    (sealed, ["--passphrase-file", mesh.directory + "/wrong"], 6, "passphrase"),
                    (sealed, [], 6, "no terminal to ask"), (stranger, [], 3, "unknown_operator"),
                ]
                for (key, more, status, text) in refusals {
                    let refused = try apply(key, more)
                    try demandEqual(refused.status, status, refused.output)
                    try demand(refused.output.contains(text), refused.output)
                    try demand(!refused.output.contains("signing version"), refused.output)
                }
                // No other text is there to be compared with.
                let first = try apply(operators.keyFile)
                try demandEqual(first.status, 0, first.output)
                try demand(first.output.contains("  + // first 30\n"), first.output)
                try demand(!first.output.contains(" more"), first.output)
                try write("second")
                let second = try apply(operators.keyFile)
                try demand(second.output.contains("  + // second 20\n  + and 10 more\n"), second.output)
                try demand(!second.output.contains("// second 21"), second.output)
                try demand(
                    second.output.contains("\n  mesh policy diff \(file) shows all, before it is applied\n"),
                    second.output
                )
            }
        }

        /// Which of the serving node's decisions a draft would change, asked at another node.
        @Test func replay() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.connect("node:Client", to: "mesh.agent")
                mesh.policy.rules.append(["allow": ["administer"], "from": ["node:Client"], "to": ["Server"]])
                let pair = try Pair(mesh, target: service.address)
                for _ in 0..<3 { try Wire(pair.upstream).echo() }
                func replay(_ policy: TestPolicy, _ status: Int32) throws -> JSONValue {
                    let file = mesh.directory + "/draft.json"
                    try policy.text.write(toFile: file, atomically: true, encoding: .utf8)
                    let result = try runProgram(
                        [TestMesh.binaries + "/mesh", "policy", "replay", file, "--at", "Server", "--json"],
                        environment: ["MESH_CONTROL": pair.client.controlPath])
                    try demandEqual(result.status, status, result.output)
                    return try JSONReader.parse(result.output)
                }
                try demandEqual(try replay(mesh.policy, 0)["changed"]?.array?.count, 0)
                var draft = mesh.policy
                draft.revoke("service:shop", to: "echo")
                let changed = try demandValue(try replay(draft, 1)["changed"]?.array, "changes")
                try demandEqual(changed.count, 1, "\(changed)")
                try demandEqual(changed[0]["as"]?.string, "service:shop")
                try demandEqual(changed[0]["target"]?.string, "echo")
                try demandEqual(changed[0]["count"]?.integer, 3)
                try demandEqual(changed[0]["allowed"]?.bool, true)
                try demandEqual(changed[0]["then"]?.string, "no_rule")
                draft = mesh.policy
                draft.rules.append(["deny": ["link"], "from": ["node:Client"], "to": ["Server"]])
                let links = try demandValue(try replay(draft, 1)["changed"]?.array, "changes")
                try demandEqual(links.compactMap { $0["verb"]?.string }, ["link"], "\(links)")
            }
        }

        /// A policy that locks everybody out is replaced by the next one, whoever gives it.
        @Test func lockedOut() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                try directory.take(operators.list)
                try directory.take(try operators.sign(.policy, 1, "{ rules: [] }"))
                try demandEqual(try directory.control.get("/v1/agent").status, 403, "the policy knows nobody")
                try directory.take(try operators.sign(.policy, 2, mesh.policy.text))
                try demandEqual(try directory.documentVersion(.policy), 2)
            }
        }

        /// A node that its peer knows to be behind takes no streams of applications before it has caught up.
        @Test func nothingIsCarriedByANodeThatIsBehind() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.connect("node:edge", to: "echo")
                _ = try mesh.node("Directory", directory: true)
                let server = try mesh.node("Server") { $0.offer("echo", service.address) }
                try mesh.start()
                let policy = try operators.sign(.policy, 1, mesh.policy.text)
                let ahead = DocumentVersions([.operators: operators.list.stamp, .policy: policy.stamp])
                let link = try LinkEnd(mesh, as: "edge", to: server, documents: ahead.encoded)
                let early = try link.open(OpenRequest(service: "echo"), sending: "too early")
                guard case .refused(.documentsBehind, _) = try link.next(of: early) else {
                    throw Failure("a stream was carried before the node had caught up")
                }
                try demandEqual(service.connections, 0, "connections of the service")
                try server.take(operators.list)
                try server.take(policy)
                let late = try link.open(OpenRequest(service: "echo"), sending: "ping")
                try demandEqual(try link.next(of: late), .accepted)
                try demandEqual(try link.next(of: late), .bytes(Array("ping".utf8)))
                // A peer that is itself behind, and says so, is served: who decides is here.
                let behind = try LinkEnd(mesh, as: "edge2", to: server, documents: [])
                let denied = try behind.open(OpenRequest(service: "echo"))
                guard case .refused(.denied, _) = try behind.next(of: denied) else { throw Failure("not denied") }
            }
        }

        /// A node that was down while policy changed has the new one before its application gets a stream.
        @Test func whoWasAwayCatchesUp() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                try pair.directory.take(operators.list)
                try pair.directory.take(try operators.sign(.policy, 1, mesh.policy.text))
                try pair.server.waitDocument(.policy, version: 1)
                try Wire(pair.upstream).echo()
                pair.server.kill()
                var policy = mesh.policy
                policy.revoke("service:shop", to: "echo")
                try pair.directory.take(try operators.sign(.policy, 2, policy.text))
                try pair.client.waitDocument(.policy, version: 2)
                let away = try Deadline.wait("the server is not linked any more") {
                    let nodes = try pair.client.control.get("/v1/documents/nodes").json["nodes"]?.array ?? []
                    return nodes.first { $0["node"]?.string == "Server" && $0["linked"]?.bool == false }
                }
                try demandEqual(away["behind"]?.array?.compactMap(\.string), ["policy"], "\(away)")
                try pair.server.start()
                try pair.server.waitReady()
                try pair.server.waitDocument(.policy, version: 2)
                try demandEqual(try Wire(pair.upstream).receive(), .reset)
                try Deadline.until("the service has no connection") { service.connections == 0 }
                let link = try LinkEnd(mesh, as: "Client2", to: pair.server)
                let stream = try link.open(OpenRequest(service: "echo", principal: "service:shop"))
                guard case .refused = try link.next(of: stream) else { throw Failure("the server did not refuse") }
            }
        }
    }
}

/// The value, or a failure that names what is missing.
func demandValue<Value>(_ value: Value?, _ what: String) throws -> Value {
    guard let value else { throw Failure("no \(what)") }
    return value
}
