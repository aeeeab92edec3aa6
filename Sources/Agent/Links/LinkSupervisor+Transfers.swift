import EventLoop
import Link

/// When streams change their lane, and where the lanes are between which they do.
extension LinkSupervisor {
    /// So long a lost lane is left to be resumed before its streams go on on another one, in nanoseconds; of a shorter time that
    /// sessions wait, a quarter.
    private static let patience: UInt64 = 2_000_000_000
    /// How often lanes are looked at for bulk in the way of others, in nanoseconds: as long as bulk is remembered.
    private static let balanceInterval: UInt64 = 1_000_000_000

    /// A peer wants to go on with a stream on another lane: the worker that has it is asked.
    func giveStream(_ offer: TransferOffer) {
        guard let peer = peers[offer.from], let worker = peer.link?.worker ?? peer.parkedOn else {
            return shared.workers[offer.toWorker].submit { $0.takeStream(offer, nil) }
        }
        shared.workers[worker].submit { $0.giveStream(offer) }
    }

    // MARK: - Lanes that go

    /// Lanes, other than the first, that have been without a link for a while.
    var lostLanes: [Peer] {
        let patience = min(Self.patience, shared.parking.resumeFor / 4)
        let now = Clock.monotonicNanoseconds()
        return peers.values.filter { !$0.lane.isFirst && $0.parkedOn != nil && now >= $0.parkedAt &+ patience }
    }

    /// Whether some lane, other than the first, is without a link.
    var hasLostLanes: Bool { peers.values.contains { !$0.lane.isFirst && $0.parkedOn != nil } }

    /// This node's streams leave lanes that are not needed any more or do not come back; the peer's end does the same with its.
    func evacuate(_ excess: [Peer]) {
        for peer in excess { evacuate(peer, .fewerLanes) }
        for peer in lostLanes { evacuate(peer, .laneLost) }
    }

    private func evacuate(_ peer: Peer, _ reason: TransferReason) {
        guard !peer.isRetiring, let worker = peer.link?.worker ?? peer.parkedOn else { return }
        let lane = peer.lane
        shared.workers[worker].submit { $0.evacuate(lane, reason) }
    }

    // MARK: - Bulk in the way of others

    /// Looks after the balance of lanes while there are several to some node.
    func watchBalance() {
        guard balanceTimer == nil, !isStopped, peers.values.contains(where: { !$0.lane.isFirst && $0.link != nil })
        else { return }
        balanceTimer = ControlPlane.schedule(after: Self.balanceInterval) { [self] in balance() }
    }

    private func balance() {
        balanceTimer = nil
        guard !isStopped else { return }
        for first in peers.values where first.lane.isFirst && first.link != nil { balance(first) }
        watchBalance()
    }

    private func balance(_ first: Peer) {
        let now = Clock.monotonicNanoseconds()
        let inUse = lanes(of: first.node).filter { $0.link != nil && Int($0.lane.number) < laneCount(first.node) }
        let candidates = inUse.compactMap { peer in
            peer.link.map { link in
                LaneChoice.Candidate(
                    number: peer.lane.number, isHere: false, isBulk: link.load.isBulk(now: now),
                    streams: link.load.count)
            }
        }
        func submit(_ number: UInt8, _ job: @escaping @Sendable (WorkerCore, Lane) -> Void) {
            let lane = Lane(first.node, number)
            guard let worker = peers[lane]?.link?.worker else { return }
            shared.workers[worker].submit { job($0, lane) }
        }
        switch first.balance.look(candidates) {
        case .none: break
        case .measure(let from): submit(from) { $0.measureTraffic($1) }
        case .move(let from, let to): submit(from) { $0.moveBulk($1, to: to) }
        }
    }
}
