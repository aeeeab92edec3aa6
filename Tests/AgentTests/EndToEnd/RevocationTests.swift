import Foundation
import JSON
import PKI
import Testing

/// What a test changes while a server of its own uses it.
private final class Setting<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var current: Value

    init(_ value: Value) { current = value }

    var value: Value {
        get { lock.withLock { current } }
        set { lock.withLock { current = newValue } }
    }
}

extension EndToEnd {
    /// CRLs that `openssl ca` makes with the mesh's CA, at running agents.
    @Suite struct RevokedNodes {
        private func prepare(_ mesh: TestMesh) throws {
            let directory = mesh.directory
            try mesh.authority.write(
                certificateFile: directory + "/authority.crt", keyFile: directory + "/authority.key", passphrase: nil)
            try "".write(toFile: directory + "/index.txt", atomically: true, encoding: .utf8)
            try "01".write(toFile: directory + "/crlnumber", atomically: true, encoding: .utf8)
            try """
            [ca]
            default_ca = own
            [own]
            database = \(directory)/index.txt
            crlnumber = \(directory)/crlnumber
            certificate = \(directory)/authority.crt
            private_key = \(directory)/authority.key
            default_md = sha256
            default_crl_days = 30
            """.write(toFile: directory + "/ca.cnf", atomically: true, encoding: .utf8)
            try list(mesh)
        }

        private func openssl(_ mesh: TestMesh, _ arguments: [String]) throws {
            let (status, output) = try runProgram(["openssl", "ca", "-config", mesh.directory + "/ca.cnf"] + arguments)
            try demand(status == 0, output)
        }

        /// Makes the CRL anew, in one step as far as a reader sees.
        private func list(_ mesh: TestMesh, _ options: [String] = []) throws {
            try openssl(mesh, ["-gencrl", "-out", mesh.directory + "/next.crl"] + options)
            rename(mesh.directory + "/next.crl", mesh.directory + "/mesh.crl")
        }

        /// What a CRL withdraws is not renewed: the next certificate would not be on it.
        @Test func aListedCertificateIsNotRenewed() throws {
            try withMesh { mesh in
                try prepare(mesh)
                let ca = try mesh.node("Directory", directory: true) {
                    try $0.serveCA(ttl: "12s")
                    $0.set("trust.revocation.files", [.string(mesh.directory + "/mesh.crl")])
                }
                let node = try mesh.node("Node") { $0.joinsByToken() }
                try ca.start()
                try ca.waitReady()
                try ca.createToken(for: "Node", in: node.tokenFile)
                try node.start()
                try node.waitReady()
                try openssl(mesh, ["-revoke", node.identityDirectory + "/node.crt"])
                try list(mesh)
                try node.waitFor("renewal_failed") { $0["reason"] == "not_authenticated" }
                try demandEqual(try node.metric("mesh_identity_renewals_total{result=\"renewed\"}") ?? 0, 0)
            }
        }

