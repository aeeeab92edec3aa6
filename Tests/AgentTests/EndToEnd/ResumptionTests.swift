import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Links break, connections don't.
    @Suite struct Resumption {
        /// The kernel destroys the connection of the link between two nodes, whoever dialled it.
        private func cut(_ pair: Pair) throws { try cutLinks(to: [pair.client, pair.server]) }

        private func resumptions(_ node: TestNode) -> Int { node.count("session_resumed") }

        private func echo(_ mesh: TestMesh) throws -> ThreadedService { try mesh.service(sendBack) }

        @Test func cutLinksLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try echo(mesh)
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let quiet = try Wire(pair.upstream)
                try quiet.echo("before")
                let load = try StreamLoad(pair.upstream, streams: 8)
                for round in 1...8 {
                    let before = (resumptions(pair.client), resumptions(pair.server))
                    try cut(pair)
                    try pair.client.waitFor("session_resumed", skipping: before.0)
                    try pair.server.waitFor("session_resumed", skipping: before.1)
                    if round % 2 == 0 { try quiet.echo("round \(round)") }
                }
                try load.finish()
                try quiet.echo("after")
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                    let resumed = try node.metric(#"mesh_link_resumptions_total{outcome="resumed"}"#) ?? 0
                    try demand(resumed >= 8, "\(node.name) counts \(resumed) resumptions")
                    try demandEqual(try node.metric("mesh_sessions_parked"), 0)
                }
                let link = try pair.client.link(to: pair.server)
                try demand(link?["resumptions"]?.integer ?? 0 >= 8, "mesh links shows \(link?["resumptions"] ?? .null)")
            }
        }

        /// The dialler has proven the session and goes on, but its proof never arrives: the acceptor gives the link up, and
        /// what it says about that must not end the session that it still holds.
        @Test func aProofThatIsLostCostsNothing() throws {
            try withMesh { mesh in
                let service = try echo(mesh)
                var relay: Relay?
                let pair = try Pair(mesh, target: service.address) { client, server in
                    let between = try Relay(mesh, to: server.meshAddress)
                    client.peers.append(["node": "Server", "address": .string(between.address)])
                    // Only the client can dial.
                    client.set("listen.mesh", .null)
                    // The directory's word of the server leads through the relay as well.
                    server.set("node.advertise", [.string(between.address)])
                    server.set("links.handshakeTimeout", .string("\(Int(1_000 * Deadline.slowness))ms"))
                    relay = between
                }
                let between = try #require(relay)
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                // TLS, the upgrade, and HELLO with the offer: the dialler's RESUME is what gets lost.
                between.goDeaf(fromServersFlight: 3)
                between.cut()
                try pair.client.waitFor("session_resumed")
                try demand(between.hasGoneDeaf, "the relay did not go deaf")
                try pair.server.waitFor("handshake_failed") { $0["reason"] == "handshake_timeout" }
                try pair.client.waitFor("session_resumed", skipping: 1)
                try wire.echo("after")
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// A dial of which something is lost on the way is given up for the next one long before a handshake's time is over:
        /// behind TLS, and behind the upgrade.
        @Test(arguments: 1...2) func aDialThatIsNotAnsweredIsGivenUpSoon(flight: Int) throws {
            try withMesh { mesh in
                let service = try echo(mesh)
                var relay: Relay?
                let pair = try Pair(mesh, target: service.address) { client, server in
                    let between = try Relay(mesh, to: server.meshAddress)
                    client.peers.append(["node": "Server", "address": .string(between.address)])
                    // Only the client can dial.
                    client.set("listen.mesh", .null)
                    server.set("node.advertise", [.string(between.address)])
                    for node in [client, server] { node.set("links.handshakeTimeout", "20s") }
                    relay = between
                }
                let between = try #require(relay)
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                between.goDeaf(fromServersFlight: flight)
                between.cut()
                try pair.client.waitFor("session_resumed").demandPause(below: 2)
                try demand(between.hasGoneDeaf, "the relay did not go deaf")
                try demand(
                    pair.client.count("dial_failed") { $0["reason"] == "handshake_timeout" } > 0, "no dial was lost")
                try wire.echo("after")
                try demandEqual(try pair.client.metric("mesh_session_pause_seconds_count"), 1)
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// Half-closed, not yet accepted, and ended streams go on as well.
        @Test func everyStateOfAStreamSurvives() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let gate = Queue<Bool>()
                let service = try mesh.service { wire in
                    let question = try wire.receiveAll()
                    _ = try gate.take()
                    try wire.send(question.reversed())
                    wire.finishSending()
                }
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let halfClosed = try Wire(pair.upstream)
                try halfClosed.send("question")
                halfClosed.finishSending()
                let reset = try Wire(pair.upstream)
                try reset.send("for nothing")
                let before = resumptions(pair.server)
                try cut(pair)
                // While the session may be parked.
                let late = try Wire(pair.upstream)
                try late.send("late")
                late.finishSending()
                reset.abort()
                try pair.server.waitFor("session_resumed", skipping: before)
                gate.put(true)
                gate.put(true)
                try demandEqual(String(decoding: try halfClosed.receiveAll(), as: UTF8.self), "noitseuq")
                try demandEqual(String(decoding: try late.receiveAll(), as: UTF8.self), "etal")
                try Deadline.until("the reset stream is gone at both ends") {
                    for node in [pair.client, pair.server] {
                        let other = node === pair.client ? pair.server : pair.client
                        guard try node.link(to: other)?["streams"]?.integer == 0 else { return false }
                    }
                    return true
                }
            }
        }

        /// The time is over before a link comes: applications are told.
        @Test func parkedSessionsEndInTime() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try echo(mesh)
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.peer(server)
                    for node in [client, server] { node.set("links.resumeFor", .string(Deadline.milliseconds(3_500))) }
                }
                _ = try pair.client.exposition()
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                // It neither answers nor refuses: only the time tells.
                try pair.server.running().signal(SIGSTOP)
                defer { try? pair.server.running().signal(SIGCONT) }
                try cut(pair)
                try pair.client.waitFor("link_lost") { $0["node"] == "Server" && $0.value["parked"]?.bool == true }
                try demandEqual(try pair.client.link(to: pair.server)?["state"]?.string, "parked")
                try demandEqual(try pair.client.metric("mesh_sessions_parked"), 1)
                let waiting = try Wire(pair.upstream)
                try? waiting.send("too late")
                try demandEqual(wire.receive(), .reset, "the application sees")
                try pair.client.waitFor("session_ended") { $0["reason"] == "timed_out" }
                // It has nothing to wait for any more: long before its connect timeout.
                waiting.setTimeouts(5 * Deadline.slowness)
                try demandEqual(waiting.receive(), .reset, "who came meanwhile sees")
                try pair.server.running().signal(SIGCONT)
                // The sleeper's session cannot go on either; a new one carries new streams.
                try pair.client.waitLinked(to: pair.server)
                try Deadline.until("new streams are carried", every: 0.05) {
                    guard let again = try? Wire(pair.upstream) else { return false }
                    return (try? again.echo("again")) != nil
                }
            }
        }

        /// New connections wait for the session like those that have a stream, whatever dials come to meanwhile.
        @Test func newConnectionsWaitForTheSession() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try echo(mesh)
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let old = try Wire(pair.upstream)
                try old.echo("before")
                try pair.server.running().signal(SIGSTOP)
                defer { try? pair.server.running().signal(SIGCONT) }
                try cut(pair)
                try pair.client.waitFor("link_lost") { $0["node"] == "Server" && $0.value["parked"]?.bool == true }
                let new = try Wire(pair.upstream)
                try new.send("new")
                func lostDials() throws -> Double {
                    try pair.client.metric(#"mesh_handshake_failures_total{reason="handshake_timeout"}"#) ?? 0
                }
                let before = try lostDials()
                try Deadline.until("a dial comes to nothing while it waits") { try lostDials() > before }
                try pair.server.running().signal(SIGCONT)
                try demandEqual(String(decoding: try new.receive(exactly: 3), as: UTF8.self), "new")
                try old.echo("after")
                try demandEqual(pair.client.count("open_failed"), 0, "connections that were not carried")
            }
        }

        /// Policy holds for streams without a link, too.
        @Test func policyReachesParkedStreams() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let ends = Queue<Received>()
                let service = try mesh.service { wire in
                    if case .bytes(let bytes) = wire.receive() { try wire.send(bytes) }
                    ends.put(wire.receive())
                }
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                try pair.server.running().signal(SIGSTOP)
                try cut(pair)
                try pair.client.waitFor("link_lost") { $0["node"] == "Server" && $0.value["parked"]?.bool == true }
                // Written while nothing can be sent, and never to arrive.
                try wire.send("secret")
                pair.client.policy.revoke("service:shop", to: "echo")
                try demandEqual(try pair.client.reload().status, 200)
                try demandEqual(wire.receive(), .reset, "the application sees")
                try pair.server.running().signal(SIGCONT)
                try pair.server.waitFor("session_resumed")
                try demandEqual(try ends.take(), .reset, "the service sees")
            }
        }

        /// What people see: a `mesh connect` and a browser's WebSocket through the edge go on.
        @Test func connectAndEdgeGoOn() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                mesh.nodes[0].policy.connect("group:operators", to: "web")
                let end = try edge.connect()
                let (status, headers) = try end.upgrade(
                    "/ws", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(status, 101, "\(headers)")
                for round in 1...3 {
                    try end.sendText("round \(round)")
                    try demandEqual(try end.frame().payload, Array("round \(round)".utf8), "echo")
                    try cutLinks(to: [edge.edge, edge.server])
                    try end.sendText("in the dark \(round)")
                    try demandEqual(try end.frame().payload, Array("in the dark \(round)".utf8), "echo")
                    try edge.edge.waitFor("session_resumed", skipping: round - 1)
                }
            }
            try withMesh { mesh in
                let service = try echo(mesh)
                mesh.policy.identities.append(["match": ["uid": 0], "services": ["shop"]])
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let mark = mesh.directory + "/cut"
                let program = TestMesh.binaries + "/mesh connect echo --as shop --control \(pair.client.controlPath)"
                let talk = Background {
                    try runProgram([
                        "bash", "-c",
                        "(echo before; until [ -e \(mark) ]; do sleep 0.05; done; echo after) | \(program)",
                    ])
                }
                try Deadline.until("the stream is there") {
                    if let done = try? talk.value(within: 0.01) { throw Failure("mesh connect ended: \(done.output)") }
                    return try pair.client.link(to: pair.server)?["streams"]?.integer ?? 0 > 0
                }
                try cut(pair)
                try pair.client.waitFor("session_resumed")
                _ = FileManager.default.createFile(atPath: mark, contents: nil)
                let (status, output) = try talk.value()
                try demandEqual(status, 0, output)
                try demandEqual(output, "before\nafter\n")
            }
        }

        /// Without the wish for it, nothing is kept.
        @Test func resumptionCanBeSwitchedOff() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try echo(mesh)
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.peer(server)
                    server.set("links.resumeFor", "0s")
                }
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                try cut(pair)
                try demandEqual(wire.receive(), .reset, "the application sees")
                try pair.client.waitFor("session_ended") { $0["reason"] == "refused" }
                try pair.client.waitLinked(to: pair.server)
                try Wire(pair.upstream).echo("again")
            }
        }
    }
}

