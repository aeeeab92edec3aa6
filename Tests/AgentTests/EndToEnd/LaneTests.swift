import Foundation
import JSON
import Link
import PKI
import Testing

extension EndToEnd {
    /// Several lanes between two nodes.
    @Suite struct Lanes {
        /// A pair of nodes with two workers each that take so many lanes.
        private func pair(
            _ mesh: TestMesh, client: Int = 4, server: Int = 4, target: String? = nil,
            configure: (TestNode, TestNode) throws -> Void = { _, _ in }
        ) throws -> Pair {
            let target = try target ?? mesh.service(sendBack).address
            let pair = try Pair(mesh, target: target) { one, other in
                one.peer(other)
                for (node, lanes) in [(one, client), (other, server)] {
                    node.set("links.lanes", JSONValue(lanes))
                    node.set("workers", 2)
                }
                try configure(one, other)
            }
            let count = min(client, server)
            try pair.client.waitLanes(count, to: pair.server)
            try pair.server.waitLanes(count, to: pair.client)
            return pair
        }

        private func streams(_ pair: Pair) throws -> [Int: Int64] {
            try pair.client.lanes(to: pair.server).mapValues { $0["streams"]?.integer ?? -1 }
        }

        /// Waits until every lane but the first has streams: that one may have carried bulk a moment ago, and is avoided then.
        private func waitSpread(_ pair: Pair) throws {
            do {
                try Deadline.until("the other lanes have streams") {
                    try streams(pair).allSatisfy { $0.key == 0 || $0.value > 0 }
                }
            } catch {
                throw Failure("\(error): \(try streams(pair))")
            }
        }

        private func setLanes(_ node: TestNode, _ count: Int) throws {
            node.set("links.lanes", JSONValue(count))
            try demandEqual(try node.reload().status, 200)
        }

        /// Two nodes keep as many lanes as both take.
        @Test(arguments: [(4, 3), (1, 4), (2, 16)]) func theSmallerNumberCounts(_ client: Int, _ server: Int) throws {
            try withMesh { mesh in
                let pair = try pair(mesh, client: client, server: server)
                try Wire(pair.upstream).echo()
                // With a peer of its own in the configuration, that one's number.
                pair.client.peers = [
                    [
                        "node": "Server", "address": .string(pair.server.meshAddress), "lanes": 2,
                    ]
                ]
                try demandEqual(try pair.client.reload().status, 200)
                try pair.client.waitLanes(2, to: pair.server)
                try pair.server.waitLanes(2, to: pair.client)
                let shown = try runProgram([
                    TestMesh.binaries + "/mesh", "links", "--control", pair.client.controlPath,
                ])
                try demand(shown.output.contains("Server/1"), shown.output)
                try demand(!shown.output.contains("Server/2  established"), shown.output)
            }
        }