        /// The link of a revoked node ends when the CRL changes, and it gets no other; the others stay.
        @Test func revokedWhileLinked() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(mesh.directory + "/mesh.crl")])
                    node.set("trust.revocation.mode", "hard")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try prepare(mesh)
                try mesh.start()
                try directory.waitLinked(to: alpha)
                try directory.waitLinked(to: beta)
                try openssl(mesh, ["-revoke", beta.directory + "/node.crt"])
                try list(mesh)
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                try directory.waitFor("handshake_failed") { $0["reason"] == "revoked" }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try directory.isLinked(to: alpha), true)
                try demand(
                    try directory.metric("mesh_certificates_validated_total{result=\"revoked\"}") ?? 0 >= 1, "counted")
                let text = try directory.metrics.get("/metrics").text
                let line = text.split(separator: "\n").first { $0.hasPrefix("mesh_crl_next_update_timestamp_seconds{") }
                let next = Double(line?.split(separator: " ").last ?? "") ?? 0
                try demand(next > Double(time(nil)), "when the next CRL is due is shown: \(next)")
                try demand(text.contains("mesh_crl_entries{issuer=\"\(mesh.authority.root.subject)\"} 1\n"), text)
            }
        }

        /// Lists from a URL: in force without a reload, in the place of the one before, kept for a start without the server; one of
        /// somebody else's and an older one played again change nothing.
        @Test func fetchedLists() throws {
            try withMesh { mesh in
                try prepare(mesh)
                try list(mesh, ["-crlsec", "8"])
                let (current, old) = (mesh.directory + "/mesh.crl", mesh.directory + "/old.crl")
                try FileManager.default.copyItem(atPath: current, toPath: old)
                let file = Setting(current)
                let server = try mesh.service { wire in
                    var reader = WireReader(wire)
                    while let head = try reader.head(), head.hasPrefix("GET /mesh.crl ") {
                        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file.value)))
                        try wire.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8) + bytes)
                    }
                    wire.close()
                }
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string("http://\(server.address)/mesh.crl")])
                    node.set("trust.revocation.mode", "hard")
                }
                let (alpha, beta) = (try mesh.node("Alpha"), try mesh.node("Beta"))
                try mesh.start()
                try directory.waitFor("crl_fetched")
                try directory.waitLinked(to: alpha)
                try directory.waitLinked(to: beta)
                try openssl(mesh, ["-revoke", beta.directory + "/node.crt"])
                try list(mesh, ["-crlsec", "12"])
                try directory.waitFor("identity_revoked") { $0["node"] == "Beta" && $0["reason"] == "revoked" }
                try Deadline.until("Beta's link is gone") { try !directory.isLinked(to: beta) }
                try demandEqual(try directory.metric("mesh_crl_fetches_total{result=\"fetched\"}"), 2)

                file.value = old
                try Deadline.until("the older one was fetched") {
                    try directory.metric("mesh_crl_fetches_total{result=\"older\"}") ?? 0 >= 1
                }
                let other = try CertificateAuthority.createRoot(
                    name: "E2E root", trustDomain: TestMesh.trustDomain, now: Int64(time(nil)))
                for end in ["crt", "key"] { unlink(mesh.directory + "/authority." + end) }
                try other.write(
                    certificateFile: mesh.directory + "/authority.crt", keyFile: mesh.directory + "/authority.key",
                    passphrase: nil)
                try list(mesh)
                file.value = current
                try directory.waitFor("crl_refused") { $0["reason"] == "bad_signature" }
                try demandEqual(try directory.isLinked(to: beta), false)
            }
        }

        /// A list that was fetched before serves a start without the server, also under `hard`.
        @Test func fetchedListsAreKept() throws {
            try withMesh { mesh in
                try prepare(mesh)
                let isDown = Setting(false)
                let current = mesh.directory + "/mesh.crl"
                let server = try mesh.service { wire in
                    var reader = WireReader(wire)
                    if try reader.head() != nil, !isDown.value {
                        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: current)))
                        try wire.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8) + bytes)
                    }
                    wire.close()
                }
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string("http://\(server.address)/mesh.crl")])
                    node.set("trust.revocation.mode", "hard")
                }
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                try directory.waitFor("crl_fetched")
                isDown.value = true
                try directory.stop()
                try directory.start()
                try directory.waitReady()
                try directory.waitLinked(to: alpha)
                // Nothing was fetched since: what counts is what was kept.
                try demandEqual(directory.count("crl_fetched"), 0)
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 0)
            }
        }

        /// Under `hard` without a list everybody is refused: the check, the log and a metric say so before and while it is so.
        @Test func hardWithoutAList() throws {
            try withMesh { mesh in
                try prepare(mesh)
                let isUp = Setting(false)
                let current = mesh.directory + "/mesh.crl"
                let server = try mesh.service { wire in
                    var reader = WireReader(wire)
                    if try reader.head() != nil, isUp.value {
                        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: current)))
                        try wire.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(bytes.count)\r\n\r\n".utf8) + bytes)
                    }
                    wire.close()
                }
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.urls", [.string("http://\(server.address)/mesh.crl")])
                    node.set("trust.revocation.mode", "hard")
                }
                let alpha = try mesh.node("Alpha")
                try directory.writeFiles()
                let check = [TestMesh.binaries + "/mesh-agent", "--config", directory.configurationFile, "--check"]
                let (status, output) = try runProgram(check)
                try demandEqual(status, 0, output)
                try demand(output.contains("warning: trust.revocation.mode is hard, and there is no CRL"), output)
                for node in mesh.nodes { try node.start() }
                try directory.waitFor("crl_fetch_failed") { $0["reason"] == "unreachable" }
                try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 1)
                isUp.value = true
                try directory.waitFor("crl_fetched")
                try directory.waitLinked(to: alpha)
                try demandEqual(try directory.metric("mesh_crl_missing_under_hard"), 0)
                let fresh = "mesh_crl_fresh{issuer=\"\(mesh.authority.root.subject)\"} 1\n"
                try demand(try directory.metrics.get("/metrics").text.contains(fresh), fresh)
                let (_, after) = try runProgram(check)
                try demand(!after.contains("there is no CRL") && after.contains("CRL: "), after)
            }
        }

        /// A list that does not concern an issuer says nothing of it: `soft` lets it pass, `hard` does not.
        @Test func withoutAListOfTheIssuer() throws {
            try withMesh { mesh in
                try prepare(mesh)
                let other = try CertificateAuthority.createRoot(
                    name: "Other", trustDomain: "other.test", now: Int64(time(nil)))
                try other.certificate.pem.write(
                    toFile: mesh.directory + "/other.crt", atomically: true, encoding: .utf8)
                let config = mesh.directory + "/ca.cnf"
                let text = try String(contentsOfFile: config, encoding: .utf8)
                try other.write(
                    certificateFile: mesh.directory + "/other.crt", keyFile: mesh.directory + "/other.key",
                    passphrase: nil,
                    replace: true)
                try text.replacingOccurrences(of: "authority.", with: "other.")
                    .write(toFile: config, atomically: true, encoding: .utf8)
                try list(mesh)
                let directory = try mesh.node("Directory", directory: true) { node in
                    node.set("trust.revocation.files", [.string(mesh.directory + "/mesh.crl")])
                }
                let alpha = try mesh.node("Alpha")
                try mesh.start()
                try directory.waitLinked(to: alpha)
                directory.set("trust.revocation.mode", "hard")
                try demandEqual(try directory.reload().status, 200)
                try directory.waitFor("handshake_failed") { $0["reason"] == "revocation_unknown" }
            }
        }
    }
}
