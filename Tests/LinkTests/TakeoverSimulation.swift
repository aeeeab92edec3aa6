import Bytes
import Link
import SeededRandom

/// A node's agent is taken over by another process while streams are opened and move bytes both ways: the old process says GOAWAY
/// and drains, the new one accepts and dials, the peer goes on. Sessions are not handed over (ADR 17): what must hold is that
/// nothing of the peer's is lost for it. Everything that happens is drawn from one seed.
final class TakeoverSimulation {
    /// A connection that an application of the peer wants to have carried, on whichever process of the node takes it.
    private final class Wish {
        var end: SimulatedNode?
        var stream: SimulatedStream?
        var isOver: Bool {
            guard let stream else { return false }
            return stream.ended ? stream.refusal == .noSuchService : stream.isComplete
        }
    }

    /// One process of the node, its link to the peer, and both ends of the session on it.
    private struct Process {
        let boot: BootID
        let link: LinkID
        let here: SimulatedNode
        let peer: SimulatedNode
    }

    let seed: UInt64
    private(set) var steps = 0
    private var randomness: SeededRandom
    private let flavour: SimulationFlavour
    private var now: UInt64 = 5_000_000_000
    /// The peer's view of the node.
    private var arbiter = LinkArbiter(local: "peer", peer: "node")
    private let configurations: [SessionConfiguration]
    private var old: Process?
    private var new: Process?
    private var wishes: [Wish] = []
    /// The old process has been left, and GOAWAY is on its way.
    private var isLeft = false
    /// The new process has dialled, or the peer has: HELLO is on its way until then.
    private var arrival: (link: LinkID, isPeers: Bool, at: UInt64)?
    private var heardAt: UInt64?
    private(set) var coverage = TakeoverCoverage()

    private static let boots = [BootID(high: 2, low: 0), BootID(high: 3, low: 0)]

    init(seed: UInt64) {
        self.seed = seed
        var randomness = SeededRandom(seed)
        var flavour = SimulationFlavour(&randomness)
        flavour.resets = false
        self.flavour = flavour
        configurations = (0..<2).map { _ in
            var configuration = SimulationFlavour.configuration(&randomness)
            // A peer that has no room refuses for reasons of its own.
            configuration.maximumPeerStreams = 1_000
            return configuration
        }
        self.randomness = randomness
        guard case .establish = arbiter.received(LinkID(1), bootID: Self.boots[0], intent: .initial) else {
            preconditionFailure("the first link is not taken")
        }
        old = process(0)
    }

    private func process(_ index: Int) -> Process {
        let boots = [Self.boots[index], BootID(high: 1, low: 0)]
        let ends = (0..<2).map { end in
            let hello = Hello(
                bootID: boots[1 - end], intent: .initial, unixMilliseconds: 1_000, agent: "simulation",
                configuration: configurations[1 - end])
            let (budget, pool) = (ReceiveBudget(), SegmentPool(keep: 4))
            let session = Session(
                role: end == 0 ? .dialler : .acceptor, parity: end == 0 ? .even : .odd,
                configuration: configurations[end], peer: hello, budget: budget, pool: pool,
                masks: maskKeys(seed: seed &+ UInt64(index * 2 + end)), seed: randomness.next(), now: now,
                unixMilliseconds: 1_000)
            return SimulatedNode(
                name: "\(end == 0 ? "process" : "peer") \(index)", session: session, budget: budget, pool: pool,
                flavour: flavour)
        }
        return Process(boot: boots[0], link: LinkID(UInt64(index + 1)), here: ends[0], peer: ends[1])
    }

    func run(steps count: Int) throws {
        let handover = randomness.below(count)
        for _ in 0..<count {
            steps += 1
            if steps == handover + 1 { handOver() }
            try step()
        }
        try settle()
    }

    // MARK: What happens

    private var ends: [(end: SimulatedNode, other: SimulatedNode)] {
        [old, new].compactMap { $0 }.flatMap { [($0.here, $0.peer), ($0.peer, $0.here)] }
    }

