import Foundation
import JSON
import Testing

extension EndToEnd.Network {
    /// Streams under everything that a network does, one trouble after the other, drawn from a seed; see `scripts/chaos`.
    ///
    /// `MESH_CHAOS_SEED` and `MESH_CHAOS_SECONDS` choose what happens and for how long.
    @Test func chaos() throws {
        let environment = ProcessInfo.processInfo.environment
        let seed = environment["MESH_CHAOS_SEED"].flatMap { UInt64($0) } ?? 1
        let seconds = environment["MESH_CHAOS_SECONDS"].flatMap { Double($0) } ?? 8
        try withHosts { network, nodes in
            let (beta, gamma) = (nodes[1], nodes[2])
            let there = try StreamLoad("unix:\(beta.mesh.directory)/Beta-Gamma", streams: 8)
            let back = try StreamLoad("unix:\(beta.mesh.directory)/Gamma-Beta", streams: 8, firstSeed: 200)
            var trouble = Trouble(seed: seed, network: network, hosts: [beta.name, gamma.name])
            let end = Deadline.now + seconds
            while Deadline.now < end { try trouble.happen() }
            do {
                try there.finish()
                try back.finish()
                for node in [beta, gamma] {
                    try demandEqual(node.count("session_ended"), 0, "sessions of \(node.name) that ended")
                }
            } catch {
                throw Failure("\(error); repeat with MESH_CHAOS_SEED=\(seed) (\(trouble.report))")
            }
            let resumed = beta.count("session_resumed") { $0["node"] == "Gamma" }
            try demand(resumed > 0, "no link was cut in \(seconds) s")
            print("chaos: seed \(seed), \(trouble.report); \(resumed) resumptions, 16 streams, none lost")
        }
    }
}

/// Troubles of a network, one at a time.
private struct Trouble {
    private enum Kind: String, CaseIterable {
        /// Both ends' kernels destroy the connections of one host.
        case reset
        /// Nothing arrives at one host, or at both.
        case deaf, silence
        /// A cable is out.
        case cable
    }

    private let network: TestNetwork
    private let hosts: [String]
    private var state: UInt64
    private var counts: [Kind: Int] = [:]

    init(seed: UInt64, network: TestNetwork, hosts: [String]) {
        state = seed
        self.network = network
        self.hosts = hosts
    }

    var report: String {
        Kind.allCases.map { "\(counts[$0] ?? 0) \($0.rawValue)" }.joined(separator: ", ")
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    private mutating func pause(_ range: ClosedRange<Double>) {
        let part = Double(next() >> 11) / Double(1 << 53)
        usleep(UInt32((range.lowerBound + part * (range.upperBound - range.lowerBound)) * 1e6))
    }

    /// One trouble, its end, and some time in peace. Silence is shorter or longer than the 1.5 s after which an agent gives
    /// its link up.
    mutating func happen() throws {
        let kind = Kind.allCases[Int(next() % UInt64(Kind.allCases.count))]
        let host = hosts[Int(next() % UInt64(hosts.count))]
        counts[kind, default: 0] += 1
        switch kind {
        case .reset: try network.destroyConnections(of: host)
        case .deaf:
            try network.deafen(host, true)
            pause(0.1...2.5)
            try network.deafen(host, false)
        case .silence:
            for host in hosts { try network.deafen(host, true) }
            pause(0.1...2.5)
            for host in hosts { try network.deafen(host, false) }
        case .cable:
            try network.cable(host, isIn: false)
            pause(0.1...2.5)
            try network.cable(host, isIn: true)
        }
        pause(0.1...1)
    }
}
