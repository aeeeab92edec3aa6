import Foundation
import JSON
import Link
import Testing

extension EndToEnd {
    /// A node is taken out of service and back while its agent goes on.
    @Suite struct Draining {
        @Test func nodeLeavesServiceAndReturns() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in client.peer(server) }
                let (server, client) = (pair.server, pair.client)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let answer = try server.control.request("POST", "/v1/drain", "")
                try demandEqual(answer.json["state"]?.string, "draining", answer.text)
                try demandEqual(answer.json["streams"]?.integer, 1)
                try demandEqual(answer.json["changed"]?.bool, true)
                try demandEqual(try server.control.request("POST", "/v1/drain", "").json["changed"]?.bool, false)
                // Nobody is sent there any more; what is under way goes on, and so does the link.
                for node in [pair.directory, client] { try node.waitInstances(of: "echo", at: []) }
                try demandEqual(try server.metrics.get("/readyz").text, "draining\n")
                try demandEqual(try server.metric("mesh_draining"), 1)
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "a new connection sees")
                try wire.echo("while it drains")
                try demand(try client.isLinked(to: server), "the link went")
                wire.finishSending()
                try demandEqual(wire.receive(), .end)
                try Deadline.until("nothing is left") {
                    try server.control.get("/v1/drain").json["state"]?.string == "drained"
                }

                let undone = try server.control.request("DELETE", "/v1/drain", "")
                try demandEqual(undone.json["state"]?.string, "serving", undone.text)
                try client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("again")
                try demandEqual(try server.metrics.get("/readyz").status, 200)

                server.policy.rules.removeAll { (rule: JSONValue) in rule["allow"]?.array?.first?.string == "administer"
                }
                try demandEqual(try server.reload().status, 200)
                for method in ["POST", "DELETE"] {
                    let refused = try server.control.request(method, "/v1/drain", "")
                    try demandEqual(refused.status, 403, refused.text)
                }
                try demandEqual(try server.metric("mesh_draining"), 0)
            }
        }

        /// systemd would kill a drain that is longer than its own patience: it is asked for more again and again.
        @Test func systemdIsAskedForTime() throws {
            try withMesh { mesh in
                let path = mesh.directory + "/notify"
                let notify = try NotifySocket(path)
                let pair = try Pair(mesh, target: try mesh.echo().address) { _, server in
                    server.environment["NOTIFY_SOCKET"] = path
                    server.set("shutdown.drainTimeout", "1h")
                }
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                pair.server.expectEnd()
                try pair.server.running().signal(SIGTERM)
                try notify.waitFor("STOPPING=1")
                for _ in 1...2 { try notify.waitFor("EXTEND_TIMEOUT_USEC=30000000") }
                try wire.echo("it drains still")
                wire.finishSending()
                try demandEqual(try pair.server.running().wait(), 0)
            }
        }

        /// An agent that ends tells each peer another moment to come back, and peers keep to it.
        @Test func peersOfAnAgentThatEndsComeOneAfterTheOther() throws {
            try withMesh { mesh in
                // Each worker counts for itself: on as many workers as there are guests, each guest may be the first one.
                let directory = try mesh.node("Directory", directory: true) { $0.set("workers", 1) }
                let peer = try mesh.node("Peer") { $0.set("links.reconnectMin", "10ms") }
                try mesh.start()
                try peer.waitLinked(to: directory)
                let ends = try (1...4).map { try LinkEnd(mesh, as: "Guest\($0)", to: directory) }
                for number in 1...4 { try directory.waitFor("link_established") { $0["node"] == "Guest\(number)" } }
                try directory.stop()
                for end in ends { try end.waitClosed() }
                let delays = ends.compactMap { $0.farewell.map { ($0.reason, $0.retryAfter) } }
                try demandEqual(delays.map(\.0), [LinkReason](repeating: .stopping, count: 4), "reasons")
                try demand(delays.allSatisfy { (100...1_000).contains($0.1) }, "\(delays)")
                try demand(Set(delays.map(\.1)).count > 1, "all come at once: \(delays)")
                let lost = try peer.waitFor("link_lost") { $0["reason"] == "stopping" }
                let dialled = try peer.waitFor("dial_failed") {
                    $0["node"] == "Directory" && $0.seconds >= lost.seconds
                }
                try demand(dialled.seconds - lost.seconds > 0.09, "it came back too soon")
            }
        }

        /// `mesh drain --wait` ends with the last stream, not before.
        @Test func theCommandWaitsForTheLastStream() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in client.peer(server) }
                let server = pair.server
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let command = [TestMesh.binaries + "/mesh", "drain", "--control", server.controlPath]
                try demandEqual(try runProgram(command + ["--undo", "--wait"]).status, 2, "exit code of nonsense")
                let waiting = Background { try runProgram(command + ["--wait"]) }
                try server.waitFor("drain_started") { $0["by"] == "uid:\(getuid())" }
                try wire.echo("while it drains")
                let state = try runProgram(command)
                try demandEqual(state.output, "node Server drains: 1 stream is under way\n")
                wire.finishSending()
                try demandEqual(wire.receive(), .end)
                let ended = try waiting.value(within: Deadline.patience)
                try demandEqual(ended.status, 0, "exit code")
                try demand(ended.output.hasSuffix("node Server is drained: no stream is left\n"), ended.output)
                try demandEqual(try runProgram(command + ["--undo"]).output, "node Server serves\n")
            }
        }

        /// Requests of the edge leave a drained node although the edge keeps connections to its service: each goes where new streams go.
        @Test func requestsLeaveADrainedNode() throws {
            try withMesh { mesh in
                mesh.policy.provide("web", at: "Other")
                let edge = try EdgeMesh(mesh)
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                let client = try edge.connect()
                func request() throws {
                    try client.sendRequest("GET", "/head", headers: fields)
                    let answer = try client.answer()
                    try demandEqual(answer.status, 200, answer.text)
                }
                try request()
                let other = try mesh.node("Other") { $0.offer("web", edge.service.address) }
                try other.start()
                try edge.edge.waitInstances(of: "web", at: ["Other", "Server"])
                try request()
                try demandEqual(try edge.server.control.request("POST", "/v1/drain", "").status, 200)
                try edge.edge.waitInstances(of: "web", at: ["Other"])
                try Deadline.until("the drained node has no stream left", within: 10 * Deadline.slowness) {
                    try request()
                    return try edge.server.control.get("/v1/drain").json["state"]?.string == "drained"
                }
                try request()
            }
        }

        /// Applications of the drained node get no new streams either, and peers hear a reason where they still try.
        @Test func newStreamsAreRefusedWithAReason() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in client.peer(server) }
                try demandEqual(
                    try pair.client.control.request("POST", "/v1/drain", "").json["state"]?.string, "drained")
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "an application sees")
                try demandEqual(
                    try pair.client.metric(#"mesh_open_failures_total{reason="going_away"}"#), 1, "counted")
                try demandEqual(
                    try pair.client.control.request("DELETE", "/v1/drain", "").json["state"]?.string, "serving")
                try Wire(pair.upstream).echo("again")
            }
        }
    }
}
