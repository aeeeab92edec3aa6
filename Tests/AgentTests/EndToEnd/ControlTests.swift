import Foundation
import JSON
import Testing

extension EndToEnd {
    @Suite struct Control {
        private func single(_ mesh: TestMesh, configure: (TestNode) throws -> Void = { _ in }) throws -> TestNode {
            mesh.policy.provide("echo", at: "Directory")
            let node = try mesh.node("Directory", directory: true, configure)
            try mesh.start()
            return node
        }

        /// One request with `curl`, as another user.
        private func curl(as uid: Int, _ node: TestNode, _ arguments: [String]) throws -> (
            status: Int32, output: String
        ) {
            try runProgram(
                ["curl", "-sS", "--unix-socket", node.controlPath] + arguments,
                prefix: ["setpriv", "--reuid", "\(uid)", "--regid", "\(uid)", "--clear-groups"])
        }

        /// A mesh in which nothing is registered yet says what comes next, each command in one line beside its result.
        @Test func anEmptyMesh() throws {
            try withMesh { mesh in
                let node = try single(mesh)
                let register = "mesh register NAME --target 127.0.0.1:PORT"
                try Deadline.until("it is in its own directory") {
                    try node.mesh(["nodes"]).output.contains("Directory")
                }
                for (command, words) in [
                    ("services", register), ("services --local", register), ("status", register),
                    ("nodes", "no other node yet; to admit one: mesh ca token create --node NAME"),
                ] {
                    let said = try node.mesh(command.split(separator: " ").map(String.init))
                    try demandEqual(said.status, 0, said.output)
                    try demandEqual(
                        said.output.split(separator: "\n").count { $0.contains(words) }, 1, "\(command): \(said.output)"
                    )
                }
                let echo = try mesh.echo()
                let made = try node.mesh(["register", "echo", "--target", echo.address, "--check", "none"])
                try demandEqual(made.status, 0, made.output)
                for command in ["services", "status"] {
                    let said = try node.mesh([command])
                    try demand(!said.output.contains("mesh register"), "\(command): \(said.output)")
                }
            }
        }

        @Test func unmappedUserIsRefused() throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh { mesh in
                let node = try single(mesh) { node in
                    node.policy.identities.append(["match": ["uid": 65533], "groups": ["readers"]])
                    node.policy.rules.append(["allow": ["discover"], "from": ["group:readers"], "to": ["**"]])
                }
                // The socket lies in a directory of its owner: nobody else gets there at all.
                let outside = try curl(as: 65534, node, ["http://agent/v1/agent"])
                try demand(outside.status != 0, "another user reached the control socket")
                // Opened up, the policy still decides.
                chmod((node.controlPath as NSString).deletingLastPathComponent, 0o755)
                chmod(node.controlPath, 0o666)
                chmod(node.directory, 0o755)
                let refused = try curl(
                    as: 65534, node, ["-w", "\n%{http_code} %{content_type}", "http://agent/v1/agent"])
                try demand(refused.output.hasSuffix("403 application/problem+json"), refused.output)
                try demand(refused.output.contains("65534"), "the answer does not name the uid: \(refused.output)")
                try node.waitFor("control_denied")
                // A mapped one sees what it may, and no more.
                let known = try curl(as: 65533, node, ["-w", "\n%{http_code}", "http://agent/v1/whoami"])
                try demand(known.output.hasSuffix("200") && known.output.contains("uid:65533"), known.output)
                let reload = try curl(
                    as: 65533, node, ["-w", "\n%{http_code}", "-X", "POST", "http://agent/v1/reload"])
                try demand(reload.output.hasSuffix("403"), reload.output)
                let register = try curl(
                    as: 65533, node,
                    [
                        "-w", "\n%{http_code}", "-X", "PUT", "-d", #"{"target":"127.0.0.1:9"}"#,
                        "http://agent/v1/services/echo",
                    ])
                try demand(register.output.hasSuffix("403"), register.output)
            }
        }

