import Bytes
import Link
import SeededRandom

/// Two agents and several lanes between them, in virtual time: streams change their lane while links are cut, resumed and given
/// up, while lanes retire and begin anew, and while the jobs between an agent's workers are late. Everything that happens is
/// drawn from one seed.
final class LaneSimulation {
    let seed: UInt64
    private(set) var steps = 0
    private var randomness: SeededRandom
    private let flavour: SimulationFlavour
    private let configurations: [SessionConfiguration]
    private let agents: [LaneAgent]
    private let parity: [StreamParity]
    private var now: UInt64 = 5_000_000_000
    private var nextName: UInt64 = 1
    private var nextStream: UInt64 = 1
    private let cutRate: Int
    private let endRate: Int
    /// Ends that will learn that a link is gone, or that a lane is given up.
    private var notices: [(agent: Int, lane: LaneEnd, isEnd: Bool)] = []
    private var coverage = LaneCoverage()

    init(seed: UInt64) {
        self.seed = seed
        var randomness = SeededRandom(seed)
        var flavour = SimulationFlavour(&randomness)
        flavour.streams = max(flavour.streams, 2)
        self.flavour = flavour
        cutRate = [5, 100, 1_000][randomness.below(3)]
        endRate = [20, 200, 2_000][randomness.below(3)]
        configurations = (0..<2).map { _ in SimulationFlavour.configuration(&randomness) }
        let isEven = randomness.oneIn(2)
        parity = isEven ? [.even, .odd] : [.odd, .even]
        agents = (0..<2).map { [configurations] index in
            let floor = configurations[index].initialCredit
            // As in the other simulations, some seeds have no memory beyond what each session has of its own.
            return LaneAgent(
                index: index, budget: randomness.oneIn(3) ? floor * 6 : 256 << 20,
                streams: seed % 4 == 3 ? 3 : 10_000, segments: [4_096, 2, 0][Int(seed % 3)], flavour: flavour)
        }
        let count = 2 + randomness.below(2)
        self.randomness = randomness
        for number in 0..<count {
            for (agent, lane) in zip(agents, makeLane(number)) { agent.lanes.append(lane) }
        }
    }

    /// Both ends of a new session.
    private func makeLane(_ number: Int) -> [LaneEnd] {
        let dialler = randomness.below(2)
        let link = LaneLink(dialler: dialler)
        let boots = [BootID(high: 1, low: 1), BootID(high: 2, low: 2)]
        defer { nextName += 1 }
        return (0..<2).map { index in
            var hello = Hello(
                bootID: boots[1 - index], intent: .initial, unixMilliseconds: 1_000, agent: "simulation",
                configuration: configurations[1 - index])
            hello.takesTransfers = true
            let session = Session(
                role: index == dialler ? .dialler : .acceptor, parity: parity[index],
                configuration: configurations[index], peer: hello, budget: agents[index].budget,
                quota: agents[index].quota, pool: agents[index].pool,
                masks: maskKeys(seed: seed &+ nextName &* 2 &+ UInt64(index)),
                seed: randomness.next(), now: now, unixMilliseconds: 1_000)
            session.name = nextName
            return LaneEnd(number: number, agent: index, session: session, link: link)
        }
    }

    var sumOfCoverage: LaneCoverage {
        var sum = coverage
        for agent in agents { sum += agent.coverage }
        return sum
    }

    /// Lets `count` random things happen, then lets everything come to rest and compares the two ends.
    func run(steps count: Int) throws {
        for _ in 0..<count {
            steps += 1
            try step()
        }
        try quiesce()
        // Streams and lanes know each other.
        for lane in agents.flatMap(\.lanes) { lane.streams = [:] }
    }

    private func step() throws {
        let agent = agents[randomness.below(2)]
        let lane = agent.lanes[randomness.below(agent.lanes.count)]
        switch randomness.below(30) {
        case 0...11: try application(agent, lane)
        case 12...15: agent.transmit(lane, limit: randomness.size(upTo: 200_000))
        case 16...20: try agent.deliver(lane, limit: randomness.size(upTo: 200_000), now: now, &randomness)
        case 21: if lane.link != nil { lane.session.flushControl(now: now) }
        case 22: try pass()
        case 23...26: try agent.runJob(&randomness)
        case 27:
            if randomness.oneIn(8) { return evacuate(agent, lane) }
            guard let stream = pick(agent) else { return }
            agent.beginTransfer(stream, to: lane) { [unowned self] in now }
        case 28: notice()
        default: trouble(agent, lane)
        }
        if steps % 64 == 0 { for agent in agents { try agent.check() } }
    }

