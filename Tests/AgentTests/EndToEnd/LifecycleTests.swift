import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    @Suite struct Lifecycle {
        // MARK: - Reload

        @Test func invalidConfigurationIsRefused() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let running = try Wire(pair.upstream)
                try running.echo()
                let client = pair.client
                let good = try String(contentsOfFile: client.configurationFile, encoding: .utf8)
                let goodPolicy = try String(contentsOfFile: client.policyFile, encoding: .utf8)
                let key = client.directory + "/node.key"
                let before = try client.control.get("/v1/agent").json["policy"]?["fingerprint"]?.string
                func refused(_ what: String, file: String, _ text: String) throws {
                    let old = try String(contentsOfFile: file, encoding: .utf8)
                    try text.write(toFile: file, atomically: true, encoding: .utf8)
                    let answer = try client.control.request("POST", "/v1/reload", "")
                    try demandEqual(answer.status, 422, what + ": " + answer.text)
                    try demandEqual(answer.reason, "invalid_configuration", what)
                    try old.write(toFile: file, atomically: true, encoding: .utf8)
                }
                try refused(
                    "an unknown key", file: client.configurationFile,
                    good.replacing("\"services\"", with: "\"servces\""))
                try refused("garbage", file: client.configurationFile, "{ ")
                try refused(
                    "a policy with an unknown verb", file: client.policyFile,
                    goodPolicy.replacing("connect", with: "conect"))
                try refused("an empty policy", file: client.policyFile, "")
                try refused(
                    "a new upstream on a port that is taken", file: client.configurationFile,
                    good.replacing("\(client.host):8001", with: service.address))
                let oldKey = try String(contentsOfFile: key, encoding: .utf8)
                unlink(key)
                try PrivateKey.generate().write(to: key)
                let mismatch = try client.control.request("POST", "/v1/reload", "")
                try demandEqual(mismatch.status, 422, mismatch.text)
                unlink(key)
                try oldKey.write(toFile: key, atomically: true, encoding: .utf8)
                chmod(key, 0o600)
                // The agent's own look at the policy file may have come in between, with a report of its own.
                try demandEqual(
                    client.count("reload_failed") { $0["by"]?.hasPrefix("uid:") == true }, 6,
                    "reports of what was asked for")
                let reports = client.count("reload_failed")
                let refusals = try client.metric("mesh_reloads_total{result=\"refused\"}") ?? 0
                try demand(refusals >= Double(reports), "\(refusals) refusals of \(reports) are counted")
                // The old one stays in force.
                try running.echo()
                try Wire(pair.upstream).echo()
                try demandEqual(
                    try client.control.get("/v1/agent").json["policy"]?["fingerprint"]?.string, before, "policy")
                try demandEqual(try client.control.request("POST", "/v1/reload", "").status, 200)
            }
        }

        @Test func upstreamsChangeInPlace() throws {
            try withMesh { mesh in
                let (first, second) = (try mesh.echo(greeting: "1"), try mesh.echo(greeting: "2"))
                mesh.policy.provide("other", at: "Server")
                mesh.policy.connect("service:shop", to: "other")
                let pair = try Pair(mesh, target: first.address) { client, server in
                    server.offer("other", second.address)
                    client.upstream("echo", as: "shop", port: 8002)
                }
                let client = pair.client
                try client.waitInstances(of: "other", at: ["Server"])
                let addresses = (1...4).map { "\(client.host):800\($0)" }
                let running = try addresses[..<2].map { try Wire($0) }
                for wire in running { _ = try wire.receive(exactly: 1) }
                func serves(_ address: String) -> String {
                    guard let wire = try? Wire(address), let byte = try? wire.receive(exactly: 1) else { return "-" }
                    return String(decoding: byte, as: UTF8.self)
                }
                // 8001 leads elsewhere, 8002 is gone, 8003 is new.
                client.upstreams = []
                client.upstream("other", as: "shop", port: 8001)
                client.upstream("echo", as: "shop", port: 8003)
                client.set("log.level", "warning")
                let answer = try client.reload()
                try demandEqual(answer.status, 200, answer.text)
                try Deadline.until("the new listener serves") { serves(addresses[2]) == "1" }
                try Deadline.until("the changed listener leads elsewhere") { serves(addresses[0]) == "2" }
                try Deadline.until("the old listener is closed") { serves(addresses[1]) == "-" }
                // What was open goes on.
                for wire in running { try wire.echo("still") }
                // The log's level changed, too.
                let reloads = client.count("reloaded")
                try demandEqual(try client.reload().status, 200)
                try demandEqual(client.count("reloaded"), reloads, "records of level info")
                // And back.
                client.upstreams = []
                client.upstream("echo", as: "shop", port: 8001)
                client.upstream("other", as: "shop", port: 8002)
                try demandEqual(try client.reload().status, 200)
                try Deadline.until("8001 is as before") { serves(addresses[0]) == "1" }
                try Deadline.until("8002 listens again") { serves(addresses[1]) == "2" }
                for wire in running { try wire.echo("still") }
            }
        }

        @Test func newCertificateIsPickedUp() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, server in client.peer(server) }
                let wire = try Wire(pair.upstream)
                try wire.echo()
                let old = try pair.server.control.get("/v1/agent").json["identity"]?["fingerprint"]?.string
                let expiry = try pair.client.link(to: pair.server)?["peerCertificateExpires"]?.string
                try pair.server.issue(IssueRequest(node: "Server", validity: 5 * 86_400))
                try demandEqual(try pair.server.reload().status, 200)
                let new = try pair.server.control.get("/v1/agent").json["identity"]?["fingerprint"]?.string
                try demand(old != new, "the identity is the old one")
                // Nothing was touched.
                try wire.echo("still")
                try demandEqual(pair.client.count("link_lost"), 0, "links lost")
                // A new link shows the new one.
                pair.client.kill()
                try pair.client.launch()
                try pair.client.waitReady()
                try pair.client.waitLinked(to: pair.server)
                let now = try pair.client.link(to: pair.server)?["peerCertificateExpires"]?.string
                try demand(now != nil && now != expiry, "the peer sees the old certificate: \(now ?? "none")")
                // Somebody else's certificate is refused.
                try pair.server.issue(IssueRequest(node: "Else"))
                try demandEqual(try pair.server.reload().status, 422)
            }
        }

        // MARK: - The end

        @Test func drainLetsStreamsFinish() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.peer(server)
                    server.set("shutdown.drainTimeout", "60s")
                }
                let wires = try (0..<10).map { _ in try Wire(pair.upstream) }
                for wire in wires { try wire.echo() }
                let server = pair.server
                server.mayEnd = true
                try server.running().signal(SIGTERM)
                try server.waitFor("draining")
                // Deregistered at once: nobody is sent there any more.
                try pair.directory.waitInstances(of: "echo", at: [], within: 2 * Deadline.slowness)
                try pair.client.waitInstances(of: "echo", at: [], within: 2 * Deadline.slowness)
                try demandEqual(try server.metrics.get("/readyz").status, 503)
                try demandEqual(try server.metrics.get("/readyz").text, "draining\n")
                try demandEqual(try server.metrics.get("/healthz").status, 200)
                try demandEqual(try server.control.get("/v1/agent").json["ready"]?.bool, false)
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "a new connection sees")
                // What is under way goes on, and its end ends the agent.
                for wire in wires { try wire.echo("while it drains") }
                try demand(try server.running().isRunning, "it did not wait")
                for wire in wires { wire.finishSending() }
                for wire in wires { try demandEqual(wire.receive(), .end) }
                try demandEqual(try server.running().wait(within: 10 * Deadline.slowness), 0, "exit status")
                try demand(!FileManager.default.fileExists(atPath: server.controlPath), "the control socket was left")
                // Its return is noticed as after a crash, or a second later where a dial met the agent that was ending.
                try server.launch()
                let returned = try server.waitFor("started").seconds
                let linked = try pair.client.waitFor("link_established", skipping: 1) { $0["node"] == "Server" }.seconds
                try demand(linked - returned < 2 * Deadline.slowness, "the link took \(linked - returned) s")
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo()
            }
        }

        @Test func secondSignalEndsAtOnce() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { _, server in
                    server.set("shutdown.drainTimeout", "60s")
                }
                let wire = try Wire(pair.upstream)
                try wire.echo()
                pair.server.mayEnd = true
                try pair.server.running().signal(SIGTERM)
                try pair.server.waitFor("draining")
                try wire.echo()
                let start = Deadline.now
                try pair.server.running().signal(SIGTERM)
                try demandEqual(try pair.server.running().wait(), 0, "exit status")
                try demand(Deadline.now - start < 2 * Deadline.slowness, "it took \(Deadline.now - start) s")
                try demandEqual(wire.receive(), .reset, "its application sees")
            }
        }

        @Test func drainTimeoutEndsIt() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, server in
                    client.set("shutdown.drainTimeout", "500ms")
                    _ = server
                }
                let wire = try Wire(pair.upstream)
                try wire.echo()
                try demandEqual(try pair.client.stop(within: 10 * Deadline.slowness), 0, "exit status")
                try demandEqual(wire.receive(), .reset, "its application sees")
                // The directory ends promptly, too, though others watch it.
                try demandEqual(try pair.directory.stop(within: 5 * Deadline.slowness), 0, "exit status")
            }
        }

        // MARK: - Starts that fail

        @Test func badStarts() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                node.mayEnd = true
                func start(_ arguments: [String] = []) throws -> (status: Int32, output: String) {
                    try node.launch(arguments)
                    node.mayEnd = true
                    return (try node.running().wait(), try node.running().output)
                }
                try node.writeFiles()
                let good = try start(["--check"])
                try demandEqual(good.status, 0, good.output)
                try demand(good.output.contains("node.name") || good.output.contains("Directory"), good.output)

                // A port that is taken: which one, and why.
                let taken = try ListeningSocket(host: node.host, port: 7400)
                let port = try start()
                try demandEqual(port.status, 1, port.output)
                try demand(port.output.contains(node.meshAddress) && port.output.contains("EADDRINUSE"), port.output)
                taken.close()

                // A bad configuration, in a start and in a check.
                node.set("log.level", "loud")
                try node.writeFiles()
                for arguments in [["--check"], []] {
                    let bad = try start(arguments)
                    try demandEqual(bad.status, 78, bad.output)
                    try demand(bad.output.contains("mesh.json:") && bad.output.contains("log.level"), bad.output)
                }
                node.settings = []
                node.policy.rules.append(["allow": ["conect"], "from": ["node:a"], "to": ["b"]])
                try node.writeFiles()
                for arguments in [["--check"], []] {
                    let bad = try start(arguments)
                    try demandEqual(bad.status, 78, bad.output)
                    try demand(bad.output.contains("policy.json:"), bad.output)
                }
                node.policy = TestPolicy()

                // An expired certificate: exit 6, both times, what to do.
                let key = try PrivateKey.generate()
                let now = Int64(time(nil))
                var builder = CertificateBuilder(
                    subject: [.commonName("Directory")], publicKey: key.publicKey, notBefore: now - 7200,
                    notAfter: now - 3600)
                builder.alternativeNames = [.uri("spiffe://\(TestMesh.trustDomain)/node/Directory")]
                builder.extendedKeyUsage = [.serverAuth, .clientAuth]
                try Credentials(chain: [try builder.build(signedBy: mesh.authority.signer)], key: key)
                    .write(certificateFile: node.directory + "/node.crt", keyFile: node.directory + "/node.key")
                try node.writeFiles()
                let expired = try start()
                try demandEqual(expired.status, 6, expired.output)
                try demand(expired.output.contains("expired") && expired.output.contains("hint"), expired.output)
                try node.issue(IssueRequest(node: "Directory"))

                // A key that others may read.
                chmod(node.directory + "/node.key", 0o644)
                let open = try start()
                try demandEqual(open.status, 6, open.output)
                try demand(open.output.contains("chmod 600"), open.output)
                chmod(node.directory + "/node.key", 0o600)

                // And with everything right it starts; a second one on the same files does not.
                try node.launch()
                try node.waitReady()
                let second = try runProgram([TestMesh.binaries + "/mesh-agent", "--config", node.configurationFile])
                try demandEqual(second.status, 1, second.output)
                try demand(node.isReady, "the first agent is disturbed")
                try demandEqual(try node.control.get("/v1/agent").status, 200, "its control socket:")
            }
        }

        // MARK: - Seen from outside

        @Test func healthAndMetrics() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                try Wire(pair.upstream).echo()
                for node in [pair.directory, pair.client, pair.server] {
                    let answer = try node.metrics.get("/metrics")
                    try demandEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
                    let file = node.directory + "/metrics.txt"
                    try answer.text.write(toFile: file, atomically: true, encoding: .utf8)
                    let checked = try runProgram(["bash", "-c", "promtool check metrics <\(file)"])
                    try demandEqual(checked.status, 0, checked.output)
                    try demandEqual(checked.output, "", "promtool says")
                    try demandEqual(try node.metrics.get("/healthz").text, "ok\n")
                    try demandEqual(try node.metrics.get("/readyz").text, "ready\n")
                    try demandEqual(try node.metrics.get("/v1/agent").status, 404, "the API on the metrics listener:")
                    try demandEqual(try node.metrics.request("POST", "/metrics", "").status, 405)
                }
                let bytes = try pair.client.metric("mesh_link_receive_bytes_total") ?? 0
                try demand(bytes > 0, "no bytes were counted")
                // A counter never goes back, not even when its link is gone.
                pair.server.kill()
                try pair.client.waitFor("link_lost")
                try demand(try pair.client.metric("mesh_link_receive_bytes_total") ?? 0 >= bytes, "a counter went back")
                // Every line of the log is a JSON object with the same four members.
                for node in [pair.directory, pair.client] {
                    for line in try node.running().outputLines {
                        let value = try JSONReader.parse(String(line))
                        for member in ["time", "level", "event", "message"] {
                            try demand(value[member]?.string != nil, "\(member) is missing: \(line)")
                        }
                    }
                }
            }
        }

        @Test func notReadyBeforeTheDirectoryWasReached() throws {
            try withMesh { mesh in
                let directory = try mesh.node("Directory", directory: true)
                let node = try mesh.node("Early")
                try node.start()
                try Deadline.until("it lives") { (try? node.metrics.get("/healthz").status) == 200 }
                let answer = try node.metrics.get("/readyz")
                try demandEqual(answer.status, 503)
                try demandEqual(answer.text, "directory_not_reached\n")
                try demandEqual(try node.control.get("/v1/directory/services").reason, "directory_not_reached")
                try directory.start()
                try node.waitReady()
                // Once reached, its loss does not make the node unready: it routes on.
                directory.kill()
                try node.waitFor("link_lost")
                try demandEqual(try node.metrics.get("/readyz").status, 200)
            }
        }

        @Test func tellsSystemd() throws {
            try withMesh { mesh in
                let path = mesh.directory + "/notify"
                var storage = sockaddr_storage()
                let length = try Wire.fill(&storage, "unix:" + path)
                let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
                let bound = withUnsafePointer(to: &storage) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
                }
                try demand(bound == 0, "cannot bind \(path)")
                let wire = Wire(descriptor)
                let node = try mesh.node("Directory", directory: true) { $0.environment["NOTIFY_SOCKET"] = path }
                func next() throws -> String {
                    guard case .bytes(let bytes) = wire.receive() else { throw Failure("nothing was said") }
                    return String(decoding: bytes, as: UTF8.self)
                }
                try node.start()
                try demand(try next().contains("READY=1"), "READY=1 is missing")
                // Ready means that it serves.
                try demandEqual(try node.metrics.get("/healthz").status, 200)
                try node.running().signal(SIGHUP)
                try demand(try next().contains("RELOADING=1"), "RELOADING=1 is missing")
                try demand(try next().contains("READY=1"), "READY=1 after a reload is missing")
                node.mayEnd = true
                try node.running().signal(SIGTERM)
                try demand(try next().contains("STOPPING=1"), "STOPPING=1 is missing")
                try demandEqual(try node.running().wait(), 0)
            }
        }
    }
}