        /// Streams spread over lanes and workers, and bytes are right on all.
        @Test func streamsSpread() throws {
            try withMesh { mesh in
                let pair = try pair(mesh)
                let load = try StreamLoad(pair.upstream, streams: 16)
                try waitSpread(pair)
                for node in [pair.client, pair.server] {
                    let other = node === pair.client ? pair.server : pair.client
                    let workers = try node.lanes(to: other).mapValues { $0["worker"]?.integer ?? -1 }
                    try demandEqual(Set(workers.values), [0, 1], "workers of \(node.name)")
                    try demandEqual(workers[0], workers[2], "lanes 0 and 2")
                }
                try demand(
                    try pair.client.metric(#"mesh_link_streams{node="Server",lane="3"}"#) ?? 0 > 0, "metric of lane 3")
                try load.finish()
            }
        }

        /// A lost lane holds up its own streams only, and they go on.
        @Test func aLaneThatIsCutAloneResumes() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let pair = try pair(mesh)
                let quiet = try (0..<8).map { _ in try Wire(pair.upstream) }
                for wire in quiet { try wire.echo("before") }
                let load = try StreamLoad(pair.upstream, streams: 8)
                try waitSpread(pair)
                for (round, lane) in [3, 1, 2, 3].enumerated() {
                    let link = try pair.server.lanes(to: pair.client)[lane]
                    let port = link?["remote"]?.string?.split(separator: ":").last ?? ""
                    let before = (pair.client.count("session_resumed"), pair.server.count("session_resumed"))
                    let result = try runProgram(["ss", "-K", "src", pair.server.host, "dport", "=", ":\(port)"])
                    try demandEqual(result.status, 0, result.output)
                    for wire in quiet { try wire.echo("round \(round)") }
                    for (node, count) in [(pair.client, before.0), (pair.server, before.1)] {
                        let record = try node.waitFor("session_resumed", skipping: count)
                        try demandEqual(record.value["lane"]?.integer, Int64(lane), "lane that resumed at \(node.name)")
                    }
                }
                try load.finish()
                for wire in quiet { try wire.echo("after") }
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_resumed"), 4, "resumptions of \(node.name)")
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// All lanes are cut at once, under load.
        @Test func allLanesCutAtOnceLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let pair = try pair(mesh)
                let load = try StreamLoad(pair.upstream, streams: 12)
                for round in 1...5 {
                    for node in [pair.client, pair.server] {
                        _ = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
                    }
                    for node in [pair.client, pair.server] {
                        try node.waitFor("session_resumed", skipping: 4 * round - 1)
                    }
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                }
                try load.finish()
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// The number goes down and up again while streams move bytes and new ones come: none is lost, and lanes that are not
        /// needed end when their last stream has left.
        @Test(arguments: [true, false]) func theNumberChangesUnderLoad(atClient: Bool) throws {
            try withMesh { mesh in
                // Thousands of connections: the service lets go of each.
                let service = try mesh.service { wire in
                    try sendBack(wire)
                    wire.close()
                }
                let pair = try pair(mesh, target: service.address)
                let changer = atClient ? pair.client : pair.server
                for round in 1...2 {
                    let load = try StreamLoad(pair.upstream, streams: 8, firstSeed: UInt64(100 * round))
                    try waitSpread(pair)
                    let (stop, upstream) = (Flag(), pair.upstream)
                    let short = Background {
                        var count = 0
                        while !stop.isSet {
                            let wire = try Wire(upstream)
                            try wire.echo("short \(count)")
                            wire.close()
                            count += 1
                        }
                        return count
                    }
                    try setLanes(changer, 1)
                    try Deadline.until("both ends know") {
                        try pair.client.link(to: pair.server)?["lanes"]?.integer == 1
                            && pair.server.link(to: pair.client)?["lanes"]?.integer == 1
                    }
                    // New streams keep to the first lane at both ends; those of the others move there.
                    let late = try (0..<4).map { _ in try Wire(pair.upstream) }
                    for wire in late { try wire.echo("late") }
                    try pair.client.waitLanes(1, to: pair.server)
                    try pair.server.waitLanes(1, to: pair.client)
                    let moved = try pair.client.metric(#"mesh_streams_moved_total{reason="fewer_lanes"}"#)
                    try demand(moved ?? 0 > 0, "streams that moved to the first lane")
                    try load.finish()
                    for wire in late { try wire.echo("on the first lane") }
                    try setLanes(changer, 4)
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                    stop.set()
                    try demand(try short.value() > 0, "no short connections")
                }
                for node in [pair.client, pair.server] {
                    for event in ["session_ended", "link_lost", "open_failed"] {
                        let count = node.count(event) { $0["node"] != "Directory" }
                        try demandEqual(count, 0, "\(event) at \(node.name)")
                    }
                }
            }
        }

        /// Rights are withdrawn on all lanes.
        @Test func policyReachesEveryLane() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try pair(mesh, target: service.address)
                var wires = try (0..<32).map { _ in try Wire(pair.upstream) }
                for wire in wires { try wire.echo() }
                try Deadline.until("every lane has streams") { try streams(pair).values.allSatisfy { $0 > 0 } }
                pair.server.policy.revoke("service:shop", to: "echo")
                try demandEqual(try pair.server.reload().status, 200)
                for wire in wires { try demandEqual(wire.receive(), .reset, "a connection that lost its right sees") }
                try Deadline.until("all are counted") { try pair.server.metric("mesh_streams_withdrawn_total") == 32 }
                try demandEqual(try pair.client.lanes(to: pair.server).count, 4, "lanes that stay")

                pair.server.policy.connect("service:shop", to: "echo")
                try demandEqual(try pair.server.reload().status, 200)
                wires = try (0..<8).map { _ in try Wire(pair.upstream) }
                for wire in wires { try wire.echo() }
                // The right to link: the node has none any more, on no lane.
                pair.server.policy.identities[0] = ["match": ["node": "Directory"], "permissions": ["mesh-node"]]
                try demandEqual(try pair.server.reload().status, 200)
                for wire in wires { try demandEqual(wire.receive(), .reset, "a connection without a link sees") }
                try Deadline.until("no lane is left") {
                    try pair.client.lanes(to: pair.server).isEmpty && pair.server.lanes(to: pair.client).isEmpty
                }
                try demandEqual(try pair.client.metric("mesh_sessions_parked"), 0)
            }
        }

        /// Every lane moves to a link with the new certificate.
        @Test func everyLaneMoves() throws {
            try withMesh { mesh in
                let pair = try pair(mesh)
                let load = try StreamLoad(pair.upstream, streams: 8)
                try pair.client.issue(IssueRequest(node: "Client"))
                let fingerprint = try #require(Certificate.load(file: pair.client.directory + "/node.crt").first)
                    .fingerprintSHA256
                try demandEqual(try pair.client.reload().status, 200)
                for lane in 0..<4 {
                    try pair.server.waitFor("session_moving") {
                        $0["fingerprint"] == fingerprint && $0.value["lane"]?.integer == Int64(lane)
                    }
                }
                try load.finish()
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("link_lost") { $0["node"] != "Directory" }, 0, "links of \(node.name)")
                }
            }
        }

