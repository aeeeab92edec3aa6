import Bytes
import Link
import SeededRandom

/// Two agents and one session over many links, in virtual time: links are cut at any byte, go silent in one direction or
/// both, are dialled from both ends at once and while another one is in use; impostors come in between. Everything that
/// happens is drawn from one seed.
final class ResumptionSimulation {
    let seed: UInt64
    private(set) var steps = 0
    private var randomness: SeededRandom
    private let flavour: SimulationFlavour
    private let ends: [ResumptionEnd]
    private var now: UInt64 = 5_000_000_000
    private var links: [SimulatedLink] = []
    private var impostors: [ResumptionImpostor] = []
    /// Ends that will learn that a link is gone.
    private var notices: [(end: Int, link: SimulatedLink)] = []
    /// Ends that will read that the other has closed an old link in order.
    private var goodbyes: [(end: Int, link: SimulatedLink)] = []
    private var nextLink = 1
    private let cutRate: Int
    private let moveRate: Int
    private var coverage = ResumptionCoverage()
    /// Streams that lost their right while parked: at which end, and how much the other had received of them then.
    private var withdrawn: [Set<UInt64>] = [[], []]
    private var mostReceived: [[UInt64: Int]] = [[:], [:]]

    init(seed: UInt64) {
        self.seed = seed
        var randomness = SeededRandom(seed)
        flavour = SimulationFlavour(&randomness)
        cutRate = [40, 200, 1_000][randomness.below(3)]
        moveRate = [4, 20, 200][randomness.below(3)]
        let configurations = (0..<2).map { _ in SimulationFlavour.configuration(&randomness) }
        let hellos = SimulationFlavour.hellos(configurations)
        let swapped = randomness.oneIn(2)
        let key = randomness.next()
        var ends: [ResumptionEnd] = []
        for index in 0..<2 {
            let node = SimulatedNode(
                index, configurations[index], peer: hellos[1 - index], swapped: swapped, seed: seed, now: now,
                flavour: flavour, &randomness)
            ends.append(
                ResumptionEnd(
                    index: index, node: node, hello: hellos[index], peerBoot: hellos[1 - index].bootID, key: key,
                    seed: randomness.next()))
        }
        self.ends = ends
        self.randomness = randomness
        // The first link needs no exchange.
        let first = makeLink(dialler: 0)
        for end in ends {
            end.attached = first
            end.readers[first.number] = WireReader(receiver: first.role(of: end.index))
            end.resumed = { [unowned self] end in self.beganToSend(end) }
        }
    }

    private func makeLink(dialler: Int) -> SimulatedLink {
        let link = SimulatedLink(number: nextLink, dialler: dialler, &randomness)
        nextLink += 1
        links.append(link)
        return link
    }

    /// Lets `count` random things happen, then lets everything come to rest and compares the two ends.
    func run(steps count: Int) throws {
        for _ in 0..<count {
            steps += 1
            try step()
        }
        if randomness.oneIn(8) { try giveUp() } else { try quiesce() }
    }

    var sumOfCoverage: (ResumptionCoverage, SimulationCoverage) {
        var sum = coverage
        var nodes = SimulationCoverage()
        for end in ends {
            sum += end.coverage
            nodes += end.node.coverage
        }
        return (sum, nodes)
    }

    // MARK: What happens

    private func step() throws {
        let end = ends[randomness.below(2)]
        switch randomness.below(24) {
        case 0...11: try application(end)
        case 12...14: end.transmit(limit: randomness.size(upTo: 200_000))
        case 15...18:
            if !links.isEmpty {
                try deliver(links[randomness.below(links.count)], to: end, randomness.size(upTo: 200_000))
            }
        case 19:
            if end.attached != nil { end.node.session.flushControl(now: now) }
        case 20: try pass()
        case 21: notice()
        case 22: dial(end)
        default: try trouble(end)
        }
        if steps % 64 == 0 { try check() }
    }

    private func application(_ end: ResumptionEnd) throws {
        let node = end.node
        let stream = node.live.isEmpty ? nil : node.live[randomness.below(node.live.count)]
        let before = node.session.sentFrames
        switch randomness.below(13) {
        case 0:
            // A shell opens streams on a link only.
            if end.attached != nil, node.live.count < flavour.streams { try node.open(&randomness, now: now) }
        case 1, 2: try node.answer(&randomness)
        case 3, 4: if let stream { node.mark(stream) }
        case 5...8: if end.attached != nil { try node.send(&randomness) }
        case 9, 10:
            if let stream, !stream.stalled {
                try node.consume(stream, randomness.oneIn(3) ? randomness.below(stream.unread + 1) : stream.unread)
            }
        case 11: if let stream { try node.finish(stream) }
        default:
            if let stream, randomness.oneIn(20) {
                if flavour.resets, stream.accepted || stream.openedHere { try node.reset(stream) }
            } else if let stream, flavour.stalls, randomness.oneIn(20) {
                stream.stalled.toggle()
            }
        }
        if end.attached == nil, node.session.sentFrames > before { coverage.parkedWork += 1 }
    }

