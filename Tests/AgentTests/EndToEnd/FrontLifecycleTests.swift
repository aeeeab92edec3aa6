import Foundation
import JSON
import PKI
import TLS
import Testing

extension EndToEnd.Front {
    /// Starting, refusing to start, reloading and ending of a front.
    @Suite struct Lifecycle {
        private func serving(_ mesh: TestMesh, _ service: WebService, _ files: (String, String)) -> [String] {
            [
                "--listen", mesh.anyAddress, "--to", "ws://\(service.address)", "--certificate-file", files.0,
                "--private-key-file", files.1,
            ]
        }

        /// A certificate of any validity and its key, in files.
        private func files(
            _ mesh: TestMesh, _ name: String, from: Int64, to: Int64, usages: [ExtendedKeyUsage] = [.serverAuth]
        ) throws -> (String, String) {
            let key = try PrivateKey.generate(.p256)
            let now = Int64(time(nil))
            var builder = CertificateBuilder(
                subject: [.commonName(name)], publicKey: key.publicKey, notBefore: now + from, notAfter: now + to)
            builder.alternativeNames = [.dns(EdgeMesh.host)]
            builder.extendedKeyUsage = usages
            let files = ("\(mesh.directory)/\(name).pem", "\(mesh.directory)/\(name).key")
            try Credentials(chain: [try builder.build(signedBy: mesh.authority.signer)], key: key).write(
                certificateFile: files.0, keyFile: files.1)
            return files
        }

