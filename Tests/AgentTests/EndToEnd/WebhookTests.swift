import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// Security events that are sent to somebody else's server, in Python.
    @Suite struct Webhooks {
        private static let secret = "0123456789abcdef0123456789abcdef"

        /// A node whose events go to the receiver.
        private func node(_ mesh: TestMesh, _ receiver: Receiver, ca: String? = nil) throws -> TestNode {
            let file = mesh.directory + "/webhook.secret"
            _ = FileManager.default.createFile(
                atPath: file, contents: Data((Self.secret + "\n").utf8), attributes: [.posixPermissions: 0o600])
            return try mesh.node("Directory", directory: true) { node in
                node.set("audit.webhook.url", .string("https://127.0.0.1:\(receiver.port)/events?from=mesh"))
                node.set("audit.webhook.secretFile", .string(file))
                node.set("audit.webhook.ca", .string(ca ?? receiver.ca))
            }
        }

        private func metric(_ node: TestNode, _ result: String) throws -> Double {
            try node.metric("mesh_audit_webhook_events_total{result=\"\(result)\"}") ?? 0
        }

        @Test func eventsArriveSigned() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh)
                let node = try node(mesh, receiver)
                try mesh.start()
                try demandEqual(try node.reload().status, 200)
                let events = try Deadline.wait("the reload is told: \(receiver.output)") {
                    let events = receiver.events
                    return events.contains { $0["type"]?.string == "conduit-mesh.security.reloaded" } ? events : nil
                }
                for event in events {
                    try demandEqual(event["specversion"]?.string, "1.0")
                    try demandEqual(event["source"]?.string, "/conduit-mesh/node/Directory")
                }
                try demandEqual(Set(events.compactMap { $0["id"]?.string }).count, events.count, "ids")
                let started = events.first { $0["type"]?.string == "conduit-mesh.security.started" }
                try demandEqual(started?["data"]?["category"]?.string, "agent")
                try demand(!receiver.output.contains("bad signature"), receiver.output)
                try Deadline.until("both are counted") { try metric(node, "delivered") >= 2 }
            }
        }

        /// A server that fails gets the same again, in order, and once it works, all of it; also one that does not know us yet.
        @Test(arguments: [503, 401, 404]) func failuresAreTriedAgain(with status: Int) throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh, failing: 2, status: status)
                let node = try node(mesh, receiver)
                try mesh.start()
                try node.waitFor("webhook_failing")
                try node.waitFor("webhook_works_again")
                try demand(receiver.events.contains { $0["type"]?.string == "conduit-mesh.security.started" }, "lost")
                try demandEqual(try node.metric("mesh_audit_webhook_failures_total"), 2)
                try demandEqual(try metric(node, "dropped"), 0)
                try demandEqual(try metric(node, "refused"), 0)
            }
        }

        /// A server that does not take one event among many gets all the others, and the log says which one it was.
        @Test func oneThatIsRefusedCostsNoOther() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh, mode: "picky", failing: 2)
                let node = try node(mesh, receiver)
                try mesh.start()
                try node.waitFor("webhook_failing")
                for _ in 0..<7 { try demandEqual(try node.reload().status, 200) }
                // Of a policy that is bad the agent might tell twice: it looks at that file by itself, too.
                let good = try String(contentsOfFile: node.configurationFile, encoding: .utf8)
                try "no configuration".write(toFile: node.configurationFile, atomically: true, encoding: .utf8)
                try demand(try node.control.request("POST", "/v1/reload", "").status != 200, "a bad configuration")
                try good.write(toFile: node.configurationFile, atomically: true, encoding: .utf8)
                for _ in 0..<7 { try demandEqual(try node.reload().status, 200) }
                let record = try node.waitFor("webhook_refused")
                try demandEqual(record["type"], "conduit-mesh.security.reload_failed")
                try Deadline.until("all others arrive") {
                    receiver.events.count {
                        $0["type"]?.string == "conduit-mesh.security.reloaded"
                            && $0["data"]?["fields"]?["by"]?.string?.hasPrefix("uid:") == true
                    } == 14
                }
                try demandEqual(try metric(node, "refused"), 1)
                try demandEqual(node.count("webhook_refused"), 1)
                let ids = receiver.events.compactMap { $0["id"]?.string }
                try demandEqual(Set(ids).count, ids.count, "nothing comes twice")
            }
        }

        /// A server that answers nothing holds up nobody.
        @Test func aSlowServerHoldsUpNobody() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh, mode: "slow")
                let node = try node(mesh, receiver)
                try mesh.start()
                for _ in 0..<20 { try demandEqual(try node.reload().status, 200) }
                try Deadline.until("they wait") { try node.metric("mesh_audit_webhook_waiting") ?? 0 >= 20 }
                try demand(node.isReady, "not ready")
                try node.stop()
            }
        }

        /// What the server refuses for good is not tried again, and does not keep the rest waiting.
        @Test func refusedForGood() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh, mode: "refuse")
                let node = try node(mesh, receiver)
                try mesh.start()
                try node.waitFor("webhook_refused")
                try Deadline.until("counted") { try metric(node, "refused") >= 1 }
            }
        }

        /// Nothing is sent to a server that has not the right certificate.
        @Test func aWrongCertificateGetsNothing() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh)
                let other = try mesh.serverCertificate("other", ip: ["127.0.0.1"])
                let node = try node(mesh, receiver, ca: other.authority)
                try mesh.start()
                let record = try node.waitFor("webhook_failing")
                try demand(record["detail"]?.contains("unknown_ca") ?? false, "\(record)")
                try demand(receiver.events.isEmpty, receiver.output)
            }
        }

        /// Another profile holds for the webhook, too, without a restart: here one without TLS 1.2, the only version of this server.
        @Test func anotherProfileHoldsAfterAReload() throws {
            try withMesh { mesh in
                let receiver = try Receiver(mesh, mode: "tls12")
                let node = try node(mesh, receiver)
                try mesh.start()
                try Deadline.until("TLS 1.2 will do") { try metric(node, "delivered") >= 1 }
                node.set("tls.profile", "hipaa")
                let stricter = try node.reload()
                try demandEqual(stricter.status, 200, stricter.text)
                try node.waitFor("webhook_failing")
                node.set("tls.profile", "modern")
                try demandEqual(try node.reload().status, 200)
                try node.waitFor("webhook_works_again")
            }
        }

        @Test func aConfigurationWithoutSecretIsRefused() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) {
                    $0.set("audit.webhook.url", "https://127.0.0.1:1/")
                }
                try node.writeFiles()
                let checked = try runProgram([
                    TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile, "--check",
                ])
                try demandEqual(checked.status, 78, checked.output)
                try demand(checked.output.contains("audit.webhook.secretFile"), checked.output)
            }
        }

        /// An HTTPS server that checks signatures and prints what it gets, a line for each request.
        private final class Receiver {
            let port: Int
            let ca: String
            private let child: Child

            private static let script = """
                import hashlib, hmac, http.server, json, ssl, sys, threading, time
                certificate, key, secret, mode, failing, failure = sys.argv[1:7]
                failing = int(failing)
                class Handler(http.server.BaseHTTPRequestHandler):
                    protocol_version = "HTTP/1.1"
                    def log_message(self, *arguments):
                        pass
                    def do_POST(self):
                        global failing
                        body = self.rfile.read(int(self.headers["Content-Length"]))
                        parts = dict(part.split("=", 1) for part in self.headers["Conduit-Signature"].split(","))
                        wanted = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
                        if not hmac.compare_digest(wanted, parts["v1"]) or abs(time.time() - int(parts["t"])) > 60:
                            print("bad signature", flush=True)
                        if self.headers["Content-Type"] != "application/cloudevents-batch+json" or self.path != "/events?from=mesh":
                            print("bad request", self.path, flush=True)
                        status = 204
                        if mode == "slow":
                            time.sleep(3600)
                        elif mode == "refuse":
                            status = 400
                        elif failing > 0:
                            failing -= 1
                            status = int(failure)
                        elif mode == "picky" and b"reload_failed" in body:
                            status = 422
                        else:
                            print("events", json.dumps(json.loads(body)), flush=True)
                        self.send_response(status)
                        self.send_header("Content-Length", "0")
                        self.end_headers()
                server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
                server.daemon_threads = True
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate, key)
                if mode == "tls12":
                    context.maximum_version = ssl.TLSVersion.TLSv1_2
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
                print("port", server.server_address[1], flush=True)
                server.serve_forever()
                """

            init(_ mesh: TestMesh, mode: String = "good", failing: Int = 0, status: Int = 503) throws {
                let files = try mesh.serverCertificate("receiver", ip: ["127.0.0.1"])
                ca = files.authority
                child = try Child(
                    [
                        "python3", "-c", Self.script, files.certificate, files.key, Webhooks.secret, mode, "\(failing)",
                        "\(status)",
                    ], output: mesh.directory + "/receiver.log")
                let child = child
                port = try Deadline.wait("the receiver listens") {
                    child.output.split(separator: "\n").first { $0.hasPrefix("port ") }.flatMap { Int($0.dropFirst(5)) }
                }
                mesh.whenEnded { child.kill() }
            }

            var output: String { child.output }

            var events: [JSONValue] {
                output.split(separator: "\n").filter { $0.hasPrefix("events ") }.flatMap { line in
                    (try? JSONReader.parse(String(line.dropFirst(7))))?.array ?? []
                }
            }
        }
    }
}
