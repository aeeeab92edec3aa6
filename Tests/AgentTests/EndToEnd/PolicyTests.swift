import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Access {
        /// Three upstream identities with a thousand live connections together; one loses its right.
        @Test(arguments: ["POST /v1/reload", "SIGHUP"]) func policyChangeClosesWhatLostItsRight(by way: String) throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                for name in ["alpha", "beta", "gamma"] {
                    mesh.policy.identity(name, of: "Client")
                    mesh.policy.connect("service:" + name, to: "echo")
                }
                mesh.policy.provide("echo", at: "Server")
                let directory = try mesh.node("Directory", directory: true)
                let client = try mesh.node("Client") { node in
                    for (index, name) in ["alpha", "beta", "gamma"].enumerated() {
                        node.upstream("echo", as: name, port: 8001 + index)
                    }
                }
                let server = try mesh.node("Server") { $0.offer("echo", service.address) }
                try mesh.start()
                try client.waitInstances(of: "echo", at: ["Server"])
                var wires: [[Wire]] = []
                for index in 0..<3 {
                    wires.append(
                        try (0..<(index == 1 ? 334 : 333)).map { _ in try Wire("\(client.host):\(8001 + index)") })
                }
                for wire in wires.joined() { try wire.echo() }
                try demandEqual(service.connections, 1000, "live connections")

                // Only the serving agent's policy changes: it decides.
                server.policy.revoke("service:beta", to: "echo")
                let closed = server.count("policy_applied")
                try server.writeFiles()
                let start: Double
                if way == "SIGHUP" {
                    try server.running().signal(SIGHUP)
                    try server.waitFor("reloaded")
                    start = Deadline.now
                } else {
                    let answer = try server.control.request("POST", "/v1/reload", "")
                    try demandEqual(answer.status, 200, answer.text)
                    start = Deadline.now
                }
                for wire in wires[1] {
                    try demandEqual(wire.receive(), .reset, "a connection that lost its right sees")
                }
                try Deadline.until("the service saw it too: \(service.connections)") { service.connections == 666 }
                let took = Deadline.now - start
                try demand(took < 1 * Deadline.slowness, "it took \(took) s")
                // Exactly these: the others go on.
                for wire in wires[0] + wires[2] { try wire.echo("after") }
                try demandEqual(service.connections, 666, "connections left")
                let record = try server.waitFor("policy_applied", skipping: closed)
                try demandEqual(record.value["streams"]?.integer, 334, "streams closed")
                try demandEqual(try server.metric("mesh_streams_withdrawn_total"), 334)
                try demandEqual(
                    try client.metric("mesh_stream_resets_total{reason=\"access_withdrawn\"}"), 334,
                    "told with the reason:")
                try demandEqual(client.count("link_lost"), 0, "links lost")
                // A new connection of it is denied, with the reason.
                try demandEqual(try Wire("\(client.host):8002").receive(), .reset)
                let denied = try client.waitFor("open_failed")
                try demandEqual(denied["reason"], "no_rule")
                try Wire("\(client.host):8001").echo()
                // Given back, it works again.
                server.policy.connect("service:beta", to: "echo")
                try demandEqual(try server.reload().status, 200)
                try Wire("\(client.host):8002").echo()
                _ = directory
            }
        }

        /// The right to link is withdrawn: the link closes with its streams, and stays closed.
        @Test func linkWithdrawn() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let wire = try Wire(pair.upstream)
                try wire.echo()
                pair.server.policy.rules.append(["deny": ["link"], "from": ["node:Client"], "to": ["Server"]])
                let answer = try pair.server.reload()
                try demandEqual(answer.status, 200, answer.text)
                let start = Deadline.now
                try demandEqual(wire.receive(), .reset)
                try demand(Deadline.now - start < 1 * Deadline.slowness, "it took \(Deadline.now - start) s")
                let lost = try pair.client.waitFor("link_lost") { $0["node"] == "Server" }
                try demandEqual(lost["reason"], "policy_changed")
                try pair.server.waitFor("link_lost") { $0["node"] == "Client" && $0["reason"] == "policy_changed" }
                // A new one is refused on both sides' account; not for each connection, since a link that is refused is not
                // dialled again at once.
                try Deadline.until("a new link is refused") {
                    try demandEqual(try Wire(pair.upstream).receive(), .reset)
                    return pair.server.count("link_refused") { $0["node"] == "Client" } > 0
                }
                try demand(try !pair.client.isLinked(to: pair.server), "the link came back")
                // The directory's link is not touched.
                try demand(try pair.client.isLinked(to: pair.directory), "the link to the directory is gone")
                try demand(try pair.server.isLinked(to: pair.directory), "the link to the directory is gone")
            }
        }

        /// Why a link was denied: who lacks which right, and the command that says more, whoever denied it.
        @Test(arguments: ["no_rule", "denied_by_rule", "own"])
        func aDeniedLinkSaysWhichRightIsMissing(_ reason: String) throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Node")
                var (why, asked) = ("mesh why --from node:Node --to Directory --verb link", directory)
                let said: String
                switch reason {
                case "no_rule":
                    directory.policy.identities[0] = ["match": ["node": "Directory"], "permissions": ["mesh-node"]]
                    said = "node Directory refused the link: no rule there lets node:Node link to Directory (no_rule)"
                case "denied_by_rule":
                    directory.policy.rules.append(["deny": ["link"], "from": ["node:Node"], "to": ["Directory"]])
                    said =
                        "node Directory refused the link: a rule there denies node:Node to link to Directory (denied_by_rule)"
                default:
                    node.policy.rules.append(["deny": ["link"], "from": ["node:Directory"], "to": ["Node"]])
                    said = "node:Directory may not link to Node: a rule denies it"
                    (why, asked) = ("mesh why --from node:Directory --to Node --verb link", node)
                }
                try directory.start()
                try node.start()
                try node.waitFor("dial_failed") { $0["reason"] == "link_denied" }
                let links = try node.mesh(["links"])
                try demandEqual(links.status, 0, links.output)
                try demand(links.output.contains("Directory: \(said)"), links.output)
                let place = asked === node ? "" : "on Directory: "
                try demand(links.output.contains("hint: \(place)\(why)"), links.output)
                // And that command says it.
                let explained = try asked.mesh(why.split(separator: " ").dropFirst().map(String.init))
                try demandEqual(explained.status, 3, explained.output)
                let code = reason == "no_rule" ? "(no_rule)" : "(denied_by_rule)"
                try demand(explained.output.contains(code), explained.output)
            }
        }

        /// A certificate of the CA whose name no mapping knows.
        @Test func unmappedNode() throws {
            try withMesh { mesh in
                mesh.policy.identities[0] = ["match": ["node": "Known*"], "permissions": ["mesh-node"]]
                mesh.policy.identities.append(["match": ["node": "Directory"], "permissions": ["mesh-node"]])
                let directory = try mesh.node("Directory", directory: true)
                let known = try mesh.node("Known1")
                let stranger = try mesh.node("Stranger")
                // The stranger has a generous policy of its own, which counts for nothing elsewhere.
                stranger.policy.identities[0] = ["match": ["node": "**"], "permissions": ["mesh-node"]]
                try directory.start()
                try directory.waitReady()
                try known.start()
                try stranger.start()
                try known.waitReady()
                let refused = try directory.waitFor("link_refused") { $0["node"] == "Stranger" }
                try demand(
                    ["unmapped_identity", "no_rule"].contains(refused["reason"] ?? ""),
                    "the reason is \(refused["reason"] ?? "none")")
                let told = try stranger.waitFor("dial_failed") { $0["node"] == "Directory" }
                try demandEqual(told["reason"], "link_denied")
                try demand(!stranger.isReady, "a refused node is ready")
                try demandEqual(try stranger.metrics.get("/readyz").text, "directory_not_reached\n")
                try demand(try directory.link(to: stranger) == nil, "the directory lists a link to the stranger")
            }
        }

        /// A certificate without SPIFFE URI identifies only where a mapping names its CN.
        @Test func commonNameWithoutMapping() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let plain = try mesh.node("Plain") { node in
                    node.set("trust.domain", .string(TestMesh.trustDomain))
                    node.policy.identities.append(
                        ["match": ["cn": "Plain"], "node": "Plain", "permissions": ["mesh-node"]])
                }
                let key = try PrivateKey.generate()
                let now = Int64(time(nil))
                var builder = CertificateBuilder(
                    subject: [.commonName("Plain")], publicKey: key.publicKey, notBefore: now - 60, notAfter: now + 3600
                )
                builder.extendedKeyUsage = [.serverAuth, .clientAuth]
                try Credentials(chain: [try builder.build(signedBy: mesh.authority.signer)], key: key)
                    .write(certificateFile: plain.directory + "/node.crt", keyFile: plain.directory + "/node.key")
                try directory.start()
                try plain.start()
                try directory.waitReady()
                let refused = try directory.waitFor("link_refused")
                try demandEqual(refused["reason"], "unmapped_identity")
                try plain.waitFor("dial_failed") { $0["reason"] == "link_denied" }
                // Mapped, it is let in without a restart.
                directory.policy.identities.append(
                    ["match": ["cn": "Plain"], "node": "Plain", "permissions": ["mesh-node"]])
                try demandEqual(try directory.reload().status, 200)
                try plain.waitReady()
            }
        }

        @Test func upstreamWithoutRight() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                var denied = ""
                var foreign = ""
                let pair = try Pair(mesh, target: service.address) { client, _ in
                    denied = client.upstream("echo", port: 8002)
                    foreign = client.upstream("echo", as: "boss", port: 8003)
                    // The client's own policy would let it act so, the server's does not.
                    client.policy.identity("boss", of: "Client")
                    client.policy.connect("service:boss", to: "echo")
                }
                try Wire(pair.upstream).echo()
                // In the node's own name: the dialling agent denies.
                try demandEqual(try Wire(denied).receive(), .reset)
                let record = try pair.client.waitFor("open_failed") { $0["as"] == "the node itself" }
                try demandEqual(record["reason"], "no_rule")
                // In a name that only its own policy gives it: the serving agent refuses.
                try demandEqual(try Wire(foreign).receive(), .reset)
                let refused = try pair.server.waitFor("stream_denied")
                try demandEqual(refused["reason"], "act_as_missing")
                try demandEqual(refused["node"], "Client")
                let told = try pair.client.waitFor("open_failed") { $0["as"] == "service:boss" }
                try demandEqual(told["reason"], "act_as_missing")
                try demandEqual(service.total, 1, "connections that reached the service")
            }
        }

        /// A node registers what it may not: the directory refuses; and a dialler refuses a provider, too.
        @Test func nodeThatMayNotProvide() throws {
            try withMesh { mesh in
                let (good, evil) = (try mesh.echo(greeting: "good"), try mesh.echo(greeting: "evil"))
                let pair = try Pair(mesh, target: good.address)
                let thief = try mesh.node("Thief") { node in
                    node.offer("echo", evil.address)
                    node.policy.provide("echo", at: "Thief")
                }
                try thief.start()
                try thief.waitReady()
                try thief.waitFor("registration_refused")
                try demandEqual(try pair.client.instances(of: "echo"), ["Server": "passing"])
                // The directory is fooled; the client is not.
                pair.directory.policy.provide("echo", at: "Thief")
                try demandEqual(try pair.directory.reload().status, 200)
                try pair.client.waitInstances(of: "echo", at: ["Server", "Thief"])
                for _ in 0..<20 {
                    let wire = try Wire(pair.upstream)
                    try demandEqual(String(decoding: try wire.receive(exactly: 4), as: UTF8.self), "good")
                }
                try demandEqual(evil.total, 0, "connections to the thief")
                // With the right it would be chosen.
                pair.client.policy.provide("echo", at: "Thief")
                try demandEqual(try pair.client.reload().status, 200)
                try Deadline.until("the other instance is chosen") {
                    let wire = try Wire(pair.upstream)
                    _ = try? wire.receive(exactly: 4)
                    return evil.total > 0
                }
            }
        }
    }
}
