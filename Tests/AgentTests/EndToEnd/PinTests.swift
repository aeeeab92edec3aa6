import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Pins {
        private func pin(of node: TestNode) throws -> JSONValue {
            let text = try String(contentsOfFile: node.directory + "/node.crt", encoding: .utf8)
            return .string(CertificatePin(of: try Certificate.parsePEM(Array(text.utf8))[0].publicKey).description)
        }

        /// A stolen name: Beta's certificate is replaced by another one of the same CA for the same name. Who has pinned
        /// Beta notices, refuses or reports as configured, and says so in log, metrics and `mesh links`.
        @Test func changedKeyIsNoticed() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                let beta = try mesh.node("Beta")
                let good = try pin(of: beta)
                alpha.peer(beta)
                alpha.set("tls.pins", [["node": "Beta", "pins": [good]]])
                directory.set("tls.pins", [["node": "Beta", "pins": [good], "mode": "report"]])
                try mesh.start()
                try alpha.waitLinked(to: beta)
                try demandEqual(try alpha.link(to: beta)?["pins"]?.string, "matched")
                try demandEqual(try alpha.metric("mesh_pin_checks_total{result=\"matched\"}"), 1)

                beta.kill()
                try beta.issue(IssueRequest(node: "Beta"))
                try beta.start()
                let refused = try alpha.waitFor("dial_failed") { $0["reason"] == "pin_mismatch" }
                try demand(refused["hint"]?.contains("mesh cert pin") == true, "the hint says what to do")
                try Deadline.until("mesh links says why") {
                    try alpha.link(to: beta)?["reason"]?.string == "pin_mismatch"
                }
                try demand(try alpha.metric("mesh_pin_checks_total{result=\"refused\"}") ?? 0 >= 1, "it is counted")
                // The directory's node only reports.
                try beta.waitReady()
                let reported = try directory.waitFor("pin_mismatch")
                try demandEqual(reported["node"], "Beta")
                try demandEqual(try directory.link(to: beta)?["state"]?.string, "established")
                try demandEqual(try directory.link(to: beta)?["reason"]?.string, "pin_mismatch")
                // With the new pin beside the old one the link comes up again, without a restart.
                alpha.set("tls.pins", [["node": "Beta", "pins": [good, try pin(of: beta)]]])
                try demandEqual(try alpha.reload().status, 200)
                try alpha.waitLinked(to: beta)
            }
        }

        /// Pins that come with a reload concern the links that are up as well.
        @Test func pinsByReload() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                let wrong = try pin(of: alpha)
                func pins(_ mode: JSONValue) -> JSONValue { [["node": "Directory", "pins": [wrong], "mode": mode]] }
                // Reported: the link stays, and everybody who looks sees it.
                alpha.set("tls.pins", pins("report"))
                try demandEqual(try alpha.reload().status, 200)
                try alpha.waitFor("pin_mismatch") { $0["node"] == "Directory" }
                try Deadline.until("mesh links says so") {
                    let link = try alpha.link(to: directory)
                    return link?["pins"]?.string == "mismatch" && link?["reason"]?.string == "pin_mismatch"
                }
                try demandEqual(alpha.count("link_lost"), 0)
                // Enforced: it ends, and does not come back.
                alpha.set("tls.pins", pins("enforce"))
                try demandEqual(try alpha.reload().status, 200)
                try alpha.waitFor("link_lost") { $0["node"] == "Directory" && $0["detail"] == "pin_mismatch" }
                try alpha.waitFor("dial_failed") { $0["reason"] == "pin_mismatch" }
                try demandEqual(try alpha.isLinked(to: directory), false)
                // Right again: it comes back without a restart.
                alpha.set("tls.pins", [["node": "Directory", "pins": [try pin(of: directory)]]])
                try demandEqual(try alpha.reload().status, 200)
                try alpha.waitLinked(to: directory)
                try demandEqual(try alpha.link(to: directory)?["pins"]?.string, "matched")
            }
        }

        /// Pins that change while a link is made: its certificate was good when TLS asked, and is not when HELLO comes.
        @Test func pinsThatChangeBeforeHello() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                var refusal = ""
                do {
                    _ = try LinkEnd(
                        mesh, as: "Ghost", to: directory,
                        beforeHello: {
                            directory.set("tls.pins", [["node": "Ghost", "pins": [try pin(of: directory)]]])
                            try demandEqual(try directory.reload().status, 200)
                        })
                } catch {
                    refusal = "\(error)"
                }
                try demand(
                    refusal.contains("link_denied") && refusal.contains("pin_mismatch"), "it was told: \(refusal)")
                try directory.waitFor("handshake_failed") { $0["reason"] == "pin_mismatch" && $0["node"] == "" }
                try demandEqual(try directory.metric(#"mesh_handshake_failures_total{reason="pin_mismatch"}"#), 1)
                try demandEqual(directory.count("identity_revoked"), 0, "a changed pin is taken for a revocation")
            }
        }

        /// A session that waits for its next link ends with the pins, and says that it was they.
        @Test func pinsReachParkedSessions() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                try mesh.start()
                try LinkEnd(mesh, as: "Ghost", to: directory).abort()
                try directory.waitFor("link_lost") { $0["node"] == "Ghost" && $0.value["parked"]?.bool == true }
                directory.set("tls.pins", [["node": "Ghost", "pins": [try pin(of: directory)]]])
                try demandEqual(try directory.reload().status, 200)
                let ended = try directory.waitFor("session_ended") { $0["node"] == "Ghost" }
                try demandEqual(ended["reason"], "pin_mismatch")
                try directory.waitAudited("pin_mismatch", ["node": "Ghost", "reason": "pin_mismatch"])
                try demandEqual(directory.count("identity_revoked"), 0, "a changed pin is taken for a revocation")
                try demandEqual(try directory.metric(#"mesh_link_resumptions_total{outcome="pin_mismatch"}"#), 1)
                try demandEqual(try directory.metric(#"mesh_link_resumptions_total{outcome="revoked"}"#) ?? 0, 0)
                try demandEqual(try directory.metric(#"mesh_pin_checks_total{result="refused"}"#), 1)
            }
        }

        /// A link that was wanted once and could not be made is not forgotten at once.
        @Test func aFailedLinkIsShown() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                mesh.policy.provide("echo", at: "Beta")
                mesh.policy.connect("node:Alpha", to: "echo")
                let _ = try mesh.node("Directory", directory: true)
                var upstream = ""
                let alpha = try mesh.node("Alpha") { upstream = $0.upstream("echo", port: 8001) }
                let beta = try mesh.node("Beta") { $0.offer("echo", service.address) }
                alpha.set("tls.pins", [["node": "Beta", "pins": [try pin(of: alpha)]]])
                try mesh.start()
                try alpha.waitInstances(of: "echo", at: ["Beta"])
                _ = try Wire(upstream).receive()
                let link = try Deadline.wait("mesh links says that it failed") {
                    let link = try alpha.link(to: beta)
                    return link?["state"]?.string == "failed" ? link : nil
                }
                try demandEqual(link["reason"]?.string, "pin_mismatch")
                try demand(link["hint"]?.string?.contains("mesh cert pin") == true, "\(link)")
            }
        }

        /// Pins without a node are those of the listener: only keys that are named get in.
        @Test func pinsOfTheListener() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                let beta = try mesh.node("Beta")
                directory.set("tls.pins", [["pins": [try pin(of: alpha)]]])
                try directory.start()
                try directory.waitReady()
                try alpha.start()
                try beta.start()
                try alpha.waitReady()
                let refused = try directory.waitFor("handshake_failed") { $0["reason"] == "pin_mismatch" }
                try demand(refused["detail"]?.contains("Beta") == true, "it says whose certificate")
                try demandEqual(try directory.isLinked(to: alpha), true)
                try demandEqual(try directory.isLinked(to: beta), false)
            }
        }
    }
}