    /// All streams of an agent leave a lane.
    private func evacuate(_ agent: LaneAgent, _ lane: LaneEnd) {
        let others = agent.lanes.filter { $0 !== lane }
        for stream in agent.live where stream.lane === lane {
            agent.beginTransfer(stream, to: others[randomness.below(others.count)]) { [unowned self] in now }
        }
    }

    private func pick(_ agent: LaneAgent) -> LaneStream? {
        agent.live.isEmpty ? nil : agent.live[randomness.below(agent.live.count)]
    }

    private func application(_ agent: LaneAgent, _ lane: LaneEnd) throws {
        switch randomness.below(13) {
        case 0:
            guard lane.link != nil, !lane.session.isGoingAway, agent.live.count < flavour.streams else { return }
            try agent.open(nextStream, on: lane, &randomness, now: now)
            nextStream += 1
        case 1, 2: try agent.answer(&randomness)
        case 3, 4: if let stream = pick(agent) { agent.mark(stream) }
        case 5...8: try agent.send(on: lane, &randomness)
        case 9, 10:
            guard let stream = pick(agent), !stream.stalled else { return }
            try agent.consume(stream, randomness.oneIn(3) ? randomness.below(stream.unread + 1) : stream.unread)
        case 11: if let stream = pick(agent) { try agent.finish(stream) }
        default:
            guard let stream = pick(agent), randomness.oneIn(20) else { return }
            if flavour.resets, randomness.oneIn(2) {
                try agent.reset(stream)
            } else if flavour.stalls {
                stream.stalled.toggle()
            }
        }
    }

    // MARK: Trouble

    private func trouble(_ agent: LaneAgent, _ lane: LaneEnd) {
        if randomness.oneIn(cutRate) { cut(lane) }
        if randomness.oneIn(10) { relink(lane.number) }
        if randomness.oneIn(endRate) {
            // The time of a parked session is over, or it was refused.
            coverage.lanesEnded += 1
            giveUp(agent, lane)
        } else if lane.session.streamCount == 0, lane.link != nil, lane.session.canMove, randomness.oneIn(4) {
            lane.isRetiring = true
            lane.session.goAway(.idle)
        }
        for lane in agent.lanes where lane.isRetiring && !lane.isOver && lane.session.isDrained {
            coverage.retired += 1
            giveUp(agent, lane)
        }
    }

    private func giveUp(_ agent: LaneAgent, _ lane: LaneEnd) {
        agent.giveUp(lane)
        let other = agents[1 - agent.index].lanes[lane.number]
        if !other.isOver { notices.append((1 - agent.index, other, true)) }
    }

    /// A link breaks; each end learns of it in its own time, or hears the rest first.
    private func cut(_ lane: LaneEnd) {
        guard let link = lane.link, !link.isSilent else { return }
        coverage.cuts += 1
        link.isSilent = true
        for queue in link.toEnd where !queue.queue.isEmpty && randomness.oneIn(2) {
            let kept = randomness.below(queue.queue.count)
            var rest: [UInt8] = []
            queue.queue.withReadable { rest.append(contentsOf: $0[..<kept]) }
            queue.queue.removeAll(keepingCapacity: true)
            rest.withUnsafeBytes { queue.queue.append($0) }
        }
        for agent in agents where agent.lanes[lane.number].link === link {
            notices.append((agent.index, agent.lanes[lane.number], false))
        }
    }

    private func notice() {
        guard !notices.isEmpty else { return }
        tell(notices.remove(at: randomness.below(notices.count)))
    }

    private func tell(_ notice: (agent: Int, lane: LaneEnd, isEnd: Bool)) {
        let agent = agents[notice.agent]
        guard agent.lanes[notice.lane.number] === notice.lane, !notice.lane.isOver else { return }
        if notice.isEnd {
            agent.giveUp(notice.lane)
        } else if notice.lane.link?.isSilent == true {
            agent.park(notice.lane, now: now)
            // GOAWAY makes a lost link the end of the session, at both ends.
            if notice.lane.isOver { giveUp(agent, notice.lane) }
        }
    }

