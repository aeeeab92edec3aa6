import CTestSystem
import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// A process takes over from the running one. `MESH_TAKEOVER_SECONDS` sets how long the load lasts.
    @Suite struct Takeovers {
        private static let seconds = Double(ProcessInfo.processInfo.environment["MESH_TAKEOVER_SECONDS"] ?? "") ?? 0
        private static let perMinute = 12_000

        /// Takes `node` over again and again under load; at least twice.
        private func underLoad(_ node: TestNode, _ upstream: String, _ what: String) throws {
            let load = ShortConnections(to: upstream, perMinute: Self.perMinute)
            let end = Deadline.now + Self.seconds
            var takeovers = 0
            var longest = 0.0
            repeat {
                try load.goOn(150)
                let old = try node.takeOver()
                try demandEqual(try old.wait(), 0, "the old process' exit status")
                takeovers += 1
                try node.waitReady()
                longest = max(longest, try node.metric("mesh_takeover_pause_seconds") ?? 0)
            } while takeovers < 3 || Deadline.now < end
            try load.goOn(150)
            try load.finish("\(what), \(takeovers) takeovers, longest pause \(Int(longest * 1000)) ms")
        }

        @Test func theClientsAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try underLoad(pair.client, pair.upstream, "client's side")
            }
        }

        @Test func theServersAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try underLoad(pair.server, pair.upstream, "server's side")
            }
        }

        /// The server's agent dials only: nobody can reach it by an address.
        @Test func anAgentThatOnlyDialsIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, server in
                    server.peer(client)
                    server.set("node.advertise", [])
                }
                try underLoad(pair.server, pair.upstream, "server that dials")
            }
        }

        /// The store goes from one process to the other: what is registered before, between and after stays.
        @Test func theDirectorysAgentIsReplacedUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                for number in 1...3 {
                    try load.goOn(50)
                    let old = try pair.directory.takeOver()
                    try demandEqual(try old.wait(), 0, "the old process' exit status")
                    pair.server.policy.provide("more\(number)", at: "Server")
                    for node in mesh.nodes {
                        node.policy = pair.server.policy
                        try demandEqual(try node.reload().status, 200)
                    }
                    let answer = try pair.server.control.request(
                        "PUT", "/v1/services/more\(number)", #"{"target":"127.0.0.1:9"}"#)
                    try demandEqual(answer.status, 201, answer.text)
                }
                try load.finish("the directory's agent, 3 takeovers")
                for number in 1...3 {
                    try Deadline.until("more\(number) is known") {
                        try pair.client.instances(of: "more\(number)").keys.contains("Server")
                    }
                }
            }
        }

        /// Both ends at once, so that either's new process meets the other's old one.
        @Test func bothAgentsAreReplacedAtOnceUnderLoad() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let load = ShortConnections(to: pair.upstream, perMinute: Self.perMinute)
                for _ in 1...4 {
                    try load.goOn(100)
                    let olds = [try pair.client.running(), try pair.server.running()]
                    for node in [pair.client, pair.server] { try node.launch(["--takeover"]) }
                    for node in [pair.client, pair.server] { try node.waitFor("taken_over") }
                    for old in olds { try demandEqual(try old.wait(), 0, "the old process' exit status") }
                }
                try load.goOn(100)
                try load.finish("both sides at once, 4 takeovers each")
            }
        }

        /// GOAWAY travels behind bulk data, and the new process comes before it.
        @Test func transfersGoOnUnderTakeovers() throws {
            try withMesh { mesh in
                let size = 192 << 20
                let service = try mesh.service { wire in
                    guard try receiveStream(wire, seed: 5) == size else { return }
                    try sendStream(wire, seed: 6, count: size)
                }
                let pair = try Pair(mesh, target: service.address)
                let wires = try (0..<2).map { _ in try Wire(pair.upstream) }
                let sending = wires.map { wire in Background { try sendStream(wire, seed: 5, count: size) } }
                let receiving = wires.map { wire in Background { try receiveStream(wire, seed: 6) } }
                var olds: [Child] = []
                for _ in 1...2 { for node in [pair.client, pair.server] { olds.append(try node.takeOver()) } }
                for sender in sending { try sender.value(within: 60) }
                for receiver in receiving {
                    try demandEqual(try receiver.value(within: 60), size, "bytes that came back")
                }
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
                for node in mesh.nodes {
                    try demandEqual(node.count("duplicate_identity"), 0, "\(node.name) was suspicious")
                }
            }
        }

        /// Every lane comes back, in whichever end the process is replaced, and what runs on them goes on.
        @Test func severalLanesComeBackUnderLoad() throws {
            try withMesh { mesh in
                let service = try mesh.service { wire in
                    try sendBack(wire)
                    wire.close()
                }
                let pair = try Pair(mesh, target: service.address) { client, server in
                    for node in [client, server] { node.set("links.lanes", 4) }
                    client.peer(server)
                }
                func settled() throws {
                    try pair.client.waitLanes(4, to: pair.server)
                    try pair.server.waitLanes(4, to: pair.client)
                }
                try settled()
                let long = try (0..<8).map { _ in try Wire(pair.upstream) }
                for wire in long { try wire.echo("before") }
                let load = ShortConnections(to: pair.upstream, perMinute: 6_000)
                var olds: [Child] = []
                for _ in 1...2 {
                    for node in [pair.client, pair.server] {
                        try load.goOn(50)
                        olds.append(try node.takeOver())
                        try settled()
                        for wire in long { try wire.echo("on its old lane") }
                    }
                }
                try load.goOn(50)
                try load.finish("four lanes, 4 takeovers")
                for wire in long {
                    wire.finishSending()
                    try demandEqual(wire.receive(), .end)
                }
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
                for node in mesh.nodes {
                    try demandEqual(node.count("duplicate_identity"), 0, "\(node.name) was suspicious")
                }
            }
        }

        /// A service of the same node, with no link in between.
        @Test func aServiceOfTheSameNodeIsReachedUnderTakeovers() throws {
            try withMesh { mesh in
                mesh.policy.provide("echo", at: "Directory")
                mesh.policy.connect("node:Directory", to: "echo")
                var upstream = ""
                let target = try mesh.echo().address
                let node = try mesh.node("Directory", directory: true) {
                    $0.offer("echo", target, checkEvery: "200ms")
                    upstream = $0.upstream("echo", port: 8001)
                }
                try mesh.start()
                try node.waitInstances(of: "echo", at: ["Directory"])
                try underLoad(node, upstream, "one node")
            }
        }

        /// What the CA remembers goes over; a token is used once, whoever is asked.
        @Test func theCAIsReplaced() throws {
            try withMesh { mesh in
                let ca = try mesh.node("Directory", directory: true) { try $0.serveCA() }
                try ca.start()
                try ca.waitReady()
                let (first, second) = (ca.directory + "/first", ca.directory + "/second")
                try ca.createToken(for: "one", in: first)
                try ca.createToken(for: "two", in: second)
                try demandEqual(try ca.join(first).status, 0, "the first join")
                try demandEqual(try ca.takeOver().wait(), 0, "exit status")
                try demandEqual(try ca.join(first).reason, "token_used", "the same token again")
                try demandEqual(try ca.join(second).status, 0, "a token of before")
                try demandEqual(try ca.metric("mesh_ca_nodes"), 3)
                // A start that fails gives the database back.
                let claim = try ListeningSocket(host: ca.host, port: 8009)
                ca.upstream("other", at: claim.address)
                try ca.writeFiles()
                let failed = try ca.failToTakeOver()
                try demandEqual(failed.status, 1, failed.output)
                try ca.waitFor("takeover_failed")
                try ca.createToken(for: "three", in: ca.directory + "/third")
                try demandEqual(try ca.join(ca.directory + "/third").status, 0, "a token of after")
            }
        }

        /// Streams that are open when their agents are replaced, twice, go on until their end.
        @Test func longStreamsGoOn() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let first = try Wire(pair.upstream)
                try first.echo("before")
                let olds = [try pair.client.takeOver(), try pair.server.takeOver()]
                let second = try Wire(pair.upstream)
                try second.echo("over the new processes")
                try first.echo("over the old ones")
                let status = try pair.client.control.get("/v1/agent").json["predecessor"]
                try demandEqual(status?["pid"]?.integer, Int64(olds[0].pid))
                try demandEqual(status?["running"]?.bool, true)
                let olders = [try pair.client.takeOver(), try pair.server.takeOver()]
                try first.echo("over the oldest")
                try second.echo("over the older")
                for process in olds + olders {
                    try demand(process.isRunning, "an old process has ended before its stream")
                }
                for wire in [first, second] {
                    wire.finishSending()
                    try demandEqual(wire.receive(), .end)
                }
                for process in olds + olders { try demandEqual(try process.wait(), 0, "exit status") }
                try Deadline.until("it is seen") {
                    try pair.client.control.get("/v1/agent").json["predecessor"]?["running"]?.bool == false
                }
                try Wire(pair.upstream).echo("after")
            }
        }

        @Test func theDeadlineEndsStreamsOfTheOldProcess() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address) { client, _ in
                    client.set("shutdown.drainTimeout", "300ms")
                }
                let wire = try Wire(pair.upstream)
                try wire.echo("before")
                let old = try pair.client.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(wire.receive(), .reset, "at the deadline")
                try Wire(pair.upstream).echo("after")
            }
        }

        /// Connections that had no stream yet go to the new process, with what was read from them.
        @Test func waitingConnectionsAreHandedOn() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let server = try pair.server.running()
                // There is no link yet, and the server's agent does not answer.
                server.signal(SIGSTOP)
                let wire = try Wire(pair.upstream)
                try wire.send("waits")
                try Deadline.until("it waits") { try pair.client.metric("mesh_local_connections") == 1 }
                let old = try pair.client.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(try pair.client.metric("mesh_takeover_connections_total"), 1)
                server.signal(SIGCONT)
                try demandEqual(try wire.receive(exactly: 5), Array("waits".utf8))
                wire.finishSending()
                try demandEqual(wire.receive(), .end)
            }
        }

        @Test func stateIsKept() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                try demandEqual(try pair.server.control.request("POST", "/v1/drain", "").status, 200)
                let old = try pair.server.takeOver()
                try demandEqual(try old.wait(), 0, "exit status")
                try demandEqual(try pair.server.metrics.get("/readyz").text, "draining\n")
                try demandEqual(try Wire(pair.upstream).receive(), .reset, "a connection to a drained node")
                try demandEqual(try pair.server.control.request("DELETE", "/v1/drain", "").status, 200)
                try pair.client.waitInstances(of: "echo", at: ["Server"])
                try Wire(pair.upstream).echo("again")
            }
        }

        @Test func theNewConfigurationCounts() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let (gone, socket) = (pair.upstream, pair.client.directory + "/echo.sock")
                pair.client.upstreams = []
                let added = pair.client.upstream("echo", as: "shop", port: 8002)
                let file = pair.client.upstream("echo", as: "shop", at: "unix:" + socket)
                try pair.client.writeFiles()
                try demandEqual(try pair.client.takeOver().wait(), 0, "exit status")
                try Wire(added).echo("on the new address")
                try Wire(file).echo("on a socket file")
                #expect(throws: Failure.self) { try Wire(gone) }
                pair.client.upstreams.removeLast()
                try pair.client.writeFiles()
                try demandEqual(try pair.client.takeOver().wait(), 0, "exit status")
                try Wire(added).echo("still there")
                try demand(access(socket, F_OK) != 0, "the file of a socket that nobody wants is left")
            }
        }

        // MARK: - What fails

        @Test func aStartThatFailsChangesNothing() throws {
            try withMesh { mesh in
                let pair = try Pair(mesh, target: try mesh.echo().address)
                let load = ShortConnections(to: pair.upstream, perMinute: 3_000)
                let client = pair.client
                let good = try String(contentsOfFile: client.configurationFile, encoding: .utf8)
                func spoil(_ text: String) throws {
                    try text.write(toFile: client.configurationFile, atomically: true, encoding: .utf8)
                }
                try spoil(good.replacingOccurrences(of: "\"upstreams\"", with: "\"upstream\""))
                let bad = try client.failToTakeOver()
                try demandEqual(bad.status, 78, bad.output)
                try spoil(good.replacingOccurrences(of: client.directory + "/node.key", with: "/does/not/exist"))
                let keyless = try client.failToTakeOver()
                try demand(keyless.status != 0 && keyless.output.contains("/does/not/exist"), keyless.output)
                // What is found only after the old process has closed its files.
                try spoil(good.replacingOccurrences(of: client.host + ":8001", with: pair.server.meshAddress))
                let taken = try client.failToTakeOver()
                try demandEqual(taken.status, 1, taken.output)
                try demand(taken.output.contains("Address already in use"), taken.output)
                try spoil(
                    try String(contentsOfFile: pair.server.configurationFile, encoding: .utf8).replacingOccurrences(
                        of: pair.server.controlPath, with: client.controlPath))
                let other = try client.failToTakeOver()
                try demandEqual(other.status, 78, other.output)
                try demand(other.output.contains("is node Client, and this one would be Server"), other.output)
                try spoil(good)
                try load.goOn(50)
                try load.finish("four takeovers that fail")
                try demandEqual(try client.metric(#"mesh_takeovers_total{result="failed"}"#), 3)
                try demandEqual(client.count("takeover_failed"), 3)
                // Nothing stays closed.
                try demandEqual(
                    try client.control.request("PUT", "/v1/services/x", #"{"target":"127.0.0.1:9"}"#).status, 403)
                try demandEqual(try client.takeOver().wait(), 0, "exit status")
            }
        }

        @Test func theDirectoryGoesOnAfterAFailure() throws {
            try withMesh { mesh in
                mesh.policy.provide("late", at: "Directory")
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                let claim = try ListeningSocket(host: node.host, port: 8009)
                node.upstream("late", at: claim.address)
                try node.writeFiles()
                let failed = try node.failToTakeOver()
                try demandEqual(failed.status, 1, failed.output)
                try node.waitFor("takeover_failed")
                let answer = try node.control.request("PUT", "/v1/services/late", #"{"target":"127.0.0.1:9"}"#)
                try demandEqual(answer.status, 201, answer.text)
                try demandEqual(answer.json["directory"]?.bool, true, answer.text)
            }
        }

        /// The audit log cannot be opened again when a takeover has come to nothing: the node takes on nothing, as it is told to,
        /// until it can.
        @Test func theAuditLogComesBack() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true) { $0.set("audit.onFailure", "closed") }
                try mesh.start()
                let claim = try ListeningSocket(host: node.host, port: 8009)
                let place = node.directory + "/state/audit"
                try FileManager.default.moveItem(atPath: place, toPath: place + ".away")
                try Data().write(to: URL(fileURLWithPath: place))
                let failed = try node.failToTakeOver()
                try demand(failed.status != 0, failed.output)
                try node.waitFor("audit_not_written")
                try Deadline.until("the node is closed") { !node.isReady }
                try FileManager.default.removeItem(atPath: place)
                try FileManager.default.moveItem(atPath: place + ".away", toPath: place)
                try node.waitFor("audit_written_again")
                try node.waitReady()
                // One that comes to nothing after the new process has written.
                node.upstream("late", at: claim.address)
                try node.writeFiles()
                let taken = try node.failToTakeOver()
                try demandEqual(taken.status, 1, taken.output)
                try node.waitFor("takeover_failed", skipping: 1)
                node.upstreams = []
                try demandEqual(try node.reload().status, 200)
                try Deadline.until("what came after it is in the log") {
                    try node.audited().contains { $0["event"]?.string == "reloaded" }
                }
                try demand(node.isReady, "the node is closed")
                let verified = try node.mesh(["audit", "verify"])
                try demandEqual(verified.status, 0, verified.output)
            }
        }

        /// What the old process still sees while it ends is in the log that the new one keeps.
        @Test func theOldProcessIsAudited() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let kept = try edge.connect()
                let old = try edge.edge.takeOver()
                try kept.sendRequest("GET", "/", headers: [("Authorization", "Bearer \(try edge.token("mallory"))")])
                try demandEqual(try kept.answer().status, 403)
                try Deadline.until("it is in the log") {
                    try edge.edge.audited().contains {
                        $0["event"]?.string == "access_denied" && $0["fields"]?["process"]?.integer == Int64(old.pid)
                    }
                }
                try demandEqual(try old.wait(), 0, "exit status")
                let verified = try edge.edge.mesh(["audit", "verify"])
                try demandEqual(verified.status, 0, verified.output)
            }
        }

        /// A disk that does not answer fails the takeover, and holds up nothing else.
        @Test(.enabled(if: getuid() == 0)) func aStuckDiskHoldsUpNothing() throws {
            try withMesh { mesh in
                nonisolated(unsafe) let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                let thread = try #require(try node.running().thread(named: "audit"))
                guard ctest_hold_thread(thread) == 0 else {
                    throw Failure("the thread cannot be held: \(String(cString: strerror(errno)))")
                }
                let attempt = Background { try node.failToTakeOver() }
                // As long as it lasts the control plane answers.
                try Deadline.until("the takeover fails", every: 0.05) {
                    try demandEqual(try node.control.get("/v1/links").status, 200)
                    return node.count("takeover_failed") == 1
                }
                let failed = try attempt.value(within: Deadline.patience)
                try demandEqual(failed.status, 1, failed.output)
                try demand(failed.output.contains("the audit log's disk does not answer"), failed.output)
                try demandEqual(ctest_release_thread(thread), 0)
                try demandEqual(try node.reload().status, 200)
                try Deadline.until("the log goes on") {
                    try node.audited().contains { $0["event"]?.string == "reloaded" }
                }
                try demandEqual(try node.takeOver().wait(), 0, "exit status")
                let verified = try node.mesh(["audit", "verify"])
                try demandEqual(verified.status, 0, verified.output)
            }
        }

        @Test func onlyOneTakesOver() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                let wire = try Wire("unix:" + node.takeoverPath)
                try wire.send(Self.message(#"{"type":"hello","protocol":1,"supervised":false,"descriptors":0}"#))
                try demand(try Self.type(of: wire) == "offer", "no offer")
                let second = try node.failToTakeOver()
                try demandEqual(second.status, 1, second.output)
                try demand(second.output.contains("refused (busy)"), second.output)
                wire.close()
                try node.waitFor("takeover_failed")
                let future = try Wire("unix:" + node.takeoverPath)
                try future.send(Self.message(#"{"type":"hello","protocol":2,"descriptors":0}"#))
                try demand(try Self.type(of: future) == "refused", "another version was not refused")
                let noise = try Wire("unix:" + node.takeoverPath)
                try noise.send([UInt8](repeating: 0xFF, count: 64))
                try demandEqual(noise.receive(), .end, "noise")
                try demandEqual(try node.takeOver().wait(), 0, "exit status")
            }
        }

        private static func message(_ text: String) -> [UInt8] {
            let count = UInt32(text.utf8.count)
            return (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * UInt32($0))) } + [0, 0, 0, 0]
                + Array(text.utf8)
        }

        private static func type(of wire: Wire) throws -> String? {
            let head = try wire.receive(exactly: 8)
            let count = head[..<4].reduce(0) { $0 << 8 | Int($1) }
            return try JSONReader.parse(try wire.receive(exactly: count))["type"]?.string
        }

        @Test(.enabled(if: getuid() == 0)) func anotherUserMayNot() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try mesh.start()
                // Directory and socket are their owner's alone; who gets past them is asked who he is.
                let outside = try node.failToTakeOver(prefix: Self.nobody)
                try demandEqual(outside.status, 1, outside.output)
                try demand(outside.output.contains("EACCES"), outside.output)
                for path in [node.directory, node.directory + "/control"] { chmod(path, 0o755) }
                chmod(node.takeoverPath, 0o777)
                let refused = try node.failToTakeOver(prefix: Self.nobody)
                try demandEqual(refused.status, 1, refused.output)
                try demand(refused.output.contains("refused (not_permitted)"), refused.output)
                try demandEqual(try node.metric(#"mesh_takeovers_total{result="refused"}"#), 1)
                let record = try node.waitFor("takeover_refused")
                try demandEqual(record.value["uid"]?.integer, 65534)
            }
        }

        private static let nobody = ["setpriv", "--reuid", "65534", "--clear-groups", "--"]

        @Test func whereNobodyRunsItIsAnOrdinaryStart() throws {
            try withMesh { mesh in
                let node = try mesh.node("Directory", directory: true)
                try node.writeFiles()
                try node.launch(["--takeover"])
                try node.waitReady()
                try node.waitFor("takeover_none")
                // A dead agent's sockets are nobody.
                node.kill()
                try node.launch(["--takeover"])
                try node.waitReady()
                // An agent that does not know how.
                unlink(node.takeoverPath)
                let refused = try node.failToTakeOver()
                try demandEqual(refused.status, 1, refused.output)
                try demand(refused.output.contains("its version does not know how"), refused.output)
            }
        }

        // MARK: - The edge

        /// Each request on a connection of its own, and all on one until the agent closes it after an answer.
        @Test func requestsAreAnsweredUnderTakeovers() throws {
            try withMesh { mesh in
                nonisolated(unsafe) let edge = try EdgeMesh(mesh)
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                let stop = Counter()
                let clients = (0..<4).map { number in
                    Background { () -> Int in
                        var answers = 0
                        var end = try edge.connect()
                        while stop.value == 0 {
                            try end.sendRequest("GET", "/head", headers: fields)
                            let answer = try end.answer()
                            try demandEqual(answer.status, 200, answer.text)
                            answers += 1
                            guard number % 2 == 0 || answer.headers["connection"]?.lowercased() == "close" else {
                                continue
                            }
                            end.close()
                            end = try edge.connect()
                        }
                        return answers
                    }
                }
                var olds: [Child] = []
                for _ in 1...3 {
                    olds.append(try edge.edge.takeOver())
                    try edge.edge.waitReady()
                    usleep(100_000)
                }
                olds.append(try edge.server.takeOver())
                stop.add(1)
                let answers = try clients.map { try $0.value(within: Deadline.patience) }
                print("the edge: \(answers) requests were answered")
                for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
            }
        }

        @Test func theEdgesConnectionsGetTheirAnswers() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                let (socket, fresh) = (try edge.connect(), try edge.connect())
                try demandEqual(try socket.upgrade("/ws", headers: fields).status, 101, "upgrade")
                let old = try edge.edge.takeOver()
                try socket.sendText("still here")
                try demandEqual(try socket.frame().payload, Array("still here".utf8), "echo")
                // It had not asked yet when the other process came.
                try demandEqual(try fresh.upgrade("/ws", headers: fields).status, 101, "upgrade")
                let new = try edge.connect()
                try demandEqual(try new.upgrade("/ws", headers: fields).status, 101, "upgrade")
                try demand(old.isRunning, "the old process has ended")
                old.signal(SIGTERM)
                try demandEqual(try socket.closeFrame().code, 1001, "goodbye")
                try demandEqual(try fresh.closeFrame().code, 1001, "goodbye")
                try demandEqual(try old.wait(), 0, "exit status")
                try new.sendText("goes on")
                try demandEqual(try new.frame().payload, Array("goes on".utf8), "echo")
            }
        }
    }
}
