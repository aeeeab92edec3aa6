import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Keys that are encrypted, and the ways by which their passphrases come.
    @Suite struct Passphrases {
        private static let words = "correct horse"

        /// A directory as systemd makes it for `LoadCredential=`.
        private func credentials(_ mesh: TestMesh, _ name: String) throws -> String {
            let directory = mesh.directory + "/credentials"
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try mesh.writeSecret(Array(Self.words.utf8), to: "\(directory)/\(name)")
            return directory
        }

        /// The edge's key by a credential, a target's by a variable, the identity's by a file; after a reload as well.
        @Test func everyKeyOfANode() throws {
            try withMesh { mesh in
                let now = Int64(time(nil))
                let passphrase = Passphrase(Self.words)
                func encrypted(_ name: String) throws -> JSONObject {
                    let made = try mesh.authority.issueCredentials(
                        IssueRequest(node: "Directory", dnsNames: [EdgeMesh.host]), now: now)
                    let files = (mesh.directory + "/\(name).crt", mesh.directory + "/\(name).key")
                    try made.write(certificateFile: files.0, keyFile: files.1, passphrase: passphrase)
                    return ["certificate": .string(files.0), "key": .string(files.1)]
                }
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files, clientCA: mesh.authorityFile)
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.connect("node:Directory", to: "echo")
                var address = ""
                let node = try mesh.node("Directory", directory: true) { node in
                    var listener = try encrypted("edge")
                    listener["passphraseCredential"] = "edge-key"
                    node.set(
                        "edge.listeners",
                        .array([["address": .string("\(node.host):8443"), "certificates": [.object(listener)]]]))
                    var tls = try encrypted("target")
                    tls["passphraseVariable"] = "TEST_TARGET_PASSPHRASE"
                    tls["ca"] = .string(files.authority)
                    node.services = [
                        [
                            "name": "echo", "target": .string("tls://127.0.0.1:\(server.port)"),
                            "tls": .object(tls), "check": ["kind": "none"],
                        ]
                    ]
                    let identity = try encrypted("identity")
                    node.set("identity.certificate", identity["certificate"] ?? .null)
                    node.set("identity.key", identity["key"] ?? .null)
                    node.set("identity.passphraseFile", .string(mesh.directory + "/identity.pass"))
                    try mesh.writeSecret(Array((Self.words + "\n").utf8), to: mesh.directory + "/identity.pass")
                    node.environment["CREDENTIALS_DIRECTORY"] = try credentials(mesh, "edge-key")
                    node.environment["TEST_TARGET_PASSPHRASE"] = Self.words
                    address = node.upstream("echo", port: 8002)
                }
                try mesh.start()
                func isServed() throws {
                    let context = try TLSContext(.foreignServer(trust: try TrustBundle(roots: [mesh.authority.root])))
                    let session = try TLSSession(
                        context: context, serverName: EdgeMesh.host, expecting: .foreignServer(host: EdgeMesh.host))
                    try EdgeEnd(Wire("\(node.host):8443"), session).close()
                    let wire = try Wire(address)
                    try wire.send(Array("who\n".utf8))
                    try demandEqual(
                        String(decoding: try wire.receive(exactly: 23), as: UTF8.self), "Directory None TLSv1.3\n")
                }
                try node.waitInstances(of: "echo", at: ["Directory"])
                try isServed()
                // The variable was erased when it was read; it is still known.
                let environment = try Data(
                    contentsOf: URL(fileURLWithPath: "/proc/\(try node.running().pid)/environ"))
                try demand(environment.range(of: Data(Self.words.utf8)) == nil, "the passphrase is in the environment")
                try demandEqual(try node.reload().status, 200)
                try isServed()

                // What is wrong is said.
                try mesh.writeSecret(Array("wrong".utf8), to: mesh.directory + "/credentials/edge-key")
                let wrong = try node.reload()
                try demand(wrong.status == 422 && wrong.text.contains("edge.listeners[0]"), wrong.text)
                try FileManager.default.removeItem(atPath: mesh.directory + "/credentials/edge-key")
                let missing = try node.reload()
                try demand(missing.status == 422 && missing.text.contains("edge-key"), missing.text)
            }
        }

        /// An identity whose key is encrypted joins, is renewed at the CA, and its key stays encrypted.
        @Test func anEncryptedIdentityIsRenewed() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA(ttl: "\(Deadline.lifetime(4))s") }
                let node = try mesh.node("Node") { node in
                    node.joinsByToken()
                    node.set("identity.passphraseCredential", "node-key")
                    node.environment["CREDENTIALS_DIRECTORY"] = try credentials(mesh, "node-key")
                }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try Deadline.until("it was renewed twice") {
                    try node.metric("mesh_identity_renewals_total{result=\"renewed\"}") ?? 0 >= 2
                }
                let key = node.identityDirectory + "/node.key"
                let text = try String(contentsOfFile: key, encoding: .utf8)
                try demand(text.contains("BEGIN ENCRYPTED PRIVATE KEY"), "the key is encrypted")
                _ = try PrivateKey.load(file: key, passphrase: Passphrase(Self.words))
                try demandEqual(node.count("renewal_failed"), 0)
                // A start anew reads what the renewal has written.
                try node.stop()
                try node.launch()
                try node.waitReady()
            }
        }
    }
}
