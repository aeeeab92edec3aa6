import Foundation
import JSON
import Link
import Testing

/// Bounds of what peers and applications can fill, each hit.
extension EndToEnd.Overload {
    /// `limits.maxConnectionsPerUpstream`: one more is reset at once, those that are there go on.
    @Test func connectionsOfAnUpstream() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            let pair = try Pair(mesh, target: service.address) { client, _ in
                client.set("limits.maxConnectionsPerUpstream", 2)
            }
            var running = try [Wire(pair.upstream), Wire(pair.upstream)]
            for wire in running { try wire.echo("first") }
            try demandEqual(try Wire(pair.upstream).receive(), .reset, "the third application sees")
            try Deadline.until("it is counted") {
                try pair.client.metric(#"mesh_open_failures_total{reason="too_many_connections"}"#) == 1
            }
            for wire in running { try wire.echo("goes on") }
            running.removeLast().abort()
            try waitCarried(by: pair.upstream, "its place is free")
        }
    }

    /// Strangers who are silent leave their places to those who come: nobody shuts the door.
    @Test func connectionsWithoutACertificate() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("workers", 1)
                node.set("links.handshakeTimeout", "300s")
            }
            let peer = try mesh.node("Peer")
            try node.start()
            try node.waitReady()
            let strangers = try (0..<1_024).map { _ in try Wire(node.meshAddress) }
            try peer.start()
            try peer.waitReady()
            try peer.waitLinked(to: node)
            let seen = strangers[0].receive()
            try demand(seen == .end || seen == .reset, "the oldest stranger sees \(seen)")
            let count = try node.metric(#"mesh_handshake_failures_total{reason="overloaded"}"#) ?? 0
            try demand(count >= 1, "\(count) strangers had to go")
        }
    }

    /// A node whose agent is replaced again and again while streams last leaves links behind: the oldest has to go at some time.
    @Test func linksLeftBehind() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            mesh.policy.provide("echo", at: "Directory")
            mesh.policy.identity("shop", of: "Visitor")
            mesh.policy.connect("service:shop", to: "echo")
            let node = try mesh.node("Directory", directory: true) { node in
                node.set("workers", 1)
                // Those left behind answer no ping.
                node.set("links.idleTimeout", "1h")
                node.offer("echo", service.address)
            }
            try mesh.start()
            var runs: [(link: LinkEnd, stream: StreamHandle)] = []
            for number in 1...18 {
                let link = try LinkEnd(mesh, as: "Visitor", to: node)
                let stream = try link.open(OpenRequest(service: "echo", principal: "service:shop"), sending: "first")
                try demandEqual(try link.next(of: stream), .accepted)
                try demandEqual(try link.next(of: stream), .bytes(Array("first".utf8)))
                runs.append((link, stream))
                guard number < 18 else { break }
                try link.leave()
                try node.waitFor("link_retiring", skipping: number - 1) { $0["node"] == "Visitor" }
            }
            try runs[0].link.waitEnd()
            try demandEqual(runs[0].link.farewell?.reason, .overloaded)
            for run in runs.dropFirst() {
                run.link.send("goes on", on: run.stream)
                try demandEqual(try run.link.next(of: run.stream), .bytes(Array("goes on".utf8)))
            }
        }
    }

    /// Whoever may connect to health and metrics takes no more than so many descriptors.
    @Test func connectionsForMetrics() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true)
            try mesh.start()
            let address = node.metrics.address
            func ask(_ wire: Wire) throws -> Received {
                try wire.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                return wire.receive()
            }
            // Each was answered, so that all are taken; connections of the start may still be there.
            var silent: [Wire] = []
            while silent.count < 200 {
                let wire = try Wire(address)
                guard case .bytes? = try? ask(wire) else { break }
                silent.append(wire)
            }
            try demand((100...128).contains(silent.count), "\(silent.count) connections")
            for wire in silent { guard case .bytes = try ask(wire) else { throw Failure("it was closed") } }
            silent = []
            try Deadline.until("it answers again", every: 0.02) { (try? node.metrics.get("/healthz").status) == 200 }
        }
    }

    /// Requests that wait for a connection to a service: one more is told so, those that wait go on waiting.
    @Test func requestsThatWaitForAService() throws {
        try withMesh { mesh in
            let edge = try EdgeMesh(
                mesh, listener: ["tls": "disabled", "certificates": []], route: ["require": "none"]
            ) {
                $0.set("workers", 1)
                $0.set("edge.backend.connections", 1)
                $0.set("edge.limits.connectionsPerAddress", 2_000)
                $0.set("edge.limits.addressRate", 0)
            }
            let busy = try edge.ask("/silent")
            try Deadline.until("the connection is taken") {
                try edge.edge.metric("mesh_edge_backend_connections{state=\"busy\"}") == 1
            }
            let waiting = try (0..<1_024).map { _ in try edge.ask("/head") }
            try Deadline.until("they wait", every: 0.02) { try edge.edge.metric("mesh_edge_backend_waiting") == 1_024 }
            let refused = try edge.ask("/head").answer()
            try demandEqual(refused.status, 503, refused.text)
            try demand(refused.text.contains("backend_overloaded"), refused.text)
            busy.close()
            for end in [waiting[0], waiting[1_023]] { try demandEqual(try end.answer().status, 200, "it waited") }
        }
    }

    /// A node has as many services as a directory takes of one, and no more than go to it in one request.
    @Test func servicesOfANode() throws {
        try withMesh { mesh in
            mesh.policy.provide("**", at: "Directory")
            let node = try mesh.node("Directory", directory: true) { node in
                for number in 0..<4_095 { node.offer("s\(number)", "127.0.0.1:9") }
            }
            try mesh.start()
            let body = #"{"target":"127.0.0.1:9","check":{"kind":"none"}}"#
            try demandEqual(try node.control.request("PUT", "/v1/services/last", body).status, 201)
            try demandEqual(try node.control.request("PUT", "/v1/services/last", body).status, 200)
            let refused = try node.control.request("PUT", "/v1/services/more", body)
            try demandEqual(refused.status, 409, refused.text)
            try demandEqual(refused.reason, "too_many_services")
        }
    }

    /// What is registered is written to one file, and read again.
    @Test func metadataOfAllServices() throws {
        try withMesh { mesh in
            mesh.policy.provide("**", at: "Directory")
            let node = try mesh.node("Directory", directory: true)
            var metadata = JSONObject()
            for number in 0..<64 { metadata["k\(number)"] = .string(String(repeating: "x", count: 1_024)) }
            func service(_ name: String?) -> JSONValue {
                var object: JSONObject = [
                    "target": "127.0.0.1:9", "check": ["kind": "none"], "metadata": .object(metadata),
                ]
                if let name { object["name"] = .string(name) }
                return .object(object)
            }
            // 60 such services were registered before, and the 63rd or 64th is too much.
            let file: JSONValue = ["version": 1, "services": .array((0..<60).map { service("s\($0)") })]
            try FileManager.default.createDirectory(
                atPath: node.directory + "/state", withIntermediateDirectories: true,
                attributes: [.posixPermissions: 0o700])
            try file.text().write(
                toFile: node.directory + "/state/registrations.json", atomically: true, encoding: .utf8)
            try mesh.start()
            var taken = 60
            while true {
                let answer = try node.control.request("PUT", "/v1/services/s\(taken)", service(nil).text())
                guard answer.status == 201 else {
                    try demandEqual(answer.status, 409, answer.text)
                    try demandEqual(answer.reason, "too_large")
                    break
                }
                taken += 1
                try demand(taken < 66, "there is no bound")
            }
            try node.stop()
            try node.launch()
            try node.waitReady()
            let listed = try node.control.get("/v1/services").json["services"]?.array ?? []
            try demandEqual(listed.count, taken, "services after a restart")
        }
    }
}
