import Link
import SeededRandom
import Testing

/// Two arbiters, messages that take their time, links that fail, agents that restart: in the end both ends use the same
/// link.
@Suite struct ArbiterSimulationTests {
    private enum Message {
        case hello(BootID, LinkIntent)
        case answer(BootID)
        /// The dialler of a link to move to has proven the session.
        case proof
        /// The acceptor moves.
        case switched
        case closed
    }

    private struct End {
        var arbiter: LinkArbiter
        var boot: BootID
        /// Links this end has a connection for.
        var open: Set<LinkID> = []
        var connecting: LinkID?
        var probes: [LinkID] = []
        var connectingMove: LinkID?
        /// The old link of a session that moves, lost with the new one.
        var old: [LinkID: LinkID] = [:]
    }

    private final class World {
        var randomness: SeededRandom
        var ends: [End]
        /// In flight: to which end, on which link, in order per end and link.
        var flight: [(to: Int, link: LinkID, message: Message)] = []
        var nextLink: UInt64 = 1
        var nextBoot: UInt64 = 3
        let oneSided: Bool
        var moves = 0

        init(seed: UInt64) {
            randomness = SeededRandom(seed)
            ends = [
                End(arbiter: LinkArbiter(local: "a", peer: "b"), boot: BootID(high: 1, low: 0)),
                End(arbiter: LinkArbiter(local: "b", peer: "a"), boot: BootID(high: 2, low: 0)),
            ]
            oneSided = randomness.oneIn(4)
        }

        func dial(_ end: Int) {
            guard ends[end].connecting == nil else { return }
            let link = LinkID(nextLink)
            guard ends[end].arbiter.dial(link) == .dial else { return }
            nextLink += 1
            ends[end].connecting = link
        }

        func dialMove(_ end: Int) {
            guard ends[end].connectingMove == nil else { return }
            let link = LinkID(nextLink)
            guard ends[end].arbiter.dialMove(link) == .dial else { return }
            nextLink += 1
            ends[end].connectingMove = link
        }

        /// The connection of a dial stands, or can't be made.
        func connected(_ end: Int) {
            let isMove = ends[end].connecting == nil
            guard let link = ends[end].connecting ?? ends[end].connectingMove else { return }
            if isMove { ends[end].connectingMove = nil } else { ends[end].connecting = nil }
            if oneSided, end == 0 { return act(end, ends[end].arbiter.lost(link)) }
            switch ends[end].arbiter.greet(link) {
            case .abandon: act(end, ends[end].arbiter.lost(link))
            case .hello(let intent):
                ends[end].open.insert(link)
                ends[1 - end].open.insert(link)
                flight.append((1 - end, link, .hello(ends[end].boot, intent)))
            }
        }

        func close(_ end: Int, _ link: LinkID) {
            if ends[end].connecting == link { ends[end].connecting = nil }
            if ends[end].connectingMove == link { ends[end].connectingMove = nil }
            guard ends[end].open.remove(link) != nil else { return }
            flight.append((1 - end, link, .closed))
            if let old = ends[end].old.removeValue(forKey: link) { close(end, old) }
        }

        /// The session of `end` moves to `link`.
        func move(_ end: Int, _ link: LinkID) -> Bool {
            let old = ends[end].arbiter.established
            guard ends[end].arbiter.moved(link) else {
                close(end, link)
                act(end, ends[end].arbiter.lost(link))
                return false
            }
            ends[end].old[link] = old
            return true
        }

        func act(_ end: Int, _ action: LinkArbiter.Action) {
            switch action {
            case .none: break
            case .establish(let link, let closing, _):
                for item in closing { close(end, item.link) }
                if answersDue.contains(Due(end: end, link: link)) {
                    answersDue.remove(Due(end: end, link: link))
                    flight.append((1 - end, link, .answer(ends[end].boot)))
                }
            case .close(let closing), .hold(let closing):
                for item in closing { close(end, item.link) }
            case .move(let link, let closing):
                for item in closing { close(end, item.link) }
                let isAcceptor = answersDue.remove(Due(end: end, link: link)) != nil
                flight.append((1 - end, link, isAcceptor ? .answer(ends[end].boot) : .proof))
            case .probe(let link, let closing):
                for item in closing { close(end, item.link) }
                ends[end].probes.append(link)
            case .duplicateIdentity(let link): close(end, link)
            }
        }

        struct Due: Hashable {
            var end: Int
            var link: LinkID
        }
        var answersDue: Set<Due> = []