    private func step() throws {
        guard !ends.isEmpty else { return try wait() }
        let (end, other) = ends[randomness.below(ends.count)]
        switch randomness.below(20) {
        case 0: wish()
        case 1: try pursue()
        case 2: if randomness.oneIn(4) { try openThere() }
        case 3, 4: try end.answer(&randomness)
        case 5: if let stream = pick(end) { end.mark(stream) }
        case 6...9: try end.send(&randomness)
        case 10, 11: end.transmit(to: other, limit: randomness.size(upTo: 200_000))
        case 12...14: try end.deliver(limit: randomness.size(upTo: 200_000), now: now, &randomness)
        case 15, 16: if let stream = pick(end) { try consume(stream, end) }
        case 17: if let stream = pick(end) { try end.finish(stream) }
        case 18: end.session.flushControl(now: now)
        default: try wait()
        }
    }

    private func pick(_ end: SimulatedNode) -> SimulatedStream? {
        end.live.isEmpty ? nil : end.live[randomness.below(end.live.count)]
    }

    /// Some applications take their time with the rest when all has come.
    private func consume(_ stream: SimulatedStream, _ end: SimulatedNode) throws {
        if stream.stalled, stream.receiveFinished, old != nil { return }
        try end.consume(stream, stream.unread)
    }

    private func wish() {
        guard wishes.count(where: { !$0.isOver }) < flavour.streams else { return }
        wishes.append(Wish())
    }

    /// Tries what has no stream: on the link that takes some, if there is one.
    private func pursue() throws {
        for wish in wishes where !wish.isOver {
            if let stream = wish.stream {
                guard stream.refused || stream.ended else { continue }
                guard stream.refused, stream.refusal == .goingAway else {
                    throw Broken(description: "a stream of the peer was lost: \(String(describing: stream.refusal))")
                }
                coverage.again += 1
                wish.stream = nil
            }
            guard let process = [old, new].compactMap({ $0 }).first(where: { $0.link == arbiter.established }) else {
                coverage.waited += 1
                continue
            }
            let before = process.peer.live.count
            try process.peer.open(&randomness, now: now)
            guard process.peer.live.count > before, let stream = process.peer.live.last else { continue }
            stream.stalled = randomness.oneIn(4)
            wish.stream = stream
            wish.end = process.peer
            coverage.opened += 1
        }
    }

    /// The node opens streams, too; also the process that leaves, for connections that it could not give away.
    private func openThere() throws {
        guard let process = randomness.oneIn(2) ? old ?? new : new ?? old,
            process.here.live.count < flavour.streams
        else { return }
        if isLeft, process.link == old?.link { coverage.openedWhileLeaving += 1 }
        try process.here.open(&randomness, now: now)
    }

    private func wait() throws {
        now += 1 + UInt64(randomness.below(Int(flavour.pace)))
        for (end, _) in ends where now >= end.session.nextDeadline {
            if case .flush = end.session.advance(now: now) { end.session.flushControl(now: now) }
        }
        try listen()
        try arrive()
        try drain()
    }

    // MARK: The takeover

    private func handOver() {
        guard let old, !isLeft else { return }
        isLeft = true
        old.here.session.goAway(.goingAway, retryAfter: 20, opensOn: true)
        old.here.session.confirm()
        // The new process dials what the old one had dialled; here sometimes before GOAWAY is read.
        if randomness.oneIn(2) { arrival = (LinkID(2), false, now + UInt64(randomness.below(20_000_000))) }
    }

    /// The peer reads GOAWAY: its link takes no streams any more, and it dials after the delay unless somebody comes.
    private func listen() throws {
        guard let old, heardAt == nil, old.peer.session.isGoingAway else { return }
        heardAt = now
        try perform(arbiter.retired(old.link))
        if arrival == nil, new == nil { arrival = (LinkID(3), true, now + 20_000_000) }
    }

    private func arrive() throws {
        guard let next = arrival, now >= next.at else { return }
        arrival = nil
        if next.isPeers {
            guard case .dial = arbiter.dial(next.link), case .hello = arbiter.greet(next.link) else {
                throw Broken(description: "the peer may not dial the new process")
            }
            coverage.dialled += 1
            try perform(arbiter.answered(next.link, bootID: Self.boots[1]))
        } else {
            if heardAt == nil { coverage.early += 1 }
            try perform(
                arbiter.received(next.link, bootID: Self.boots[1], intent: .initial, predecessor: Self.boots[0]))
        }
    }

