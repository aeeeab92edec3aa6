import Foundation
import JSON
import Testing

extension EndToEnd.Reloads {
    /// How long a new link may take: silence is noticed after the new time and not after the old one.
    @Test func handshakeTimeout() throws {
        try withMesh { mesh in
            let node = try mesh.node("Directory", directory: true) { $0.set("links.handshakeTimeout", "300s") }
            try mesh.start()
            node.set("links.handshakeTimeout", "200ms")
            try node.reload()
            let silent = try Wire(node.meshAddress)
            try node.waitFor("handshake_failed") { $0["reason"] == "handshake_timeout" }
            withExtendedLifetime(silent) {}
        }
    }

    /// Links that stand go by the new times: one is pinged often enough to live, another whose peer hangs is given up.
    @Test func pingsAndIdleTime() throws {
        try withMesh { mesh in
            let service = try mesh.echo()
            let pair = try Pair(mesh, target: service.address) { client, server in
                client.peer(server)
                client.set("links.pingInterval", "1h")
                client.set("links.idleTimeout", "3h")
                // The others say nothing by themselves.
                for node in mesh.nodes {
                    node.set("links.pingInterval", "1h")
                    node.set("links.idleTimeout", "3h")
                    node.set("directory.renewInterval", "1h")
                    node.set("directory.leaseGrace", "3h")
                }
            }
            try pair.client.waitLinked(to: pair.server)
            let wire = try Wire(pair.upstream)
            try wire.echo("before")
            pair.client.set("links.pingInterval", "100ms")
            pair.client.set("links.idleTimeout", .string("\(Int(1_000 * Deadline.slowness))ms"))
            try pair.client.reload()
            try pair.server.running().signal(SIGSTOP)
            defer { try? pair.server.running().signal(SIGCONT) }
            try pair.client.waitFor("link_lost") { $0["node"] == "Server" && $0["reason"] == "peer_silent" }
            // As quiet as the other one, but its peer answers pings.
            try demandEqual(
                pair.client.count("link_lost") { $0["node"] == "Directory" }, 0, "links lost to the directory")
        }
    }

    /// Pauses that last are drawn anew: a node that is away is dialled as often as the new bounds say.
    @Test func reconnects() throws {
        try withMesh { mesh in
            let directory = try mesh.node("Directory", directory: true)
            let alpha = try mesh.node("Alpha") { node in
                node.peers.append(["node": "Nobody", "address": .string("\(node.host):9")])
                node.set("links.reconnectMin", "60s")
                node.set("links.reconnectMax", "1h")
                node.set("links.reconnectMaxPermanent", "1h")
            }
            // A first dial of the directory that fails would be repeated after a minute.
            try directory.start()
            try directory.waitReady()
            try alpha.start()
            try alpha.waitFor("dial_failed") { $0["node"] == "Nobody" }
            alpha.set("links.reconnectMin", "10ms")
            alpha.set("links.reconnectMax", "50ms")
            alpha.set("links.reconnectMaxPermanent", "50ms")
            try alpha.reload()
            try Deadline.until("it is dialled again and again", every: 0.02) {
                (try alpha.metric(#"mesh_handshake_failures_total{reason="connect_refused"}"#) ?? 0) >= 20
            }
        }
    }
}
