import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// TLS sessions of external clients that are resumed, by the `openssl` program.
    @Suite struct TLSSessions {
        private static func edge(
            _ mesh: TestMesh, lifetime: String?, client: JSONObject = [:]
        ) throws -> EdgeMesh {
            var listener: JSONObject = [:]
            if let lifetime { listener["sessions"] = ["lifetime": .string(lifetime)] }
            if !client.isEmpty { listener["clientCertificates"] = .object(client) }
            return try EdgeMesh(mesh, listener: listener, route: ["require": "none"])
        }

        /// Asks for `/` and says what the program found: "New, TLSv1.3" or "Reused, TLSv1.3".
        private static func connect(_ edge: EdgeMesh, _ options: [String]) throws -> String {
            let script = """
                printf 'GET /head HTTP/1.1\\r\\nHost: \(EdgeMesh.host)\\r\\nConnection: close\\r\\n\\r\\n' \
                | timeout 20 openssl s_client "$@"
                """
            return try runProgram(
                ["/bin/sh", "-c", script, "sh", "-connect", edge.address, "-servername", EdgeMesh.host, "-ign_eof"]
                    + options
            ).output
        }

        @Test(arguments: ["-tls1_2", "-tls1_3"])
        func aSessionGoesOnAndSurvivesAReload(_ version: String) throws {
            try withMesh { mesh in
                let edge = try Self.edge(mesh, lifetime: "10m")
                let file = mesh.directory + "/session"
                let first = try Self.connect(edge, [version, "-sess_out", file])
                try demand(first.contains("New, TLSv1"), first)
                let second = try Self.connect(edge, [version, "-sess_in", file])
                try demand(second.contains("Reused, TLSv1"), second)
                try demandEqual(try edge.edge.reload().status, 200)
                let third = try Self.connect(edge, [version, "-sess_in", file])
                try demand(third.contains("Reused, TLSv1"), third)
                try demandEqual(try edge.edge.metric(#"mesh_edge_resumptions_total{result="resumed"}"#), 2)
                // Another process has other keys: they never leave the memory of the one that made them.
                _ = try edge.edge.takeOver()
                let fourth = try Deadline.wait("the new process serves") {
                    try? Self.connect(edge, [version, "-sess_in", file])
                }
                try demand(fourth.contains("New, TLSv1"), fourth)
                try demandEqual(try edge.edge.metric(#"mesh_edge_resumptions_total{result="unknown_key"}"#), 1)
            }
        }

        /// Without another handshake the keys are gone after two lifetimes.
        @Test func keysOfQuietNamesAreWiped() throws {
            try withMesh { mesh in
                let edge = try Self.edge(mesh, lifetime: "3s")
                _ = try Self.connect(edge, ["-tls1_3"])
                try Deadline.until("a key is there") { try edge.edge.metric("mesh_edge_ticket_keys") == 1 }
                try Deadline.until("it is gone") { try edge.edge.metric("mesh_edge_ticket_keys") == 0 }
            }
        }

        @Test func nothingIsResumedUnlessTheConfigurationSaysSo() throws {
            try withMesh { mesh in
                let edge = try Self.edge(mesh, lifetime: nil)
                for version in ["-tls1_2", "-tls1_3"] {
                    let text = try Self.connect(edge, [version])
                    try demand(text.contains("New, TLSv1") && !text.contains("TLS session ticket:"), text)
                }
                try demandEqual(try edge.edge.metric(#"mesh_edge_resumptions_total{result="resumed"}"#), nil)
            }
        }

        /// A client's certificate is looked at again; one that was revoked meanwhile by a CRL has to be shown, and is refused.
        @Test func aRevokedClientDoesNotResume() throws {
            try withMesh { mesh in
                let crl = mesh.directory + "/clients.crl"
                let authority = try OpenSSLCA(mesh)
                try authority.writeCRL(crl)
                let client: JSONObject = [
                    "mode": "required", "ca": .string(authority.certificate),
                    "revocation": ["files": .string(crl), "mode": "hard"],
                ]
                let edge = try Self.edge(mesh, lifetime: "10m", client: client)
                let (certificate, key) = try authority.issue("shop")
                let options = ["-tls1_3", "-cert", certificate, "-key", key]
                let file = mesh.directory + "/session"
                _ = try Self.connect(edge, options + ["-sess_out", file])
                let resumed = try Self.connect(edge, options + ["-sess_in", file])
                try demand(resumed.contains("Reused, TLSv1.3"), resumed)
                try authority.revoke(certificate)
                try authority.writeCRL(crl)
                try demandEqual(try edge.edge.reload().status, 200)
                let refused = try Self.connect(edge, options + ["-sess_in", file])
                try demand(!refused.contains("Reused"), refused)
                try demand(refused.contains("certificate revoked"), refused)
                try demandEqual(try edge.edge.metric(#"mesh_edge_handshake_failures_total{reason="revoked"}"#), 1)
            }
        }

        /// A CA of the `openssl` program, whose certificates are for clients.
        private struct OpenSSLCA {
            let certificate: String
            private let directory: String
            private var settings: String { directory + "/ca.cnf" }
            private var key: String { directory + "/ca.key" }

            init(_ mesh: TestMesh) throws {
                directory = mesh.directory + "/clients-ca"
                certificate = directory + "/ca.crt"
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                for name in ["index.txt", "index.txt.attr"] {
                    _ = FileManager.default.createFile(atPath: "\(directory)/\(name)", contents: nil)
                }
                try """
                [ca]
                default_ca = own
                [own]
                database = \(directory)/index.txt
                default_md = sha256
                default_crl_days = 7
                [req]
                distinguished_name = dn
                [dn]
                """.write(toFile: settings, atomically: true, encoding: .utf8)
                try Self.run(
                    ["req", "-x509", "-config", settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
                        + ["-nodes", "-keyout", key, "-out", certificate, "-subj", "/CN=Clients CA", "-days", "30"]
                        + ["-addext", "basicConstraints=critical,CA:TRUE"]
                        + ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
                        + ["-addext", "subjectKeyIdentifier=hash"])
            }

            func issue(_ name: String) throws -> (certificate: String, key: String) {
                let files = (certificate: "\(directory)/\(name).crt", key: "\(directory)/\(name).key")
                try Self.run(
                    ["req", "-x509", "-config", settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
                        + ["-nodes", "-keyout", files.key, "-out", files.certificate, "-subj", "/CN=\(name)"]
                        + ["-days", "30", "-CA", certificate, "-CAkey", key, "-set_serial", "4711"]
                        + ["-addext", "basicConstraints=critical,CA:FALSE"]
                        + ["-addext", "keyUsage=critical,digitalSignature"]
                        + ["-addext", "extendedKeyUsage=clientAuth"])
                return files
            }

            func revoke(_ file: String) throws {
                try Self.run(["ca", "-config", settings, "-cert", certificate, "-keyfile", key, "-revoke", file])
            }

            func writeCRL(_ file: String) throws {
                try Self.run(
                    ["ca", "-config", settings, "-cert", certificate, "-keyfile", key, "-gencrl", "-out", file])
            }

            private static func run(_ arguments: [String]) throws {
                let result = try runProgram(["openssl"] + arguments)
                try demandEqual(result.status, 0, result.output)
            }
        }
    }
}
