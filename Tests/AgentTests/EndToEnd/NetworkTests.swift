import CTestSystem
import Foundation
import JSON
import Testing

/// Hosts with a network stack of their own, joined by cables to one switch.
final class TestNetwork {
    let prefix: String
    let hosts: [String]
    private var made: [String] = []

    /// Makes a namespace for each host, with the address 10.77.0.N, and one for the switch.
    init(_ hosts: [String]) throws {
        self.hosts = hosts
        prefix = "e2e\(getpid())"
        do {
            try make()
        } catch {
            end()
            throw error
        }
    }

    private var hub: String { prefix + "-switch" }
    func space(_ host: String) -> String { "\(prefix)-\(host)" }
    func address(_ host: String) -> String { "10.77.0.\((hosts.firstIndex(of: host) ?? 0) + 1)" }
    private func port(_ host: String) -> String { "port\(hosts.firstIndex(of: host) ?? 0)" }

    private func make() throws {
        try add(hub)
        try ip(["-n", hub, "link", "add", "br0", "type", "bridge"])
        try ip(["-n", hub, "link", "set", "br0", "up"])
        for host in hosts {
            try add(space(host))
            try ip([
                "-n", hub, "link", "add", port(host), "type", "veth", "peer", "name", "eth0", "netns", space(host),
            ])
            try ip(["-n", hub, "link", "set", port(host), "master", "br0", "up"])
            try ip(["-n", space(host), "address", "add", address(host) + "/24", "dev", "eth0"])
            try ip(["-n", space(host), "link", "set", "eth0", "up"])
            try ip(["-n", space(host), "link", "set", "lo", "up"])
        }
    }

    private func add(_ space: String) throws {
        try ip(["netns", "add", space])
        made.append(space)
    }

    private func ip(_ arguments: [String]) throws {
        let result = try runProgram(["ip"] + arguments)
        guard result.status == 0 else { throw Failure("ip \(arguments.joined(separator: " ")): \(result.output)") }
    }

    /// Pulls the host's cable out of the switch, or puts it back.
    func cable(_ host: String, isIn: Bool) throws {
        try ip(["-n", hub, "link", "set", port(host), isIn ? "up" : "down"])
    }

    /// From now on nobody can open a connection to the host; it still can to others.
    func refuseConnections(to host: String) throws {
        for rule in [
            "add table inet e2e", "add chain inet e2e input { type filter hook input priority 0; }",
            "add rule inet e2e input iif eth0 tcp flags & (syn | ack) == syn drop",
        ] {
            let result = try runProgram(["ip", "netns", "exec", space(host), "nft", rule])
            guard result.status == 0 else { throw Failure("nft \(rule): \(result.output)") }
        }
    }

    /// The next two first packets to each of these hosts' links do not arrive, and are counted.
    func swallowConnects(to hosts: [String]) throws {
        for host in hosts {
            for rule in [
                "add table inet swallow", "add chain inet swallow input { type filter hook input priority 0; }",
                "add rule inet swallow input tcp dport 7400 tcp flags & (syn | ack) == syn quota until 150 bytes counter drop",
            ] { try nft(host, rule) }
        }
    }

    /// Ends that.
    func passConnects(to hosts: [String]) throws {
        for host in hosts { try nft(host, "delete table inet swallow") }
    }

    /// How many first packets have been swallowed at the host.
    func swallowedConnects(at host: String) throws -> Int {
        let words = try nft(host, "list table inet swallow").split(whereSeparator: { $0 == " " || $0 == "\n" })
        guard let place = words.firstIndex(of: "packets") else { return 0 }
        return Int(words[place + 1]) ?? 0
    }

    @discardableResult
    private func nft(_ host: String, _ rule: String) throws -> String {
        let result = try runProgram(["ip", "netns", "exec", space(host), "nft", rule])
        guard result.status == 0 else { throw Failure("nft \(rule): \(result.output)") }
        return result.output
    }

