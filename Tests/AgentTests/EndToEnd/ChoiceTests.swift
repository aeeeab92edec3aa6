import Foundation
import JSON
import Testing

extension EndToEnd {
    @Suite struct Choice {
        /// A mesh with two servers of one service.
        private func twoServers(
            _ mesh: TestMesh, _ first: String, _ second: String, checkEvery interval: String? = nil,
            configure: (TestNode) -> Void = { _ in }
        ) throws -> (client: TestNode, servers: [TestNode], upstream: String) {
            for name in ["Server1", "Server2"] { mesh.policy.provide("echo", at: name) }
            mesh.policy.identity("shop", of: "Client")
            mesh.policy.connect("service:shop", to: "echo")
            try mesh.node("Directory", directory: true)
            var upstream = ""
            let client = try mesh.node("Client") { node in
                upstream = node.upstream("echo", as: "shop", port: 8001)
                configure(node)
            }
            let servers = [
                try mesh.node("Server1") { $0.offer("echo", first, checkEvery: interval) },
                try mesh.node("Server2") { $0.offer("echo", second, checkEvery: interval) },
            ]
            try mesh.start()
            try client.waitInstances(of: "echo", at: ["Server1", "Server2"])
            return (client, servers, upstream)
        }

        @Test func bothInstancesGetTraffic() throws {
            try withMesh { mesh in
                let services = [try mesh.echo(), try mesh.echo()]
                let (_, _, upstream) = try twoServers(mesh, services[0].address, services[1].address)
                var wires: [Wire] = []
                for _ in 0..<60 {
                    let wire = try Wire(upstream)
                    try wire.echo()
                    wires.append(wire)
                }
                // Least load of two: with all kept open, the halves are even.
                let counts = services.map(\.connections)
                try demandEqual(counts[0] + counts[1], 60, "connections")
                try demand(abs(counts[0] - counts[1]) <= 2, "they are shared \(counts)")
            }
        }

        /// The address of a service that is down, and one that answers with the question from its end.
        private func oneThatIsDown(_ mesh: TestMesh) throws -> (gone: String, service: ThreadedService) {
            let gone = try ListeningSocket(host: "\(mesh.network).250")
            gone.close()
            let service = try mesh.service { wire in
                let question = try wire.receiveAll()
                try wire.send(question.reversed())
                wire.finishSending()
            }
            return (gone.address, service)
        }

        /// One instance's target is down: every connection goes to the other, first bytes and end of input included.
        @Test func retryWithFirstBytes() throws {
            try withMesh { mesh in
                let (gone, service) = try oneThatIsDown(mesh)
                let (client, servers, upstream) = try twoServers(mesh, gone, service.address)
                for index in 0..<40 {
                    let wire = try Wire(upstream)
                    let text = String(repeating: "question \(index) ", count: 1 + index * 20)
                    try wire.send(text)
                    wire.finishSending()
                    try demandEqual(String(decoding: try wire.receiveAll(), as: UTF8.self), String(text.reversed()))
                }
                try demand(try client.metric("mesh_open_retries_total") ?? 0 > 0, "nothing was retried")
                try demand(servers[0].count("target_failed") > 0, "the dead instance was never tried")
            }
        }