    private func perform(_ action: LinkArbiter.Action) throws {
        switch action {
        case .none, .hold: break
        case .establish(let link, let closing, _):
            guard closing.isEmpty, new == nil else { throw Broken(description: "a living link is closed: \(closing)") }
            let made = process(1)
            new = Process(boot: made.boot, link: link, here: made.here, peer: made.peer)
        case .close, .move, .probe, .duplicateIdentity:
            throw Broken(description: "the successor is taken for somebody else: \(action)")
        }
    }

    /// The old process ends when the peer is known to have seen GOAWAY and nothing is left.
    private func drain() throws {
        guard isLeft, let old, old.here.session.isConfirmed, old.here.session.isDrained, old.here.offers.isEmpty else {
            return
        }
        guard old.here.live.isEmpty else { throw Broken(description: "the old process ends with streams") }
        // It acknowledges what it has processed. What it has sent is read; what is sent to it is lost.
        old.here.session.acknowledgeAtOnce()
        old.here.session.flushControl(now: now)
        old.here.transmit(to: old.peer, limit: .max)
        try old.peer.deliver(limit: .max, now: now, &randomness)
        try listen()
        // The peer's applications may still have to take what came, and nothing else.
        let lost = old.peer.session.linkLost()
        guard old.here.session.linkLost().isEmpty, lost.allSatisfy(\.isComplete) else {
            throw Broken(
                description: "streams of the peer were lost with the old process: \(lost.filter { !$0.isComplete })")
        }
        for stream in Array(old.peer.live) {
            guard stream.sendFinished, stream.receiveFinished else {
                throw Broken(description: "the old process ends without stream \(stream.id)")
            }
            coverage.takenLate += 1
            stream.unread = 0
        }
        old.peer.live = []
        try perform(arbiter.lost(old.link))
        for end in [old.here, old.peer] { try SimulationAgreement.checkEmpty(end) }
        try SimulationAgreement.check(old.here, old.peer)
        self.old = nil
        coverage.drained += 1
    }

    // MARK: Rest

    private func settle() throws {
        if !isLeft { handOver() }
        var idle = 0
        var seen: UInt64 = 0
        while old != nil || new == nil || wishes.contains(where: { !$0.isOver }) || !isDrained {
            // Nothing but acknowledgements and pings may happen for long.
            let progress = ends.reduce(UInt64(0)) { $0 &+ $1.end.session.processedFrames }
            idle = progress == seen ? idle + 1 : 0
            seen = progress
            guard idle < 200 else {
                throw Broken(
                    description: "no rest: old \(old != nil), new \(new != nil), drained \(isDrained), "
                        + "\(wishes.count { !$0.isOver }) wishes, \(stuck)")
            }
            try pursue()
            for (end, other) in ends {
                while !end.offers.isEmpty { try end.answer(&randomness) }
                for stream in Array(end.live) {
                    end.mark(stream)
                    try consume(stream, end)
                    try end.finish(stream)
                }
                for _ in 0..<20 { try end.send(&randomness) }
                end.session.flushControl(now: now)
                end.transmit(to: other, limit: .max)
                try other.deliver(limit: .max, now: now, &randomness)
            }
            now += 1_000_000
            try wait()
        }
        guard let new else { return }
        try SimulationAgreement.check(new.here, new.peer)
        for end in [new.here, new.peer] { try SimulationAgreement.checkEmpty(end) }
    }

    private var stuck: [String] {
        ends.map(\.end).map { end in
            let streams = end.live.prefix(2).map { "\($0.id) sent \($0.sent)/\($0.plan) got \($0.received)" }
            return "\(end.name): \(end.live.count) streams, \(streams), unacknowledged "
                + "\(end.session.unacknowledgedFrames), confirmed \(end.session.isConfirmed)"
        }
    }

    private var isDrained: Bool {
        ends.allSatisfy { $0.end.live.isEmpty && $0.end.session.isDrained && $0.end.offers.isEmpty }
    }
}

/// What the simulation of takeovers came across; a run that never met something proves nothing about it.
struct TakeoverCoverage: SimulationCounts {
    var opened = 0, again = 0, waited = 0, openedWhileLeaving = 0, early = 0, dialled = 0, drained = 0
    var takenLate = 0

    static var fields: [WritableKeyPath<TakeoverCoverage, Int>] {
        [\.opened, \.again, \.waited, \.openedWhileLeaving, \.early, \.dialled, \.drained, \.takenLate]
    }
}