    private func deliver(_ link: SimulatedLink, to end: ResumptionEnd, _ limit: Int) throws {
        if let impostor = impostors.first(where: { $0.link === link && $0.victim !== end }) {
            return try impostor.act(&randomness)
        }
        try end.deliver(link, limit: limit, now: now, &randomness)
        spread(end)
    }

    /// What an end closed, the other end learns at some time.
    private func spread(_ end: ResumptionEnd) {
        for link in end.closed { notices.append((1 - end.index, link)) }
        end.closed = []
        for link in end.retired { goodbyes.append((1 - end.index, link)) }
        end.retired = []
    }

    private func dial(_ end: ResumptionEnd) {
        if end.attached != nil, end.attempts.isEmpty, randomness.oneIn(moveRate) { return dialMove(end) }
        guard end.attempts.count < 3, end.attached == nil ? randomness.oneIn(2) : randomness.oneIn(300) else { return }
        let link = makeLink(dialler: end.index)
        if ends[1 - end.index].attempts.values.contains(where: { $0.resumption == nil }) { coverage.crossings += 1 }
        end.dial(link)
        if randomness.oneIn(12) {
            forge(link, victim: end)
        } else {
            ends[1 - end.index].accept(link)
        }
    }

    private func dialMove(_ end: ResumptionEnd) {
        let other = ends[1 - end.index]
        let link = makeLink(dialler: end.index)
        if other.attempts.values.contains(where: \.isMove) { coverage.movesCrossed += 1 }
        end.dial(link, intent: .move)
        if randomness.oneIn(12) { forge(link, victim: end) } else { other.accept(link) }
    }

    private func forge(_ link: SimulatedLink, victim: ResumptionEnd) {
        let other = ends[1 - victim.index]
        impostors.append(
            ResumptionImpostor(
                link, victim: victim, as: other.hello, seen: ends.flatMap(\.proofsSent), &randomness))
        // Whatever becomes of it, it does not last.
        notices.append((victim.index, link))
    }

    private func trouble(_ end: ResumptionEnd) throws {
        switch randomness.below(cutRate) {
        case 0...2: if !links.isEmpty { cut(links[randomness.below(links.count)]) }
        case 3:
            let link = makeLink(dialler: 1 - end.index)
            end.accept(link)
            forge(link, victim: end)
        case 4...8 where end.attached == nil:
            guard let stream = end.node.live.first(where: { $0.accepted || $0.openedHere }) else { return }
            try end.node.reset(stream, .accessWithdrawn)
            withdrawn[end.index].insert(stream.id)
            coverage.withdrawn += 1
        default: break
        }
    }

    /// A link breaks, or goes silent; each end learns of it in its own time, or hears the rest first.
    private func cut(_ link: SimulatedLink) {
        switch randomness.below(4) {
        case 0:
            link.isSilent = [true, true]
            coverage.silences += 1
        case 1:
            link.isSilent[randomness.below(2)] = true
            coverage.silences += 1
        default:
            coverage.cuts += 1
            for queue in link.toEnd where !queue.queue.isEmpty && randomness.oneIn(2) {
                let kept = randomness.below(queue.queue.count)
                var rest: [UInt8] = []
                queue.queue.withReadable { rest.append(contentsOf: $0[..<kept]) }
                queue.queue.removeAll(keepingCapacity: true)
                rest.withUnsafeBytes { queue.queue.append($0) }
            }
            link.isSilent = [true, true]
        }
        for end in ends { notices.append((end.index, link)) }
    }

    private func notice() {
        if !goodbyes.isEmpty {
            let (end, link) = goodbyes.remove(at: randomness.below(goodbyes.count))
            ends[end].oldLinkRetired(link)
        }
        guard !notices.isEmpty else { return }
        let (end, link) = notices.remove(at: randomness.below(notices.count))
        leave(ends[end], link)
    }

    private func leave(_ end: ResumptionEnd, _ link: SimulatedLink) {
        end.leave(link, now: now)
        spread(end)
        if ends.allSatisfy({ $0.attached !== link && $0.old !== link && $0.attempts[link.number] == nil }) {
            links.removeAll { $0 === link }
            impostors.removeAll { $0.link === link }
        } else if !link.isForged, !notices.contains(where: { $0.link === link }) {
            // The other end hears of it, too.
            notices.append((1 - end.index, link))
        }
    }

    private func pass() throws {
        now += 1 + UInt64(randomness.below(Int(flavour.pace)))
        for end in ends { try alarm(end) }
    }

