import Bytes
import Link
import SeededRandom

/// The circumstances of one episode, drawn from its seed.
struct SimulationFlavour {
    var streams = 1
    var longest = 1
    var wireCapacity = 1 << 20
    var resets = false
    var goAway = false
    var stalls = false
    /// Largest step of virtual time in nanoseconds.
    var pace: UInt64 = 1

    init(_ randomness: inout SeededRandom) {
        streams = [1, 2, 8, 40][randomness.below(4)]
        longest = [100, 20_000, 300_000, 3_000_000][randomness.below(4)]
        wireCapacity = [2_000, 70_000, 1 << 20][randomness.below(3)]
        resets = randomness.oneIn(2)
        goAway = randomness.oneIn(4)
        stalls = randomness.oneIn(2)
        pace = [10_000, 1_000_000, 30_000_000][randomness.below(3)]
    }

    /// The limits of one end.
    static func configuration(_ randomness: inout SeededRandom) -> SessionConfiguration {
        var configuration = SessionConfiguration()
        configuration.initialCredit = [1_000, 16 << 10][randomness.below(2)]
        configuration.maximumWindow = [4_000, 64 << 10, 1 << 20][randomness.below(3)]
        configuration.maximumWindow = max(configuration.maximumWindow, configuration.initialCredit)
        configuration.retentionLimit = [20_000, 600_000, 16 << 20][randomness.below(3)]
        configuration.controlReserve = [64, 1 << 20][randomness.below(2)]
        configuration.maximumPeerStreams = [5, 1_000][randomness.below(2)]
        configuration.maximumPayload =
            [LinkFrame.minimumPayloadLimit, LinkFrame.maximumPayload][randomness.below(2)]
        // Rapid resets and pings are this simulation's daily bread.
        configuration.resetBurst = 1_000_000
        configuration.pingBurst = 1_000_000
        configuration.deadPeerTimeout = 1 << 60
        return configuration
    }

    /// What the two ends say of themselves.
    static func hellos(_ configurations: [SessionConfiguration]) -> [Hello] {
        configurations.indices.map { index in
            let boot = UInt64(index) + 1
            return Hello(
                bootID: BootID(high: boot, low: boot), intent: .initial, unixMilliseconds: 1_000, agent: "simulation",
                configuration: configurations[index])
        }
    }

    func plan(_ randomness: inout SeededRandom) -> Int {
        randomness.oneIn(6) ? 0 : randomness.size(upTo: longest)
    }
}

/// Two agents, one link, virtual time: everything that happens is drawn from one seed.
final class Simulation {
    let seed: UInt64
    private(set) var steps = 0
    private var randomness: SeededRandom
    private let flavour: SimulationFlavour
    private let a: SimulatedNode
    private let b: SimulatedNode
    private var now: UInt64 = 5_000_000_000

    init(seed: UInt64) {
        self.seed = seed
        var randomness = SeededRandom(seed)
        flavour = SimulationFlavour(&randomness)
        let configurations = (0..<2).map { _ in SimulationFlavour.configuration(&randomness) }
        let hellos = SimulationFlavour.hellos(configurations)
        let swapped = randomness.oneIn(2)
        var nodes: [SimulatedNode] = []
        for index in 0..<2 {
            nodes.append(
                SimulatedNode(
                    index, configurations[index], peer: hellos[1 - index], swapped: swapped, seed: seed, now: now,
                    flavour: flavour, &randomness))
        }
        a = nodes[0]
        b = nodes[1]
        self.randomness = randomness
    }

    /// Lets `count` random things happen, then lets everything come to rest and compares the two ends.
    func run(steps count: Int) throws {
        for _ in 0..<count {
            steps += 1
            try step()
        }
        if randomness.oneIn(4) { try cut() } else { try quiesce() }
    }

    private func other(_ node: SimulatedNode) -> SimulatedNode { node === a ? b : a }

