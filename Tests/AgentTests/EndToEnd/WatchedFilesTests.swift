import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd {
    /// Certificates, keys and CAs of the edge, of targets and of a front that somebody writes while they run.
    @Suite struct WatchedFiles {
        /// The certificate that a new client of the edge is shown.
        private func shown(_ edge: EdgeMesh) throws -> String? {
            let end = try edge.connect()
            defer { end.close() }
            return end.session?.peerChain.first?.fingerprintSHA256
        }

        private func listenerCertificate(_ mesh: TestMesh, validity: Int64 = 3600) throws -> Credentials {
            try mesh.authority.issueCredentials(
                IssueRequest(
                    node: "edge-listener", dnsNames: [EdgeMesh.host], ipAddresses: ["\(mesh.network).1"],
                    validity: validity), now: Int64(time(nil)))
        }

        /// Where the kernel watches nothing any more, the log says which limit it is and what happens meanwhile, and the files are looked at
        /// all the same.
        @Test(arguments: [
            ("max_inotify_instances", "fs.inotify.max_user_instances"),
            ("max_inotify_watches", "fs.inotify.max_user_watches"),
        ]) func limitsOfInotify(_ limit: String, _ setting: String) throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { node in
                    node.set("identity.renew.pollInterval", "1s")
                    let limited = "echo 0 >/proc/sys/user/\(limit) && exec \"$@\""
                    node.prefix = ["/usr/bin/unshare", "--user", "--map-root-user", "/bin/sh", "-c", limited, "sh"]
                }
                try mesh.start()
                let told = try node.waitFor("identity_not_watched")
                try demand(told["hint"]?.contains("raise the sysctl \(setting)") == true, "\(told.value)")
                try demand(told["hint"]?.contains("looked at every 1s") == true, "\(told.value)")
                try node.issue(IssueRequest(node: "Directory"))
                try node.waitFor("identity_changed")
                try demandEqual(node.count("identity_not_watched"), 1, "it is said once")
            }
        }

        /// As certbot writes them: one after the other, behind a symlink, wrong at first.
        @Test func certificatesOfTheEdge() throws {
            try withMesh { mesh in
                let (first, second) = (mesh.directory + "/live-1", mesh.directory + "/live-2")
                func write(_ directory: String, _ made: Credentials) throws -> String {
                    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                    try made.write(certificateFile: directory + "/edge.crt", keyFile: directory + "/edge.key")
                    return made.leaf.fingerprintSHA256
                }
                let old = try write(first, listenerCertificate(mesh))
                let current = mesh.directory + "/current"
                try FileManager.default.createSymbolicLink(atPath: current, withDestinationPath: "live-1")
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "certificates": [
                            ["certificate": .string(current + "/edge.crt"), "key": .string(current + "/edge.key")]
                        ]
                    ])
                try demandEqual(try shown(edge), old)
                let lasting = try edge.connect()
                func isServed() throws {
                    try lasting.sendRequest(
                        "GET", "/head", headers: [("Authorization", "Bearer \(try edge.token())")])
                    try demandEqual(try lasting.answer().status, 200, "the connection of before")
                }
                try isServed()

                // In place, the key long before its certificate.
                let next = try listenerCertificate(mesh)
                try next.key.write(to: first + "/edge.key")
                Thread.sleep(forTimeInterval: 0.5)
                _ = try write(first, next)
                try Deadline.until("the new pair is shown") { try shown(edge) == next.leaf.fingerprintSHA256 }
                try demandEqual(
                    edge.edge.count("edge_certificates_refused"), 0, "a pair that is half written is waited for")
                try isServed()

                // By a swap of the symlink.
                let swapped = try write(second, listenerCertificate(mesh))
                try FileManager.default.createSymbolicLink(atPath: current + ".new", withDestinationPath: "live-2")
                rename(current + ".new", current)
                try Deadline.until("the other directory's pair is shown") { try shown(edge) == swapped }

                // One that has ended is reported and not taken.
                let brief = try listenerCertificate(mesh, validity: 1)
                try Deadline.until("it has ended") { Int64(time(nil)) > brief.leaf.notAfter }
                _ = try write(second, brief)
                let refused = try edge.edge.waitFor("edge_certificates_refused")
                try demand(refused["detail"]?.contains("expired") == true, refused["detail"] ?? "no detail")
                try demandEqual(try shown(edge), swapped)
                try demandEqual(
                    try edge.edge.metric("mesh_edge_certificate_changes_total{result=\"refused\"}"), 1, "refused")
                let good = try write(second, listenerCertificate(mesh))
                try Deadline.until("a good pair after it is shown") { try shown(edge) == good }
                try demand(
                    try edge.edge.metric("mesh_edge_certificate_changes_total{result=\"applied\"}") ?? 0 >= 3, "applied"
                )
                try isServed()
            }
        }

        /// What was refused only because it came too early is taken when its time has come, although nobody touches the files.
        @Test func aCertificateWhoseTimeComes() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("identity.renew.pollInterval", "1s") }
                let before = try shown(edge)
                let key = try PrivateKey.generate(.p256)
                let now = Int64(time(nil))
                var builder = CertificateBuilder(
                    subject: [.commonName("edge-listener")], publicKey: key.publicKey,
                    notBefore: now + Deadline.lifetime(12),
                    notAfter: now + 3600)
                builder.alternativeNames = [.dns(EdgeMesh.host)]
                builder.extendedKeyUsage = [.serverAuth]
                let made = try Credentials(chain: [try builder.build(signedBy: mesh.authority.signer)], key: key)
                try made.write(certificateFile: mesh.directory + "/edge.crt", keyFile: mesh.directory + "/edge.key")
                let refused = try edge.edge.waitFor("edge_certificates_refused")
                try demand(refused["detail"]?.contains("valid") == true, refused["detail"] ?? "no detail")
                try demandEqual(try shown(edge), before)
                try Deadline.until("its time has come") { try shown(edge) == made.leaf.fingerprintSHA256 }
                try demandEqual(edge.edge.count("edge_certificates_refused"), 1, "what nobody changed is told once")
                try demandEqual(
                    try edge.edge.metric("mesh_edge_certificate_changes_total{result=\"refused\"}"), 1, "refused")
            }
        }

        /// Another CA for clients.
        @Test func clientCAsOfTheEdge() throws {
            try withMesh { mesh in
                mesh.policy.identities.append(["match": ["cn": "guest"], "node": "guest"])
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Edge"], "to": ["node:guest"]])
                mesh.policy.connect("node:guest", to: "web")
                let other = try CertificateAuthority.createRoot(
                    name: "Guests", trustDomain: "guests.test", now: Int64(time(nil)))
                let file = mesh.directory + "/clients.crt"
                try mesh.authority.root.pem.write(toFile: file, atomically: true, encoding: .utf8)
                let edge = try EdgeMesh(
                    mesh,
                    listener: [
                        "clientCertificates": ["mode": "required", "ca": .string(file), "commonNames": true]
                    ], route: ["require": "certificate"])
                let guest = try other.issueCredentials(IssueRequest(node: "guest"), now: Int64(time(nil)))
                func status() -> Int? {
                    guard let end = try? edge.connect(credentials: guest) else { return nil }
                    defer { end.close() }
                    guard (try? end.sendRequest("GET", "/head")) != nil else { return nil }
                    return try? end.answer().status
                }
                try demandEqual(status(), nil, "before")
                try (mesh.authority.root.pem + other.root.pem).write(toFile: file, atomically: true, encoding: .utf8)
                // Its URI is of a domain that nobody has mapped; the handshake is what counts here.
                try Deadline.until("the other CA's clients get through the handshake") { status() == 403 }
            }
        }

        /// The node's own short-lived certificate, shown at the edge and to a target: each renewal gets there.
        @Test func theNodesOwnCertificateEverywhere() throws {
            try withMesh { mesh in
                let host = EdgeMesh.host
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files, clientCA: mesh.authorityFile)
                mesh.policy.provide("echo", at: "Node")
                mesh.policy.connect("node:Node", to: "echo")
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA(ttl: "\(Deadline.lifetime(8))s") }
                var address = ""
                let node = try mesh.node("Node") { node in
                    node.joinsByToken()
                    address = node.upstream("echo", port: 8002)
                    let own: JSONObject = [
                        "certificate": .string(node.identityDirectory + "/node.crt"),
                        "key": .string(node.identityDirectory + "/node.key"),
                    ]
                    node.set(
                        "edge.listeners",
                        .array([["address": .string("\(node.host):8443"), "certificates": [.object(own)]]]))
                    var tls = own
                    tls["ca"] = .string(files.authority)
                    node.services = [
                        [
                            "name": "echo", "target": .string("tls://127.0.0.1:\(server.port)"),
                            "tls": .object(tls), "check": ["kind": "none"],
                        ]
                    ]
                }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Node", in: node.tokenFile, ["--dns", host])
                try node.start()
                try node.waitReady()
                try node.waitInstances(of: "echo", at: ["Node"])
                func atTheEdge() throws -> Certificate? {
                    let context = try TLSContext(
                        .foreignServer(trust: try TrustBundle(roots: [mesh.authority.root])))
                    let end = try EdgeEnd(
                        Wire("\(node.host):8443"),
                        TLSSession(context: context, serverName: host, expecting: .foreignServer(host: host)))
                    defer { end.close() }
                    return end.session?.peerChain.first
                }
                let first = try #require(try atTheEdge())
                try Deadline.until("the first certificate has ended", within: 40 * Deadline.slowness, every: 0.2) {
                    _ = try atTheEdge()
                    return Int64(time(nil)) > first.notAfter + 2
                }
                try demand(try atTheEdge() != first, "the edge shows a later certificate")
                // The target checks what it is shown: one that has ended would not get through.
                let wire = try Wire(address)
                try wire.send(Array("who\n".utf8))
                try demandEqual(
                    String(decoding: try wire.receive(exactly: 18), as: UTF8.self), "Node None TLSv1.3\n", "the target")
                try demand(
                    try node.metric("mesh_target_certificate_changes_total{result=\"applied\"}") ?? 0 >= 1, "counted")
            }
        }

        /// A target's CA is replaced, wrongly at first.
        @Test func casOfATarget() throws {
            try withMesh { mesh in
                let files = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let other = try mesh.serverCertificate("localhost", ip: ["127.0.0.1"])
                let server = try TLSServer(mesh, certificate: files)
                let file = mesh.directory + "/target-ca.crt"
                func write(_ text: String) throws {
                    try text.write(toFile: file, atomically: true, encoding: .utf8)
                }
                try write(String(contentsOfFile: other.authority, encoding: .utf8))
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.connect("node:Directory", to: "echo")
                var address = ""
                let node = try mesh.node("Directory", directory: true) { node in
                    node.services = [
                        [
                            "name": "echo", "target": .string("tls://127.0.0.1:\(server.port)"),
                            "tls": ["ca": .string(file)],
                            "check": ["kind": "tcp", "interval": "10s", "timeout": "10s", "failures": 1],
                        ]
                    ]
                    address = node.upstream("echo", port: 8002)
                }
                try mesh.start()
                try node.waitFor("service_unhealthy")
                try write("no certificate\n")
                try node.waitFor("target_certificates_refused")
                try write(String(contentsOfFile: files.authority, encoding: .utf8))
                try node.waitFor("target_certificates_applied")
                try node.waitInstances(of: "echo", at: ["Directory"])
                let wire = try Wire(address)
                try wire.send(Array("a\n".utf8))
                try demandEqual(try wire.receive(exactly: 2), Array("a\n".utf8))
            }
        }

        /// Both sides of a front.
        @Test func filesOfAFront() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let front = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "ws://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key,
                    ])
                func shown(_ front: TestFront) throws -> String? {
                    let end = try front.connect([mesh.authority.root])
                    defer { end.close() }
                    return end.session?.peerChain.first?.fingerprintSHA256
                }
                let lasting = try front.connect([mesh.authority.root])
                try lasting.echoOverWebSocket()
                let old = try shown(front)
                let next = try listenerCertificate(mesh)
                try next.write(certificateFile: files.certificate, keyFile: files.key)
                try Deadline.until("the new certificate is shown") { try shown(front) == next.leaf.fingerprintSHA256 }
                try demand(old != next.leaf.fingerprintSHA256, "another one")
                try lasting.sendText("still here")
                try demandEqual(try lasting.frame().payload, Array("still here".utf8), "the connection of before")

                // The client side: the CA by which the server is known comes later.
                let ca = mesh.directory + "/front-ca.crt"
                let other = try mesh.serverCertificate(EdgeMesh.host)
                try FileManager.default.copyItem(atPath: other.authority, toPath: ca)
                let client = try TestFront(
                    mesh,
                    [
                        "--listen", "127.0.0.1:0", "--to", "wss://\(front.address)", "--to-ca-file", ca,
                        "--server-name", EdgeMesh.host,
                    ])
                let refused = try client.connect()
                try demandEqual(try refused.upgrade("/ws").status, 502, "before")
                try mesh.authority.root.pem.write(toFile: ca, atomically: true, encoding: .utf8)
                try Deadline.until("the server is trusted") {
                    let end = try client.connect()
                    defer { end.close() }
                    return try end.upgrade("/ws").status == 101
                }
                try client.end()
                lasting.close()
                try front.end()
            }
        }
    }
}
