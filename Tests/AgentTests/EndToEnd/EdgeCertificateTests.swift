import Foundation
import JOSE
import JSON
import PKI
import Testing

extension EndToEnd {
    /// The certificate errors that operators meet at the edge, as `mesh-agent --check` and the log tell them.
    @Suite struct EdgeCertificates {
        /// A node with an edge listener, and how `--check` ends with this certificate.
        private static func check(
            _ mesh: TestMesh, _ certificate: String, _ key: String, more: JSONObject = [:], prefix: [String] = []
        ) throws -> (status: Int32, output: String) {
            let node = try mesh.node("Edge\(mesh.nodes.count)", directory: true) { node in
                var listener: JSONObject = [
                    "address": .string("\(node.host):8443"),
                    "certificates": [["certificate": .string(certificate), "key": .string(key)]],
                ]
                for member in more { listener[member.key] = member.value }
                node.set("edge.listeners", .array([.object(listener)]))
            }
            try node.writeFiles()
            return try runProgram(
                [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check"], prefix: prefix)
        }

        @Test func eachIsSaidWithTheCommandThatShowsMore() throws {
            try withMesh { mesh in
                let now = Int64(time(nil))
                let good = try mesh.serverCertificate("shop.test")
                let other = try mesh.serverCertificate("shop.test")
                let old = try mesh.serverCertificate("shop.test", now: now - 40 * 86_400)
                let soon = try mesh.serverCertificate("shop.test", now: now - 28 * 86_400)
                var (status, text) = try Self.check(mesh, good.certificate, good.key)
                try demand(status == 0, text)

                (status, text) = try Self.check(mesh, good.certificate, other.key)
                try demand(status == 78 && text.contains("edge.listeners[0]: "), text)
                try demand(text.contains("key and certificate do not belong together"), text)
                try demand(text.contains("openssl x509 -noout -pubkey -in \(good.certificate)"), text)
                try demand(text.contains("openssl pkey -pubout -in \(other.key)"), text)

                (status, text) = try Self.check(mesh, good.key, good.certificate)
                try demand(status == 78 && text.contains("swapped"), text)

                (status, text) = try Self.check(mesh, old.certificate, old.key)
                try demand(status == 78 && text.contains("expired 10 d"), text)
                try demand(text.contains("openssl x509 -noout -dates -in \(old.certificate)"), text)

                (status, text) = try Self.check(mesh, soon.certificate, soon.key)
                try demand(status == 78 && text.contains("expires in"), text)

                (status, text) = try Self.check(
                    mesh, good.certificate, good.key, more: ["publicOrigin": "https://www.shop.test:8443"])
                try demand(status == 78 && text.contains("clients come to www.shop.test"), text)
                try demand(text.contains("openssl x509 -noout -ext subjectAltName -in \(good.certificate)"), text)

                (status, text) = try Self.check(mesh, mesh.directory + "/nowhere.crt", good.key)
                try demand(status == 78 && text.contains("namei -l \(mesh.directory)/nowhere.crt"), text)

                chmod(good.key, 0o644)
                (status, text) = try Self.check(mesh, good.certificate, good.key)
                try demand(status == 78 && text.contains("chmod 600 \(good.key)"), text)
            }
        }

        @Test(.enabled(if: getuid() == 0, "needs root to be somebody else"))
        func aKeyThatTheAgentsUserMayNotRead() throws {
            try withMesh { mesh in
                let good = try mesh.serverCertificate("shop.test")
                let (status, text) = try Self.check(
                    mesh, good.certificate, good.key,
                    prefix: ["setpriv", "--reuid", "65534", "--clear-groups", "--"])
                try demand(status == 78 && text.contains("Permission denied"), text)
                try demand(text.contains("namei -l \(good.key)"), text)
            }
        }

        /// An agent that runs says it too, and serves: one bad certificate does not take the others down.
        @Test func anExpiredCertificateIsSaidAndServed() throws {
            try withMesh { mesh in
                let old = try mesh.serverCertificate("shop.test", now: Int64(time(nil)) - 40 * 86_400)
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set(
                        "edge.listeners",
                        .array([
                            [
                                "address": .string("\(node.host):8443"),
                                "certificates": [
                                    ["certificate": .string(old.certificate), "key": .string(old.key)]
                                ],
                            ]
                        ]))
                }
                try mesh.start()
                let record = try node.waitFor("edge_certificate")
                try demandEqual(record["reason"], "expired")
                try demandEqual(record["file"], old.certificate)
                _ = try Wire("\(node.host):8443")
            }
        }

        @Test func aTargetsFilesAreCheckedToo() throws {
            try withMesh { mesh in
                let good = try mesh.serverCertificate("shop.test")
                let node = try mesh.node("Directory", directory: true) { node in
                    node.services = [
                        [
                            "name": "files", "target": "https://127.0.0.1:1",
                            "tls": [
                                "ca": .string(good.authority), "certificate": .string(good.certificate),
                                "key": .string(good.key),
                            ],
                        ],
                        ["name": "broken", "target": "https://127.0.0.1:1", "tls": ["ca": .string(good.key)]],
                    ]
                }
                try node.writeFiles()
                let (status, text) = try runProgram(
                    [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check"])
                try demand(status == 78 && text.contains("service broken: "), text)
                try demand(!text.contains("service files"), text)
            }
        }

        /// Secrets of the edge are their owner's alone, as its keys are.
        @Test func secretsThatOthersMayRead() throws {
            try withMesh { mesh in
                let good = try mesh.serverCertificate("shop.test")
                let issuer = try TokenIssuer.make(name: EdgeMesh.issuerName)
                let secret = [UInt8](repeating: 7, count: 64)
                let cases: [(key: String, content: [UInt8], set: (String) -> (String, JSONValue))] = [
                    (
                        "edge.authentication.localIssuer.key", Array(try issuer.fileText()),
                        { ("edge.authentication.localIssuer.key", .string($0)) }
                    ),
                    (
                        "edge.authentication.issuers[0]", secret,
                        {
                            (
                                "edge.authentication.issuers",
                                [["issuer": "https://i.test", "audiences": "edge", "secretFile": .string($0)]]
                            )
                        }
                    ),
                    (
                        "edge.authentication.callerSecretFile", secret,
                        { ("edge.authentication.callerSecretFile", .string($0)) }
                    ),
                    (
                        "edge.authentication.dpop.nonceSecretFile", secret,
                        { ("edge.authentication.dpop.nonceSecretFile", .string($0)) }
                    ),
                ]
                for (key, content, set) in cases {
                    let file = mesh.directory + "/secret-\(key.suffix(9))"
                    for (mode, isGood) in [(0o600, true), (0o640, false), (0o604, false)] {
                        try mesh.writeSecret(content, to: file, mode: mode)
                        let node = try mesh.node("Edge\(mesh.nodes.count)", directory: mesh.nodes.isEmpty) { node in
                            node.set(
                                "edge.listeners",
                                .array([
                                    [
                                        "address": .string("\(node.host):8443"),
                                        "certificates": [
                                            [
                                                "certificate": .string(good.certificate), "key": .string(good.key),
                                            ]
                                        ],
                                    ]
                                ]))
                            let (name, value) = set(file)
                            node.set(name, value)
                        }
                        try node.writeFiles()
                        let (status, text) = try runProgram(
                            [TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check"])
                        guard !isGood else {
                            try demand(status == 0, "\(key): \(text)")
                            continue
                        }
                        try demand(status == 78 && text.contains("(key_readable_by_others)"), "\(key): \(text)")
                        try demand(text.contains("\(key): ") && text.contains("chmod 600 \(file)"), text)
                    }
                }
            }
        }
    }
}