        @Test func filesAreTheOwnersOnly() throws {
            try withMesh { mesh in
                // An umask of 0 takes nothing away.
                let node = try single(mesh) { node in node.prefix = ["bash", "-c", "umask 0; exec \"$@\"", "--"] }
                func mode(_ path: String) throws -> Int {
                    var status = stat()
                    guard stat(path, &status) == 0 else { throw Failure("there is no \(path)") }
                    return Int(status.st_mode & 0o777)
                }
                try demandEqual(try mode(node.directory + "/state"), 0o700, "the state directory's mode")
                try demandEqual(try mode(node.directory + "/control"), 0o700, "the control directory's mode")
                try demandEqual(try mode(node.controlPath), 0o600, "the control socket's mode")
                _ = try node.control.request(
                    "PUT", "/v1/services/echo", #"{"target":"127.0.0.1:9","check":{"kind":"none"}}"#)
                try demandEqual(try mode(node.directory + "/state/registrations.json"), 0o600, "registrations' mode")
                for file in try FileManager.default.contentsOfDirectory(atPath: node.directory + "/state") {
                    // One that the agent replaces may be gone again.
                    guard let mode = try? mode(node.directory + "/state/" + file) else { continue }
                    try demand(mode & 0o077 == 0, "others may read \(file)")
                }
            }
        }

        @Test func registrationNeedsBothAndLasts() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let node = try single(mesh) { node in
                    node.policy.provide("callerMayNot", at: "Directory")
                    node.policy.rules[0] = [
                        "allow": ["discover", "connect", "register"], "from": ["group:operators"],
                        "to": ["echo", "nodeMayNot"],
                    ]
                }
                let body = #"{"target":"\#(service.address)","tags":["a"],"check":{"kind":"none"}}"#
                let made = try node.control.request("PUT", "/v1/services/echo", body)
                try demandEqual(made.status, 201, made.text)
                try demandEqual(made.json["directory"]?.bool, true, "the directory knows it:")
                try demandEqual(try node.instances(of: "echo"), ["Directory": "passing"])
                try demandEqual(try node.control.request("PUT", "/v1/services/echo", body).status, 200)
                for name in ["nodeMayNot", "callerMayNot"] {
                    let denied = try node.control.request("PUT", "/v1/services/\(name)", body)
                    try demandEqual(denied.status, 403, denied.text)
                    try demand(!denied.reason.isEmpty, "no reason: \(denied.text)")
                }
                let remote = try node.control.request("PUT", "/v1/services/echo", #"{"target":"192.0.2.1:80"}"#)
                try demandEqual(remote.status, 400)
                try demandEqual(remote.reason, "not_loopback")
                // Over a crash and a restart.
                node.kill()
                try node.launch()
                try node.waitReady()
                try node.waitInstances(of: "echo", at: ["Directory"])
                let listed = try node.control.get("/v1/services").json["services"]?.array ?? []
                try demandEqual(listed.count, 1)
                try demandEqual(listed[0]["origin"]?.string, "registered")
                try demandEqual(listed[0]["tags"]?[0]?.string, "a")
                // And away.
                try demandEqual(try node.control.request("DELETE", "/v1/services/echo").status, 200)
                try demandEqual(try node.instances(of: "echo"), [:])
                try demandEqual(try node.control.request("DELETE", "/v1/services/echo").status, 404)
                node.kill()
                try node.launch()
                try node.waitReady()
                try demandEqual(try node.instances(of: "echo"), [:])
            }
        }

