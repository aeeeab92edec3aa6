import Documents
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Which events get into the audit log, and as whose.
    @Suite struct AuditEvents {
        /// The edge: who comes with a bad certificate, who is denied, and that a service's own 403 is no denial of the mesh.
        @Test func whatTheEdgeRefuses() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh,
                    listener: ["clientCertificates": ["mode": "optional", "ca": [.string(mesh.authorityFile)]]])
                let expired = try mesh.authority.issueCredentials(
                    IssueRequest(node: "laptop", validity: 1), now: Int64(time(nil)) - 10)
                _ = try? edge.connect(credentials: expired).answer()
                try edge.edge.waitAudited("edge_handshake_failed", ["reason": "expired"])
                try demandEqual(try edge.request("GET", "/head", token: "no.token.at-all").status, 401)
                try edge.edge.waitAudited("edge_authentication_failed")
                try demandEqual(try edge.request("GET", "/forbidden", token: edge.token()).status, 403)
                try demandEqual(try edge.request("GET", "/head", token: edge.token("bob")).status, 403)
                let denied = try edge.edge.waitAudited("access_denied")
                try demand(denied["fields"]?["principal"]?.string?.hasSuffix("/bob") == true, "\(denied)")
                let all = try edge.edge.auditRecords(["--event", "access_denied"])
                try demandEqual(all.count, 1, "a service's own answer: \(all)")
            }
        }

        /// A WebSocket that a page of another site asks for.
        private static let foreignPage = [
            ("Origin", "https://evil.test"), ("Connection", "Upgrade"), ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ]

        /// A full disk, and a node that closes then: whoever has proven nothing cannot make it close, whatever he asks for.
        @Test func strangersAtTheEdgeSwitchNothingOff() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let edge = try EdgeMesh(
                    mesh, routes: [["path": "/open", "service": "web", "require": "none"]]
                ) { node in
                    node.set("audit.onFailure", "closed")
                    node.hasSmallAuditDisk()
                }
                let filler = try edge.edge.fillAuditDisk()
                let isFull = { try edge.edge.metric("mesh_audit_failing") == 1 }
                var asked = 0
                while try !isFull(), asked < 30 {
                    asked += 1
                    let answer = try edge.request("GET", "/open/ws", headers: Self.foreignPage)
                    try demandEqual(answer.reason, "origin_not_allowed", answer.text)
                }
                try edge.edge.waitFor("audit_not_written")
                try demandEqual(try edge.request("GET", "/head", token: edge.token()).status, 200)
                try demand(edge.edge.isReady, "strangers have switched the node off")
                try demandEqual(try edge.request("GET", "/head", token: edge.token("bob")).status, 403)
                try Deadline.until("somebody known closes it") { !edge.edge.isReady }
                try FileManager.default.removeItem(atPath: filler)
                try edge.edge.waitReady()
                try edge.edge.waitAudited("access_denied", ["reason": "origin_not_allowed"])
            }
        }

        /// The same one node further: what the edge opens for whom nobody asked is no switch of the node that refuses it.
        @Test func strangersBehindTheEdgeSwitchNothingOff() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh, routes: [["path": "/open", "service": "web", "require": "none"]])
                let server = edge.server
                try server.stop()
                server.set("audit.onFailure", "closed")
                server.hasSmallAuditDisk()
                // Only here: the edge's node goes on believing that they may.
                let alice = "jwt:\(EdgeMesh.issuerName)/alice"
                for name in ["node:Edge", alice] { server.policy.revoke(name, to: "web") }
                try server.start()
                try server.waitReady()
                try edge.edge.waitInstances(of: "web", at: ["Server"])
                let filler = try server.fillAuditDisk()
                var asked = 0
                while try server.metric("mesh_audit_failing") != 1, asked < 40 {
                    asked += 1
                    try demand(try edge.request("GET", "/open/x").status != 200, "it is refused")
                }
                try server.waitFor("audit_not_written")
                try demand(server.isReady, "strangers have switched the node off")
                try demand(try edge.request("GET", "/head", token: edge.token()).status != 200, "alice is refused")
                try Deadline.until("somebody known closes it") { !server.isReady }
                try FileManager.default.removeItem(atPath: filler)
                try server.waitReady()
                let known = try server.waitAudited("stream_denied", ["as": alice])
                try demandEqual(known["fields"]?["stranger"], nil, "\(known)")
                let strangers = try server.waitAudited("stream_denied", ["as": ""])
                try demandEqual(strangers["fields"]?["stranger"]?.bool, true, "\(strangers)")
            }
        }

        /// What whoever asks makes as long as he likes is cut, and the record says so; the rest of it stays.
        @Test func whatPeersSayHasABound() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let path = "/" + String(repeating: "x", count: 6000)
                try demandEqual(try edge.request("GET", path, token: edge.token("bob")).status, 403)
                let record = try edge.edge.waitAudited("access_denied", ["reason": "unmapped_identity"])
                let fields = record["fields"] ?? .null
                try demand(fields["path"]?.string?.hasSuffix("… (6001 bytes)") == true, "\(fields)")
                try demand(fields["cut"]?.array?.contains("path") == true, "\(fields)")
                try demandEqual(fields["method"]?.string, "GET")
                try demand(record.text().utf8.count < 4096, "\(record.text().utf8.count) bytes")
            }
        }

        /// The same disk under a node that goes on: nothing is refused, and what waited is there afterwards.
        @Test func anOpenNodeGoesOn() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { $0.hasSmallAuditDisk() }
                try mesh.start()
                let filler = try node.fillAuditDisk()
                var reloads = 0
                try Deadline.until("nothing fits any more") {
                    reloads += 1
                    try demandEqual(try node.reload().status, 200)
                    return try node.metric("mesh_audit_failing") == 1
                }
                try node.waitFor("audit_not_written")
                for _ in 0..<20 { try demandEqual(try node.reload().status, 200, "known events close nothing here") }
                try demand(node.isReady, "it goes on")
                try FileManager.default.removeItem(atPath: filler)
                try node.waitFor("audit_written_again")
                try Deadline.until("all that waited is there") {
                    // The agent may have reloaded on its own besides, when it saw its files being made.
                    try node.auditRecords(["--event", "reloaded"]).count {
                        $0["fields"]?["by"]?.string?.hasPrefix("uid:") == true
                    } == reloads + 20
                }
                try demandEqual(try node.metric("mesh_audit_lost_total"), 0)
            }
        }

        /// Links: a pin that does not fit, a revocation that ends a link, and what the revoked one is told.
        @Test func whatEndsALink() throws {
            try withMesh { mesh in
                let operators = try TestOperator(mesh)
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                let beta = try mesh.node("Beta")
                let text = try String(contentsOfFile: alpha.directory + "/node.crt", encoding: .utf8)
                let wrong = CertificatePin(of: try Certificate.parsePEM(Array(text.utf8))[0].publicKey).description
                beta.set("tls.pins", [["node": "Directory", "pins": [.string(wrong)]]])
                for node in [directory, alpha, beta] { try node.start() }
                for node in [directory, alpha] { try node.waitReady() }
                try beta.waitFor("dial_failed")
                try beta.waitAudited("dial_failed", ["node": "Directory", "reason": "pin_mismatch"])
                try directory.take(operators.list)
                try directory.take(
                    try operators.revocations(1, [.node("Alpha", validBefore: Int64(time(nil)) + 1)]))
                let taken = try directory.waitAudited("document_taken", ["kind": "revocations"])
                try demand(taken["fields"]?["added"]?.string?.hasPrefix("node:Alpha (") == true, "\(taken)")
                let first = try directory.waitAudited("document_taken", ["kind": "operators"])
                try demand(first["fields"]?["added"]?.string?.isEmpty == false, "\(first)")
                let ended = try directory.waitAudited("identity_revoked", ["node": "Alpha", "reason": "revoked"])
                try demandEqual(ended["category"]?.string, "authentication")
                try alpha.waitAudited("dial_failed", ["node": "Directory", "reason": "identity_revoked"])
                let leaf = try demandValue(
                    Certificate.load(file: alpha.directory + "/node.crt").first, "Alpha's certificate")
                try directory.waitAudited(
                    "handshake_failed", ["node": "Alpha", "reason": "identity_revoked", "serial": leaf.serialHex])
            }
        }
    }
}
