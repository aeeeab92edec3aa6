import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Links {
        /// Both ends are told to keep a link to the other and start at the same moment, again and again.
        @Test func simultaneousDials() throws {
            try withMesh { mesh in
                let services = [try mesh.echo(greeting: "1"), try mesh.echo(greeting: "2")]
                let names = ["Alpha", "Beta"]
                for (index, name) in names.enumerated() {
                    mesh.policy.provide("at\(index)", at: name)
                    mesh.policy.identity("shop", of: name)
                    mesh.policy.connect("service:shop", to: "at\(index)")
                }
                let directory = try mesh.node("Directory", directory: true)
                let nodes = try names.enumerated().map { index, name in
                    try mesh.node(name) { node in
                        node.offer("at\(index)", services[index].address)
                        node.upstream("at\(1 - index)", as: "shop", port: 8001)
                        node.set("links.reconnectMin", "50ms")
                    }
                }
                nodes[0].peer(nodes[1])
                nodes[1].peer(nodes[0])
                try directory.start()
                try directory.waitReady()
                for node in nodes { try node.writeFiles() }
                for round in 1...12 {
                    // At the same moment, and in both orders.
                    for node in round % 2 == 0 ? nodes : nodes.reversed() { try node.launch() }
                    for node in nodes { try node.waitReady() }
                    try nodes[0].waitLinked(to: nodes[1])
                    try nodes[1].waitLinked(to: nodes[0])
                    try nodes[0].waitInstances(of: "at1", at: ["Beta"])
                    try nodes[1].waitInstances(of: "at0", at: ["Alpha"])
                    // One link, dialled by one of them, and it stays the same.
                    try Deadline.until("round \(round): they agree about one link") {
                        let links = try (nodes[0].link(to: nodes[1]), nodes[1].link(to: nodes[0]))
                        guard let first = links.0?["dialled"]?.bool, let second = links.1?["dialled"]?.bool else {
                            return false
                        }
                        return first != second
                    }
                    for (index, node) in nodes.enumerated() {
                        let wire = try Wire("\(node.host):8001")
                        let greeting = try wire.receive(exactly: 1)
                        try demandEqual(greeting, [UInt8(ascii: index == 0 ? "2" : "1")])
                        try wire.echo("round \(round)")
                    }
                    for node in nodes {
                        try Deadline.until("round \(round): \(node.name) has two links") {
                            try node.metric("mesh_links") == 2
                        }
                        try demandEqual(node.count("duplicate_identity"), 0, "false alarms")
                    }
                    for node in nodes { node.kill() }
                }
            }
        }

        /// Both ends use an existing pair for the first time at once, without being configured for it.
        @Test func simultaneousFirstUse() throws {
            try withMesh { mesh in
                let services = [try mesh.echo(), try mesh.echo()]
                for (index, name) in ["Alpha", "Beta"].enumerated() {
                    mesh.policy.provide("at\(index)", at: name)
                    mesh.policy.identity("shop", of: name)
                    mesh.policy.connect("service:shop", to: "at\(index)")
                }
                try mesh.node("Directory", directory: true)
                let nodes = try ["Alpha", "Beta"].enumerated().map { index, name in
                    try mesh.node(name) { node in
                        node.offer("at\(index)", services[index].address)
                        node.upstream("at\(1 - index)", as: "shop", port: 8001)
                    }
                }
                try mesh.start()
                try nodes[0].waitInstances(of: "at1", at: ["Beta"])
                try nodes[1].waitInstances(of: "at0", at: ["Alpha"])
                let users = nodes.flatMap { node in
                    (0..<20).map { _ in
                        Background { [address = "\(node.host):8001"] in
                            let wire = try Wire(address)
                            try wire.echo("first use")
                        }
                    }
                }
                for user in users { try user.value() }
                for node in nodes {
                    try Deadline.until("\(node.name) has two links") { try node.metric("mesh_links") == 2 }
                }
            }
        }

        @Test func duplicateIdentity() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let first = try mesh.node("Twin")
                try mesh.start()
                try directory.waitLinked(to: first)
                let remote = try directory.link(to: first)?["remote"]?.string
                // Another process with the same certificate.
                let second = try mesh.node("Twin2", certificate: "Twin") { $0.set("node.name", "Twin") }
                try second.start()
                let report = try directory.waitFor("duplicate_identity")
                try demandEqual(report["node"], "Twin")
                try demandEqual(report["level"], "error")
                try demandEqual(try second.waitFor("dial_failed")["reason"], "duplicate_identity")
                // The first one keeps its link.
                try demandEqual(try directory.link(to: first)?["remote"]?.string, remote, "the link in use:")
                try demandEqual(first.count("link_lost"), 0, "links lost")
                try demand(!second.isReady, "the newcomer is ready")
                // When the first one ends, the other takes its place.
                first.kill()
                try second.waitReady()
            }
        }

        /// An agent that hangs looks alive; another one with its identity replaces it after a probe.
        @Test func halfOpenLinkIsReplaced() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let first = try mesh.node("Twin")
                try mesh.start()
                try directory.waitLinked(to: first)
                try first.running().signal(SIGSTOP)
                let second = try mesh.node("Twin2", certificate: "Twin") { $0.set("node.name", "Twin") }
                try second.start()
                try second.waitReady(within: 10 * Deadline.slowness)
                try demandEqual(directory.count("duplicate_identity"), 0, "false alarms")
                try directory.waitFor("link_lost") { $0["node"] == "Twin" && $0["reason"] == "peer_silent" }
                // The sleeper wakes up: it lost its place and is told so.
                try first.running().signal(SIGCONT)
                try first.waitFor("link_lost")
                try directory.waitFor("duplicate_identity")
                try demand(second.isReady, "the living agent lost its link")
            }
        }

        @Test func wrongNodeAtAnAddress() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let server = try mesh.node("Server")
                let client = try mesh.node("Client") { node in
                    node.peers.append(["node": "Other", "address": .string(server.meshAddress)])
                }
                try mesh.start()
                // The first dial may come before the listener.
                let failed = try client.waitFor("dial_failed") {
                    $0["node"] == "Other" && $0["reason"] != "connect_refused"
                }
                try demandEqual(failed["reason"], "wrong_name")
                let detail = failed["detail"] ?? ""
                try demand(detail.contains("Server"), "the detail names who answered: \(detail)")
                try demand(
                    detail.hasPrefix(server.meshAddress) && detail.contains("Other"),
                    "the detail names who was dialled, and where: \(detail)")
                let shown = try client.mesh(["links", "--json"])
                try demand(shown.output.contains(server.meshAddress + ": dialled the node"), shown.output)
                // The other side learns that it was refused.
                try server.waitFor("handshake_failed")
                try demand(try client.link(to: server) == nil, "there is a link")
                _ = directory
            }
        }

        /// A certificate of another CA with the same name.
        @Test func foreignAuthority() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                let stranger = try mesh.node("Stranger")
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                try other.issueCredentials(IssueRequest(node: "Stranger"), now: Int64(time(nil)))
                    .write(certificateFile: stranger.directory + "/node.crt", keyFile: stranger.directory + "/node.key")
                // It trusts its own root, to get past its own checks, and ours, to dial.
                try (other.root.pem + mesh.authority.root.pem)
                    .write(toFile: stranger.directory + "/both.crt", atomically: true, encoding: .utf8)
                stranger.set("trust.ca", .string(stranger.directory + "/both.crt"))
                try stranger.start()
                let failed = try directory.waitFor("handshake_failed")
                try demand(
                    ["unknown_ca", "bad_signature"].contains(failed["reason"] ?? ""),
                    "the reason is \(failed["reason"] ?? "")")
                try stranger.waitFor("dial_failed") { $0["node"] == "Directory" }
                try demandEqual(directory.count("link_established"), 0, "links")
            }
        }

        /// Strangers at the mesh listener: neither rubbish nor silence disturbs anybody.
        @Test func rubbishAtTheListener() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { _, server in
                    server.set("links.handshakeTimeout", .string(Deadline.milliseconds(1_000)))
                }
                let wire = try Wire(pair.upstream)
                try wire.echo()
                var strangers: [Wire] = []
                for text in ["GET / HTTP/1.1\r\n\r\n", "", String(repeating: "\u{16}\u{3}\u{1}", count: 5000)] {
                    let stranger = try Wire(pair.server.meshAddress)
                    try? stranger.send(text)
                    strangers.append(stranger)
                }
                for (index, stranger) in strangers.enumerated() {
                    try Deadline.until("stranger \(index) is shown the door") {
                        switch stranger.receive() {
                        case .end, .reset: true
                        case .bytes: false
                        case .nothing: throw Failure("stranger \(index) is still there")
                        }
                    }
                }
                try wire.echo("undisturbed")
                try demandEqual(pair.client.count("link_lost"), 0, "links lost")
            }
        }
    }
}