        func deliver() {
            guard !flight.isEmpty else { return }
            let pick = randomness.below(flight.count)
            let wanted = flight[pick]
            // In order on each link.
            let first = flight.firstIndex { $0.to == wanted.to && $0.link == wanted.link } ?? pick
            let (end, link, message) = flight.remove(at: first)
            guard ends[end].open.contains(link) else { return }
            switch message {
            case .hello(let boot, let intent):
                answersDue.insert(Due(end: end, link: link))
                act(end, ends[end].arbiter.received(link, bootID: boot, intent: intent))
            case .answer(let boot): act(end, ends[end].arbiter.answered(link, bootID: boot))
            case .proof:
                if move(end, link) { flight.append((1 - end, link, .switched)) }
            case .switched:
                guard move(end, link) else { return }
                moves += 1
                // Nothing is left on the old link.
                for index in 0...1 {
                    if let old = ends[index].old.removeValue(forKey: link) { ends[index].open.remove(old) }
                }
            case .closed:
                ends[end].open.remove(link)
                if let old = ends[end].old.removeValue(forKey: link) { close(end, old) }
                act(end, ends[end].arbiter.lost(link))
            }
        }

        /// A probe comes back, or does not because the peer no longer knows the link.
        func probed(_ end: Int) {
            guard let link = ends[end].probes.popLast() else { return }
            act(end, ends[end].arbiter.probeEnded(answered: ends[1 - end].open.contains(link)))
        }

        /// A link breaks; both ends learn of it in their own time.
        func cut() {
            guard let link = ends[0].open.union(ends[1].open).sorted(by: { $0.rawValue < $1.rawValue }).first else {
                return
            }
            for end in 0...1 { flight.append((end, link, .closed)) }
        }

        /// An agent dies without a word and starts again.
        func restart(_ end: Int) {
            ends[end] = End(
                arbiter: LinkArbiter(local: end == 0 ? "a" : "b", peer: end == 0 ? "b" : "a"),
                boot: BootID(high: nextBoot, low: 0))
            nextBoot += 1
            flight.removeAll { $0.to == end }
            answersDue = answersDue.filter { $0.end != end }
            // Its peer's old links are half-open until a reset comes, if one ever does.
            if randomness.oneIn(2) { for link in ends[1 - end].open { flight.append((1 - end, link, .closed)) } }
            // A dial that is not answered fails by its timeout.
        }

        /// A link that the peer does not know: a dial runs into its timeout, and now and then the dead-peer timer of one
        /// in use.
        func expire(_ end: Int) {
            for link in ends[end].open where !ends[1 - end].open.contains(link) {
                if ends[end].arbiter.established == link, !randomness.oneIn(10) { continue }
                ends[end].open.remove(link)
                act(end, ends[end].arbiter.lost(link))
                return
            }
        }

        func step(disturb: Bool) {
            let end = randomness.below(2)
            switch randomness.below(disturb ? 27 : 20) {
            case 0, 1: dial(end)
            case 2, 3, 4: connected(end)
            case 5...15: deliver()
            case 16, 17: probed(end)
            case 18, 19: expire(end)
            case 20, 21: cut()
            case 22: restart(end)
            case 24, 25, 26: dialMove(end)
            default: break
            }
        }
    }

    @Test func bothEndsAgreeInTheEnd() {
        #if DEBUG
            let runs: UInt64 = 1_500
        #else
            let runs: UInt64 = 20_000
        #endif
        var moves = 0
        for seed in 1...runs {
            let world = World(seed: seed)
            defer { moves += world.moves }
            for _ in 0..<200 { world.step(disturb: seed % 3 != 0) }
            var agreed = false
            for _ in 0..<60 where !agreed {
                for _ in 0..<100 { world.step(disturb: false) }
                agreed = settled(world)
            }
            guard agreed else {
                Issue.record(
                    "seed \(seed): \(world.ends.map { $0.arbiter.established?.description ?? "none" }), one-sided \(world.oneSided)"
                )
                return
            }
        }
        #expect(moves > 0, "no session ever moved")
    }

    /// Both use one link, and nothing else is open or under way.
    private func settled(_ world: World) -> Bool {
        guard let link = world.ends[0].arbiter.established, world.ends[1].arbiter.established == link else {
            return false
        }
        return world.flight.isEmpty
            && world.ends.allSatisfy { $0.open == [link] && !$0.arbiter.isDialling && !$0.arbiter.isMoving }
    }
}
