import Documents
import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// The mesh's roots change, and with them whose clients the edge knows.
    @Suite struct EdgeRoots {
        private func certificate(_ name: String, _ authority: CertificateAuthority) throws -> Credentials {
            try authority.issueCredentials(IssueRequest(node: name), now: Int64(time(nil)))
        }

        /// The answer that a client gets; nil where it is refused in the handshake.
        private func status(_ edge: EdgeMesh, _ credentials: Credentials, at address: String? = nil) -> Int? {
            guard let end = try? edge.connect(credentials: credentials, to: address) else { return nil }
            defer { end.close() }
            guard (try? end.sendRequest("GET", "/head")) != nil else { return nil }
            return try? end.answer().status
        }

        /// A listener with a file of its own in which the mesh's root stands follows the list of roots; one with a partner's CA
        /// stays as it is. A listener's certificate that is broken meanwhile holds neither node nor edge up.
        @Test func listenersFollowTheList() throws {
            try withMesh { mesh in
                let roots = try TestRoots(mesh)
                let partner = try CertificateAuthority.createRoot(
                    name: "Partner", trustDomain: "partner.test", now: Int64(time(nil)))
                let files = (own: mesh.directory + "/clients.pem", partner: mesh.directory + "/partner.pem")
                try mesh.authority.certificate.pem.write(toFile: files.own, atomically: true, encoding: .utf8)
                try partner.certificate.pem.write(toFile: files.partner, atomically: true, encoding: .utf8)
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:laptop"]])
                mesh.policy.connect("node:laptop", to: "web")
                var second = ""
                let edge = try EdgeMesh(
                    mesh, listener: ["clientCertificates": ["mode": "required", "ca": .string(files.own)]],
                    route: ["require": "certificate"]
                ) { node in
                    second = "\(node.host):8444"
                    let other: JSONValue = [
                        "address": .string(second), "tls": "application",
                        "certificates": [
                            [
                                "certificate": .string(mesh.directory + "/edge.crt"),
                                "key": .string(mesh.directory + "/edge.key"),
                            ]
                        ], "clientCertificates": ["mode": "required", "ca": .string(files.partner)],
                    ]
                    node.append(other, to: "edge.listeners")
                }
                let node = edge.edge
                let (old, new) = (try certificate("laptop", mesh.authority), try certificate("laptop", roots.next))
                try demandEqual(status(edge, old), 200)
                try demandEqual(status(edge, new), nil, "a root that nobody knows yet")
                let good = try String(contentsOfFile: mesh.directory + "/edge.crt", encoding: .utf8)
                try "broken\n".write(toFile: mesh.directory + "/edge.crt", atomically: true, encoding: .utf8)
                try node.waitFor("edge_certificates_refused")
                try node.take(try roots.sign(1, roots.list(.active, .prepared), by: mesh.authority))
                try demandEqual(try node.metric("mesh_trust_roots{state=\"prepared\"}"), 1)
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"identity\"}"), 1)
                try demandEqual(try node.metric("mesh_trust_roots_applied{use=\"edge\"}"), 1)
                try demandEqual(node.count("roots_not_applied") + node.count("edge_roots_not_applied"), 0)
                try Deadline.until("clients below the next root are served") { status(edge, new) == 200 }
                try demandEqual(status(edge, old), 200)
                try demandEqual(status(edge, new, at: second), nil, "the partner's listener")
                // What is mended is read under the roots of now.
                try good.write(toFile: mesh.directory + "/edge.crt", atomically: true, encoding: .utf8)
                try node.waitFor("edge_certificates_applied")
                try demandEqual(status(edge, new), 200)
                try node.take(try roots.sign(2, roots.list(.retiring, .active), by: roots.next))
                try node.force(try roots.sign(3, roots.list(.retired, .active), by: roots.next))
                try Deadline.until("clients below the retired root are refused") { status(edge, old) == nil }
                try demand(status(edge, new) != nil, "clients below the active root are refused")
                try demandEqual(status(edge, new, at: second), nil, "the partner's listener")
            }
        }
    }
}
