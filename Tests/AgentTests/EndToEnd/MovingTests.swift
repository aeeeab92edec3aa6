import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Links change on purpose, and no connection notices.
    @Suite struct Moving {
        /// Certificates change on both ends at once, again and again, under 16 streams that move bytes both ways.
        @Test func rotationUnderLoadLosesNothing() throws {
            try withMesh { mesh in
                let full = ProcessInfo.processInfo.environment["MESH_E2E_FULL"] == "1"
                let pair = try Pair(mesh, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                    server.peer(client)
                }
                try pair.client.waitLinked(to: pair.server)
                let load = try StreamLoad(pair.upstream, streams: 16)
                let quiet = try Wire(pair.upstream)
                try quiet.echo("before")
                for round in 1...(full ? 30 : 3) {
                    let start = Deadline.now
                    try rotate(pair)
                    try quiet.echo("round \(round)")
                    let rest = (full ? 2 : 0.5) - (Deadline.now - start)
                    if rest > 0 { usleep(UInt32(rest * 1e6)) }
                }
                try load.finish()
                try quiet.echo("after")
                for node in [pair.client, pair.server] {
                    for event in ["link_lost", "session_ended", "session_resumed"] {
                        let count = node.count(event) { $0["node"] != "Directory" }
                        try demandEqual(count, 0, "\(event) at \(node.name)")
                    }
                    try Deadline.until("three moves of \(node.name)") {
                        try node.metric(#"mesh_link_moves_total{outcome="moved"}"#) ?? 0 >= 3
                    }
                    try demandEqual(try node.metric(#"mesh_link_moves_total{outcome="broken"}"#) ?? 0, 0)
                }
                let link = try pair.client.link(to: pair.server)
                try demand(link?["moves"]?.integer ?? 0 >= 3, "mesh links shows \(link?["moves"] ?? .null)")
                try demandEqual(link?["resumptions"]?.integer, 0)
            }
        }

        /// Both nodes get new certificates at once; returns when each has a link on which the other proved its own.
        private func rotate(_ pair: Pair) throws {
            let fingerprints = try [pair.client, pair.server].map { try renew($0) }
            let answers = [pair.client.control, pair.server.control].map { end in Background { try end.reloaded() } }
            for answer in answers { try demandEqual(try answer.value(within: Deadline.patience), 200) }
            for (node, other) in [(pair.client, fingerprints[1]), (pair.server, fingerprints[0])] {
                try node.waitFor("session_moving") { $0["fingerprint"] == other }
            }
        }

        /// Gives a node another certificate; its fingerprint.
        @discardableResult
        private func renew(_ node: TestNode, validity: Int64 = IssueRequest.defaultValidity) throws -> String {
            try node.issue(IssueRequest(node: node.name, validity: validity))
            let chain = try Certificate.load(file: node.directory + "/node.crt")
            return try #require(chain.first).fingerprintSHA256
        }

        /// A node gets another address while its streams move bytes. Whoever has dialled it hears of that from the directory, or by its
        /// own configuration, and moves there; nothing is left at the old one.
        @Test(arguments: [false, true]) func linksFollowTheirNodesAddress(isConfigured: Bool) throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.service(sendBack).address) { client, server in
                    server.set("node.advertise", .null)
                    for node in [client, server] { node.set("links.lanes", 2) }
                    if isConfigured { client.peer(server) }
                }
                let (client, server) = (pair.client, pair.server)
                let load = try StreamLoad(pair.upstream, streams: 8)
                try client.waitLanes(2, to: server)
                let quiet = try Wire(pair.upstream)
                try quiet.echo("before")
                for address in ["\(server.host):7499", server.meshAddress] {
                    server.set("listen.mesh", .string(address))
                    try demandEqual(try server.reload().status, 200)
                    if isConfigured {
                        client.peers = [["node": "Server", "address": .string(address)]]
                        try demandEqual(try client.reload().status, 200)
                    }
                    for lane in 0..<2 {
                        try client.waitFor("link_moved") {
                            $0["node"] == "Server" && $0["remote"] == address
                                && $0.value["lane"]?.integer == Int64(lane)
                        }
                    }
                    try quiet.echo("at \(address)")
                }
                try load.finish()
                try quiet.echo("after")
                for node in [client, server] {
                    for event in ["link_lost", "session_ended", "session_resumed"] {
                        let count = node.count(event) { $0["node"] != "Directory" }
                        try demandEqual(count, 0, "\(event) at \(node.name)")
                    }
                }
            }
        }

        /// A node that cannot dial its peer asks it to.
        @Test func whoCannotDialAsks() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.service(sendBack).address) { client, server in
                    client.set("listen.mesh", .null)
                    client.peer(server)
                }
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let fingerprint = try renew(pair.server)
                try demandEqual(try pair.server.reload().status, 200)
                try pair.client.waitFor("session_moving") { $0["fingerprint"] == fingerprint }
                try pair.server.waitFor("link_moved") { $0["node"] == "Client" && $0.value["dialled"]?.bool == false }
                try wire.echo("after")
                try demandEqual(pair.server.count("link_lost") { $0["node"] == "Client" }, 0, "links lost")
            }
        }

        /// Links are cut at any moment while sessions move: what does not arrive on one link is sent again on another.
        @Test func cutMovesLoseNothing() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                    server.peer(client)
                }
                try pair.client.waitLinked(to: pair.server)
                let load = try StreamLoad(pair.upstream, streams: 8)
                for round in 0..<12 {
                    for node in [pair.client, pair.server] { try renew(node) }
                    let reloads = [pair.client.control, pair.server.control].map { end in
                        Background { try end.reloaded() }
                    }
                    // From before the dial to after the last frame on the old link.
                    usleep(UInt32(round * 3_000))
                    for node in [pair.client, pair.server] {
                        _ = try runProgram(["ss", "-K", "dst", node.host, "dport", "=", ":7400"])
                    }
                    for reload in reloads { try demandEqual(try reload.value(within: Deadline.patience), 200) }
                    try pair.client.waitLinked(to: pair.server)
                    try pair.server.waitLinked(to: pair.client)
                }
                try load.finish()
                for node in [pair.client, pair.server] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// No link outlives its peer's certificate; its streams wait for the next one.
        @Test func linksEndWithTheirCertificate() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.service(sendBack).address) { client, server in
                    client.peer(server)
                }
                try pair.client.waitLinked(to: pair.server)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                try renew(pair.server, validity: Deadline.lifetime(4))
                try demandEqual(try pair.server.reload().status, 200)
                try pair.client.waitFor("link_moved")
                try wire.echo("moved")
                try pair.client.waitFor("link_lost") {
                    $0["node"] == "Server" && $0["reason"] == "identity_expired" && $0.value["parked"]?.bool == true
                }
                try renew(pair.server)
                try demandEqual(try pair.server.reload().status, 200)
                try pair.client.waitFor("session_resumed") { $0["node"] == "Server" }
                try wire.echo("after")
            }
        }
    }
}

extension HTTPEnd {
    /// The status of a reload with the files as they are.
    func reloaded() throws -> Int { try request("POST", "/v1/reload", "").status }
}