        /// Bytes and end of input went to an agent that could not answer yet and then refuses: the next one gets both.
        @Test func retryWithEndOfInput() throws {
            try withMesh { mesh in
                let (gone, service) = try oneThatIsDown(mesh)
                let (client, servers, upstream) = try twoServers(mesh, gone, service.address) { node in
                    node.set("workers", 1)
                    node.upstream("echo", as: "shop", port: 8002, more: ["node": "Server2"])
                }
                func ask(_ address: String, _ text: String) throws -> Wire {
                    let wire = try Wire(address)
                    try wire.send(text)
                    wire.finishSending()
                    return wire
                }
                // Both links stand.
                for _ in 0..<10 { _ = try ask(upstream, "hello").receiveAll() }
                try client.waitLinked(to: servers[0])
                let failed = servers[0].count("target_failed")
                try servers[0].running().signal(SIGSTOP)
                // Each goes to one of the two by chance: until the sleeper has got some.
                var wires: [Wire] = []
                while try wires.count < 10 || client.link(to: servers[0])?["streams"]?.integer == 0 {
                    try demand(wires.count < 1000, "the sleeper gets nothing")
                    wires.append(try ask(upstream, "question \(wires.count)"))
                }
                // What comes later on the same loop is done, so the agent has read the ends of these, too.
                for _ in 0..<5 { _ = try ask("\(client.host):8002", "hello").receiveAll() }
                try servers[0].running().signal(SIGCONT)
                for (index, wire) in wires.enumerated() {
                    try demandEqual(
                        String(decoding: try wire.receiveAll(), as: UTF8.self), String("question \(index)".reversed()))
                }
                try demand(servers[0].count("target_failed") > failed, "the sleeper was not asked")
            }
        }

        /// An agent that dies while streams wait for it to answer: those that sent nothing go elsewhere.
        @Test func deadNodeIsLeftOut() throws {
            try withMesh { mesh in
                let services = [try mesh.echo(), try mesh.echo()]
                let (client, servers, upstream) = try twoServers(mesh, services[0].address, services[1].address)
                for _ in 0..<10 { try Wire(upstream).echo() }
                servers[0].kill()
                // Until the directory notices, connections still work, by retry.
                for _ in 0..<20 { try Wire(upstream).echo() }
                try client.waitInstances(of: "echo", at: ["Server2"])
                for _ in 0..<10 { try Wire(upstream).echo() }
                try servers[0].launch()
                try client.waitInstances(of: "echo", at: ["Server1", "Server2"])
                let before = services[0].total
                try Deadline.until("the returned instance gets traffic") {
                    try Wire(upstream).echo()
                    return services[0].total > before
                }
            }
        }

        @Test func healthDecides() throws {
            try withMesh { mesh in
                let first = try mesh.echo()
                let second = try mesh.echo()
                let (client, servers, upstream) = try twoServers(
                    mesh, first.address, second.address, checkEvery: Deadline.milliseconds(500))
                first.stop()
                try client.waitInstances(of: "echo", at: ["Server2"])
                try demandEqual(try client.instances(of: "echo")["Server1"], "critical")
                let local = try servers[0].mesh(["services", "--local"]).output
                try demand(
                    local.contains("echo: its check fails: connect \(first.address): Connection refused"), local)
                let found = try client.mesh(["lookup", "echo"]).output
                try demand(found.contains("mesh services --local"), found)
                let retries = try client.metric("mesh_open_retries_total")
                for _ in 0..<20 { try Wire(upstream).echo() }
                try demandEqual(try client.metric("mesh_open_retries_total"), retries, "retries")
                try demandEqual(try servers[0].metric("mesh_service_healthy{service=\"echo\"}"), 0)
                // It comes back at the same address.
                let port = Int(first.address.split(separator: ":")[1])!
                let again = try mesh.echo(port: port)
                try client.waitInstances(of: "echo", at: ["Server1", "Server2"])
                try Deadline.until("it gets traffic again") {
                    try Wire(upstream).echo()
                    // Health checks connect, too: only an echo counts, so look at a connection that stays.
                    return again.total > 5
                }
                try demandEqual(servers[0].count("service_unhealthy"), 1, "reports")
                try demandEqual(servers[0].count("service_healthy"), 1, "reports")
            }
        }

        /// Upstreams can be bound to a node or an instance.
        @Test func pinnedInstance() throws {
            try withMesh { mesh in
                let services = [try mesh.echo(greeting: "1"), try mesh.echo(greeting: "2")]
                let (client, _, _) = try twoServers(mesh, services[0].address, services[1].address) { node in
                    node.upstream("echo", as: "shop", port: 8002, more: ["node": "Server2"])
                    node.upstream("echo", as: "shop", port: 8003, more: ["instance": "Server1/echo"])
                }
                for _ in 0..<10 {
                    try demandEqual(try Wire("\(client.host):8002").receive(exactly: 1), [UInt8(ascii: "2")])
                    try demandEqual(try Wire("\(client.host):8003").receive(exactly: 1), [UInt8(ascii: "1")])
                }
            }
        }