        @Test func connectByUpgrade() throws {
            try withMesh { mesh in
                let service = try mesh.service { wire in
                    let question = try wire.receiveAll()
                    try wire.send(question.reversed())
                    wire.finishSending()
                }
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Client"], "to": ["uid:*"]])
                for name in ["echo", "nothing"] {
                    mesh.policy.connect("node:Client", to: name)
                    mesh.policy.connect("uid:\(getuid())", to: name)
                }
                try mesh.node("Directory", directory: true)
                let client = try mesh.node("Client")
                try mesh.node("Server") { $0.offer("echo", service.address) }
                try mesh.start()
                try client.waitInstances(of: "echo", at: ["Server"])
                // With bytes that came along with the request, and half-close.
                let (wire, refusal) = try client.connect("echo", early: "early ")
                try demand(refusal == nil, refusal?.text ?? "")
                try wire.send("late")
                wire.finishSending()
                try demandEqual(String(decoding: try wire.receiveAll(), as: UTF8.self), "etal ylrae")
                // Refusals are problems.
                let (_, missing) = try client.connect("nothing")
                try demandEqual(missing?.status, 404, missing?.text ?? "no answer")
                try demandEqual(missing?.headers["content-type"], "application/problem+json")
                let plain = try client.control.get("/v1/connect/echo")
                try demandEqual(plain.status, 426, plain.text)
            }
        }

        /// What is there and cannot be reached is told from what is not there, as at an edge: scripts wait for the one only.
        @Test func unhealthyIsNotUnknown() throws {
            try withMesh { mesh in
                mesh.policy.rules.append(["allow": ["act-as"], "from": ["node:Directory"], "to": ["uid:*"]])
                for name in ["db", "nothing"] {
                    mesh.policy.connect("node:Directory", to: name)
                    mesh.policy.connect("uid:\(getuid())", to: name)
                }
                mesh.policy.provide("db", at: "Directory")
                let closed = try ListeningSocket(host: "\(mesh.network).1", port: 7999)
                let address = closed.address
                closed.close()
                let node = try mesh.node("Directory", directory: true) { $0.offer("db", address, checkEvery: "200ms") }
                try mesh.start()
                try Deadline.until("its check fails") {
                    try node.connect("db").1?.reason == "no_healthy_instance"
                }
                let unhealthy = try node.mesh(["connect", "db"])
                try demandEqual(unhealthy.status, 5, unhealthy.output)
                try demand(unhealthy.output.contains("no_healthy_instance"), unhealthy.output)
                let unknown = try node.mesh(["connect", "nothing"])
                try demandEqual(unknown.status, 4, unknown.output)
                let elsewhere = try node.mesh(["connect", "db", "--node", "Other"])
                try demandEqual(elsewhere.status, 4, elsewhere.output)
            }
        }

