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
