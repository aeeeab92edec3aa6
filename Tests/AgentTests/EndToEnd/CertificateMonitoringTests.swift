import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What an agent says of certificates: `mesh certs`, metrics, log, alert rules.
    @Suite struct CertificateMonitoring {
        private static let rules = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
                "deploy/prometheus/alerts.yml")

        @Test func everyCertificateIsListed() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let alpha = try mesh.node("Alpha")
                // In the last quarter of its life.
                let now = Int64(time(nil))
                try alpha.issue(IssueRequest(node: "Alpha", validity: 360), now: now - 290)
                try mesh.start()
                try directory.waitLinked(to: alpha)
                let (status, output) = try runProgram([
                    TestMesh.binaries + "/mesh", "--control", directory.controlPath, "certs", "--json",
                ])
                try demandEqual(status, 7, output)
                let listed = try JSONReader.parse(output)["certificates"]?.array ?? []
                try demandEqual(listed.map { $0["use"]?.string ?? "" }, ["peer", "identity", "trust"])
                try demandEqual(listed[0]["name"]?.string, "Alpha")
                try demandEqual(listed[0]["expiringSoon"]?.bool, true)
                try demandEqual(listed[1]["expiringSoon"]?.bool, false)
                let said = try alpha.waitFor("certificate_expiring")
                try demandEqual(said["use"], "identity")

                let text = try directory.metrics.get("/metrics").text
                let leaf = try Certificate.load(file: alpha.directory + "/node.crt")[0]
                let labels = "{use=\"peer\",name=\"Alpha\",serial=\"\(leaf.serialHex)\"}"
                try demand(text.contains("mesh_certificate_expiry_timestamp_seconds\(labels) \(leaf.notAfter)\n"), text)
                try demand(text.contains("mesh_certificate_expiring\(labels) 1\n"), text)
                try demand(text.contains("mesh_certificates_validated_total{result=\"ok\"} 1\n"), text)
                try demand(
                    text.contains("mesh_handshakes_total{version=\"TLSv1.3\",suite=\"TLS_AES_128_GCM_SHA256\"} 1\n"),
                    text)
                // The rules are well formed, and speak of nothing that is not there.
                let (checked, words) = try runProgram(["promtool", "check", "rules", Self.rules.path])
                try demandEqual(checked, 0, words)
                let rules = try String(contentsOf: Self.rules, encoding: .utf8)
                let names = Set(rules.matches(of: /mesh_[a-z_]+/).map { String($0.output) })
                try demand(names.count >= 6, "metrics in the rules: \(names)")
                for name in names where name != "mesh_edge_pin_checks_total" {
                    try demand(text.contains("# TYPE \(name) "), "\(name) is in a rule and not in /metrics")
                }
            }
        }
    }
}
