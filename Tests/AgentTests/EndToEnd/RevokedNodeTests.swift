import Agent
import Documents
import Enrolment
import EventLoop
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What a node learns of its own revocation, and its way back: nobody but the mesh tells it.
    @Suite struct RevokedNode {
        /// A CA that serves the directory, and a node that has joined.
        private struct Joined {
            let operators: TestOperator
            let ca: TestNode
            let node: TestNode
            let leaf: Certificate

            init(
                _ mesh: TestMesh, ttl: String = "1h", configure: (TestNode) throws -> Void = { _ in }
            ) throws {
                operators = try TestOperator(mesh)
                ca = try mesh.node("Directory", directory: true) { try $0.serveCA(ttl: ttl) }
                node = try mesh.node("Node") {
                    $0.joinsByToken()
                    try configure($0)
                }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try node.waitLinked(to: ca)
                leaf = try Self.certificate(node)
                try ca.take(operators.list)
            }

            static func certificate(_ node: TestNode) throws -> Certificate {
                try demandValue(
                    Certificate.load(file: node.identityDirectory + "/node.crt").first, "the node's certificate")
            }

            /// Revokes what the node has, and nothing later; or what it gets in so many seconds from now, too.
            func revoke(version: UInt64 = 1, andNext seconds: Int64? = nil) throws {
                // Certificates begin 300 s before they are made.
                let end = seconds.map { Int64(time(nil)) - 300 + $0 } ?? leaf.notBefore + 1
                let target = RevocationEntry.Target.node("Node", validBefore: end)
                try ca.take(try operators.revocations(version, [target]))
            }

            /// The same while it is linked, until it has acknowledged that: a slow host may take longer than it is waited for, and then the
            /// revocation is taken back and tried again.
            func revokeLinked() throws {
                for round in 0..<8 {
                    try revoke(version: UInt64(round * 2 + 1))
                    let told = try ca.waitFor("unlinked_node_told", skipping: round) { $0["node"] == "Node" }
                    try ca.waitFor("link_lost", skipping: round) {
                        $0["node"] == "Node" && $0["reason"] == "identity_revoked"
                    }
                    if told.value["acknowledged"]?.bool == true { return }
                    try ca.take(try operators.revocations(UInt64(round * 2 + 2), []))
                    try node.waitLinked(to: ca)
                }
                throw Failure("the node never has the document in time")
            }

            /// Its readiness says why it is of no use.
            func waitRevoked(by who: String) throws {
                let identity = try Deadline.wait("the node says that it is revoked") {
                    let identity = try node.control.get("/v1/agent").json["identity"]
                    return identity?["revoked"]?["by"]?.string == who ? identity : nil
                }
                try demand(identity["revoked"]?["reason"]?.string?.contains("stolen in a test") == true, "\(identity)")
                let ready = try node.metrics.get("/readyz")
                try demand(ready.status == 503 && ready.text.contains("identity_revoked"), ready.text)
                try demandEqual(try node.metric("mesh_identity_revoked"), 1)
            }

            /// A fresh token lies where the agent looks, and the node is back with another certificate.
            func comesBack(_ start: () throws -> Void = {}) throws {
                // What begins before the time of the revocation is covered by it; certificates count whole seconds.
                try Deadline.until("a certificate begins later") { time(nil) > leaf.notBefore + 302 }
                try ca.createToken(for: "Node", in: node.tokenFile)
                try start()
                // Ready first: what joins at its start has no control socket yet.
                try node.waitReady()
                try node.waitFor("joined")
                try node.waitLinked(to: ca)
                try demandEqual(try node.metric("mesh_identity_revoked"), 0)
                let next = try Self.certificate(node)
                try demand(next.fingerprintSHA256 != leaf.fingerprintSHA256, "another certificate")
                try Deadline.until("its renewal is not refused any more") {
                    try node.control.get("/v1/agent").json["identity"]?["revoked"] == nil
                }
            }
        }

        /// Revoked while it is linked: the document comes over the link before that ends, and the token at the next start helps.
        @Test func revokedWhileLinked() throws {
            try withMesh { mesh in
                let joined = try Joined(mesh)
                let node = joined.node
                try joined.revokeLinked()
                try node.waitFor("own_identity_revoked")
                try joined.waitRevoked(by: "documents")
                // The token that it has was used, by itself.
                func demandUsed(_ detail: String, _ way: String) throws {
                    let failed = try node.waitFor("rejoin_failed") { $0["hint"]?.contains(way) == true }
                    try demand(failed["detail"]?.contains(detail) == true, "\(failed.value)")
                    try demand(failed["detail"]?.contains("token_used") == true, "\(failed.value)")
                    try demand(failed["hint"]?.contains("mesh ca token create --node Node") == true, "\(failed.value)")
                }
                let here = "put it into \(node.tokenFile): the agent tries it within seconds"
                func refusals() -> Int {
                    joined.ca.count("enrolment_refused") { $0["reason"] == "token_used" }
                }
                try demandUsed("is the one by which this node has joined", here)
                try node.stop()
                // With it, it starts all the same, and says so.
                try node.launch()
                try demandUsed("is the one by which this node has joined", "and start again")
                try demandUsed("is the one by which this node has joined", here)
                try node.stop()
                try demandEqual(refusals(), 0, "the CA was asked with it")
                // An agent that was older when it joined does not know, and asks.
                let memory = node.identityDirectory + "/node.crt.ca.json"
                var known = try JSONReader.parse(SafeFile.read(memory)).requireObject()
                try demand(known["token"]?.string != nil, "\(known)")
                known["token"] = nil
                try SafeFile.write(JSONValue.object(known).serialized(), to: memory, mode: 0o644)
                try node.launch()
                try demandUsed("by this node when it joined unless", here)
                try node.stop()
                try demand(refusals() > 0, "the CA was not asked")
                try joined.comesBack { try node.launch() }
            }
        }

        /// The same, and the token helps the running agent.
        @Test func backWithoutARestart() throws {
            try withMesh { mesh in
                let joined = try Joined(mesh)
                try joined.revokeLinked()
                try joined.waitRevoked(by: "documents")
                try joined.comesBack()
                try joined.node.waitFor("identity_changed") { $0["by"] == "token" }
            }
        }

        /// A token that comes while the revocation covers what the CA would issue is refused, and is tried again.
        @Test func aTokenThatComesTooEarly() throws {
            try withMesh { mesh in
                let joined = try Joined(mesh)
                let node = joined.node
                try joined.revoke(andNext: Deadline.lifetime(10))
                try node.waitFor("rejoin_failed")
                try joined.ca.createToken(for: "Node", in: node.tokenFile)
                try node.waitFor("rejoin_failed") { $0.value["again"]?.bool == true }
                try node.waitFor("identity_changed", within: 2 * Deadline.patience) { $0["by"] == "token" }
                try node.waitReady()
                try node.waitLinked(to: joined.ca)
            }
        }

        /// Who makes a token that the node cannot use yet, or never can, hears it then, and not from the node later.
        @Test func aTokenForARevokedNode() throws {
            try withMesh { mesh in
                let joined = try Joined(mesh)
                func create(_ node: String, _ more: [String] = []) throws -> CommandResult {
                    let made = try joined.ca.mesh(["ca", "token", "create", "--node", node] + more)
                    try demandEqual(made.status, 0, made.output)
                    return made
                }
                try joined.revoke(andNext: 3600)
                try demand(!(try create("Other").output.contains("revoked")), "another node")
                let short = try create("Node").output
                for words in [
                    "Node is revoked, and cannot join before ",
                    "; this token ends before: mesh revoke Node --undo, or ",
                ] {
                    try demand(short.contains(words), "\(words): \(short)")
                }
                // What is proposed is long enough.
                let proposed = try demandValue(short.split(separator: "--ttl ").last?.prefix { $0 != "\n" }, short)
                let long = try create("Node", ["--ttl", String(proposed)]).output
                try demand(long.contains("Node is revoked, and cannot join before "), long)
                try demand(!long.contains("ends before"), long)
                let value = try JSONReader.parse(try create("Node", ["--ttl", "2h", "--json"]).output)
                try demand(value["joinsFrom"]?.string != nil, value.text())
                // What was revoked is in the past by now: the CA issues at once.
                try joined.revoke(version: 2)
                try Deadline.until("nothing is in the way") { try !create("Node").output.contains("revoked") }
            }
        }

        /// Revoked while it was away: it has no document that says so, and nobody gives it one. What its peer says counts, for as
        /// long as nobody links with it, and takes nothing away.
        @Test func revokedWhileAway() throws {
            try withMesh { mesh in
                let joined = try Joined(mesh)
                let (ca, node) = (joined.ca, joined.node)
                try node.stop()
                try joined.revoke()
                try node.launch()
                let said = try node.waitFor("identity_said_revoked")
                try demandEqual(said["by"], "Directory")
                try joined.waitRevoked(by: "Directory")
                try demandEqual(try node.documentVersion(.revocations), nil, "it got the document")
                try demandEqual(try Joined.certificate(node).fingerprintSHA256, joined.leaf.fingerprintSHA256)
                // Those who refuse it know who came.
                let refused = try ca.waitAudited(
                    "handshake_failed",
                    ["node": "Node", "reason": "identity_revoked", "serial": joined.leaf.serialHex])
                try demand(refused["fields"]?["detail"]?.string?.contains("stolen in a test") == true, "\(refused)")
                try joined.comesBack()
            }
        }

        /// A token whose CA does not answer: as long as that lasts the renewal that is due sleeps, and when it is over it is asked for.
        @Test func aTokenWithoutAnAnswer() throws {
            try withMesh { mesh in
                // Renewal is due some seconds after the certificate was issued, well within the time for one answer, and nothing else
                // wakes it in the first minute.
                let joined = try Joined(mesh, ttl: "100s") { $0.set("identity.renew.caAbsence", "94s") }
                let (ca, node) = (joined.ca, joined.node)
                let silent = try ListeningSocket(host: "\(mesh.network).250")
                let token = try JoinToken(
                    address: silent.address, fingerprint: mesh.authority.root.fingerprintSHA256, node: "Node")
                try SafeFile.write(token.text(), to: node.tokenFile, mode: 0o600)
                try ca.take(
                    try joined.operators.revocations(1, [.node("Node", validBefore: Int64(time(nil)) + 3_600)]))
                let attempt = try silent.accept()
                let due = try demandValue(
                    try node.control.get("/v1/agent").json["identity"]?["renewal"]?.string, "time of the renewal")
                try Deadline.until("the renewal is due") {
                    Timestamp.rfc3339(milliseconds: Clock.unixMilliseconds()) > due
                }
                let thread = try #require(try node.running().thread(named: "control"))
                var looks = 0
                try Deadline.until("the control plane sleeps", within: 5 * Deadline.slowness) {
                    looks = try node.running().isAsleep(thread) ? looks + 1 : 0
                    return looks == 20
                }
                try demandEqual(node.count("rejoin_failed"), 0, "attempts that are over")
                let refused = node.count("renewal_failed")
                silent.close()
                attempt.abort()
                try node.waitFor("rejoin_failed")
                try node.waitFor("renewal_failed", skipping: refused, within: 10 * Deadline.slowness) {
                    $0["reason"] == "revoked"
                }
            }
        }

        /// Taken off the list: what the CA refused meanwhile is asked for again soon, not after the pause for refusals.
        @Test func undoneInTime() throws {
            try withMesh { mesh in
                // Renewal is due some seconds after the certificate was issued, and a refused one is repeated after 77 s at least.
                let joined = try Joined(mesh, ttl: "2800s") { $0.set("identity.renew.caAbsence", "2790s") }
                let (ca, node) = (joined.ca, joined.node)
                try ca.take(
                    try joined.operators.revocations(1, [.node("Node", validBefore: Int64(time(nil)) + 3_600)]))
                let failed = try node.waitFor("renewal_failed", within: 120 * Deadline.slowness) {
                    $0["reason"] == "revoked"
                }
                try demand((failed.value["nextAttemptMilliseconds"]?.integer ?? 0) > 70_000, "\(failed.value)")
                try Deadline.until("it is not ready") {
                    try node.metrics.get("/readyz").text.contains("identity_revoked")
                }
                let changes = node.count("identity_changed")
                try ca.take(try joined.operators.revocations(2, []))
                try node.waitLinked(to: ca)
                try node.waitFor("identity_changed", skipping: changes) { $0["by"] == "renewal" }
                try node.waitReady()
            }
        }
    }
}