        @Test func badFilesAreNamedWithTheCommandThatShowsMore() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let good = try mesh.serverFiles()
                let other = try mesh.serverFiles("other")
                let readable = "\(mesh.directory)/readable.key"
                try FileManager.default.copyItem(atPath: good.key, toPath: readable)
                chmod(readable, 0o644)
                let text = "\(mesh.directory)/text.pem"
                try "no certificate\n".write(toFile: text, atomically: true, encoding: .utf8)
                let expired = try files(mesh, "expired", from: -86_400, to: -3600)
                let future = try files(mesh, "future", from: 3600, to: 86_400)
                let client = try files(mesh, "client", from: -60, to: 86_400, usages: [.clientAuth])
                let cases: [(files: (String, String), more: [String], reason: String, command: String)] = [
                    ((good.certificate, other.key), [], "key_mismatch", "openssl pkey -pubout -in \(other.key)"),
                    ((good.certificate, "/does/not/exist"), [], "unreadable_file", "namei -l /does/not/exist"),
                    (("/does/not/exist", good.key), [], "unreadable_file", "namei -l /does/not/exist"),
                    ((good.certificate, readable), [], "key_readable_by_others", "namei -l \(readable)"),
                    ((text, good.key), [], "not_pem", "grep -e ----- \(text)"),
                    ((good.key, good.key), [], "missing_certificate", good.key),
                    (expired, [], "expired", "openssl x509 -noout -dates -in \(expired.0)"),
                    (future, [], "not_yet_valid", "openssl x509 -noout -dates -in \(future.0)"),
                    (client, [], "wrong_usage", "openssl x509 -noout -purpose -in \(client.0)"),
                    (
                        good, ["--public-origin", "https://elsewhere.e2e.test:8443"], "wrong_name",
                        "openssl x509 -noout -ext subjectAltName -in \(good.certificate)"
                    ),
                    (good, ["--ca-file", good.certificate, "--verify-client"], "not_a_ca", good.certificate),
                ]
                for (files, more, reason, command) in cases {
                    for check in [[], ["--check"]] {
                        let (status, output) = try TestFront.refused(
                            mesh, serving(mesh, service, files) + more + check)
                        try demandEqual(status, 6, "\(reason): \(output)")
                        try demand(output.contains("(\(reason))"), "\(reason): \(output)")
                        try demand(output.contains(command), "\(command): \(output)")
                    }
                }
            }
        }

        @Test func exitCodes() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let usage = try TestFront.refused(mesh, ["--lisen", "127.0.0.1:1"])
                try demandEqual(usage.status, 2, usage.output)
                try demand(usage.output.contains("did you mean --listen?"), usage.output)
                let ini = "\(mesh.directory)/mcp.ini"
                try "[server]\ntransport = stdio\n".write(toFile: ini, atomically: true, encoding: .utf8)
                let stdio = try TestFront.refused(mesh, ["--import", ini, "--to", "http://\(service.address)"])
                try demandEqual(stdio.status, 78, stdio.output)
                try demand(stdio.output.contains("TLS does not apply to it"), stdio.output)
                let taken = try TestFront.refused(
                    mesh,
                    [
                        "--listen", service.address, "--to", "ws://127.0.0.1:1", "--certificate-file",
                        files.certificate, "--private-key-file", files.key,
                    ])
                try demandEqual(taken.status, 1, taken.output)
                try demand(taken.output.contains(service.address), taken.output)
                let help = try TestFront.refused(mesh, ["--help"])
                try demandEqual(help.status, 0, help.output)
                try demand(help.output.contains("--env-prefix"), help.output)
            }
        }

        @Test func importedFileOfAnMCPServer() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let ini = "\(mesh.directory)/mcp.ini"
                try """
                [server]
                transport = sse
                host = \(mesh.network).200
                port = 0
                certificate_file = \(files.certificate)
                private_key_file = \(files.key)
                """.write(toFile: ini, atomically: true, encoding: .utf8)
                let front = try TestFront(mesh, ["--import", ini, "--to", "http://\(service.address)"])
                try demand(front.uri.hasPrefix("https://\(mesh.network).200:"), front.uri)
                let end = try front.connect([mesh.authority.root])
                try end.sendRequest("GET", "/events")
                try demandEqual(try end.head().status, 200, "status")
                try Deadline.until("the stream is open") { service.listeners == 1 }
                service.event("data: 1")
                try demandEqual(try end.chunk(), Array("data: 1\n".utf8), "event")
                end.close()
                try front.end()
            }
        }

        @Test func checkTellsOriginsToPeopleAndPrograms() throws {
            try withMesh { mesh in
                let files = try mesh.serverFiles()
                let arguments = ["--env-prefix", "MCP", "--to", "ws://127.0.0.1:8690", "--check"]
                let environment = ["MCP_WS_CERT_FILE": files.certificate, "MCP_WS_KEY_FILE": files.key]
                let people = try TestFront.refused(mesh, arguments, environment)
                try demandEqual(people.status, 0, people.output)
                try demand(people.output.contains("environment MCP_WS_KEY_FILE"), people.output)
                try demand(people.output.contains("client URI: wss://127.0.0.1:8443"), people.output)
                try demand(people.output.contains("for \(EdgeMesh.host)"), people.output)
                let programs = try TestFront.refused(mesh, arguments + ["--json"], environment)
                let json = try JSONReader.parse(Array(programs.output.utf8))
                try demandEqual(json["uris"]?.array?.first?.string, "wss://127.0.0.1:8443", programs.output)
                try demandEqual(json["problems"]?.array?.count, 0, programs.output)
                let bad = try TestFront.refused(
                    mesh, arguments + ["--json"], ["MCP_WS_CERT_FILE": files.certificate, "MCP_WS_KEY_FILE": "/no"])
                try demandEqual(bad.status, 6, bad.output)
                let problem = try JSONReader.parse(Array(bad.output.utf8))["problems"]?.array?.first
                try demandEqual(problem?["reason"]?.string, "unreadable_file", bad.output)
                try demand(problem?["hint"]?.string?.contains("namei -l /no") == true, bad.output)
            }
        }

        @Test func certificatesAreReloaded() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let front = try TestFront(mesh, serving(mesh, service, files))
                let old = try front.connect([mesh.authority.root])
                try old.echoOverWebSocket("before")
                let first = old.session?.peerChain.first?.fingerprintSHA256
                // As certbot does it: other files under the same names, then a signal.
                _ = try mesh.serverFiles()
                front.process.signal(SIGHUP)
                try Deadline.until("the reload") { front.records("reloaded").count == 1 }
                let new = try front.connect([mesh.authority.root])
                try demand(new.session?.peerChain.first?.fingerprintSHA256 != first, "the old certificate is served")
                try old.sendText("after")
                try demandEqual(try old.frame().payload, Array("after".utf8), "the old connection")
                // What cannot be used changes nothing.
                try "".write(toFile: files.certificate, atomically: true, encoding: .utf8)
                front.process.signal(SIGHUP)
                let record = try Deadline.wait("the refusal") { front.records("reload_failed").first }
                try demand(record.text().contains("empty_file"), record.text())
                try front.connect([mesh.authority.root]).echoOverWebSocket()
                try old.sendText("still")
                try demandEqual(try old.frame().payload, Array("still".utf8), "the old connection")
            }
        }

        /// What a reload cannot change it names, again each time until a restart.
        @Test func aReloadSaysWhatNeedsARestart() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let config = mesh.directory + "/front.json"
                func write(_ audit: String) throws {
                    try "{ workers: 1, audit: { directory: \"\(mesh.directory)/\(audit)\" } }".write(
                        toFile: config, atomically: true, encoding: .utf8)
                }
                try write("first")
                let front = try TestFront(mesh, serving(mesh, service, files) + ["--config", config])
                func waiting(_ reload: Int) throws -> [String] {
                    front.process.signal(SIGHUP)
                    let record = try Deadline.wait("reload \(reload)") {
                        front.records("reloaded").dropFirst(reload).first
                    }
                    return record["needRestart"]?.array?.compactMap(\.string) ?? ["none is named"]
                }
                try demandEqual(try waiting(0), [])
                try write("second")
                for reload in 1...2 {
                    let keys = try waiting(reload)
                    try demand(keys.count == 1 && keys[0].hasPrefix("audit.directory: "), "\(keys)")
                }
                try write("first")
                try demandEqual(try waiting(3), [])
            }
        }

        @Test func healthAndMetrics() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let address = "\(mesh.network).201:7480"
                let metrics = HTTPEnd(address: address)
                let front = try TestFront(mesh, serving(mesh, service, files) + ["--listen-metrics", address])
                try demandEqual(try metrics.get("/healthz").text, "ok\n")
                try demandEqual(try metrics.get("/readyz").text, "ready\n")
                let end = try front.connect([mesh.authority.root])
                try demandEqual(try end.request("GET", "/status/418").status, 418)
                try end.echoOverWebSocket()
                front.process.signal(SIGHUP)
                try Deadline.until("reloaded") { front.records("reloaded").count == 1 }
                let text = try metrics.get("/metrics").text
                try demandEqual(try MetricsTable.published.get().problems(in: text), [], "docs/operations.md:")
                for line in [
                    "mesh_ready 1", "mesh_edge_connections{kind=\"websocket\"} 1",
                    "mesh_edge_requests_total{route=\"*/\",status=\"4xx\"} 1",
                    "mesh_edge_handshakes_total{version=\"TLSv1.3\",suite=\"TLS_AES_128_GCM_SHA256\"} 1",
                    "mesh_reloads_total{result=\"applied\"} 1",
                ] {
                    try demand(text.contains(line + "\n"), "\(line) is not in \(text)")
                }
                try demand(text.contains("process_resident_memory_bytes "), text)
                front.process.signal(SIGTERM)
                try Deadline.until("the drain") { front.records("draining").count == 1 }
                try demandEqual(try metrics.get("/readyz").status, 503, "draining")
                // Mistakes.
                let open = try TestFront.refused(
                    mesh, serving(mesh, service, files) + ["--listen-metrics", "192.0.2.1:7481"])
                try demand(open.status == 78 && open.output.contains("metrics are not protected"), open.output)
                let taken = try TestFront.refused(mesh, serving(mesh, service, files) + ["--listen-metrics", address])
                try demand(taken.status == 1 && taken.output.contains(address), taken.output)
            }
        }

        @Test func draining() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let front = try TestFront(mesh, serving(mesh, service, files))
                let end = try front.connect([mesh.authority.root])
                try end.echoOverWebSocket()
                front.process.signal(SIGTERM)
                try Deadline.until("the drain") { front.records("draining").count == 1 }
                // Nobody new gets in, what is there goes on until it ends.
                try Deadline.until("no new connections") { (try? front.connect([mesh.authority.root])) == nil }
                try end.sendText("still here")
                try demandEqual(try end.frame().payload, Array("still here".utf8), "echo")
                try demand(front.process.isRunning, "it must wait")
                try end.sendFrame(8, [0x03, 0xE8])
                try demandEqual(try end.closeFrame().code, 1000, "close")
                end.close()
                try demandEqual(try front.process.wait(), 0, "status")
                // A second signal ends at once.
                let other = try TestFront(mesh, serving(mesh, service, files))
                try other.connect([mesh.authority.root]).echoOverWebSocket()
                other.process.signal(SIGTERM)
                try Deadline.until("the drain") { other.records("draining").count == 1 }
                other.process.signal(SIGTERM)
                try demandEqual(try other.process.wait(), 0, "status")
            }
        }
    }
}
