import Foundation
import JOSE
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Files that change at a bad moment.
    @Suite struct ChangedFiles {
        /// While another process takes over nothing may change. Where it fails, what has changed meanwhile counts.
        @Test func whatChangesDuringATakeoverThatFails() throws {
            try withMesh { mesh in
                let lists = try CRLMaker(mesh)
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let other = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files)
                let ca = mesh.directory + "/target-ca.crt"
                try String(contentsOfFile: files.authority, encoding: .utf8).write(
                    toFile: ca, atomically: true, encoding: .utf8)
                mesh.policy.provide("echo", at: "Directory")
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(lists.file)])
                    node.services = [
                        [
                            "name": "echo", "target": .string("tls://127.0.0.1:\(server.port)"),
                            "tls": ["ca": .string(ca)], "check": ["kind": "none"],
                        ]
                    ]
                }
                let beta = try mesh.node("Beta")
                try mesh.start()
                try node.waitLinked(to: beta)

                let wire = try Wire("unix:" + node.takeoverPath)
                try wire.send(Takeovers.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
                try demandEqual(try Takeovers.type(of: wire), "offer")
                try wire.send(Takeovers.message(#"{"type":"freeze","descriptors":0}"#))
                try node.waitFor("takeover_started")
                try lists.revoke(beta.directory + "/node.crt")
                try lists.publish()
                try String(contentsOfFile: other.authority, encoding: .utf8).write(
                    toFile: ca, atomically: true, encoding: .utf8)
                func certificate() throws -> String? {
                    try node.control.get("/v1/agent").json["identity"]?["fingerprint"]?.string
                }
                let before = try certificate()
                try node.issue(IssueRequest(node: "Directory"))
                // Time enough for it to be looked at, and to be forgotten.
                let start = Deadline.now
                try Deadline.until("it was looked at") { Deadline.now > start + 1.5 }
                try demandEqual(node.count("identity_revoked"), 0, "something has changed in between")
                try demandEqual(node.count("target_certificates_applied"), 0, "something has changed in between")
                try demandEqual(try certificate(), before, "something has changed in between")
                wire.close()
                try node.waitFor("takeover_failed")
                try node.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                // By the look of its own, or by the reload for the list, which reads the targets' files as well.
                try Deadline.until("the target's CA was read again") {
                    node.count("target_certificates_applied") + node.count("reloaded") > 0
                }
                try Deadline.until("its own certificate was read again") { try certificate() != before }
            }
        }

        /// The CA answers a node whose files another process has by now: that one asks with the same key. Where it fails, the node
        /// asks again.
        @Test(.enabled(if: getuid() == 0)) func theCAAnswersDuringATakeoverThatFails() throws {
            try withMesh { mesh in
                let (ca, node) = try mesh.joinedNode(ttl: "\(Deadline.lifetime(8))s")
                let (file, pending) = (node.identityDirectory + "/node.crt", node.identityDirectory + "/node.key.next")
                let answers = ca.count("certificate_issued") { $0["node"] == "Node" }
                let changes = node.count("identity_changed")
                let thread = try HeldThread("ca", of: try ca.running())
                try Deadline.until("the node asks") { FileManager.default.fileExists(atPath: pending) }
                let (certificate, key) = try (
                    String(contentsOfFile: file, encoding: .utf8), String(contentsOfFile: pending, encoding: .utf8)
                )
                let wire = try Wire("unix:" + node.takeoverPath)
                try wire.send(Takeovers.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
                try demandEqual(try Takeovers.type(of: wire), "offer")
                try wire.send(Takeovers.message(#"{"type":"freeze","descriptors":0}"#))
                try node.waitFor("takeover_started")
                try thread.release()
                try ca.waitFor("certificate_issued", skipping: answers) { $0["node"] == "Node" }
                // Time enough for the answer to come, and to be written.
                let start = Deadline.now
                try Deadline.until("the answer was there") { Deadline.now > start + 0.5 }
                try demandEqual(try String(contentsOfFile: file, encoding: .utf8), certificate, "the certificate")
                try demandEqual(try String(contentsOfFile: pending, encoding: .utf8), key, "the key that waits")
                try demandEqual(node.count("identity_changed"), changes, "identity_changed")
                wire.close()
                try node.waitFor("takeover_failed")
                try node.waitFor("identity_changed", skipping: changes) { $0["by"] == "renewal" }
                try demandEqual(
                    try String(contentsOfFile: node.identityDirectory + "/node.key", encoding: .utf8), key,
                    "the key that waited is the one in use")
            }
        }

        /// A token is revoked in the same moment in which somebody breaks the policy's file: both are seen in one look.
        @Test(.enabled(if: getuid() == 0)) func aTokenIsRevokedBesideABrokenPolicy() throws {
            try withMesh { mesh in
                let file = mesh.directory + "/revocations.json"
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.revocations", .string(file)) }
                let socket = try edge.connect()
                _ = try socket.upgrade("/ws", headers: [("Authorization", "Bearer \(try edge.token())")])
                var list = RevocationList()
                try list.add(
                    Revocation(
                        .subject("alice", issuer: EdgeMesh.issuerName, issuedBefore: nil),
                        revokedAt: Int64(time(nil))),
                    at: Int64(time(nil)))
                let thread = try HeldThread("control", of: try edge.edge.running())
                try "no policy".write(toFile: edge.edge.policyFile, atomically: true, encoding: .utf8)
                try Data(list.text).write(to: URL(fileURLWithPath: file))
                try thread.release()
                try edge.edge.waitFor("reload_failed")
                try demandEqual(try socket.closeFrame().code, 4401, "close")
                let refused = try edge.request("GET", "/", token: edge.token())
                try demandEqual(refused.status, 401, refused.text)
            }
        }
    }
}