        /// Links of all lanes are cut at any moment while their sessions move.
        @Test func cutMovesLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let pair = try pair(mesh) { client, server in server.peer(client) }
                let load = try StreamLoad(pair.upstream, streams: 8)
                for round in 0..<10 {
                    for node in [pair.client, pair.server] { try node.issue(IssueRequest(node: node.name)) }
                    let reloads = [pair.client.control, pair.server.control].map { end in
                        Background { try end.reloaded() }
                    }
                    usleep(UInt32(round * 4_000))
                    for node in [pair.client, pair.server] {
                        _ = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
                    }
                    for reload in reloads { try demandEqual(try reload.value(within: Deadline.patience), 200) }
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                }
                try load.finish()
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// A peer that runs anew has all its lanes again.
        @Test func lanesComeBackAfterARestart() throws {
            try withMesh { mesh in
                let pair = try pair(mesh)
                let wires = try (0..<8).map { _ in try Wire(pair.upstream) }
                for wire in wires { try wire.echo() }
                for isOrderly in [false, true] {
                    if isOrderly {
                        pair.server.set("shutdown.drainTimeout", "100ms")
                        try pair.server.stop()
                    } else {
                        pair.server.kill()
                    }
                    try pair.server.start()
                    try pair.server.waitReady()
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                    try Deadline.until("new streams are carried", every: 0.05) {
                        guard let again = try? Wire(pair.upstream) else { return false }
                        return (try? again.echo("again")) != nil
                    }
                }
                for wire in wires { try demandEqual(wire.receive(), .reset, "a connection of the dead agent sees") }
            }
        }

