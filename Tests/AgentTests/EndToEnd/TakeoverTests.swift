import CTestSystem
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// A process takes over from the running one. `MESH_TAKEOVER_SECONDS` sets how long the load lasts.
    @Suite struct Takeovers {
        private static let seconds = Double(ProcessInfo.processInfo.environment["MESH_TAKEOVER_SECONDS"] ?? "") ?? 0
        private static let perMinute = 12_000

        /// Takes `node` over again and again under load; at least twice.
        private func underLoad(_ node: TestNode, _ upstream: String, _ what: String) throws {
            let load = ShortConnections(to: upstream, perMinute: Self.perMinute)
            let end = Deadline.now + Self.seconds
            var takeovers = 0
            var longest = 0.0
            repeat {
                try load.goOn(150)
                let old = try node.takeOver()
                try demandEqual(try old.wait(), 0, "the old process' exit status")
                takeovers += 1
                try node.waitReady()
                longest = max(longest, try node.metric("mesh_takeover_pause_seconds") ?? 0)
            } while takeovers < 3 || Deadline.now < end
            try load.goOn(150)
            try load.finish("\(what), \(takeovers) takeovers, longest pause \(Int(longest * 1000)) ms")
        }

        @Test func theClientsAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try underLoad(pair.client, pair.upstream, "client's side")
            }
        }

        @Test func theServersAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try underLoad(pair.server, pair.upstream, "server's side")
            }
        }

        /// The server's agent dials only: nobody can reach it by an address.
        @Test func anAgentThatOnlyDialsIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in
                    server.peer(client)
                    server.set("node.advertise", [])
                }
                try underLoad(pair.server, pair.upstream, "server that dials")
            }
        }

        /// The store goes from one process to the other: what is registered before, between and after stays.
        @Test func theDirectorysAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                for number in 1...3 {
                    try load.goOn(50)
                    let old = try pair.directory.takeOver()
                    try demandEqual(try old.wait(), 0, "the old process' exit status")
                    pair.server.policy.provide("more\(number)", at: "Server")
                    for node in mesh.nodes {
                        node.policy = pair.server.policy
                        try demandEqual(try node.reload().status, 200)
                    }
                    let answer = try pair.server.control.request(
                        "PUT", "/v1/services/more\(number)", #"{"target":"127.0.0.1:9"}"#)
                    try demandEqual(answer.status, 201, answer.text)
                }
                try load.finish("the directory's agent, 3 takeovers")
                for number in 1...3 {
                    try Deadline.until("more\(number) is known") {
                        try pair.client.instances(of: "more\(number)").keys.contains("Server")
                    }
                }
            }
        }

        /// Both ends at once, so that either's new process meets the other's old one.
        @Test func bothAgentsAreReplacedAtOnceUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let load = ShortConnections(to: pair.upstream, perMinute: Self.perMinute)
                for _ in 1...4 {
                    try load.goOn(100)
                    let olds = [try pair.client.running(), try pair.server.running()]
                    for node in [pair.client, pair.server] { try node.launch(["--takeover"]) }
                    for node in [pair.client, pair.server] { try node.waitFor("taken_over") }
                    for old in olds { try demandEqual(try old.wait(), 0, "the old process' exit status") }
                }
                try load.goOn(100)
                try load.finish("both sides at once, 4 takeovers each")
            }
        }

        /// The new process of the one node is linked by the old one of the other, which goes away in the same breath: that the link
        /// ends is known before that it has begun. Who waits goes on with the new process there.
        @Test func aLinkThatEndsAsItBeginsLosesNobody() throws {
            try withMesh { mesh in
                var relay: Relay?
                var upstream = ""
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in
                    let between = try Relay(mesh, to: server.meshAddress)
                    client.peers.append(["node": "Server", "address": .string(between.address)])
                    server.set("node.advertise", [.string(between.address)])
                    upstream = client.upstream("echo", as: "shop", port: 8002, more: ["connectTimeout": "60s"])
                    for node in [client, server] {
                        node.set("links.handshakeTimeout", "60s")
                        node.set("shutdown.drainTimeout", "60s")
                    }
                    relay = between
                }
                let between = try #require(relay)
                try Wire(upstream).echo("before")
                // GOAWAY of the client's old process does not arrive, so that the new one is kept waiting by the server's old one …
                between.hold()
                var olds = [try pair.client.takeOver()]
                try between.waitForHello()
                let waiting = (0..<8).map { number in
                    Background { [upstream] in try Wire(upstream).echo("connection \(number)") }
                }
                try Deadline.until("they wait") { try pair.client.metric("mesh_local_connections") == 8 }
                // … until that has gone away, too.
                olds.append(try pair.server.takeOver())
                between.release()
                for connection in waiting { try connection.value(within: Deadline.patience) }
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
                let seen = pair.client.records.filter {
                    $0["node"] == "Server" && ["link_established", "link_retiring"].contains($0.event)
                }
                try demandEqual(
                    seen.map(\.event), ["link_established", "link_retiring", "link_established"],
                    "what the new process saw of the server")
                try demandEqual(
                    try pair.client.metric(#"mesh_open_failures_total{reason="unreachable"}"#) ?? 0, 0, "failures")
            }
        }

        /// GOAWAY travels behind bulk data, and the new process comes before it.
        @Test func transfersGoOnUnderTakeovers() throws {
            try withMesh { mesh in
                let size = 192 << 20
                let service = try mesh.service { wire in
                    guard try receiveStream(wire, seed: 5) == size else { return }
                    try sendStream(wire, seed: 6, count: size)
                }
                // The old processes have the time that the transfers take.
                let pair = try Pair(mesh, target: service.address) { client, server in
                    for node in [client, server] { node.set("shutdown.drainTimeout", "60s") }
                }
                let wires = try (0..<2).map { _ in try Wire(pair.upstream) }
                let sending = wires.map { wire in Background { try sendStream(wire, seed: 5, count: size) } }
                let receiving = wires.map { wire in Background { try receiveStream(wire, seed: 6) } }
                var olds: [Child] = []
                for _ in 1...2 { for node in [pair.client, pair.server] { olds.append(try node.takeOver()) } }
                for sender in sending { try sender.value(within: 60) }
                for receiver in receiving {
                    try demandEqual(try receiver.value(within: 60), size, "bytes that came back")
                }
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
                for node in mesh.nodes {
                    try demandEqual(node.count("duplicate_identity"), 0, "\(node.name) was suspicious")
                }
            }
        }

        /// Every lane comes back, in whichever end the process is replaced, and what runs on them goes on.
        @Test func severalLanesComeBackUnderLoad() throws {
            try withMesh { mesh in
                let service = try mesh.service { wire in
                    try sendBack(wire)
                    wire.close()
                }
                let pair = try Pair(mesh, target: service.address) { client, server in
                    for node in [client, server] { node.set("links.lanes", 4) }
                    client.peer(server)
                }
                func settled() throws {
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                }
                try settled()
                let long = try (0..<8).map { _ in try Wire(pair.upstream) }
                for wire in long { try wire.echo("before") }
                let load = ShortConnections(to: pair.upstream, perMinute: 6_000)
                var olds: [Child] = []
                for _ in 1...2 {
                    for node in [pair.client, pair.server] {
                        try load.goOn(50)
                        olds.append(try node.takeOver())
                        try settled()
                        for wire in long { try wire.echo("on its old lane") }
                    }
                }
                try load.goOn(50)
                try load.finish("four lanes, 4 takeovers")
                for wire in long {
                    wire.finishSending()
                    try demandEqual(wire.receive(), .end)
                }
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
                for node in mesh.nodes {
                    try demandEqual(node.count("duplicate_identity"), 0, "\(node.name) was suspicious")
                }
            }
        }

        /// A service of the same node, with no link in between.
        @Test func aServiceOfTheSameNodeIsReachedUnderTakeovers() throws {
            try withMesh { mesh in
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.connect("node:Directory", to: "echo")
                var upstream = ""
                let target = try mesh.echo().address
                let node = try mesh.node("Directory", directory: true) {
                    $0.offer("echo", target, checkEvery: "200ms")
                    upstream = $0.upstream("echo", port: 8001)
                }
                try mesh.start()
                try node.waitInstances(of: "echo", at: ["Directory"])
                try underLoad(node, upstream, "one node")
            }
        }

        /// What the CA remembers goes over; a token is used once, whoever is asked.
        @Test func theCAIsReplaced() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try ca.start()
                try ca.waitReady()
                let (first, second) = (ca.directory + "/first", ca.directory + "/second")
                try ca.createToken(for: "one", in: first)
                try ca.createToken(for: "two", in: second)
                try demandEqual(try ca.join(first).status, 0, "the first join")
                try demandEqual(try ca.takeOver().wait(), 0, "exit status")
                try demandEqual(try ca.join(first).reason, "token_used", "the same token again")
                try demandEqual(try ca.join(second).status, 0, "a token of before")
                try demandEqual(try ca.metric("mesh_ca_nodes"), 3)
                // A start that fails gives the database back.
                let claim = try ListeningSocket(host: ca.host, port: 8009)
                ca.upstream("other", at: claim.address)
                try ca.writeFiles()
                let failed = try ca.failToTakeOver()
                try demandEqual(failed.status, 1, failed.output)
                try ca.waitFor("takeover_failed")
                try ca.createToken(for: "three", in: ca.directory + "/third")
                try demandEqual(try ca.join(ca.directory + "/third").status, 0, "a token of after")
            }
        }

        /// Streams that are open when their agents are replaced, twice, go on until their end.
        @Test func longStreamsGoOn() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in
                    for node in [client, server] { node.set("shutdown.drainTimeout", "60s") }
                }
                let first = try Wire(pair.upstream)
                try first.echo("before")
                let olds = [try pair.client.takeOver(), try pair.server.takeOver()]
                let second = try Wire(pair.upstream)
                try second.echo("over the new processes")
                try first.echo("over the old ones")
                let status = try pair.client.control.get("/v1/agent").json["predecessor"]
                try demandEqual(status?["pid"]?.integer, Int64(olds[0].pid))
                try demandEqual(status?["running"]?.bool, true)
                let olders = [try pair.client.takeOver(), try pair.server.takeOver()]
                try first.echo("over the oldest")
                try second.echo("over the older")
                for process in olds + olders {
                    try demand(process.isRunning, "an old process has ended before its stream")
                }
                for wire in [first, second] {
                    wire.finishSending()
                    try demandEqual(wire.receive(), .end)
                }
                for process in olds + olders { try demandEqual(try process.wait(), 0, "exit status") }
                try Deadline.until("it is seen") {
                    try pair.client.control.get("/v1/agent").json["predecessor"]?["running"]?.bool == false
                }
                try Wire(pair.upstream).echo("after")
            }
        }

        @Test func theDeadlineEndsStreamsOfTheOldProcess() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, _ in
                    client.set("shutdown.drainTimeout", "300ms")
                }
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let old = try pair.client.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(wire.receive(), .reset, "at the deadline")
                try Wire(pair.upstream).echo("after")
            }
        }

        /// Connections that had no stream yet go to the new process, with what was read from them.
        @Test func waitingConnectionsAreHandedOn() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let server = try pair.server.running()
                // There is no link yet, and the server's agent does not answer.
                server.signal(SIGSTOP)
                let wire = try Wire(pair.upstream)
                try wire.send("waits")
                try Deadline.until("it waits") { try pair.client.metric("mesh_local_connections") == 1 }
                let old = try pair.client.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(try pair.client.metric("mesh_takeover_connections_total"), 1)
                server.signal(SIGCONT)
                try demandEqual(try wire.receive(exactly: 5), Array("waits".utf8))
                wire.finishSending()
                try demandEqual(wire.receive(), .end)
            }
        }

        @Test func stateIsKept() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try demandEqual(try pair.server.control.request("POST", "/v1/drain", "").status, 200)
                let old = try pair.server.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(try pair.server.metrics.get("/readyz").text, "draining\n")
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "a connection to a drained node")
                try demandEqual(try pair.server.control.request("DELETE", "/v1/drain", "").status, 200)
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("again")
            }
        }

        @Test func theNewConfigurationCounts() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let (gone, socket) = (pair.upstream, pair.client.directory + "/echo.sock")
                pair.client.upstreams = []
                let added = pair.client.upstream("echo", as: "shop", port: 8002)
                let file = pair.client.upstream("echo", as: "shop", at: "unix:" + socket)
                try pair.client.writeFiles()
                try demandEqual(try pair.client.takeOver().wait(), 0, "exit status")
                try Wire(added).echo("on the new address")
                try Wire(file).echo("on a socket file")
                #expect(throws: Failure.self) { try Wire(gone) }
                pair.client.upstreams.removeLast()
                try pair.client.writeFiles()
                try demandEqual(try pair.client.takeOver().wait(), 0, "exit status")
                try Wire(added).echo("still there")
                try demand(access(socket, F_OK) != 0, "the file of a socket that nobody wants is left")
            }
        }
    }
}
