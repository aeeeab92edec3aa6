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

                let text = try directory.exposition()
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
                for name in names where !name.hasPrefix("mesh_edge_") && !name.hasPrefix("mesh_ca_") {
                    try demand(text.contains("# TYPE \(name) "), "\(name) is in a rule and not in /metrics")
                }
            }
        }

        /// What TLS of the edge, of targets, of issuers' keys and of the CA is made of; and the alert rules speak of nothing
        /// else than what such an agent shows.
        @Test func whatTLSIsMadeOfIsListed() throws {
            try withMesh { mesh in
                let now = Int64(time(nil))
                let between = try mesh.authority.createIntermediate(name: "Between", now: now)
                let guests = try CertificateAuthority.createRoot(name: "Guests", trustDomain: "guests.test", now: now)
                try guests.root.pem.write(
                    toFile: mesh.directory + "/guests.crt", atomically: true, encoding: .utf8)
                let target = try mesh.serverCertificate("files.internal")
                let keys = try mesh.serverCertificate("keys.internal")
                let listener = try between.issueCredentials(
                    IssueRequest(node: "listener", dnsNames: [EdgeMesh.host]), now: now)
                // In the last quarter of its life.
                let shown = try mesh.authority.issueCredentials(
                    IssueRequest(node: "shown", validity: 360), now: now - 290)
                func write(_ credentials: Credentials, _ name: String) throws -> JSONObject {
                    let files = (mesh.directory + "/\(name).crt", mesh.directory + "/\(name).key")
                    try credentials.write(certificateFile: files.0, keyFile: files.1)
                    return ["certificate": .string(files.0), "key": .string(files.1)]
                }
                let alpha = try mesh.node("Alpha")
                let directory = try mesh.node("Directory", directory: true) { node in
                    try node.serveCA()
                    node.set(
                        "edge.listeners",
                        .array([
                            [
                                "address": .string("\(node.host):8443"),
                                "certificates": [.object(try write(listener, "listener"))],
                                "clientCertificates": [
                                    "mode": "optional", "ca": .string(mesh.directory + "/guests.crt"),
                                ],
                            ]
                        ]))
                    node.set(
                        "edge.authentication.issuers",
                        [
                            [
                                "issuer": "https://issuer.test", "audiences": "edge",
                                "jwks": ["url": "https://127.0.0.1:9/keys", "ca": .string(keys.authority)],
                            ]
                        ])
                    var tls = try write(shown, "shown")
                    tls["ca"] = .string(target.authority)
                    node.services = [
                        [
                            "name": "files", "target": "https://127.0.0.1:9", "tls": .object(tls),
                            "check": ["kind": "none"],
                        ]
                    ]
                }
                try alpha.writeFiles()
                try between.issueCredentials(IssueRequest(node: "Alpha"), now: now)
                    .write(certificateFile: alpha.directory + "/node.crt", keyFile: alpha.directory + "/node.key")
                try directory.start()
                try directory.waitReady()
                try alpha.launch()
                try directory.waitLinked(to: alpha)
                let (status, output) = try runProgram([
                    TestMesh.binaries + "/mesh", "--control", directory.controlPath, "certs", "--json",
                ])
                try demandEqual(status, 7, output)
                let listed = (try JSONReader.parse(output)["certificates"]?.array ?? []).map { certificate in
                    [certificate["use"], certificate["name"], certificate["serial"]].map { $0?.string ?? "" }
                        .joined(separator: " ")
                }
                func expect(_ use: String, _ name: String, _ certificates: [Certificate]) throws {
                    for certificate in certificates {
                        try demand(listed.contains("\(use) \(name) \(certificate.serialHex)"), "\(use): \(output)")
                    }
                }
                let address = "\(directory.host):8443"
                try expect("edge", address, [listener.leaf, between.certificate])
                try expect("edge_clients", address, [guests.root])
                try expect("target", "files", [shown.leaf])
                try expect("target_trust", "files", try Certificate.load(file: target.authority))
                try expect("jwks_trust", "https://issuer.test", try Certificate.load(file: keys.authority))
                try expect("ca", TestMesh.trustDomain, [mesh.authority.root])
                try expect(
                    "peer", "Alpha",
                    [try Certificate.load(file: alpha.directory + "/node.crt")[0], between.certificate])
                try demandEqual(Set(listed).count, listed.count, "each once: \(listed)")
                try fitsTerminals(directory)
                try revokesByPrefix(directory, of: alpha)
                let said = try directory.waitFor("certificate_expiring") { $0["use"] == "target" }
                try demandEqual(said["name"], "files")

                let text = try directory.exposition()
                try demand(
                    text.contains(
                        "mesh_certificate_expiring{use=\"target\",name=\"files\",serial=\"\(shown.leaf.serialHex)\"} 1\n"
                    ),
                    text)
                let file = mesh.directory + "/metrics.txt"
                try text.write(toFile: file, atomically: true, encoding: .utf8)
                let (checked, words) = try runProgram(["bash", "-c", "promtool check metrics <\(file)"])
                try demandEqual(checked, 0, words)
                let rules = try String(contentsOf: Self.rules, encoding: .utf8)
                for name in Set(rules.matches(of: /mesh_[a-z_]+/).map { String($0.output) }) {
                    try demand(text.contains("# TYPE \(name) "), "\(name) is in a rule and not in /metrics")
                }
            }
        }

        /// What people see: no line longer than the terminal, serial numbers uncut as far as they are needed.
        private func fitsTerminals(_ node: TestNode) throws {
            func lines(_ columns: Int, _ arguments: String) throws -> [Substring] {
                let command =
                    "stty cols \(columns); '\(TestMesh.binaries)/mesh' --control '\(node.controlPath)' \(arguments)"
                let output = try runProgram(["script", "-qec", command, "/dev/null"]).output
                return output.replacingOccurrences(of: "\r", with: "").split(separator: "\n").filter {
                    !$0.contains("OCSP response")
                }
            }
            for (columns, titles) in [
                (200, "USE NAME EXPIRES LEFT STATE SERIAL SUBJECT ROOT"), (80, "USE NAME EXPIRES LEFT STATE SERIAL"),
                (60, "USE NAME LEFT STATE SERIAL"), (40, "USE NAME LEFT STATE"),
            ] {
                let seen = try lines(columns, "certs")
                try demand(seen.allSatisfy { $0.count <= columns }, "\(columns) columns: \(seen)")
                try demandEqual(seen[0].split(separator: " ").joined(separator: " "), titles)
                guard columns < 200, let place = seen[0].range(of: "SERIAL") else { continue }
                let start = seen[0].distance(from: seen[0].startIndex, to: place.lowerBound)
                let rows = seen.dropFirst().prefix { !$0.hasPrefix("left out for want of width: ") }
                try demand(rows.count < seen.count - 1, "what is left out is not said: \(seen)")
                let serials = rows.map { String($0.dropFirst(start)) }
                try demand(serials.allSatisfy { $0.count >= 8 && !$0.contains("…") }, "\(serials)")
            }
            for columns in [80, 60] {
                let seen = try lines(columns, "links")
                try demand(seen.count >= 2 && seen.allSatisfy { $0.count <= columns }, "\(columns) columns: \(seen)")
            }
        }

        /// As many digits of a serial number as `mesh certs` shows are enough to revoke.
        private func revokesByPrefix(_ node: TestNode, of other: TestNode) throws {
            let operators = try TestOperator(node.mesh)
            try operators.write()
            try node.take(operators.list)
            let leaf = try Certificate.load(file: other.directory + "/node.crt")[0]
            func revoke(_ what: String) throws -> CommandResult {
                try node.mesh(["revoke", what, "--reason", "test", "--key", operators.keyFile, "--json"])
            }
            for (digits, reason) in [
                ("ffffffffffffffff", "sees no certificate"), (String(leaf.serialHex.prefix(4)), "8 digits"),
            ] {
                let refused = try revoke("serial:\(digits)")
                try demandEqual(refused.status, 2, refused.output)
                try demand(refused.output.contains(reason), refused.output)
            }
            // The only other node is the one that is revoked, which nobody waits for.
            let revoked = try revoke("serial:\(leaf.serialHex.prefix(10))")
            try demandEqual(revoked.status, 0, revoked.output)
            let list = try node.mesh(["revoke", "--list", "--json"])
            try demand(list.output.contains(leaf.serialHex), "the whole number is in the list: \(list.output)")
        }
    }
}
