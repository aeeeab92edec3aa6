import Foundation
import JSON
import Link
import Testing

extension EndToEnd.Overload {
    /// `limits.maxStreams` counts the streams of all peers; what runs goes on, and a reload changes it.
    @Test func tooManyStreams() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            mesh.policy.identity("shop", of: "Other")
            var third = ""
            let pair = try Pair(mesh, target: service.address) { _, server in
                server.set("limits.maxStreams", 2)
                try mesh.node("Other") { third = $0.upstream("echo", as: "shop", port: 8001) }
            }
            let other = mesh.nodes[3]
            try other.waitInstances(of: "echo", at: ["Server"])
            let running = try [Wire(pair.upstream), Wire(third)]
            for wire in running { try wire.echo("first") }
            try demandEqual(try Wire(third).receive(), .reset, "the third application sees")
            let failed = try other.waitFor("open_failed")
            try demandEqual(failed["reason"], "too_many_streams")
            try demandEqual(try pair.server.metric(#"mesh_stream_refusals_total{reason="too_many_streams"}"#), 1)
            try demandEqual(try pair.server.metric("mesh_peer_streams"), 2)
            for wire in running { try wire.echo("goes on") }
            pair.server.set("limits.maxStreams", 3)
            let applied = try pair.server.reload().json["applied"]?.array?.compactMap(\.string) ?? []
            try demandEqual(applied, ["limits.maxStreams: 2 → 3"])
            let more = try Wire(third)
            try more.echo("after the reload")
            pair.server.set("limits.maxStreams", 1)
            try pair.server.reload()
            for wire in running + [more] { try wire.echo("goes on under a smaller limit") }
            try demandEqual(try Wire(pair.upstream).receive(), .reset, "a new application sees")
        }
    }

