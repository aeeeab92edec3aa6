import Documents
import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// What a reload says of what it read and did not put in force.
    @Suite struct Reloads {
        private func addresses(of node: TestNode, at directory: TestNode) throws -> [String] {
            let nodes = try directory.control.get("/v1/directory/nodes").json["nodes"]?.array ?? []
            let found = nodes.first { $0["name"]?.string == node.name || $0["node"]?.string == node.name }
            return found?["addresses"]?.array?.compactMap(\.string) ?? []
        }

        /// A listener that waits for a restart is said to wait each time.
        @Test func aListenerThatWaitsForARestart() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                node.set("listen.metrics", .string("\(node.host):7499"))
                for attempt in 1...2 {
                    let answer = try node.reload().json
                    let waiting = answer["needRestart"]?.array?.compactMap(\.string) ?? []
                    try demandEqual(
                        waiting, ["listen.metrics: \(node.host):7480 → \(node.host):7499 (needs a restart)"],
                        "reload \(attempt)")
                    try demandEqual(answer["applied"], [], "reload \(attempt)")
                }
                try demandEqual(try node.metrics.get("/readyz").status, 200, "the old one still answers")
                try node.stop()
                try node.start()
                try Deadline.until("the new one answers") {
                    (try? HTTPEnd(address: "\(node.host):7499").get("/readyz").status) == 200
                }
            }
        }

        /// What was wrong with a configuration is told on lines of its own, each fault with its own hint and nothing that a terminal could take for
        /// a command; the code stands behind the fault, not behind the hint.
        @Test func faultsAreTold() throws {
            try withMesh { mesh in
                let echo = try mesh.echo()
                let node = try mesh.node("Directory", directory: true) { $0.offer("echo", echo.address) }
                try mesh.start()
                node.upstream("echo", at: echo.address)
                try node.writeFiles()
                let hint = "give the upstream a port of its own"
                let refused = try node.mesh(["reload"])
                try demandEqual(refused.status, 78, refused.output)
                let lines = refused.output.split(separator: "\n").map(String.init)
                try demandEqual(lines.count, 2, refused.output)
                try demand(lines[0].hasSuffix(": a loop (invalid_configuration)"), refused.output)
                try demandEqual(lines[1], "hint: \(hint); nothing was changed: the old configuration stays in force")
                let status = try node.mesh(["status"]).output
                try demand(status.contains(": a loop - \(hint)\n"), status)
                try demand(!status.contains("\u{FFFD}"), status)
                let logged = try node.waitFor("reload_failed")["detail"] ?? ""
                try demand(logged.hasSuffix(": a loop - \(hint)"), logged)

                // Of several faults each says how to mend it.
                node.set("links.idleTimout", "1m")
                try node.writeFiles()
                let several = try node.mesh(["reload"]).output
                for words in [
                    ": a loop - \(hint)", "did you mean",
                    "hint: nothing was changed: the old configuration stays in force",
                ] {
                    try demand(several.contains(words), "\(words): \(several)")
                }
                try demandEqual(several.split(separator: "\n").count, 3, several)
                let both = try node.mesh(["status"]).output
                try demand(both.contains("; ") && !both.contains("\u{FFFD}"), both)
            }
        }

        /// Links move house: no connection notices, who comes later finds the new address, and a wrong one changes nothing.
        @Test func theMeshListenerMoves() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in
                    server.set("node.advertise", .null)
                    client.set("links.reconnectMax", "200ms")
                }
                let server = pair.server
                func move(to address: String) throws -> Answer {
                    server.set("listen.mesh", .string(address))
                    return try server.reload()
                }
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let (old, new) = (server.meshAddress, "\(server.host):7499")

                let taken = try ListeningSocket(host: server.host, port: 7498)
                for (wrong, word) in [
                    (taken.address, "another process listens there"), ("192.0.2.1:7400", "no interface of this host"),
                    ("0.0.0.0:7400", "this agent itself has the port"),
                ] {
                    let answer = try move(to: wrong)
                    try demandEqual(answer.status, 422, answer.text)
                    try demand(answer.text.contains(word), answer.text)
                    try Wire(old).close()
                }
                try demandEqual(server.count("mesh_listener_changed"), 0)

                let moved = try move(to: new)
                try demandEqual(moved.status, 200, moved.text)
                try demandEqual(
                    moved.json["applied"],
                    [.string("node.advertise: \(old) → \(new)"), .string("listen.mesh: \(old) → \(new)")], moved.text)
                let record = try server.waitFor("mesh_listener_changed")
                try demandEqual(record["to"], new)
                try demand(throws: { _ = try Wire(old) }, "the old address still answers")
                try wire.echo("the same session")
                try demandEqual(server.count("link_lost"), 0, "links that were lost")
                try Deadline.until("the new one is told") {
                    try addresses(of: server, at: pair.directory) == [new]
                }
                try Deadline.until("the client knows") { try addresses(of: server, at: pair.client) == [new] }

                try pair.client.waitFor("link_moved") { $0["node"] == "Server" && $0["remote"] == new }
                try wire.echo("the same session on another link")
                // A link that is lost is made again at the new address, and its session goes on.
                if getuid() == 0 {
                    _ = try runProgram(["ss", "-K", "dst", server.host, "dport", "=", ":7499"])
                    try pair.client.waitFor("session_resumed") { $0["node"] == "Server" }
                    try wire.echo("over the new address")
                }
                // And back, twice, with another process in between.
                try demandEqual(try move(to: old).status, 200)
                try demandEqual(try server.takeOver().wait(), 0, "exit status")
                try demandEqual(try move(to: new).status, 200)
                let guest = try LinkEnd(mesh, as: "Guest", to: server, at: new)
                try server.waitFor("link_established") { $0["node"] == "Guest" }
                try guest.end(.normal)
            }
        }

        /// Where the mesh has a policy document, a changed policy.file does nothing, and that is said.
        @Test func aPolicyFileThatIsNotInForce() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                try demandEqual(try node.reload().json["notes"], [])
                try node.take(operators.list)
                try node.take(try operators.sign(.policy, 7, mesh.policy.text))
                node.policy.connect("node:Directory", to: "elsewhere")
                let said = try node.reload()
                try demandEqual(said.status, 200)
                let note = said.json["notes"]?.array?.first?.string ?? ""
                try demand(note.contains("policy.file is not in force") && note.contains("version 7"), said.text)
                let printed = try node.mesh(["reload"])
                try demand(printed.output.contains("mesh policy apply"), printed.output)
            }
        }
    }
}
