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