    private func step() throws {
        let node = randomness.oneIn(2) ? a : b
        switch randomness.below(22) {
        case 0:
            if node.live.count < flavour.streams { try node.open(&randomness, now: now) }
        case 1, 2: try node.answer(&randomness)
        case 3, 4:
            if let stream = pick(node) { node.mark(stream) }
        case 5...8: try node.send(&randomness)
        case 9...11: node.transmit(to: other(node), limit: randomness.size(upTo: 200_000))
        case 12...15: try node.deliver(limit: randomness.size(upTo: 200_000), now: now, &randomness)
        case 16, 17:
            if let stream = pick(node), !stream.stalled {
                try node.consume(stream, randomness.oneIn(3) ? randomness.below(stream.unread + 1) : stream.unread)
            }
        case 18:
            if let stream = pick(node) { try node.finish(stream) }
        case 19: node.session.flushControl(now: now)
        case 20: try pass()
        default: try rare(node)
        }
        if steps % 64 == 0 {
            try a.check()
            try b.check()
        }
    }

    private func rare(_ node: SimulatedNode) throws {
        switch randomness.below(40) {
        case 0...5 where flavour.resets:
            if let stream = pick(node), stream.accepted || stream.openedHere { try node.reset(stream) }
        case 6...9 where flavour.stalls:
            if let stream = pick(node) { stream.stalled.toggle() }
        case 10 where flavour.goAway && !node.goneAway:
            node.goneAway = true
            node.session.goAway(.goingAway, retryAfter: 500, detail: "draining")
        case 11: node.session.probe(now: now, timeout: 1 << 50)
        default: break
        }
    }

    private func pick(_ node: SimulatedNode) -> SimulatedStream? {
        node.live.isEmpty ? nil : node.live[randomness.below(node.live.count)]
    }

    /// Virtual time passes.
    private func pass() throws {
        now += 1 + UInt64(randomness.below(Int(flavour.pace)))
        for node in [a, b] where now >= node.session.nextDeadline { try alarm(node) }
    }

    private func alarm(_ node: SimulatedNode) throws {
        switch node.session.advance(now: now) {
        case .none: break
        case .flush: node.session.flushControl(now: now)
        case .peerSilent, .violation: throw Broken(description: "\(node.name): alarm")
        }
    }

    // MARK: Rest

    private func quiesce() throws {
        for node in [a, b] {
            for stream in node.live { stream.stalled = false }
        }
        var rounds = 0
        var idle = 0
        var seen: UInt64 = 0
        while !(a.live.isEmpty && b.live.isEmpty && a.session.isDrained && b.session.isDrained) || rounds < 3 {
            rounds += 1
            // Nothing but acknowledgements and pings may happen for long.
            let progress = a.session.processedFrames &+ b.session.processedFrames
            idle = progress == seen ? idle + 1 : 0
            seen = progress
            guard idle < 200 else {
                let stuck = (a.live + b.live).map { "\($0.id) sent \($0.sent)/\($0.plan) received \($0.received)" }
                throw Broken(
                    description: "no rest: \(stuck.prefix(4)), drained \(a.session.isDrained) \(b.session.isDrained)")
            }
            for node in [a, b] {
                while !node.offers.isEmpty { try node.answer(&randomness) }
                for stream in Array(node.live) {
                    node.mark(stream)
                    try node.consume(stream, stream.unread)
                    try node.finish(stream)
                }
                for _ in 0..<40 { try node.send(&randomness) }
                node.session.flushControl(now: now)
                node.transmit(to: other(node), limit: .max)
                try other(node).deliver(limit: .max, now: now, &randomness)
            }
            now += 1_000_000
            for node in [a, b] where now >= node.session.nextDeadline { try alarm(node) }
        }
        try SimulationAgreement.check(a, b)
        for node in [a, b] { try SimulationAgreement.checkEmpty(node) }
    }

    /// What both ends came across.
    var coverage: SimulationCoverage {
        var sum = a.coverage
        sum += b.coverage
        return sum
    }

    /// The link is cut with whatever is on it.
    private func cut() throws {
        a.coverage.cuts += 1
        for node in [a, b] {
            let lost = Set(node.session.linkLost().map(\.stream))
            // A stream whose END waits for room is over for its application and still named.
            let tight = node.session.configuration.controlReserve <= 64
            let live = Set(node.live.map(\.handle))
            try expect(
                lost == live || tight && lost.isSuperset(of: live), "\(node.name): linkLost names the wrong streams")
            try expect(node.budget.used == 0, "\(node.name) budget \(node.budget.used) after the link was lost")
            try expect(node.pool.segmentsInUse == 0, "\(node.name) holds segments after the link was lost")
            try expect(node.session.streamCount == 0, "\(node.name) has streams after the link was lost")
        }
    }

    private func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        guard condition else { throw Broken(description: text()) }
    }
}
