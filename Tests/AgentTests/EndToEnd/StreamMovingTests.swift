import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Streams that change their lane.
    @Suite struct StreamMoving {
        private func pair(
            _ mesh: TestMesh, lanes: Int, target: String, configure: (TestNode, TestNode) throws -> Void
        ) throws -> Pair {
            let pair = try Pair(mesh, target: target) { client, server in
                for node in [client, server] {
                    node.set("links.lanes", JSONValue(lanes))
                    node.set("workers", 2)
                }
                try configure(client, server)
            }
            try pair.client.waitLanes(lanes, to: pair.server)
            try pair.server.waitLanes(lanes, to: pair.client)
            return pair
        }

        private func streams(_ pair: Pair) throws -> [Int: Int64] {
            try pair.client.lanes(to: pair.server).mapValues { $0["streams"]?.integer ?? -1 }
        }

        private func moved(_ node: TestNode, _ reason: String) throws -> Double {
            try node.metric("mesh_streams_moved_total{reason=\"\(reason)\"}") ?? 0
        }

        private func setLanes(_ node: TestNode, _ count: Int) throws {
            node.set("links.lanes", JSONValue(count))
            try demandEqual(try node.reload().status, 200)
        }

        /// The links of all lanes but the first are lost, and no other can be made: their streams go on on the first.
        @Test func streamsOfLostLanesGoOnOnAnother() throws {
            try withMesh { mesh in
                var relay: Relay?
                let pair = try pair(mesh, lanes: 3, target: try mesh.service(sendBack).address) { client, server in
                    let between = try Relay(mesh, to: server.meshAddress)
                    client.peers.append(["node": "Server", "address": .string(between.address)])
                    client.set("node.advertise", ["\(client.host):9"])
                    server.set("node.advertise", [.string(between.address)])
                    relay = between
                }
                let between = try #require(relay)
                let wires = try (0..<9).map { _ in try Wire(pair.upstream) }
                for wire in wires { try wire.echo("before") }
                let load = try StreamLoad(pair.upstream, streams: 6)
                try Deadline.until("every lane has streams") { try streams(pair).values.allSatisfy { $0 > 0 } }
                between.cutForGood(sparing: 1)
                try Deadline.until("all streams are on the first lane") { try streams(pair) == [0: 15] }
                for wire in wires { try wire.echo("after") }
                try load.finish()
                try demand(try moved(pair.client, "lane_lost") > 0, "streams that moved")
                try Deadline.until("both ends count the same") {
                    try moved(pair.client, "lane_lost") == moved(pair.server, "peer")
                }
                for node in [pair.client, pair.server] {
                    // What was left without a stream comes to its end, and the first lane is as it was.
                    try demandEqual(
                        node.count("session_ended") { $0.value["streams"]?.integer ?? 0 > 0 }, 0,
                        "sessions of \(node.name) that ended with streams")
                    try demandEqual(try node.metric("mesh_streams_withdrawn_total") ?? 0, 0, "withdrawn")
                }
                // They stay under policy.
                pair.server.policy.revoke("service:shop", to: "echo")
                try demandEqual(try pair.server.reload().status, 200)
                for wire in wires { try demandEqual(wire.receive(), .reset, "a connection that lost its right sees") }
            }
        }

        /// A stream of the edge needs two descriptors before it can leave its worker. Where there are none it stays, unharmed.
        @Test func streamsOfTheEdgeStayWhereDescriptorsAreMissing() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { node in
                    node.set("links.lanes", 2)
                    node.set("workers", 2)
                }
                edge.server.set("links.lanes", 2)
                try demandEqual(try edge.server.reload().status, 200)
                try edge.edge.waitLanes(2, to: edge.server)
                try edge.server.waitLanes(2, to: edge.edge)
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                let sockets = try (0..<8).map { _ in
                    let socket = try edge.connect()
                    try demandEqual(try socket.upgrade("/ws", headers: fields).status, 101, "upgrade")
                    return socket
                }
                func echo(_ text: String) throws {
                    for socket in sockets {
                        try socket.sendText(text)
                        try demandEqual(try socket.frame().payload, Array(text.utf8), "echo")
                    }
                }
                try echo("before")
                let spread = try edge.edge.lanes(to: edge.server).mapValues { $0["streams"]?.integer ?? 0 }
                try demand(spread.values.allSatisfy { $0 > 0 }, "streams: \(spread)")
                try edge.edge.running().withoutDescriptors {
                    // The edge is told to leave a lane, and looks each half second whether it can.
                    edge.server.set("links.lanes", 1)
                    try demandEqual(try edge.server.reload().status, 200)
                    let end = Deadline.now + 1.5 * Deadline.slowness
                    while Deadline.now < end { try echo("in between") }
                }
                try demand(
                    try edge.edge.metric(#"mesh_stream_moves_failed_total{outcome="no_descriptor"}"#) ?? 0 > 0,
                    "streams that stayed")
                try edge.edge.waitLanes(1, to: edge.server)
                try echo("after")
            }
        }

        /// What is under way is never counted as nothing while it goes from one worker to the other: an agent that drains would end.
        @Test func streamsThatMoveAreCounted() throws {
            try withMesh { mesh in
                let pair = try pair(mesh, lanes: 2, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                }
                let (stop, known) = (Flag(), Counter())
                nonisolated(unsafe) let nodes = [pair.client, pair.server]
                let watch = Background {
                    var looks = 0
                    while !stop.isSet {
                        for node in nodes {
                            let least = known.value
                            let seen = try node.control.get("/v1/drain").json["streams"]?.integer ?? 0
                            try demand(seen >= least, "\(node.name) sees \(seen) streams, there are \(least)")
                            looks += 1
                        }
                    }
                    return looks
                }
                var wires: [Wire] = []
                for round in 1...5 {
                    // New streams go to the lane that has fewer, which is then given up.
                    for _ in 0..<40 {
                        wires.append(try Wire(pair.upstream))
                        try wires.last?.echo("before")
                        known.add(1)
                    }
                    try setLanes(pair.client, 1)
                    try pair.client.waitLanes(1, to: pair.server)
                    try pair.server.waitLanes(1, to: pair.client)
                    if round < 5 {
                        try setLanes(pair.client, 2)
                        try pair.client.waitLanes(2, to: pair.server)
                        try pair.server.waitLanes(2, to: pair.client)
                    }
                }
                stop.set()
                try demand(try watch.value(within: Deadline.patience) > 0, "nobody looked")
                try demand(try moved(pair.client, "fewer_lanes") > 100, "streams that moved")
            }
        }

        /// Bulk leaves the lane that it shares for one that is idle, and stays there.
        @Test func bulkLeavesTheOthers() throws {
            try withMesh { mesh in
                let pair = try pair(mesh, lanes: 2, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                }
                var lanes: [Int: [Wire]] = [:]
                for _ in 0..<8 {
                    let before = try streams(pair)
                    let wire = try Wire(pair.upstream)
                    try wire.echo()
                    let after = try Deadline.wait("the stream shows") {
                        let now = try streams(pair)
                        return now.first { $0.value > before[$0.key] ?? 0 }?.key
                    }
                    lanes[after, default: []].append(wire)
                }
                var busy = try #require(lanes[0])
                let idle = try #require(lanes[1])
                for wire in idle { wire.close() }
                let bulk = busy.removeFirst()
                let stop = Flag()
                let sender = Background { try sendStream(bulk, seed: 7, until: { stop.isSet }) }
                let receiver = Background { try receiveStream(bulk, seed: 7) }
                try Deadline.until("the bulk has a lane of its own") {
                    try streams(pair)[1] == 1 && moved(pair.client, "rebalanced") == 1
                }
                for wire in busy { try wire.echo("beside it") }
                try demandEqual(try streams(pair), [0: Int64(busy.count), 1: 1], "streams")
                let shown = try runProgram([
                    TestMesh.binaries + "/mesh", "links", "--json", "--control", pair.client.controlPath,
                ])
                try demand(shown.output.contains("\"streamsTaken\""), shown.output)
                stop.set()
                let sent = try sender.value()
                try demandEqual(try receiver.value(), sent, "bytes back")
                try demandEqual(try moved(pair.client, "rebalanced"), 1, "streams that moved")
                try demandEqual(try moved(pair.server, "peer"), 1, "streams that the peer moved")
            }
        }

        /// One direction is complete already, and the answer comes on another lane.
        @Test func halfClosedStreamsMove() throws {
            try withMesh { mesh in
                let (answer, bytes) = (Flag(), [UInt8](repeating: 7, count: 300_000))
                let service = try mesh.service { wire in
                    var question: [UInt8] = []
                    reading: while true {
                        switch wire.receive() {
                        case .bytes(let more): question += more
                        case .nothing: continue
                        case .end, .reset: break reading
                        }
                    }
                    try Deadline.until("it may answer", within: 60 * Deadline.slowness, every: 0.01) { answer.isSet }
                    try wire.send(question + bytes)
                    wire.finishSending()
                }
                let pair = try pair(mesh, lanes: 4, target: service.address) { client, server in client.peer(server) }
                let wires = try (0..<8).map { _ in try Wire(pair.upstream) }
                for (index, wire) in wires.enumerated() {
                    try wire.send(Array("question \(index)".utf8))
                    wire.finishSending()
                }
                try Deadline.until("every lane has streams") { try streams(pair).allSatisfy { $0.value > 0 } }
                try setLanes(pair.client, 1)
                try pair.client.waitLanes(1, to: pair.server)
                try pair.server.waitLanes(1, to: pair.client)
                answer.set()
                for (index, wire) in wires.enumerated() {
                    let expected = Array("question \(index)".utf8) + bytes
                    var got: [UInt8] = []
                    while got.count < expected.count {
                        switch wire.receive() {
                        case .bytes(let more): got += more
                        case .nothing: continue
                        case .end, .reset: throw Failure("answer \(index) ended after \(got.count) bytes")
                        }
                    }
                    try demand(got == expected, "answer \(index) is another one")
                    try demandEqual(wire.receive(), .end, "behind answer \(index)")
                }
                try demand(try moved(pair.client, "fewer_lanes") >= 4, "streams that moved")
            }
        }

        /// Lanes go and come while their links are cut at any moment, under load: nothing is lost.
        @Test func cutsWhileStreamsMoveLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let pair = try pair(mesh, lanes: 4, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                    server.peer(client)
                }
                let quiet = try (0..<8).map { _ in try Wire(pair.upstream) }
                let load = try StreamLoad(pair.upstream, streams: 10)
                for round in 0..<12 {
                    let changer = round % 3 == 0 ? pair.server : pair.client
                    try setLanes(changer, [1, 4, 2, 3][round % 4])
                    usleep(UInt32(round * 7_000))
                    for node in [pair.client, pair.server] {
                        _ = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
                    }
                    for wire in quiet { try wire.echo("round \(round)") }
                }
                for node in [pair.client, pair.server] { try setLanes(node, 4) }
                try pair.client.waitLanes(4, to: pair.server)
                try pair.server.waitLanes(4, to: pair.client)
                try load.finish()
                for wire in quiet { try wire.echo("after") }
                try demand(try moved(pair.client, "fewer_lanes") > 0, "streams that moved")
                for node in [pair.client, pair.server] {
                    try demandEqual(
                        node.count("session_ended") { $0.value["streams"]?.integer ?? 0 > 0 }, 0,
                        "sessions of \(node.name) that ended with streams")
                    try demandEqual(node.count("link_lost") { $0["reason"] == "protocol_error" }, 0, "violations")
                }
            }
        }
    }
}