    private func alarm(_ end: ResumptionEnd) throws {
        let session = end.node.session
        guard end.attached != nil, now >= session.nextDeadline else { return }
        switch session.advance(now: now) {
        case .none: break
        case .flush: session.flushControl(now: now)
        case .peerSilent, .violation: throw Broken(description: "\(end.node.name): alarm")
        }
    }

    // MARK: Rules that always hold

    /// The session of `end` was resumed and is about to send.
    private func beganToSend(_ end: ResumptionEnd) {
        let other = ends[1 - end.index].node
        for id in withdrawn[end.index] { mostReceived[end.index][id] = other.all[id]?.received ?? 0 }
        withdrawn[end.index] = []
    }

    private func check() throws {
        for end in ends {
            try end.node.check()
            let other = ends[1 - end.index].node
            for (id, most) in mostReceived[end.index] {
                let received = other.all[id]?.received ?? 0
                try expect(received <= most, "bytes of stream \(id) were sent after its right was lost")
            }
        }
    }

    // MARK: Rest

    /// No more faults: one honest link.
    private func relink(_ attempt: Int) throws {
        for end in ends {
            for link in links { end.leave(link, now: now) }
            end.closed = []
            end.retired = []
        }
        goodbyes = []
        links = []
        impostors = []
        notices = []
        let dialler = ends[attempt % 2]
        let link = makeLink(dialler: dialler.index)
        dialler.dial(link)
        ends[1 - dialler.index].accept(link)
        for _ in 0..<4 {
            for end in ends { try end.deliver(link, limit: .max, now: now, &randomness) }
        }
    }

    private func quiesce() throws {
        var attempts = 0
        while ends[0].attached == nil || ends[0].attached !== ends[1].attached {
            try expect(attempts < 8, "an honest attempt does not resume the session")
            try relink(attempts + randomness.below(2))
            attempts += 1
        }
        guard let link = ends[0].attached else { return }
        link.isSilent = [false, false]
        for end in ends {
            for stream in end.node.live { stream.stalled = false }
        }
        // What a silent link has lost, only another one brings. Forged hints can have put one end's epoch ahead of what the
        // other believes at once.
        let first = randomness.below(2)
        for attempt in 0..<8 {
            try relink(first + attempt)
            if ends[0].attached != nil, ends[0].attached === ends[1].attached { break }
        }
        try expect(ends[0].attached != nil && ends[0].attached === ends[1].attached, "an honest attempt failed")
        let wanted = randomness.oneIn(2) ? ends[randomness.below(2)].index : nil
        let new = wanted.map { makeLink(dialler: $0) }
        if let wanted, let new {
            ends[wanted].dial(new, intent: .move)
            ends[1 - wanted].accept(new)
        }
        var rounds = 0
        var idle = 0
        var seen: UInt64 = 0
        while !ends.allSatisfy({ $0.node.live.isEmpty && $0.node.session.isDrained }) || rounds < 3 {
            rounds += 1
            let progress = ends[0].node.session.processedFrames &+ ends[1].node.session.processedFrames
            idle = progress == seen ? idle + 1 : 0
            seen = progress
            guard idle < 200 else {
                let stuck = ends.flatMap(\.node.live).map { "\($0.id) sent \($0.sent)/\($0.plan) got \($0.received)" }
                throw Broken(description: "no rest: \(stuck.prefix(4))")
            }
            for end in ends { try rest(end) }
            now += 1_000_000
            for end in ends { try alarm(end) }
        }
        if let new {
            for end in ends {
                try expect(end.attached === new && end.old == nil, "an honest move did not come to its end")
            }
        }
        try check()
        try SimulationAgreement.check(ends[0].node, ends[1].node)
        for end in ends { try SimulationAgreement.checkEmpty(end.node) }
    }

    private func rest(_ end: ResumptionEnd) throws {
        let node = end.node
        while !node.offers.isEmpty { try node.answer(&randomness) }
        for stream in Array(node.live) {
            node.mark(stream)
            try node.consume(stream, stream.unread)
            try node.finish(stream)
        }
        for _ in 0..<40 { try node.send(&randomness) }
        node.session.flushControl(now: now)
        end.transmit(limit: .max)
        for link in links { try ends[1 - end.index].deliver(link, limit: .max, now: now, &randomness) }
    }

    /// The session is not resumed any more: nothing may be left of it.
    private func giveUp() throws {
        for end in ends {
            for link in links { end.leave(link, now: now) }
            let lost = Set(end.node.session.linkLost().map(\.stream))
            let live = Set(end.node.live.map(\.handle))
            let tight = end.node.session.configuration.controlReserve <= 64
            try expect(lost == live || tight && lost.isSuperset(of: live), "linkLost names the wrong streams")
            try expect(end.node.budget.used == 0, "budget \(end.node.budget.used) after the session is over")
            try expect(end.node.pool.segmentsInUse == 0, "segments held after the session is over")
        }
    }

    private func expect(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        guard condition else { throw Broken(description: text()) }
    }
}
