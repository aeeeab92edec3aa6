import Foundation
import JSON
import Testing

extension EndToEnd {
    /// Links break, connections don't.
    @Suite struct Resumption {
        /// The kernel destroys the connection of the link between two nodes, whoever dialled it.
        private func cut(_ pair: Pair) throws {
            for node in [pair.client, pair.server] {
                let result = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
                guard result.status == 0 else { throw Failure("ss -K: \(result.output)") }
            }
        }

        private func resumptions(_ node: TestNode) -> Int { node.count("session_resumed") }

        /// A service that sends back what it gets, until the end.
        private func echo(_ mesh: TestMesh) throws -> ThreadedService {
            try mesh.service { wire in
                let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
                defer { buffer.deallocate() }
                while true {
                    let count = try wire.read(into: buffer)
                    if count == 0 { break }
                    try wire.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                }
                wire.finishSending()
            }
        }

        /// Streams that move bytes both ways until they are told to end.
        private final class Load {
            private let stop = Flag()
            private var senders: [Background<Int>] = []
            private var receivers: [Background<Int>] = []

            init(_ address: String, streams: Int, firstSeed: UInt64 = 100) throws {
                for index in 0..<streams {
                    let wire = try Wire(address)
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

        @Test func cutLinksLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let service = try echo(mesh)
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                try pair.client.waitLinked(to: pair.server)
                let quiet = try Wire(pair.upstream)
                try quiet.echo("before")
                let load = try Load(pair.upstream, streams: 8)
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
                    for node in [client, server] { node.set("links.resumeFor", "1s") }
                }
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
                try demandEqual(wire.receive(), .reset, "the application sees")
                try pair.client.waitFor("session_ended") { $0["reason"] == "timed_out" }
                try pair.server.running().signal(SIGCONT)
                // The sleeper's session cannot go on either; a new one carries new streams.
                try pair.client.waitLinked(to: pair.server)
                try Deadline.until("new streams are carried", every: 0.05) {
                    guard let again = try? Wire(pair.upstream) else { return false }
                    return (try? again.echo("again")) != nil
                }
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
