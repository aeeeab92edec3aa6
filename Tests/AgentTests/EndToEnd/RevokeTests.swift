import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What is revoked ends everywhere at once, and does not come back.
    @Suite struct Revocations {
        /// Ten agents: one with live streams from all others is revoked; another service's streams go on.
        @Test func revokedInAMeshOfTen() throws {
            try withMesh { mesh in
                let ten = try TenNodes(mesh)
                try ten.others[2].take(ten.operators.list)
                let start = Deadline.now
                try ten.others[2].take(
                    try ten.operators.revocations(1, [.node("Victim", validBefore: Int64(time(nil)) + 1)]))
                let took = try ten.closedAfter(start)
                print("revoked: \(ten.wires.count) streams on ten nodes, the last closed after \(Int(took * 1000)) ms")
                try demand(took < 1 * Deadline.slowness, "it took \(took) s")
                for wire in ten.kept { try wire.echo("after") }
                for node in [ten.directory] + ten.others {
                    try node.waitDocument(.revocations, version: 1)
                    try node.waitFor("link_lost") { $0["node"] == "Victim" && $0["reason"] == "identity_revoked" }
                    try demandEqual(try node.metric("mesh_revocations"), 1, node.name)
                }
                // It is told why, and does not come back.
                try ten.victim.waitFor("dial_failed") { $0["reason"] == "identity_revoked" }
                let link = try Deadline.wait("the victim's list says why") {
                    let link = try ten.victim.link(to: ten.directory)
                    return link?["reason"]?.string == "identity_revoked" ? link : nil
                }
                try demand(link["detail"]?.string?.contains("stolen in a test") == true, "\(link)")
                try demand(
                    (try ten.directory.metric("mesh_handshake_failures_total{reason=\"identity_revoked\"}") ?? 0) > 0,
                    "not counted")
            }
        }

        /// A node is revoked while its session waits for the next link: it ends at once, not when its time is over, with the
        /// reason, and nobody goes on with it.
        @Test func aParkedSessionEnds() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.peer(server)
                    for node in [client, server] { node.set("links.resumeFor", "60s") }
                }
                try pair.client.waitLinked(to: pair.server)
                try pair.client.take(operators.list)
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                try pair.server.running().signal(SIGSTOP)
                defer { try? pair.server.running().signal(SIGCONT) }
                try cutLinks(to: [pair.client, pair.server])
                try pair.client.waitFor("link_lost") { $0["node"] == "Server" && $0.value["parked"]?.bool == true }
                try demandEqual(try pair.client.metric("mesh_sessions_parked"), 1)
                let start = Deadline.now
                try pair.client.take(
                    try operators.revocations(1, [.node("Server", validBefore: Int64(time(nil)) + 1)]))
                try demandEqual(wire.receive(), .reset, "the application sees")
                let took = Deadline.now - start
                print("revoked while parked: the stream closed after \(Int(took * 1000)) ms")
                try demand(took < 1 * Deadline.slowness, "it took \(took) s")
                let ended = try pair.client.waitFor("session_ended") { $0["node"] == "Server" }
                try demandEqual(ended["reason"], "revoked")
                try demandEqual(try pair.client.metric("mesh_sessions_parked"), 0)
                try demandEqual(try pair.client.metric(#"mesh_link_resumptions_total{outcome="revoked"}"#), 1)
                // It still has its half, and comes back with it.
                try pair.server.running().signal(SIGCONT)
                try pair.server.waitFor("dial_failed") {
                    $0["node"] == "Client" && $0["reason"] == "identity_revoked"
                }
                try demandEqual(pair.server.count("session_resumed") { $0["node"] == "Client" }, 0)
                try demandEqual(try pair.client.isLinked(to: pair.server), false)
            }
        }

        /// The same for a change of policy.
        @Test func policyInAMeshOfTen() throws {
            try withMesh { mesh in
                let ten = try TenNodes(mesh)
                try ten.others[2].take(ten.operators.list)
                var policy = mesh.policy
                policy.revoke("node:**", to: "echo")
                let start = Deadline.now
                try ten.others[2].take(try ten.operators.sign(.policy, 1, policy.text))
                let took = try ten.closedAfter(start)
                print("policy: \(ten.wires.count) streams on ten nodes, the last closed after \(Int(took * 1000)) ms")
                try demand(took < 1 * Deadline.slowness, "it took \(took) s")
                for wire in ten.kept { try wire.echo("after") }
                for node in ten.others { try demandEqual(node.count("link_lost"), 0, "links lost at \(node.name)") }
            }
        }

        /// A revoked certificate renews nothing: a stolen key is of use until its end at most.
        @Test func theCARenewsNothingRevoked() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let (ca, node) = try mesh.joinedNode(ttl: "\(Deadline.lifetime(4))s")
                try ca.take(operators.list)
                try ca.take(try operators.revocations(1, [.node("Node", validBefore: Int64(time(nil)) + 600)]))
                try node.waitFor("renewal_failed") { $0["reason"] == "revoked" }
                try ca.waitFor("enrolment_refused") { $0["reason"] == "revoked" && $0["node"] == "Node" }
            }
        }

        /// After a restart, alone, a node still refuses what is revoked; a new certificate gets in, an old list does not.
        @Test func aRestartedAgentStillRefuses() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                let server = try mesh.node("Server")
                let victim = try mesh.node("Victim") { $0.peer(server) }
                try mesh.start()
                try server.waitLinked(to: victim)
                try server.take(operators.list)
                let leaf = try demandValue(
                    Certificate.load(file: victim.directory + "/node.crt").first, "certificate of the victim")
                try server.take(
                    try operators.revocations(1, [.certificate(issuer: leaf.issuer, serial: leaf.serialHex)]))
                try server.waitFor("link_lost") { $0["node"] == "Victim" && $0["reason"] == "identity_revoked" }
                try directory.waitDocument(.revocations, version: 1)
                directory.kill()
                server.kill()
                try server.start()
                try server.waitFor("handshake_failed") { $0["reason"] == "identity_revoked" }
                try demand(try !server.isLinked(to: victim), "the victim is linked again")
                let old = try server.offer(try operators.revocations(1, []))
                try demandEqual(old.reason, "older_document", old.text)
                // The same node with another certificate, which is not on the list.
                try victim.stop()
                try victim.issue(IssueRequest(node: "Victim"))
                try victim.start()
                try server.waitLinked(to: victim)
            }
        }

        /// The edge's clients with certificates: open connections end, new ones are refused.
        @Test func clientsOfTheEdge() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                mesh.policy.rules.append([
                    "allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop", "node:desk"],
                ])
                for name in ["laptop", "desk"] { mesh.policy.connect("node:\(name)", to: "web") }
                let edge = try EdgeMesh(
                    mesh, listener: ["clientCertificates": ["mode": "optional", "ca": [.string(mesh.authorityFile)]]],
                    route: ["require": "certificate"])
                func credentials(_ name: String) throws -> Credentials {
                    try mesh.authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)))
                }
                let (laptop, desk) = (try credentials("laptop"), try credentials("desk"))
                let held = try edge.connect(credentials: laptop)
                try held.sendRequest("GET", "/head")
                try demandEqual(try held.answer().status, 200)
                try edge.edge.take(operators.list)
                try edge.edge.take(try operators.revocations(1, [.key(laptop.leaf.spkiSHA256)]))
                try edge.edge.waitFor("edge_certificate_revoked")
                try demand(
                    throws: {
                        try held.sendRequest("GET", "/head")
                        _ = try held.answer()
                    }, "a kept connection goes on")
                try demand(
                    throws: {
                        let end = try edge.connect(credentials: laptop)
                        try end.sendRequest("GET", "/head")
                        _ = try end.answer()
                    }, "a new connection is served")
                try edge.edge.waitFor("edge_connection_refused") { $0["reason"] == "certificate_revoked" }
                let other = try edge.connect(credentials: desk)
                try other.sendRequest("GET", "/head")
                try demandEqual(try other.answer().status, 200, "somebody else")
            }
        }
    }
}