    /// The host's kernel destroys the connections of its links.
    func destroyConnections(of host: String) throws {
        for port in ["dport", "sport"] {
            let result = try runProgram(["ip", "netns", "exec", space(host), "ss", "-K", port, "=", ":7400"])
            guard result.status == 0 else { throw Failure("ss -K: \(result.output)") }
        }
    }

    /// From now on nothing that is sent to the host arrives, while what it sends does; or again all of it.
    func deafen(_ host: String, _ isDeaf: Bool) throws {
        let rules =
            isDeaf
            ? [
                "add table inet deaf", "add chain inet deaf input { type filter hook input priority 0; }",
                "add rule inet deaf input iif eth0 drop",
            ] : ["delete table inet deaf"]
        for rule in rules {
            let result = try runProgram(["ip", "netns", "exec", space(host), "nft", rule])
            guard result.status == 0 else { throw Failure("nft \(rule): \(result.output)") }
        }
    }

    func end() {
        for space in made.reversed() { _ = try? runProgram(["ip", "netns", "delete", space]) }
        made = []
    }
}

extension EndToEnd {
    @Suite struct Network {
        private static let hosts = ["Alpha", "Beta", "Gamma"]

        /// Three hosts: Alpha has the directory, each offers a service `at-<host>` and has an upstream to each other's.
        func withHosts(
            _ name: String = #function, configure: (TestNetwork, [TestNode]) throws -> Void = { _, _ in },
            _ body: (TestNetwork, [TestNode]) throws -> Void
        ) throws {
            guard getuid() == 0 else { return try mustBeRoot() }
            try withMesh(name) { mesh in
                let network = try TestNetwork(Self.hosts)
                mesh.whenEnded { network.end() }
                mesh.policy.identities.append(["match": ["node": "Alpha"], "permissions": ["mesh-directory"]])
                for host in Self.hosts {
                    mesh.policy.provide("at-" + host, at: host)
                    mesh.policy.identity("user", of: host)
                    mesh.policy.connect("service:user", to: "at-" + host)
                }
                let nodes = try Self.hosts.map { host in
                    let target = EchoService(try ListeningSocket(path: "\(mesh.directory)/\(host).target"))
                    mesh.whenEnded { target.stop() }
                    return try mesh.node(host, directory: host == "Alpha", host: network.address(host)) { node in
                        node.prefix = ["ip", "netns", "exec", network.space(host)]
                        node.isRemote = true
                        node.set("listen.metrics", .null)
                        node.offer("at-" + host, target.address)
                        for other in Self.hosts where other != host {
                            node.upstream("at-" + other, as: "user", at: "unix:\(mesh.directory)/\(host)-\(other)")
                        }
                        // A cable that is out is noticed soon.
                        node.set("links.pingInterval", "300ms")
                        node.set("links.idleTimeout", "1500ms")
                        node.set("links.handshakeTimeout", "1s")
                    }
                }
                try configure(network, nodes)
                try mesh.start()
                for node in nodes {
                    for host in Self.hosts { try node.waitInstances(of: "at-" + host, at: [host]) }
                }
                try body(network, nodes)
            }
        }

        private func wire(_ from: TestNode, _ to: TestNode) throws -> Wire {
            try Wire("unix:\(from.mesh.directory)/\(from.name)-\(to.name)")
        }

        /// A connection works again at some time.
        private func untilConnected(_ from: TestNode, _ to: TestNode, within seconds: Double = Deadline.patience) throws
        {
            try Deadline.until("\(from.name) reaches \(to.name)", within: seconds, every: 0.05) {
                guard let wire = try? wire(from, to) else { return false }
                return (try? wire.echo("\(from.name) to \(to.name)")) != nil
            }
        }

