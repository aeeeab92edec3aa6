import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// The mesh's root is replaced while everything runs.
    @Suite struct RootRotation {
        /// Ten agents under traffic, one of them down from before the first step until after the last: no connection is lost or
        /// refused, and the late one comes back by itself. Each step is refused where it would come too early.
        @Test func tenAgentsUnderTraffic() throws {
            try withMesh { mesh in
                let rotation = try RotatedMesh(mesh)
                let (ca, late) = (rotation.ca, rotation.late)
                try late.stop()
                func refused(_ arguments: [String], _ reason: String) throws {
                    let run = try rotation.rotate(arguments)
                    try demandEqual(run.reason, reason, run.output)
                }
                try refused(["activate"], "no_rotation")
                try refused(["retire"], "no_rotation")
                try rotation.step(["prepare", "--ca-dir", rotation.certs, "--intermediate"])
                try refused(["prepare", "--ca-dir", rotation.certs], "rotation_under_way")
                try refused(["retire"], "no_retiring_root")
                for node in rotation.running { try node.waitDocument(.trust, version: 1) }
                try rotation.traffic()
                // One does not have the list, and is named.
                let early = try rotation.rotate(["activate"])
                try demandEqual(early.reason, "nodes_not_ready", early.output)
                try demand(early.output.contains("Late") && !early.output.contains("Node1"), early.output)
                try rotation.step(["activate", "--force"])
                try rotation.traffic()
                // A token that was made before the step.
                try demandEqual(try ca.join(rotation.earlyToken).status, 0)
                let premature = try rotation.rotate(["retire"])
                try demandEqual(premature.reason, "nodes_not_ready", premature.output)
                try Deadline.until("every node is below the next root", within: 60 * Deadline.slowness, every: 0.05) {
                    try rotation.traffic()
                    return try rotation.running.allSatisfy { try $0.metric("mesh_identity_root_active") == 1 }
                }
                for node in rotation.running where node !== ca {
                    try demand(
                        (try node.metric("mesh_identity_renewals_total{result=\"renewed\"}") ?? 0) >= 1, node.name)
                }
                let last = try rotation.rotate(["retire"])
                try demandEqual(last.reason, "nodes_not_ready", last.output)
                try demand(last.output.contains(": Late"), last.output)
                try rotation.step(["retire", "--force"])
                for node in rotation.running { try node.waitDocument(.trust, version: 3) }
                for _ in 0..<20 { try rotation.traffic() }
                for node in rotation.running {
                    try demandEqual(
                        node.count("link_lost") { $0["node"] != "Late" }, 0, "links that \(node.name) lost")
                    // Both ends of a link may want to move it at once; then one of the two gives way.
                    let failed = node.records.filter { record in
                        guard ["handshake_failed", "dial_failed", "move_failed"].contains(record.event),
                            record["node"] != "Late", let reason = record["reason"]
                        else { return false }
                        return CertificateReason(rawValue: reason) != nil
                            || ["identity_revoked", "link_denied", "policy_changed"].contains(reason)
                    }
                    try demand(failed.isEmpty, "handshakes that failed at \(node.name): \(failed)")
                    try demandEqual(node.count("identity_expired"), 0, node.name)
                    try demandEqual(try node.metric("mesh_trust_roots{state=\"retired\"}"), 1, node.name)
                }
                let status = try ca.mesh(["ca", "rotate", "status"])
                try demand(status.output.contains("retired") && status.output.contains("CN=E2E root 2"), status.output)
                // It knows the old root only, by its file and by its certificate.
                try late.launch()
                try late.waitReady()
                try late.waitDocument(.trust, version: 3)
                try Deadline.until("the late one is below the next root") {
                    try late.metric("mesh_identity_root_active") == 1
                }
                try rotation.directoryKnows("late")
                try Wire(rotation.lateUpstream).echo("it is back")
                try rotation.traffic()
                // With its old file, which no document has changed, and alone.
                try late.stop()
                try late.launch()
                try late.waitReady()
                try rotation.directoryKnows("late")
                try Wire(rotation.lateUpstream).echo("again")
                let document = try demandValue(
                    late.control.get("/v1/documents").json["documents"]?.array?.first?["kind"]?.string, "a document")
                try demandEqual(document, "trust")
                // New nodes join below it, also with a token from before.
                let joined = try ca.join(rotation.oldToken)
                try demandEqual(joined.status, 6, "the root of that token is retired: \(joined.output)")
                let token = mesh.directory + "/fresh"
                try ca.createToken(for: "Fresh", in: token)
                try demandEqual(try ca.join(token).status, 0)
            }
        }

        /// Lists that are forged, old, incomplete or too early are refused and change nothing. One that retires a root under live
        /// links ends them within a second, with the reason; the node below it gets documents, and nothing else.
        @Test func whatIsRefusedAndWhatEnds() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let operators = try TestOperator(mesh)
                let roots = try TestRoots(mesh)
                try pair.directory.take(operators.list)
                func refused(_ document: SignedDocument, _ status: Int, _ reason: String) throws {
                    let answer = try pair.server.offer(document)
                    try demandEqual(answer.status, status, answer.text)
                    try demandEqual(answer.reason, reason, answer.text)
                }
                let prepared = try roots.list(.active, .prepared)
                try refused(try roots.signedByAStranger(), 403, "root_not_vouched")
                let text = String(decoding: prepared.payload, as: UTF8.self)
                try refused(try operators.sign(.trust, 1, text), 403, "root_not_vouched")
                let entries = try JSONReader.parse(text)["roots"] ?? .null
                let bare = JSONValue.object(["roots": entries, "crossSigned": []]).text()
                try refused(
                    try operators.sign(.trust, 1, bare, by: roots.key(mesh.authority)), 422, "bad_document_content")
                try pair.server.take(try roots.sign(2, prepared, by: mesh.authority))
                for node in mesh.nodes { try node.waitDocument(.trust, version: 2) }
                try refused(try roots.sign(1, prepared, by: mesh.authority), 409, "older_document")
                try pair.server.take(try roots.sign(3, try roots.list(.retiring, .active), by: roots.next))
                for node in mesh.nodes { try node.waitDocument(.trust, version: 3) }
                // The server's own certificate, and the operators, are still below the old root.
                let retired = try roots.sign(4, try roots.list(.retired, .active), by: roots.next)
                try refused(retired, 409, "trust_lockout")
                for node in [pair.directory, pair.client] { try roots.issue(node) }
                for node in [pair.directory, pair.client] {
                    try Deadline.until("\(node.name) is below the next root") {
                        try node.metric("mesh_identity_root_active") == 1
                    }
                }
                try refused(retired, 409, "trust_lockout")
                let lockout = try pair.directory.offer(retired)
                try demandEqual(lockout.reason, "trust_lockout", "the operators' list: \(lockout.text)")
                try pair.directory.take(try operators.list(2, [("tester", operators.key)], by: roots.key(roots.next)))
                for node in mesh.nodes { try node.waitDocument(.operators, version: 2) }
                try Deadline.until("the links of those that have renewed are made with it") {
                    let nodes = try pair.directory.control.get("/v1/roots").json["nodes"]?.array ?? []
                    let client = nodes.first { $0["node"]?.string == "Client" }
                    return client?["rootKey"]?.string == roots.next.root.spkiSHA256
                }
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let start = Deadline.now
                try pair.directory.force(retired)
                try demandEqual(wire.receive(), .reset, "a stream to a node below the retired root")
                let took = Deadline.now - start
                print("root retired: the stream closed after \(Int(took * 1000)) ms")
                try demand(took < 1 * Deadline.slowness, "it took \(took) s")
                for node in [pair.directory, pair.client] {
                    try node.waitFor("link_lost") { $0["node"] == "Server" && $0["reason"] == "identity_revoked" }
                }
                try pair.server.waitDocument(.trust, version: 4)
                try pair.server.waitFor("own_root_retired")
                try Deadline.until("readiness says why") {
                    try pair.server.metrics.get("/readyz").text.contains("identity_root_retired")
                }
                // A policy that comes now reaches it, and nothing else does.
                try pair.directory.waitFor("link_for_documents") { $0["node"] == "Server" }
                try pair.directory.take(try operators.sign(.policy, 1, mesh.policy.text))
                try pair.server.waitDocument(.policy, version: 1, within: 60 * Deadline.slowness)
                try demandEqual(service.connections, 0, "connections of the service")
                // With another certificate it is back; and with its old files after a restart.
                try roots.issue(pair.server)
                try pair.server.waitReady()
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Deadline.until("the server carries streams") {
                    (try? Wire(pair.upstream).echo("after")) != nil
                }
                try pair.server.stop()
                try pair.server.launch()
                try pair.server.waitReady()
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Deadline.until("the server carries streams") {
                    (try? Wire(pair.upstream).echo("after a restart")) != nil
                }
                try demandEqual(try pair.server.documentVersion(.trust), 4)
                try pair.server.take(try operators.sign(.revocations, 1, "{\"revoked\":[]}"))
            }
        }

        /// A list under which a node's own certificates count no more cannot be applied by it, and is not overlooked: log,
        /// readiness and metrics say so, until it has others.
        @Test func aListThatCannotBeAppliedIsNoticed() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                let roots = try TestRoots(mesh)
                try mesh.start()
                try node.take(try roots.sign(1, roots.list(.active, .prepared), by: mesh.authority))
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"identity\"}"), 1)
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"edge\"}"), 1)
                try node.force(try roots.sign(2, roots.list(.retired, .active, isVouched: false), by: roots.next))
                try node.waitFor("roots_not_applied")
                try node.waitFor("own_root_retired")
                let ready = try node.metrics.get("/readyz").text
                try demand(ready.contains("identity_root_retired"), ready)
                try demandEqual(try node.metric("mesh_identity_root_active"), 0)
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"identity\"}"), 0)
                try roots.issue(node)
                try node.waitReady()
                try demandEqual(try node.metric("mesh_identity_root_active"), 1)
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"identity\"}"), 1)
            }
        }

        /// A node that was away for longer than the roots vouch for each other is told what to do, and that is what helps.
        @Test func tooLate() throws {
            try withMesh { mesh in
                let (ca, node) = try mesh.joinedNode(ttl: "4m")
                try node.stop()
                try SafeFile.write(Array("correct horse\n".utf8), to: mesh.directory + "/passphrase", mode: 0o600)
                let certs = mesh.directory + "/certs"
                try FileManager.default.createDirectory(atPath: certs, withIntermediateDirectories: true)
                try mesh.authority.write(
                    certificateFile: certs + "/ca.crt", keyFile: certs + "/ca.key",
                    passphrase: Passphrase("correct horse"))
                for arguments in [["prepare", "--ca-dir", certs, "--late-for", "6s"], ["activate"], ["retire"]] {
                    if arguments == ["retire"] {
                        try Deadline.until("the CA's node is below the next root", within: 240 * Deadline.slowness) {
                            try ca.metric("mesh_identity_root_active") == 1
                        }
                    }
                    let run = try ca.mesh(
                        ["ca", "rotate"] + arguments + ["--force", "--json", "--next", mesh.directory + "/next"]
                            + ["--passphrase-file", mesh.directory + "/passphrase"])
                    try demand([0, 5].contains(run.status), run.output)
                }
                try Deadline.until("the roots vouch for each other no more") {
                    let status = try ca.mesh(["ca", "rotate", "status", "--json"])
                    let roots = try JSONReader.parse(status.output)["roots"]?.array ?? []
                    let until = roots.first { $0["state"]?.string == "retired" }?["lateUntil"]?.string
                    return until.map { $0 < UTCTime.text(Int64(time(nil))) } ?? false
                }
                try node.launch()
                try node.waitFor("dial_failed") { ["unknown_ca", "untrusted_issuer"].contains($0["reason"] ?? "") }
                try demandEqual(try node.documentVersion(.trust), nil, "it has taken nothing from a stranger")
                try node.stop()
                try ca.createToken(for: "Node", in: node.tokenFile + ".new")
                try FileManager.default.removeItem(atPath: node.tokenFile)
                try FileManager.default.moveItem(atPath: node.tokenFile + ".new", toPath: node.tokenFile)
                try node.launch()
                try node.waitReady()
                try node.waitDocument(.trust, version: 3)
                try demandEqual(try node.metric("mesh_identity_root_active"), 1)
            }
        }
    }
}