        /// A target that takes the connection and never answers the SYN cannot be had without a firewall; one whose queue
        /// is full is the next best: the application is told within the connect timeout.
        @Test func noInstanceAtAll() throws {
            try withMesh { mesh in
                let service = try mesh.echo()
                let pair = try Pair(mesh, target: service.address) { client, _ in
                    client.policy.connect("service:shop", to: "nothing")
                    client.upstream("nothing", as: "shop", port: 8002)
                }
                let start = Deadline.now
                try demandEqual(try Wire("\(pair.client.host):8002").receive(), .reset)
                try demand(Deadline.now - start < 3 * Deadline.slowness, "it took \(Deadline.now - start) s")
                try demandEqual(try pair.client.waitFor("open_failed")["reason"], "no_healthy_instance")
            }
        }

        // MARK: - On one node, and Unix sockets

        @Test func serviceOfTheSameNode() throws {
            try withMesh { mesh in
                mesh.policy.provide("echo", at: "Alone")
                mesh.policy.identity("shop", of: "Alone")
                mesh.policy.connect("service:shop", to: "echo")
                mesh.policy.identities.append(["match": ["node": "Alone"], "permissions": ["mesh-directory"]])
                let (path, listen) = (mesh.directory + "/target.sock", mesh.directory + "/upstream.sock")
                let target = try ListeningSocket(path: path)
                let kinds = Queue<Received>()
                let service = ThreadedService(target) { wire in
                    let question = try wire.receive(exactly: 4)
                    switch String(decoding: question, as: UTF8.self) {
                    case "echo":
                        while case .bytes(let bytes) = wire.receive() { try wire.send(bytes) }
                        wire.finishSending()
                    case "bulk":
                        let sender = Background { try sendStream(wire, seed: 9, count: 32 << 20) }
                        try demandEqual(try receiveStream(wire, seed: 8), 32 << 20)
                        try sender.value()
                    case "kill": wire.abort()
                    default:
                        try wire.send("ok")
                        kinds.put(wire.receive())
                    }
                }
                mesh.whenEnded { service.stop() }
                let alone = try mesh.node("Alone", directory: true) { node in
                    node.offer("echo", "unix:" + path)
                    node.upstream("echo", as: "shop", port: 8001)
                    node.upstream("echo", as: "shop", at: "unix:" + listen)
                }
                try mesh.start()
                try alone.waitInstances(of: "echo", at: ["Alone"])
                for address in ["\(alone.host):8001", "unix:" + listen] {
                    let wire = try Wire(address)
                    try wire.send("echo")
                    try wire.echo("on one node")
                    wire.finishSending()
                    try demandEqual(wire.receive(), .end)

                    let bulk = try Wire(address)
                    try bulk.send("bulk")
                    let sender = Background { try sendStream(bulk, seed: 8, count: 32 << 20) }
                    try demandEqual(try receiveStream(bulk, seed: 9), 32 << 20)
                    try sender.value()
                }
                let tcp = try Wire("\(alone.host):8001")
                try tcp.send("look")
                _ = try tcp.receive(exactly: 2)
                tcp.abort()
                // A Unix socket has no reset of its own: its reader sees an end or an error.
                let seen = try kinds.take()
                try demand(seen == .end || seen == .reset, "the service sees \(seen)")
                try Deadline.until("nothing is left") { try alone.metric("mesh_local_connections") == 0 }
                try demandEqual(try alone.stop(), 0)
                try demand(!FileManager.default.fileExists(atPath: listen), "the upstream's socket file was left")
                try demand(!FileManager.default.fileExists(atPath: alone.controlPath), "the control socket was left")
            }
        }
    }
}