        /// What a peer says of lanes is believed only as far as it goes with the session of the first one.
        @Test func lanesGoWithTheFirst() throws {
            try withMesh { mesh in
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.connect("node:Peer", to: "echo")
                let service = try mesh.echo()
                _ = try mesh.node("Directory", directory: true)
                let server = try mesh.node("Server") { node in
                    node.offer("echo", service.address)
                    node.set("links.lanes", 4)
                }
                try mesh.start()
                let (boot, other) = (BootID(high: 1, low: 2), BootID(high: 3, low: 4))
                func link(_ lane: UInt8, _ boot: BootID) throws -> LinkEnd {
                    try LinkEnd(mesh, as: "Peer", to: server, lane: lane, lanes: 3, boot: boot)
                }
                func refused(_ lane: UInt8, _ boot: BootID, _ what: String) throws {
                    do {
                        _ = try link(lane, boot)
                    } catch let failure as Failure {
                        return try demand("\(failure)".contains("resume_refused"), "\(what): \(failure)")
                    }
                    throw Failure("\(what) is taken")
                }
                try refused(1, boot, "a lane without the first one")
                let first = try link(0, boot)
                try server.waitFor("link_established") { $0["node"] == "Peer" }
                try refused(1, other, "a lane of another agent")
                try refused(3, boot, "a lane beyond the number that counts")
                let second = try link(1, boot)
                let third = try link(2, boot)
                for (number, end) in [first, second, third].enumerated() {
                    let stream = try end.open(OpenRequest(service: "echo"), sending: "lane \(number)")
                    try demandEqual(try end.next(of: stream), .accepted)
                    try demandEqual(try end.next(of: stream), .bytes(Array("lane \(number)".utf8)))
                }
                // The number changes: the peer is told, and what it begins beyond it is not taken.
                server.set("links.lanes", 2)
                try demandEqual(try server.reload().status, 200)
                try first.turn { first.lanesSeen.last == 2 }
                let late = try third.open(OpenRequest(service: "echo"), sending: "late")
                try demandEqual(try third.next(of: late), .accepted)
                try demandEqual(try third.next(of: late), .bytes(Array("late".utf8)))
                // It is told again and again, and the lane stays what it is as long as it has a stream.
                try first.turn { first.lanesSeen.count >= 4 }
                third.send("still", on: late)
                try demandEqual(try third.next(of: late), .bytes(Array("still".utf8)))
                try demand(!third.session.isGoingAway, "a lane with a stream takes leave")
                try third.end(.goingAway)
                try server.waitFor("link_lost") { $0["node"] == "Peer" && $0.value["lane"]?.integer == 2 }
                try refused(2, boot, "a lane beyond the new number")
                // Lane 1 does not outlive lane 0.
                try first.end(.goingAway)
                try second.waitEnd()
                try server.waitFor("link_lost") { $0["node"] == "Peer" && $0.value["lane"]?.integer == 1 }
                try Deadline.until("no stream is left: \(service.connections)") { service.connections == 0 }
                try refused(1, boot, "a lane without the first one any more")
            }
        }

        /// An agent that knows nothing of lanes is never asked for one, nor told of their number.
        @Test func anOldPeerHasOneLane() throws {
            try withMesh { mesh in
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.connect("node:Old", to: "echo")
                let service = try mesh.echo()
                let listener = try ListeningSocket(host: "\(mesh.network).9")
                _ = try mesh.node("Directory", directory: true)
                let server = try mesh.node("Server") { node in
                    node.offer("echo", service.address)
                    node.set("links.lanes", 4)
                    node.peers.append(["node": "Old", "address": .string(listener.address)])
                }
                try mesh.start()
                // Its own dial finds somebody who says nothing; the old agent dials, and that link counts.
                let silent = try listener.accept()
                let old = try LinkEnd(mesh, as: "Old", to: server)
                try Deadline.until("the old agent is linked") {
                    try server.control.get("/v1/links").json["links"]?.array?.contains {
                        $0["node"]?.string == "Old" && $0["state"]?.string == "established"
                    } == true
                }
                silent.close()
                while let dial = try? listener.accept(within: 0.05) { dial.close() }
                server.set("links.lanes", 2)
                try demandEqual(try server.reload().status, 200)
                let stream = try old.open(OpenRequest(service: "echo"), sending: "hello")
                try demandEqual(try old.next(of: stream), .accepted)
                try demandEqual(try old.next(of: stream), .bytes(Array("hello".utf8)))
                try demandEqual(old.lanesSeen, [], "what it was told of lanes")
                try demand((try? listener.accept(within: 0.3)) == nil, "it was dialled for another lane")
            }
        }
    }
}
