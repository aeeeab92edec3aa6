import Foundation
import JSON
import Testing

extension EndToEnd {
    @Suite struct Failures {
        /// SIGKILL of the serving agent: a prompt reset, and a link within a second of its return.
        @Test func killedAgent() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                for round in 1...3 {
                    let wires = try (0..<20).map { _ in try Wire(pair.upstream) }
                    for wire in wires { try wire.echo() }
                    try pair.client.waitRead(with: pair.server)
                    pair.server.kill()
                    let killed = Deadline.now
                    for wire in wires {
                        try demandEqual(wire.receive(), .reset, "round \(round): an application sees")
                    }
                    let took = Deadline.now - killed
                    try demand(took < 1 * Deadline.slowness, "the resets took \(took) s")

                    let links = pair.client.count("link_established") { $0["node"] == "Server" }
                    try pair.server.launch()
                    // From here on it could be linked.
                    let returned = try pair.server.waitFor("started").seconds
                    let linked = try pair.client.waitFor("link_established", skipping: links) { $0["node"] == "Server" }
                        .seconds
                    try demand(
                        linked - returned < 1 * Deadline.slowness,
                        "the link took \(linked - returned) s after its return")
                    // And it carries streams again.
                    try pair.client.waitInstances(of: "echo", at: ["Server"])
                    let again = try Wire(pair.upstream)
                    try again.echo()
                }
            }
        }

        /// The agent on the application's side dies: the service sees a reset.
        @Test func killedDiallingAgent() throws {
            try withMesh { mesh in
                let ends = Queue<Received>()
                let service = try mesh.service { wire in
                    if case .bytes(let bytes) = wire.receive() { try wire.send(bytes) }
                    ends.put(wire.receive())
                }
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                try wire.echo()
                try pair.client.waitRead(with: pair.server)
                pair.client.kill()
                let start = Deadline.now
                try demandEqual(try ends.take(), .reset, "the service sees")
                try demand(Deadline.now - start < 1 * Deadline.slowness, "it took \(Deadline.now - start) s")
            }
        }

        /// It dies with bytes that it has not read, so its kernel resets the link as a fault would. Its address refuses
        /// connections, which counts also when the directory has forgotten it.
        @Test func killedWithBytesUnread() throws {
            try withMesh { mesh in
                let (asked, ends) = (Queue<Void>(), Queue<Received>())
                let service = try mesh.service { wire in
                    if case .bytes(let bytes) = wire.receive() { try wire.send(bytes) }
                    try asked.take()
                    try wire.send("nobody reads this")
                    ends.put(wire.receive())
                }
                let pair = try Pair(mesh, target: service.address) { _, _ in
                    for node in mesh.nodes {
                        node.set("directory.renewInterval", .string(Deadline.milliseconds(500)))
                        node.set("directory.leaseGrace", .string(Deadline.milliseconds(1_000)))
                    }
                }
                let wire = try Wire(pair.upstream)
                try wire.echo()
                try pair.client.running().signal(SIGSTOP)
                asked.put(())
                try Deadline.until("the bytes are on their way") {
                    try pair.server.link(to: pair.client)?["retainedBytes"]?.integer ?? 0 > 0
                }
                pair.client.kill()
                try pair.server.waitFor("link_lost") { $0["node"] == "Client" && $0.value["parked"]?.bool == true }
                try Deadline.until("the directory has forgotten the node") {
                    try pair.server.control.get("/v1/directory/nodes/Client").status == 404
                }
                try pair.server.waitFor("session_ended", within: 60) { $0["reason"] == "peer_gone" }
                try demandEqual(try ends.take(), .reset, "the service sees")
            }
        }

        @Test func directoryKilledAndRestarted() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("late", at: "Server")
                mesh.policy.connect("service:shop", to: "late")
                var late = ""
                let pair = try Pair(mesh, target: service.address) { client, _ in
                    late = client.upstream("late", as: "shop", port: 8002)
                }
                let running = try Wire(pair.upstream)
                try running.echo()
                let revision = try pair.client.control.get("/v1/directory/snapshot").json["revision"]?.integer ?? 0
                try demand(revision > 0, "the directory has revisions")

                pair.directory.kill()
                try Deadline.until("the link to the directory is seen to be lost") {
                    try !pair.client.isLinked(to: pair.directory) && !pair.server.isLinked(to: pair.directory)
                }
                // Down: what runs goes on, new connections come from the copy, and reading goes on.
                try running.echo("still there")
                for _ in 0..<20 { try Wire(pair.upstream).echo("new") }
                try demandEqual(try pair.client.instances(of: "echo"), ["Server": "passing"])
                // A registration now is kept and appears later.
                let answer = try pair.server.control.request(
                    "PUT", "/v1/services/late", #"{"target":"\#(service.address)","check":{"kind":"none"}}"#)
                try demand(answer.status < 300, "register while the directory is down: \(answer.status) \(answer.text)")
                try demandEqual(try pair.client.instances(of: "late"), [:], "nobody knows it yet:")

                try pair.directory.launch()
                try pair.directory.waitReady()
                // Nothing was lost, from the first answer on.
                try demandEqual(
                    Set(try pair.directory.instances(of: "echo").keys), ["Server"], "the directory's own registrations:"
                )
                try pair.client.waitInstances(of: "late", at: ["Server"])
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(late).echo("late")
                try running.echo("and on")
                try demandEqual(
                    pair.server.count("link_lost") { $0["node"] == "Client" }, 0, "links lost to the client:")
                // And it stays, longer than a lease lasts.
                let start = Deadline.now
                try Deadline.until("time passes", every: 0.2) {
                    try demandEqual(try pair.client.instances(of: "echo"), ["Server": "passing"])
                    return Deadline.now - start > 4 * Deadline.slowness
                }
            }
        }

        /// What an agent shows while its directory is away is what that said last, and the lists say so: an empty one would read as if
        /// nothing were registered.
        @Test func listsSayThatTheDirectoryIsAway() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Node")
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node")
                try mesh.start()
                func waitUntil(reached: Bool) throws {
                    try Deadline.until("the directory is \(reached ? "" : "not ")reached") {
                        try node.control.get("/v1/agent").json["directory"]?["reached"]?.bool == reached
                    }
                }
                let told = "the directory on Directory has not been reached for "
                func demandTold(_ isTold: Bool, _ command: String..., showing text: String) throws {
                    let said = try node.mesh(command)
                    try demandEqual(said.status, 0, said.output)
                    try demandEqual(said.output.contains(told), isTold, "\(command) says so: \(said.output)")
                    try demand(said.output.contains(text), "\(command) lacks \(text): \(said.output)")
                }
                try waitUntil(reached: true)
                try Deadline.until("the node is in the directory") {
                    try node.control.get("/v1/directory/nodes/Node").status == 200
                }
                try demandTold(false, "services", showing: "no services yet, or none that you may discover")
                try demandTold(false, "nodes", showing: "Node ")
                let reached = try node.control.get("/v1/directory/services").json
                try demandEqual(
                    reached["directory"], ["node": "Directory", "reached": true, "unreachedSince": .null], "\(reached)")

                let before = Int64(time(nil)) * 1000
                directory.kill()
                try waitUntil(reached: false)
                try demandTold(true, "services", showing: "no services by then, or none that you may discover")
                try demandTold(true, "nodes", showing: "Node ")
                try demandTold(true, "nodes", "Node", showing: "node       Node")
                let status = try node.mesh(["status"]).output
                try demand(status.contains("on Directory, not reached for "), status)
                for command in ["services", "nodes"] {
                    let away = try JSONReader.parse(Array(try node.mesh([command, "--json"]).output.utf8))
                    try demand(away["revision"] != nil && away[command]?.array != nil, "\(away)")
                    try demandEqual(away["directory"]?["reached"]?.bool, false, "\(away)")
                    let since = away["directory"]?["unreachedSince"]?.integer ?? 0
                    try demand((before...Int64(time(nil) + 1) * 1000).contains(since), "\(away)")
                }

                try directory.launch()
                try directory.waitReady()
                try waitUntil(reached: true)
                let made = try node.mesh(["register", "echo", "--target", service.address, "--check", "none"])
                try demandEqual(made.status, 0, made.output)
                try node.waitInstances(of: "echo", at: ["Node"])
                try demandTold(false, "services", showing: "echo ")
                directory.kill()
                try waitUntil(reached: false)
                try demandTold(true, "services", showing: "echo ")
                try demandTold(true, "lookup", "echo", showing: "Node ")
            }
        }

        /// The target of a stream dies.
        @Test func killedTarget() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                try wire.echo()
                service.stop()
                let seen = wire.receive()
                try demand(seen == .end || seen == .reset, "the application sees \(seen)")
                // Nobody listens there now: an application is told at once, not left waiting.
                let start = Deadline.now
                let refused = try Wire(pair.upstream)
                try demandEqual(refused.receive(), .reset)
                try demand(Deadline.now - start < 4 * Deadline.slowness, "it took \(Deadline.now - start) s")
                try pair.client.waitFor("open_failed") { $0["reason"] == "target_refused" }
            }
        }
    }
}
