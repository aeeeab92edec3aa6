import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What is asked of targets' certificates besides a CA that vouches for them: CRLs, pins, staples, name constraints.
    @Suite struct TargetVerification {
        /// One node with a service behind TLS and an upstream that leads to it.
        final class One {
            let node: TestNode
            let upstream: String
            private var target: String
            private let ca: String

            convenience init(_ mesh: TestMesh, _ server: OpenSSLServer, ca: String? = nil, tls: JSONObject) throws {
                try self.init(mesh, at: server.address, ca: ca, tls: tls)
            }

            init(_ mesh: TestMesh, at address: String, ca: String? = nil, tls: JSONObject) throws {
                mesh.policy.connect("node:Directory", to: "web")
                mesh.policy.provide("web", at: "Directory")
                node = try mesh.node("Directory", directory: true)
                upstream = node.upstream("web", port: 8001)
                target = "tls://\(address)"
                self.ca = ca ?? mesh.directory + "/ca.crt"
                set(tls)
                try mesh.start()
                try node.waitInstances(of: "web", at: ["Directory"])
            }

            func set(_ tls: JSONObject) {
                var tls = tls
                tls["ca"] = .string(ca)
                node.services = [
                    ["name": "web", "target": .string(target), "check": ["kind": "none"], "tls": .object(tls)]
                ]
            }

            func reload(_ tls: JSONObject, at server: OpenSSLServer? = nil) throws {
                if let server { target = "tls://\(server.address)" }
                set(tls)
                let answer = try node.reload()
                try demandEqual(answer.status, 200, answer.text)
            }

            /// Whether the server answers an application. A refusal may come before the request is sent.
            func answers() throws -> Bool {
                let wire = try Wire(upstream)
                try? wire.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
                guard case .bytes(let bytes) = wire.receive() else { return false }
                return bytes.starts(with: Array("HTTP/1.0 200".utf8))
            }

            /// Whether connections fail for this reason.
            func refuses(_ reason: String) throws {
                let before = node.count("open_failed")
                try demand(!(try answers()), "the target is used")
                let told = try node.waitFor("open_failed", skipping: before)
                try demand(told["detail"]?.contains("(\(reason))") == true, "the detail is \(told["detail"] ?? "none")")
                try demand(
                    try checks("certificate", reason) >= 1, "mesh_target_checks_total counts refusals by \(reason)")
            }

            /// A connection that is there: hands have been shaken with the target.
            func live() throws -> Wire {
                let before = try checks("certificate", "ok")
                let wire = try Wire(upstream)
                try Deadline.until("the target is connected") { try checks("certificate", "ok") > before }
                return wire
            }

            /// Whether a connection that is there has ended for this reason.
            func demandEnded(_ wire: Wire, _ reason: String) throws {
                let end = wire.receive()
                try demandEqual(end, .reset, "a connection that is there")
                let told = try node.waitFor("target_withdrawn") { $0["reason"] == reason }
                try demandEqual(told["service"], "web")
                try demand(try checks("live", reason) >= 1, "it is counted")
            }

            func checks(_ check: String, _ result: String) throws -> Double {
                try node.metric("mesh_target_checks_total{check=\"\(check)\",result=\"\(result)\"}") ?? 0
            }
        }

        @Test func aListThatChanges() throws {
            try withMesh { mesh in
                let address = "\(mesh.network).9:7600"
                let files = try OddCertificates(mesh: mesh).make(.p256, "Server", address: "\(mesh.network).9")
                let server = try OpenSSLServer(mesh, at: address, files: files, [])
                let list = try CRLMaker(mesh, name: "targets")
                let lists: JSONValue = .string(list.file)
                let one = try One(mesh, server, tls: ["revocation": ["files": lists, "mode": "hard"]])
                try demand(try one.answers(), "a certificate on no list is good")
                try demand(try one.checks("certificate", "ok") >= 1, "it is counted")
                // Nobody has to reload for a list that changes. One without this certificate ends nothing.
                let live = try one.live()
                try list.publish()
                try one.node.waitFor("target_certificates_applied")
                try list.revoke(files + ".crt")
                try list.publish()
                try one.demandEnded(live, "revoked")
                try one.refuses("revoked")
                try demandEqual(try one.checks("live", "revoked"), 1)
                // Another list, of somebody else: nothing is known of this certificate.
                let stranger = try CertificateAuthority.createRoot(
                    name: "Stranger", trustDomain: "stranger.test", now: Int64(time(nil)))
                let other = try CRLMaker(mesh, name: "stranger", of: stranger).file
                try one.reload(["revocation": ["files": .string(other), "mode": "hard"]])
                try one.refuses("revocation_unknown")
                try one.reload(["revocation": ["files": .string(other)]])
                try demand(try one.answers(), "with mode soft it passes")
            }
        }

        /// A list that the targets' CA has not signed takes no list's place, and ends nothing.
        @Test func aListOfSomebodyElse() throws {
            try withMesh { mesh in
                let files = try OddCertificates(mesh: mesh).make(.p256, "Server", address: "\(mesh.network).9")
                let server = try OpenSSLServer(mesh, at: "\(mesh.network).9:7600", files: files, [])
                let list = try CRLMaker(mesh, name: "targets")
                let lists: JSONValue = .string(list.file)
                let one = try One(mesh, server, tls: ["revocation": ["files": lists, "mode": "hard"]])
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                let live = try one.live()
                rename(try CRLMaker(mesh, name: "forged", of: other).copy(), list.file)
                try one.node.waitFor("target_certificates_refused")
                let refused = try one.node.reload()
                try demand(refused.status != 200, refused.text)
                try live.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
                guard case .bytes = live.receive() else { throw Failure("the connection has ended") }
                // The server has one connection at a time.
                live.close()
                try demand(try one.answers(), "the list before is in force")
                try demandEqual(one.node.count("target_withdrawn"), 0)
            }
        }

        /// The pins of where a target is now say nothing of where it was.
        @Test func aTargetThatMoves() throws {
            try withMesh { mesh in
                func server(_ port: Int, _ name: String) throws -> (server: OpenSSLServer, pins: JSONObject) {
                    let files = try OddCertificates(mesh: mesh).make(.p256, name, address: "\(mesh.network).9")
                    let pin = CertificatePin(of: try Certificate.load(file: files + ".crt")[0].publicKey)
                    return (
                        try OpenSSLServer(mesh, at: "\(mesh.network).9:\(port)", files: files, []),
                        ["pins": [.string(pin.description)]]
                    )
                }
                let (old, new) = (try server(7600, "Old"), try server(7601, "New"))
                let one = try One(mesh, old.server, tls: old.pins)
                let live = try one.live()
                try one.reload(new.pins, at: new.server)
                try demand(try one.answers(), "where it is now")
                try live.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
                guard case .bytes = live.receive() else { throw Failure("the connection to where it was has ended") }
                try demandEqual(one.node.count("target_withdrawn"), 0)
            }
        }

        @Test func pins() throws {
            try withMesh { mesh in
                let address = "\(mesh.network).9:7600"
                let files = try OddCertificates(mesh: mesh).make(.p256, "Server", address: "\(mesh.network).9")
                let server = try OpenSSLServer(mesh, at: address, files: files, [])
                let text = try String(contentsOfFile: files + ".crt", encoding: .utf8)
                let good = CertificatePin(of: try Certificate.parsePEM(Array(text.utf8))[0].publicKey).description
                let ofCA = CertificatePin(of: mesh.authority.root.publicKey).description
                let wrong = CertificatePin(of: try PrivateKey.generate().publicKey).description
                let one = try One(mesh, server, tls: ["pins": [.string(wrong)]])
                try one.refuses("pin_mismatch")
                try Deadline.until("it is counted") { try one.checks("pin", "refused") == 1 }
                for pins: JSONValue in [[.string(good)], [.string(wrong), .string(ofCA)]] {
                    try one.reload(["pins": pins])
                    try demand(try one.answers(), "one pin that matches is enough")
                }
                try Deadline.until("both are counted") { try one.checks("pin", "matched") == 2 }
                // Reported: used, counted each time, said once.
                try one.reload(["pins": [.string(wrong)], "pinMode": "report"])
                for _ in 0..<3 { try demand(try one.answers(), "it is only reported") }
                let told = try one.node.waitFor("pin_mismatch")
                try demandEqual(told["target"], address)
                try demand(told["detail"]?.contains("pins of this target") == true, told["detail"] ?? "")
                try Deadline.until("all are counted") { try one.checks("pin", "mismatch") == 3 }
                try demandEqual(one.node.count("pin_mismatch"), 1)
            }
        }

        @Test func staples() throws {
            try withMesh { mesh in
                let odd = OddCertificates(mesh: mesh)
                let host = "\(mesh.network).9"
                let files = try odd.make(.p256, "Server", address: host)
                let key = try ResponderKey(mesh)
                let subject = try key.subject(files + ".crt")
                func server(_ port: Int, _ response: [UInt8]?) throws -> OpenSSLServer {
                    guard let response else {
                        return try OpenSSLServer(mesh, at: "\(host):\(port)", files: files, [])
                    }
                    let file = "\(mesh.directory)/staple-\(port).der"
                    try Data(response).write(to: URL(fileURLWithPath: file))
                    return try OpenSSLServer(mesh, at: "\(host):\(port)", files: files, ["-status_file", file])
                }
                let servers: [(server: OpenSSLServer, soft: String?, hard: String?)] = [
                    (try server(7600, key.response(subject, until: 3600)), nil, nil),
                    (try server(7601, nil), nil, "staple_missing"),
                    (try server(7602, key.response(subject, from: -7200, until: -3600)), nil, "bad_staple"),
                    (try server(7603, key.response(subject, isRevoked: true, until: 3600)), "revoked", "revoked"),
                ]
                mesh.policy.connect("node:Directory", to: "*")
                mesh.policy.provide("*", at: "Directory")
                let node = try mesh.node("Directory", directory: true)
                var expected: [(name: String, address: String, reason: String?)] = []
                for (index, entry) in servers.enumerated() {
                    for (mode, reason) in [("soft", entry.soft), ("hard", entry.hard)] {
                        let name = "\(mode)\(index)"
                        node.services.append([
                            "name": .string(name), "target": .string("https://\(entry.server.address)"),
                            "check": ["kind": "none"],
                            "tls": ["ca": .string(mesh.directory + "/ca.crt"), "staple": .string(mode)],
                        ])
                        expected.append((name, node.upstream(name, port: 8100 + expected.count), reason))
                    }
                }
                try mesh.start()
                for (name, address, reason) in expected {
                    try node.waitInstances(of: name, at: ["Directory"])
                    let failed = node.count("open_failed")
                    let wire = try Wire(address)
                    // A refusal may come before the request is sent.
                    try? wire.send(Array("GET / HTTP/1.0\r\n\r\n".utf8))
                    guard let reason else {
                        guard case .bytes(let bytes) = wire.receive() else {
                            throw Failure("\(address) does not answer")
                        }
                        try demand(bytes.starts(with: Array("HTTP/1.0 200".utf8)), "\(address) answers")
                        continue
                    }
                    let told = try node.waitFor("open_failed", skipping: failed)
                    try demand(told["detail"]?.contains("(\(reason))") == true, "\(address): \(told["detail"] ?? "")")
                }
            }
        }

        /// A certificate for `*.example.com` of a CA that may not vouch for `secret.example.com`.
        @Test func aWildcardOverAnExcludedName() throws {
            try withMesh { mesh in
                let now = Int64(time(nil))
                let (middleKey, key) = (try PrivateKey.generate(), try PrivateKey.generate())
                var middle = CertificateBuilder(
                    subject: [.commonName("Branch")], publicKey: middleKey.publicKey, notBefore: now - 60,
                    notAfter: now + 86_400)
                middle.basicConstraints = BasicConstraints(isCA: true)
                middle.keyUsage = .keyCertSign
                middle.extendedKeyUsage = nil
                // NameConstraints: excludedSubtrees, the DNS name secret.example.com.
                middle.extraExtensions = [
                    RawExtension(
                        oid: "2.5.29.30", isCritical: true,
                        value: [0x30, 24, 0xA1, 22, 0x30, 20, 0x82, 18] + Array("secret.example.com".utf8))
                ]
                let branch = try middle.build(signedBy: mesh.authority.signer)
                var leaf = CertificateBuilder(
                    subject: [.commonName("Web")], publicKey: key.publicKey, notBefore: now - 60, notAfter: now + 86_400
                )
                leaf.alternativeNames = [.dns("*.example.com")]
                let files = mesh.directory + "/wild"
                try leaf.build(signedBy: .issuer(branch, middleKey)).pem.write(
                    toFile: files + ".crt", atomically: true, encoding: .utf8)
                try branch.pem.write(toFile: files + "-branch.crt", atomically: true, encoding: .utf8)
                try mesh.writeSecret(key.pem(), to: files + ".key")
                let server = try OpenSSLServer(
                    mesh, at: "\(mesh.network).9:7600", files: files, ["-cert_chain", files + "-branch.crt"])
                let one = try One(mesh, server, tls: ["serverName": "secret.example.com"])
                try one.refuses("wildcard_constraint")
            }
        }
    }
}