/// Ten agents: all but the directory have streams to a service at `Victim`, and some to one at the first of the others.
private struct TenNodes {
    let operators: TestOperator
    let directory: TestNode
    let victim: TestNode
    let others: [TestNode]
    /// Streams to the victim's service.
    let wires: [Wire]
    /// Streams that have nothing to do with it.
    let kept: [Wire]

    init(_ mesh: TestMesh) throws {
        operators = try TestOperator(mesh)
        let (echo, other) = (try mesh.echo(), try mesh.echo())
        mesh.policy.provide("echo", at: "Victim")
        mesh.policy.provide("other", at: "Node1")
        mesh.policy.connect("node:**", to: "echo")
        mesh.policy.connect("node:**", to: "other")
        directory = try mesh.node("Directory", directory: true)
        victim = try mesh.node("Victim") { $0.offer("echo", echo.address) }
        var upstreams: [(String, String)] = []
        others = try (1...8).map { number in
            try mesh.node("Node\(number)") { node in
                if number == 1 { node.offer("other", other.address) }
                upstreams.append((node.upstream("echo", port: 8001), node.upstream("other", port: 8002)))
            }
        }
        try mesh.start()
        for node in others {
            try node.waitInstances(of: "echo", at: ["Victim"])
            try node.waitInstances(of: "other", at: ["Node1"])
        }
        wires = try upstreams.flatMap { addresses in try (0..<4).map { _ in try Wire(addresses.0) } }
        kept = try upstreams.dropFirst().map { try Wire($0.1) }
        for wire in wires + kept { try wire.echo() }
    }

    /// Seconds from `start` until the last stream to the victim was closed.
    func closedAfter(_ start: Double) throws -> Double {
        for wire in wires { try demandEqual(wire.receive(), .reset, "a stream to the victim sees") }
        return Deadline.now - start
    }
}