    /// Without receive budget new streams are refused with a reason, existing ones go on.
    @Test func noReceiveBudget() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            let pair = try Pair(mesh, target: service.address) { _, server in
                server.set("limits.receiveBudget", "1MiB")
                server.set("streams.window", "256KiB")
                server.set("streams.initialCredit", "256KiB")
            }
            // Four streams' worth, of which the agent's own with the directory take some.
            var running: [Wire] = []
            var refused: LogRecord?
            while refused == nil, running.count < 5 {
                let wire = try Wire(pair.upstream)
                // A refusal may come before it is sent.
                try? wire.send("?")
                if case .bytes = wire.receive() {
                    running.append(wire)
                } else {
                    refused = try pair.client.waitFor("open_failed")
                }
            }
            try demandEqual(refused?["reason"], "stream_overloaded")
            try demand(!running.isEmpty, "nothing was carried at all")
            for wire in running { try wire.echo("goes on") }
            let count = try pair.server.metric(#"mesh_stream_refusals_total{reason="stream_overloaded"}"#) ?? 0
            try demand(count >= 1, "no refusal is counted")
            running.removeLast().abort()
            try waitCarried(by: pair.upstream, "its place is free")
        }
    }

    /// A session that loses its link and finds no memory to wait in is over at once, with a reason; others are not concerned.
    @Test func noMemoryForParkedSessions() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            var relay: Relay?
            let pair = try Pair(mesh, target: service.address) { client, server in
                let between = try Relay(mesh, to: server.meshAddress)
                client.peers.append(["node": "Server", "address": .string(between.address)])
                client.set("node.advertise", ["\(client.host):9"])
                server.set("node.advertise", [.string(between.address)])
                server.set("limits.parkedMemory", "0B")
                relay = between
            }
            try pair.client.waitLinked(to: pair.server)
            let wire = try Wire(pair.upstream)
            try wire.echo("before")
            try #require(relay).cut()
            try demandEqual(wire.receive(), .reset, "the application sees")
            let ended = try pair.server.waitFor("session_ended") { $0["node"] == "Client" }
            try demandEqual(ended["reason"], "no_memory", ended.value.text())
            try demandEqual(try pair.server.metric(#"mesh_link_resumptions_total{outcome="no_memory"}"#), 1)
            try demandEqual(try pair.server.metric("mesh_sessions_parked"), 0)
            try waitCarried(by: pair.upstream, "it works again")
        }
    }

    /// A node counts as linked while its session is parked, and this node's own dials count as well.
    @Test func whatTakesAPlace() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            mesh.policy.identity("shop", of: "Other")
            var third = ""
            let pair = try Pair(mesh, target: service.address) { client, server in
                server.set("limits.maxLinks", 2)
                server.set("links.resumeFor", "1h")
                client.set("limits.maxLinks", 1)
                client.peer(server)
                client.set("node.advertise", ["\(client.host):9"])
                try mesh.node("Other") { other in
                    third = other.upstream("echo", as: "shop", port: 8001)
                    // Its link to the directory takes the only place.
                    other.set("limits.maxLinks", 1)
                }
            }
            let other = mesh.nodes[3]
            try other.waitInstances(of: "echo", at: ["Server"])
            try pair.client.waitLinked(to: pair.server)
            try demandEqual(try Wire(third).receive(), .reset, "an application behind a full node sees")
            try demandEqual(try other.waitFor("dial_failed") { $0["node"] == "Server" }["reason"], "links_full")
            try demandEqual(pair.server.count("handshake_failed") { $0["node"] == "Other" }, 0, "dials")
            // Now it may dial; the server has its places taken by the directory and by a session without a link.
            let wire = try Wire(pair.upstream)
            try wire.echo("before")
            try pair.client.running().signal(SIGSTOP)
            defer { try? pair.client.running().signal(SIGCONT) }
            let cut = try runProgram(["ss", "-K", "dst", pair.server.host, "dport", "=", ":7400"])
            guard getuid() == 0, cut.status == 0 else { return }
            try Deadline.until("the session is parked") { try pair.server.metric("mesh_sessions_parked") == 1 }
            other.set("limits.maxLinks", 10)
            try other.reload()
            try demandEqual(try Wire(third).receive(), .reset, "an application sees")
            try pair.server.waitFor("handshake_failed") { $0["node"] == "Other" && $0["reason"] == "overloaded" }
            try pair.client.running().signal(SIGCONT)
            try wire.echo("the parked one has kept its place")
        }
    }

    /// Who speaks through a node does not use up the conversations of its agent.
    @Test func conversationsThroughANode() throws {
        try withMesh { mesh in
            mesh.policy.identity("shop", of: "Visitor")
            mesh.policy.rules.append(
                ["allow": ["connect"], "from": ["node:Visitor", "service:shop"], "to": ["mesh.agent"]])
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let visitor = try LinkEnd(mesh, as: "Visitor", to: node)
            var streams: [StreamHandle] = []
            for _ in 0..<65 {
                streams.append(try visitor.open(OpenRequest(service: "mesh.agent", principal: "service:shop")))
            }
            for stream in streams { try demandEqual(try visitor.next(of: stream), .accepted) }
            let answer = try visitor.answer(on: streams[64])
            try demand(answer.hasPrefix("HTTP/1.1 503 "), answer)
            try demandEqual(try node.waitFor("control_overloaded")["caller"], "others via node:Visitor")
            let own = try visitor.open(
                OpenRequest(service: "mesh.agent"), sending: "GET /v1/agent HTTP/1.1\r\nHost: a\r\n\r\n")
            try demandEqual(try visitor.next(of: own), .accepted)
            let good = try visitor.answer(on: own)
            try demand(good.hasPrefix("HTTP/1.1 200 "), "the agent's own conversation: \(good)")
        }
    }

    /// Requests that are not complete hold no more memory than their caller may; others are not concerned.
    @Test func requestsThatAreHeldBack() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let size = 8 << 20
            let head = "PUT /v1/services/x HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n"
            let body = [UInt8](repeating: 32, count: size - 1)
            var held: [Wire] = []
            for _ in 0..<8 {
                let wire = try Wire("unix:" + node.controlPath)
                try wire.send(head)
                try wire.send(body)
                held.append(wire)
            }
            try Deadline.until("they are held", every: 0.02) {
                (try node.metric("mesh_control_bytes") ?? 0) >= Double(8 * (size - 1))
            }
            let last = try Wire("unix:" + node.controlPath)
            try last.send(head)
            try? last.send([UInt8](repeating: 32, count: 256))
            // What came too late to be read makes a reset of the end, behind the answer.
            var bytes: [UInt8] = []
            while case .bytes(let more) = last.receive() { bytes += more }
            try demandOverloaded(String(decoding: bytes, as: UTF8.self))
            try demandEqual(try node.metric(#"mesh_control_refusals_total{limit="caller_memory"}"#), 1)
            try demandEqual(try node.metric(#"mesh_control_refusals_total{limit="memory"}"#), 0)
            let other = try mesh.node("Other")
            try other.start()
            try other.waitReady()
            held = []
            try Deadline.until("the memory is back", every: 0.02) { try node.metric("mesh_control_bytes") == 0 }
            try demandEqual(try node.control.get("/v1/agent").status, 200)
        }
    }

    /// A local user's conversations with the agent have an end, and so have those of a node; each is told why.
    @Test func tooManyConversations() throws {
        try withMesh { mesh in
            mesh.policy.rules.append(
                ["allow": ["connect"], "from": ["node:Visitor"], "to": ["mesh.agent"]])
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            var silent: [Wire] = []
            for _ in 0..<256 { silent.append(try Wire("unix:" + node.controlPath)) }
            try Deadline.until("they are served", every: 0.02) {
                (try node.metric("mesh_control_connections") ?? 0) >= 256
            }
            let last = try Wire("unix:" + node.controlPath)
            let told = String(decoding: try last.receiveAll(), as: UTF8.self)
            try demandOverloaded(told)
            try demand(told.contains("Retry-After: 5"), told)
            try demandEqual(try node.metric(#"mesh_control_refusals_total{limit="caller"}"#), 1)
            try demandEqual(try node.waitFor("control_overloaded")["reason"], "caller")
            silent = []
            try Deadline.until("the agent answers again", every: 0.02) {
                (try? node.control.get("/v1/agent").status) == 200
            }

            let visitor = try LinkEnd(mesh, as: "Visitor", to: node)
            var streams: [StreamHandle] = []
            for _ in 0..<65 { streams.append(try visitor.open(OpenRequest(service: "mesh.agent"))) }
            for stream in streams { try demandEqual(try visitor.next(of: stream), .accepted) }
            let answer = try visitor.answer(on: streams[64])
            try demand(answer.hasPrefix("HTTP/1.1 503 "), answer)
            try demandEqual(try node.metric(#"mesh_control_refusals_total{limit="caller"}"#), 2)
        }
    }

    /// What is over its limit is told so, and not what it asked for.
    private func demandOverloaded(_ answer: String) throws {
        try demand(answer.hasPrefix("HTTP/1.1 503 ") && answer.contains("\"overloaded\""), answer)
    }
}

extension LinkEnd {
    /// What comes first on a stream, as text.
    fileprivate func answer(on stream: StreamHandle) throws -> String {
        guard case .bytes(let bytes) = try next(of: stream) else { throw Failure("no answer") }
        return String(decoding: bytes, as: UTF8.self)
    }
}
