import Foundation
import JSON
import PKI
import TestLogs
import Testing

extension EndToEnd {
    /// SCTs (RFC 6962) of nodes and targets that are dialled.
    @Suite struct Transparency {
        private static func writeList(_ mesh: TestMesh, _ logs: TestLog...) throws -> JSONValue {
            let path = mesh.directory + "/logs.json"
            try TestLog.list(logs.map { ($0, nil) }).write(toFile: path, atomically: true, encoding: .utf8)
            return .string(path)
        }

        /// Gives a node a certificate that a log vouches for.
        private static func issue(_ node: TestNode, _ mesh: TestMesh, by log: TestLog) throws {
            let (now, key) = (Int64(time(nil)), try PrivateKey.generate())
            var builder = CertificateBuilder(
                subject: [.commonName(node.name)], publicKey: key.publicKey, notBefore: now - 60, notAfter: now + 86_400
            )
            builder.alternativeNames = [.uri("spiffe://\(TestMesh.trustDomain)/node/\(node.name)")]
            let leaf = try TestLog.issue(builder, by: mesh.authority.signer) { [try log.timestamp($0, at: now * 1000)] }
            try Credentials(chain: [leaf], key: key)
                .write(certificateFile: node.directory + "/node.crt", keyFile: node.directory + "/node.key")
        }

        /// Who dials demands it, of each node or with exceptions; where it is only reported, the link comes up.
        @Test func nodesThatAreDialled() throws {
            try withMesh { mesh in
                let log = try TestLog()
                let logs = try Self.writeList(mesh, log)
                let directory = try mesh.node("Directory", directory: true)
                try Self.issue(directory, mesh, by: log)
                let alpha = try mesh.node("Alpha") { node in
                    node.set("tls.ct.mode", "require")
                    node.set("tls.ct.logs", logs)
                }
                let beta = try mesh.node("Beta")
                alpha.peer(beta)
                try mesh.start()
                try alpha.waitLinked(to: directory)
                func count(_ result: String, _ action: String) throws -> Double {
                    let labels = "{use=\"link\",result=\"\(result)\",action=\"\(action)\"}"
                    return try alpha.metric("mesh_ct_checks_total" + labels) ?? 0
                }
                try demand(try count("enough", "passed") >= 1, "the directory's node passed")
                let refused = try alpha.waitFor("dial_failed") { $0["reason"] == "ct_missing" }
                try demandEqual(refused["node"], "Beta")
                try demand(refused["hint"]?.contains("tls.ct") == true, "the hint says what to do")
                try Deadline.until("mesh links says why") {
                    try alpha.link(to: beta)?["reason"]?.string == "ct_missing"
                }
                try demand(try count("none", "refused") >= 1, "it is counted")
                try demandEqual(try alpha.isLinked(to: beta), false)

                alpha.set("tls.ct.nodes", [["node": "Beta", "mode": "report"]])
                try demandEqual(try alpha.reload().status, 200)
                try alpha.waitLinked(to: beta)
                let reported = try alpha.waitFor("ct_unproven")
                try demandEqual(reported["server"], "Beta")
                try demandEqual(reported["result"], "none")
                try demand(try count("none", "reported") >= 1, "it is counted")
            }
        }

        /// A target is the web's, where certificates are logged.
        @Test func targets() throws {
            try withMesh { mesh in
                let logs = try Self.writeList(mesh, try TestLog())
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files)
                func service(_ mode: JSONValue) -> JSONValue {
                    [
                        "name": "echo", "target": .string("tls://127.0.0.1:\(server.port)"), "check": ["kind": "none"],
                        "tls": ["ca": .string(files.authority), "ct": mode],
                    ]
                }
                mesh.policy.connect("node:Client", to: "echo")
                mesh.policy.provide("echo", at: "Server")
                try mesh.node("Directory", directory: true)
                var upstream = ""
                let client = try mesh.node("Client") { upstream = $0.upstream("echo", port: 8001) }
                let node = try mesh.node("Server") { node in
                    node.set("tls.ct.logs", logs)
                    node.services = [service("require")]
                }
                try mesh.start()
                try client.waitInstances(of: "echo", at: ["Server"])
                _ = try Wire(upstream).receive()
                let failed = try node.waitFor("target_failed")
                try demand(failed["detail"]?.contains("no log of certificates vouches") == true, "\(failed)")
                let refused = "mesh_ct_checks_total{use=\"target\",result=\"none\",action=\"refused\"}"
                try demand(try node.metric(refused) ?? 0 >= 1, "it is counted")

                node.services = [service("report")]
                try demandEqual(try node.reload().status, 200)
                let wire = try Wire(upstream)
                try wire.send(Array("x\n".utf8))
                try demandEqual(try wire.receive(exactly: 2), Array("x\n".utf8))
                try node.waitFor("ct_unproven") { $0["use"] == "target" }
            }
        }
    }
}