    /// The next link of a lane: it resumes the session that both ends have parked, or begins a new one where both have none. The
    /// exchange between the two is `ResumptionSimulation`'s.
    private func relink(_ number: Int) {
        let ends = agents.map { $0.lanes[number] }
        if ends.allSatisfy(\.isOver) {
            for (agent, lane) in zip(agents, makeLane(number)) { agent.lanes[number] = lane }
            return
        }
        guard ends.allSatisfy({ !$0.isOver && $0.link == nil }) else { return }
        let dialler = randomness.below(2)
        let link = LaneLink(dialler: dialler)
        do throws(ResumptionError) {
            let (there, here) = (ends[1 - dialler].session, ends[dialler].session)
            let offer = try there.offerResumption(hint: here.resumptionEpoch)
            let answer = try here.answerResumption(offer)
            try here.resume(offer, role: .dialler, now: now, unixMilliseconds: 1_000)
            try there.resume(answer, role: .acceptor, now: now, unixMilliseconds: 1_000)
        } catch {
            preconditionFailure("no resumption: \(error)")
        }
        coverage.resumed += 1
        for end in ends { end.link = link }
    }

    private func pass() throws {
        now += 1 + UInt64(randomness.below(Int(flavour.pace)))
        try alarms()
    }

    private func alarms() throws {
        for lane in agents.flatMap(\.lanes) where lane.link != nil && now >= lane.session.nextDeadline {
            switch lane.session.advance(now: now) {
            case .none: break
            case .flush: lane.session.flushControl(now: now)
            case .peerSilent, .violation: throw Broken(description: "alarm on lane \(lane.number)")
            }
        }
    }

    // MARK: Rest

    private func quiesce() throws {
        for stream in agents.flatMap(\.live) { stream.stalled = false }
        var rounds = 0
        var idle = 0
        var seen: UInt64 = 0
        while !isAtRest || rounds < 3 {
            rounds += 1
            let progress = agents.flatMap(\.lanes).reduce(UInt64(0)) { $0 &+ $1.session.processedFrames }
            idle = progress == seen ? idle + 1 : 0
            seen = progress
            guard idle < 200 else { throw Broken(description: "no rest: \(stuck)") }
            while !notices.isEmpty { notice() }
            for number in agents[0].lanes.indices {
                if agents[0].lanes[number].link?.isSilent == true || agents[1].lanes[number].link?.isSilent == true {
                    for agent in agents { tell((agent.index, agent.lanes[number], false)) }
                }
                let isUneven = agents[0].lanes[number].isOver != agents[1].lanes[number].isOver
                if isUneven { for agent in agents { agent.giveUp(agent.lanes[number]) } }
                relink(number)
            }
            for agent in agents { try rest(agent) }
            now += 1_000_000
            try alarms()
        }
        for agent in agents {
            try agent.check()
            try agent.checkEmpty()
        }
        try agree()
    }

    private var isAtRest: Bool {
        agents.allSatisfy { agent in
            agent.live.isEmpty && !agent.hasJobs && agent.lanes.allSatisfy { !$0.isOver && $0.session.isDrained }
        }
    }

    private var stuck: String {
        let streams = agents.flatMap(\.live).map {
            "\($0.number) sent \($0.sent)/\($0.plan) got \($0.received) lane \($0.lane?.number ?? -1) moves \($0.moves)"
        }
        return "\(streams.prefix(4)), drained \(agents.flatMap(\.lanes).map(\.session.isDrained))"
    }

    private func rest(_ agent: LaneAgent) throws {
        while agent.hasJobs { try agent.runJob(&randomness) }
        while !agent.offers.isEmpty { try agent.answer(&randomness) }
        for stream in Array(agent.live) {
            agent.mark(stream)
            try agent.consume(stream, stream.unread)
            try agent.finish(stream)
        }
        for lane in agent.lanes where lane.link != nil {
            for _ in 0..<20 { try agent.send(on: lane, &randomness) }
            lane.session.flushControl(now: now)
            agent.transmit(lane, limit: .max)
            let other = agents[1 - agent.index]
            try other.deliver(other.lanes[lane.number], limit: .max, now: now, &randomness)
        }
    }

    /// Both ends tell the same story of every stream.
    private func agree() throws {
        for (one, other) in [(agents[0], agents[1]), (agents[1], agents[0])] {
            for (number, mine) in one.all {
                guard let theirs = other.all[number] else {
                    guard mine.openedHere, mine.ended else { throw one.broken("only one end knows stream \(number)") }
                    continue
                }
                guard mine.received <= theirs.sent else { throw one.broken("stream \(number): bytes nobody sent") }
                if mine.ended {
                    let unaware = theirs.sendFinished && theirs.receiveFinished && theirs.unread == 0
                    guard theirs.ended || unaware else {
                        throw one.broken("stream \(number) ended, the other end does not know")
                    }
                } else if !theirs.ended {
                    guard mine.receiveFinished, mine.received == theirs.sent else {
                        throw one.broken("stream \(number) lost \(theirs.sent - mine.received) bytes")
                    }
                }
            }
        }
    }
}