        @Test func malformedRequests() throws {
            try withMesh { mesh in
                let node = try single(mesh)
                let missing = try node.control.get("/v1/nothing")
                try demandEqual(missing.status, 404)
                try demandEqual(missing.headers["content-type"], "application/problem+json")
                try demandEqual(missing.reason, "not_found")
                let method = try node.control.request("DELETE", "/v1/agent")
                try demandEqual(method.status, 405)
                try demandEqual(method.headers["allow"]?.contains("GET"), true, "Allow says GET:")
                try demandEqual(try node.control.request("PUT", "/v1/services/echo", "{nonsense").status, 400)
                try demandEqual(
                    try node.control.request("PUT", "/v1/services/echo", #"{"target":"127.0.0.1:9","colour":1}"#)
                        .status,
                    400)
                for text in [
                    "GARBAGE\r\n\r\n", "GET /v1/agent HTTP/1.1\r\n\r\n",
                    "GET /v1/agent HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    "GET /v1/agent HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
                    "POST /v1/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                    "GET /v1/\u{0} HTTP/1.1\r\nHost: a\r\n\r\n",
                    "PUT /v1/services/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
                ] {
                    let answer = try node.control.raw(text)
                    try demand((400..<500).contains(answer.status) || answer.status == 501, "\(text): \(answer.status)")
                    try demandEqual(answer.headers["content-type"], "application/problem+json", text)
                }
                // Half a request and gone; nothing at all; it goes on answering.
                for text in [
                    "GET /v1/ag", "", "PUT /v1/services/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
                ] {
                    let wire = try Wire("unix:" + node.controlPath)
                    try wire.send(text)
                    wire.close()
                }
                try demandEqual(try node.control.get("/v1/agent").status, 200)
                // Pipelined requests are answered in order.
                let wire = try Wire("unix:" + node.controlPath)
                try wire.send(
                    "GET /v1/agent HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                )
                let both = String(decoding: try wire.receiveAll(), as: UTF8.self)
                let first = both.range(of: "HTTP/1.1 200")
                let second = both.range(of: "HTTP/1.1 404")
                try demand(first != nil && second != nil && first!.lowerBound < second!.lowerBound, both)
            }
        }

        @Test func watchSeesChanges() throws {
            try withMesh { mesh in
                var service = try mesh.echo()
                mesh.policy.provide("extra", at: "Server")
                let pair = try Pair(mesh, target: service.address) { _, server in
                    server.offer("echo", service.address, checkEvery: Deadline.milliseconds(500))
                }
                let watch = try LineStream("unix:" + pair.client.controlPath, "/v1/directory/watch")
                let beat = try watch.next()
                try demand(beat?["revision"]?.integer != nil, "the first line has the revision")
                func event(_ what: String, _ condition: (JSONValue) -> Bool) throws {
                    let end = Deadline.now + Deadline.patience
                    while Deadline.now < end {
                        guard let line = try watch.next() else { break }
                        if (line["events"]?.array ?? []).contains(where: condition) { return }
                    }
                    throw Failure("the watch does not show: \(what)")
                }
                func names(_ value: JSONValue, _ text: String) -> Bool { value.text().contains(text) }
                _ = try pair.server.control.request(
                    "PUT", "/v1/services/extra", #"{"target":"\#(service.address)","check":{"kind":"none"}}"#)
                try event("a registration") { names($0, "\"extra\"") }
                _ = try pair.server.control.request("DELETE", "/v1/services/extra")
                try event("a deregistration") { names($0, "\"extra\"") }
                let port = Int(service.address.split(separator: ":")[1])!
                service.stop()
                try event("a critical instance") { names($0, "\"critical\"") && names($0, "echo") }
                service = try mesh.echo(port: port)
                try event("a passing instance") { names($0, "\"passing\"") && names($0, "echo") }
                pair.server.kill()
                try event("a lost node") { names($0, "Server") }
                // Reading: lists, one service, one node, what is not there.
                let services = try pair.client.control.get("/v1/directory/services")
                try demandEqual(services.status, 200)
                try demand(services.json["revision"]?.integer ?? 0 > beat?["revision"]?.integer ?? 0, "revisions rise")
                try demandEqual(try pair.client.control.get("/v1/directory/nodes").status, 200)
                let own = try pair.client.control.get("/v1/directory/nodes/Client")
                try demand(own.text.contains(pair.client.meshAddress), "the node's address is missing: \(own.text)")
                let absent = try pair.client.control.get("/v1/directory/nodes/Nobody")
                try demandEqual(absent.status, 404, absent.text)
                // The directory's writes are not there for local users.
                let write = try pair.client.control.request("PUT", "/v1/directory/nodes/Client", "{}")
                try demand(write.status == 404 || write.status == 405, "a local user may write: \(write.status)")
            }
        }

        @Test func questionsAboutRights() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address)
                let yes = try pair.client.control.request(
                    "POST", "/v1/authorize", #"{"principal":"service:shop","verb":"connect","service":"echo"}"#)
                try demandEqual(yes.json["allowed"]?.bool, true, yes.text)
                let no = try pair.client.control.request(
                    "POST", "/v1/authorize", #"{"principal":"service:stranger","verb":"connect","service":"echo"}"#)
                try demandEqual(no.json["allowed"]?.bool, false, no.text)
                let why = try pair.client.control.get("/v1/why?from=service:shop&to=echo&verb=connect")
                try demandEqual(why.json["allowed"]?.bool, true, why.text)
                try demand(why.text.contains("policy.json"), "the rule's place is missing: \(why.text)")
                let remote = try pair.client.control.get("/v1/why?from=service:shop&to=echo&at=Server")
                try demandEqual(remote.status, 403, "the client has no connect on mesh.agent: \(remote.text)")
            }
        }
    }
}

/// Where a test needs root and CI has it, leaving it out is a failure.
func mustBeRoot() throws {
    if ProcessInfo.processInfo.environment["CI"] == "true" { throw Failure("this test needs root") }
}