        @Test func cablePulledAndPutBack() throws {
            try withHosts(configure: { _, nodes in
                // Longer than a moment without cable lasts on a busy machine, retransmissions included.
                for node in nodes { node.set("links.idleTimeout", "5s") }
            }) { network, nodes in
                let (alpha, beta, gamma) = (nodes[0], nodes[1], nodes[2])
                let wires = [
                    try wire(beta, gamma), try wire(gamma, beta), try wire(alpha, gamma), try wire(beta, alpha),
                ]
                for wire in wires { try wire.echo("before") }

                // For a moment: nothing is lost but time.
                try network.cable("Gamma", isIn: false)
                try wires[0].send("during")
                try network.cable("Gamma", isIn: true)
                try demandEqual(String(decoding: try wires[0].receive(exactly: 6), as: UTF8.self), "during")
                for wire in wires { try wire.echo("after a moment") }

                // For long: both ends notice and give the links up; what hung on them waits, and all else goes on.
                try network.cable("Gamma", isIn: false)
                try wires[0].send("in the dark")
                try wires[1].send("on both sides")
                for node in [alpha, beta] { try node.waitFor("link_lost") { $0["node"] == "Gamma" } }
                try gamma.waitFor("link_lost") { $0["node"] == "Alpha" }
                try wires[3].echo("others go on")
                let start = Deadline.now
                let refused = try wire(beta, gamma)
                try demand(refused.receive() != .nothing, "an application is left waiting")
                try demand(Deadline.now - start < 10 * Deadline.slowness, "it took \(Deadline.now - start) s")

                try network.cable("Gamma", isIn: true)
                let back = Deadline.now
                try alpha.waitFor("link_established", skipping: 2) { $0["node"] == "Gamma" || $0["node"] == "Beta" }
                try untilConnected(beta, gamma)
                try untilConnected(gamma, beta)
                try untilConnected(alpha, gamma)
                try untilConnected(gamma, alpha)
                try demand(Deadline.now - back < 10 * Deadline.slowness, "it took \(Deadline.now - back) s")
                try gamma.waitInstances(of: "at-Beta", at: ["Beta"])
                try wires[3].echo("others went on")
                // Links broke, connections did not.
                try demandEqual(String(decoding: try wires[0].receive(exactly: 11), as: UTF8.self), "in the dark")
                try demandEqual(String(decoding: try wires[1].receive(exactly: 13), as: UTF8.self), "on both sides")
                for wire in wires { try wire.echo("the same connection") }
                for node in nodes {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// One direction is gone, without a word to either end.
        @Test func halfOpenLinksLoseNothing() throws {
            try withHosts { network, nodes in
                let (beta, gamma) = (nodes[1], nodes[2])
                let there = try StreamLoad("unix:\(beta.mesh.directory)/Beta-Gamma", streams: 4)
                let back = try StreamLoad("unix:\(beta.mesh.directory)/Gamma-Beta", streams: 4, firstSeed: 200)
                func isOf(_ node: TestNode) -> (LogRecord) -> Bool { { $0["node"] == node.name } }
                for round in 0..<3 {
                    let (deaf, other) = round % 2 == 0 ? (gamma, beta) : (beta, gamma)
                    let lost = deaf.count("link_lost", where: isOf(other))
                    let resumed = (
                        deaf.count("session_resumed", where: isOf(other)),
                        other.count("session_resumed", where: isOf(deaf))
                    )
                    try network.deafen(deaf.name, true)
                    try deaf.waitFor("link_lost", skipping: lost, where: isOf(other))
                    try network.deafen(deaf.name, false)
                    try deaf.waitFor("session_resumed", skipping: resumed.0, where: isOf(other))
                    try other.waitFor("session_resumed", skipping: resumed.1, where: isOf(deaf))
                }
                try there.finish()
                try back.finish()
                for node in nodes {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        /// Two dials lose their first packet. The kernel would send it again only when a second is over, and then two.
        @Test func aLostConnectCostsLittle() throws {
            try withHosts(configure: { _, nodes in
                for node in nodes { node.set("links.handshakeTimeout", "20s") }
            }) { network, nodes in
                let (beta, gamma) = (nodes[1], nodes[2])
                let wires = [try wire(beta, gamma), try wire(gamma, beta)]
                for wire in wires { try wire.echo("before") }
                let dialled = try beta.link(to: gamma)?["dialled"]?.bool == true ? gamma : beta
                let ends = [beta.name, gamma.name]
                try network.swallowConnects(to: ends)
                try network.destroyConnections(of: dialled.name)
                try Deadline.until("two dials are swallowed", every: 0.01) {
                    try network.swallowedConnects(at: dialled.name) >= 2
                }
                try network.passConnects(to: ends)
                for (node, other) in [(beta, gamma), (gamma, beta)] {
                    try node.waitFor("session_resumed") { $0["node"] == other.name }.demandPause(below: 2)
                }
                for wire in wires { try wire.echo("after") }
                for node in nodes {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            }
        }

        @Test func bothEndsDialEachOther() throws {
            try withHosts(configure: { _, nodes in
                for node in nodes { for other in nodes where other !== node { node.peer(other) } }
            }) { network, nodes in
                func settled() throws {
                    for node in nodes { for other in nodes where other !== node { try node.waitLinked(to: other) } }
                    for (index, node) in nodes.enumerated() {
                        for other in nodes[(index + 1)...] {
                            try Deadline.until("\(node.name) and \(other.name) agree about one link", every: 0.02) {
                                let links = try (node.link(to: other), other.link(to: node))
                                guard let first = links.0?["dialled"]?.bool, let second = links.1?["dialled"]?.bool
                                else {
                                    return false
                                }
                                return first != second
                            }
                        }
                    }
                    for node in nodes { for other in nodes where other !== node { try wire(node, other).echo() } }
                }
                try settled()
                // All at once, by a cable.
                for _ in 0..<2 {
                    let lost = nodes.map { $0.count("link_lost") }
                    for host in Self.hosts { try network.cable(host, isIn: false) }
                    for (node, before) in zip(nodes, lost) { try node.waitFor("link_lost", skipping: before + 1) }
                    for host in Self.hosts { try network.cable(host, isIn: true) }
                    try settled()
                }
                for node in nodes {
                    try demandEqual(node.count("duplicate_identity"), 0, "false alarms of \(node.name)")
                }
            }
        }

        /// Gamma can dial everybody and nobody can dial Gamma: streams run both ways on the links that it dialled.
        @Test(arguments: ["Beta", "Gamma"]) func reachableFromOneSideOnly(hidden: String) throws {
            try withHosts(configure: { network, nodes in
                // Both are told to keep a link to the other; the smaller and the larger name are hidden in turn.
                nodes[1].peer(nodes[2])
                nodes[2].peer(nodes[1])
                try network.refuseConnections(to: hidden)
            }) { network, nodes in
                let (beta, gamma) = (nodes[1], nodes[2])
                try beta.waitLinked(to: gamma)
                try gamma.waitLinked(to: beta)
                let (inside, outside) = hidden == "Gamma" ? (gamma, beta) : (beta, gamma)
                try demandEqual(try inside.link(to: outside)?["dialled"]?.bool, true, "the hidden one dialled:")
                for node in nodes {
                    for other in nodes where other !== node {
                        let wire = try wire(node, other)
                        for index in 0..<20 { try wire.echo("\(node.name) \(index)") }
                    }
                }
                // It stays so while the other end goes on trying in vain.
                let established = outside.count("link_established")
                let long = try wire(outside, inside)
                let start = Deadline.now
                while Deadline.now - start < 2 { try long.echo("still") }
                try demandEqual(outside.count("link_established"), established, "links")
                // Broken and back, it is the hidden one again that dials.
                try network.cable(hidden, isIn: false)
                try outside.waitFor("link_lost") { $0["node"] == inside.name }
                try inside.waitFor("link_lost") { $0["node"] == outside.name }
                try network.cable(hidden, isIn: true)
                try untilConnected(outside, inside)
                try untilConnected(inside, outside)
            }
        }
    }
}