/// What a service does that sends back what it gets, until the end.
@Sendable func sendBack(_ wire: Wire) throws {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
    defer { buffer.deallocate() }
    while true {
        let count = try wire.read(into: buffer)
        if count == 0 { break }
        try wire.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }
    wire.finishSending()
}

/// Streams that move bytes both ways until they are told to end.
final class StreamLoad {
    private let stop = Flag()
    private var senders: [Background<Int>] = []
    private var receivers: [Background<Int>] = []

    init(_ address: String, streams: Int, firstSeed: UInt64 = 100) throws {
        for index in 0..<streams {
            let wire = try Wire(address)
            // From here on the stream is accepted, and can be resumed and moved.
            try wire.echo("accepted")
            let seed = firstSeed + UInt64(index)
            senders.append(Background { [stop] in try sendStream(wire, seed: seed, until: { stop.isSet }) })
            receivers.append(Background { try receiveStream(wire, seed: seed) })
        }
    }

    /// Ends the streams. Every byte must have come back.
    func finish() throws {
        stop.set()
        for (index, sender) in senders.enumerated() {
            let sent = try sender.value(within: 60 * Deadline.slowness)
            let received = try receivers[index].value(within: 60 * Deadline.slowness)
            try demandEqual(received, sent, "stream \(index): bytes back")
            try demand(sent > 0, "stream \(index) sent nothing")
        }
    }
}

/// A wish that one thread has and another one sees.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    func set() { lock.withLock { value = true } }
    var isSet: Bool { lock.withLock { value } }
}

/// Sends a stream until `isOver`, then ends the direction; gives the number of bytes.
func sendStream(_ wire: Wire, seed: UInt64, until isOver: () -> Bool) throws -> Int {
    var stream = Stream(seed: seed)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 8)
    defer { buffer.deallocate() }
    var count = 0
    while !isOver() {
        stream.fill(buffer)
        try wire.send(UnsafeRawBufferPointer(buffer))
        count += buffer.count
    }
    wire.finishSending()
    return count
}