/// Ten agents, with the CA in the directory's.
private final class RotatedMesh {
    let mesh: TestMesh
    let ca: TestNode
    let late: TestNode
    let others: [TestNode]
    let certs: String
    let oldToken: String
    let earlyToken: String
    let lateUpstream: String
    private let upstreams: [String]
    private var lasting: [Wire] = []

    var running: [TestNode] { [ca] + others }

    init(_ mesh: TestMesh) throws {
        self.mesh = mesh
        certs = mesh.directory + "/certs"
        oldToken = mesh.directory + "/old-token"
        earlyToken = mesh.directory + "/early-token"
        let (echo, lateEcho) = (try mesh.echo(), try mesh.echo())
        for number in 1...4 { mesh.policy.provide("echo", at: "Node\(number)") }
        mesh.policy.provide("late", at: "Late")
        mesh.policy.connect("node:**", to: "echo")
        mesh.policy.connect("node:**", to: "late")
        ca = try mesh.node("Directory", directory: true) { try $0.serveCA(ttl: "60s") }
        lateUpstream = ca.upstream("late", port: 8002)
        late = try mesh.node("Late") {
            $0.joinsByToken()
            $0.offer("late", lateEcho.address)
        }
        var upstreams = [ca.upstream("echo", port: 8001)]
        others = try (1...8).map { number in
            try mesh.node("Node\(number)") { node in
                node.joinsByToken()
                if number <= 4 {
                    node.offer("echo", echo.address)
                } else {
                    upstreams.append(node.upstream("echo", port: 8001))
                }
            }
        }
        self.upstreams = upstreams
        try FileManager.default.createDirectory(atPath: certs, withIntermediateDirectories: true)
        try mesh.authority.write(
            certificateFile: certs + "/ca.crt", keyFile: certs + "/ca.key", passphrase: Passphrase("correct horse"))
        try SafeFile.write(Array("correct horse\n".utf8), to: mesh.directory + "/passphrase", mode: 0o600)
        try ca.start()
        try ca.waitReady()
        let operators = try TestOperator(mesh)
        try ca.take(operators.list)
        try ca.take(try operators.sign(.policy, 1, mesh.policy.text))
        for node in [late] + others {
            try ca.createToken(for: node.name, in: node.tokenFile)
            try node.start()
        }
        try ca.createToken(for: "Fresh", in: oldToken)
        try ca.createToken(for: "Early", in: earlyToken)
        for node in [late] + others { try node.waitReady() }
        for node in running { try node.waitInstances(of: "echo", at: ["Node1", "Node2", "Node3", "Node4"]) }
        for upstream in upstreams { for _ in 0..<4 { lasting.append(try Wire(upstream)) } }
        try Wire(lateUpstream).echo("before")
        try traffic()
    }

    /// Every byte on connections that last, and on new ones.
    func traffic() throws {
        for wire in lasting { try wire.echo("through all of it") }
        for upstream in upstreams { try Wire(upstream).echo("anew") }
    }

    func rotate(_ arguments: [String]) throws -> CommandResult {
        try ca.mesh(
            ["ca", "rotate"] + arguments
                + ["--json", "--next", mesh.directory + "/next", "--passphrase-file", mesh.directory + "/passphrase"])
    }

    /// A step that has to succeed.
    func step(_ arguments: [String]) throws {
        let run = try rotate(arguments)
        try demandEqual(run.status, 0, run.output)
    }

    func directoryKnows(_ service: String) throws { try ca.waitInstances(of: service, at: ["Late"]) }
}
