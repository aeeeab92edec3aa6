import EventLoop
import Link

/// What two nodes have said about the number of their lanes.
struct LaneAgreement {
    /// How many the peer takes.
    private(set) var peer = 1
    /// The peer knows of lanes at all.
    private(set) var isSpoken = false
    /// How many this end said last that it takes.
    var said = 1

    /// A link of the first lane is in use: its HELLOs count.
    mutating func took(_ link: EstablishedLink) {
        peer = link.lanes ?? 1
        isSpoken = link.lanes != nil
        said = link.saidLanes
    }

    /// The peer changed its mind.
    mutating func changed(_ count: Int) { peer = count }
}

/// Several lanes to one node. The first is what it is without others; these are dialled once it stands, and do not outlive its
/// session.
extension LinkSupervisor {
    /// Whoever did not dial the first lane leaves the dialling of the others to the other end for so long, in nanoseconds.
    private static let courtesy: UInt64 = 1_000_000_000
    /// How often lanes that are not needed any more are looked at, in nanoseconds.
    private static let sweepInterval: UInt64 = 500_000_000

    static nonisolated let noFirstLane = "the first lane's session is another one, or over"

    /// All lanes to `node` that are known.
    func lanes(of node: String) -> [Peer] {
        (0..<UInt8(Hello.maximumLanes)).compactMap { peers[Lane(node, $0)] }
    }

    /// How many lanes there are to be to `node`: as many as both ends take.
    func laneCount(_ node: String) -> Int {
        min(shared.lanes.count(node), peers[Lane(node)]?.lanes.peer ?? 1)
    }

    /// Whether a lane other than the first is to have a link: both ends take so many, and the first has one.
    func isLaneWanted(_ peer: Peer) -> Bool {
        !peer.lane.isFirst && Int(peer.lane.number) < laneCount(peer.node) && peers[peer.lane.first]?.link != nil
    }

    /// The worker of a lane that has no session yet: lanes are dealt to workers in turn, from the first one's on.
    func laneHome(_ peer: Peer) -> Int? {
        guard !peer.lane.isFirst, let first = peers[peer.lane.first], let base = first.link?.worker ?? first.parkedOn
        else { return nil }
        return (base + Int(peer.lane.number)) % shared.workers.count
    }

    // MARK: - The session of the first lane

    /// Whether the session of a first lane, in use or parked, is with this running agent.
    func hasSession(_ first: Lane, _ bootID: BootID, _ names: PeerNames) -> Bool {
        guard let peer = peers[first], peer.arbiter.peerBoot == bootID else { return false }
        guard let link = peer.link else { return peer.parkedOn != nil || peer.arbiter.established != nil }
        return link.peer == names
    }

    /// Whether the session to which an established lane belongs is still there.
    func isStanding(_ peer: Peer, _ names: PeerNames) -> Bool {
        guard let boot = peer.arbiter.peerBoot else { return false }
        return hasSession(peer.lane.first, boot, names)
    }

    /// Why a link that the peer dialled for a lane other than the first is not taken; nil where it is.
    func laneRefusal(_ link: IncomingLink) -> String? {
        guard !link.lane.isFirst else { return nil }
        guard hasSession(link.lane.first, link.bootID, link.peer) else { return Self.noFirstLane }
        let isHeld = peers[link.lane].map { $0.link != nil || $0.parkedOn != nil } ?? false
        guard isHeld || Int(link.lane.number) < laneCount(link.lane.node) else {
            return "node \(shared.node) keeps \(laneCount(link.lane.node)) lanes with node \(link.lane.node)"
        }
        return nil
    }

    /// The session of the first lane is over, and with it all others.
    func endLanes(of node: String, _ reason: LinkReason, _ text: String) {
        // What says nothing about a session would only park these.
        let reason = reason.leavesSession ? .resumeRefused : reason
        for peer in lanes(of: node) where !peer.lane.isFirst {
            if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
            peer.timer = nil
            if let link = peer.arbiter.established { end(link.rawValue, reason, text) }
            if let attempt = peer.attempt { end(attempt, .superseded, text) }
            guard let worker = peer.parkedOn else { continue }
            let lane = peer.lane
            shared.workers[worker].submit { $0.endParked(lane, reason, outcome: .refused, text) }
        }
    }

    // MARK: - Their number

    /// Another number of lanes is configured.
    func lanesChanged() {
        for peer in peers.values where peer.lane.isFirst { agreeOnLanes(peer.node) }
    }

    /// A peer takes another number of lanes.
    func peerTakes(lanes count: Int, _ node: String) {
        guard let peer = peers[Lane(node)], peer.lanes.isSpoken, peer.lanes.peer != count else { return }
        peer.lanes.changed(count)
        agreeOnLanes(node)
    }

    /// Brings the lanes to a node to the number that both ends take.
    func agreeOnLanes(_ node: String) {
        guard let first = peers[Lane(node)], let link = first.link, !isStopped else { return }
        announce(first)
        publish()
        for number in 1..<Hello.maximumLanes {
            guard number < laneCount(node) else { break }
            let peer = peer(Lane(node, UInt8(number)))
            guard peer.link == nil, peer.timer == nil, peer.attempt == nil else { continue }
            if link.isDialler { dial(peer) } else { schedule(peer, after: Self.courtesy) }
        }
        watchExcess()
    }

    /// Tells the peer how many lanes this node takes, where it has said something else before.
    private func announce(_ first: Peer, again: Bool = false) {
        let count = shared.lanes.count(first.node)
        guard first.lanes.isSpoken, again || first.lanes.said != count, let link = first.link else { return }
        first.lanes.said = count
        let node = first.node
        shared.workers[link.worker].submit { $0.announceLanes(count, to: node) }
    }

    // MARK: - Lanes that are not needed any more

    /// Lanes beyond the number that both ends take, which live on as long as they have streams.
    private var excess: [Peer] {
        peers.values.filter { peer in
            !peer.lane.isFirst && Int(peer.lane.number) >= laneCount(peer.node)
                && (peer.link != nil || peer.isRetiring || peer.parkedOn != nil)
        }
    }

    /// Begins to look after lanes that are not needed or have lost their link, if there are any.
    func watchExcess() {
        if laneSweep == nil, !isStopped, hasLostLanes || !excess.isEmpty { scheduleSweep() }
    }

    private func scheduleSweep() {
        laneSweep = ControlPlane.schedule(after: Self.sweepInterval) { [self] in sweep() }
    }

    private func sweep() {
        laneSweep = nil
        guard !isStopped else { return }
        evacuate(excess)
        // A lane that was being retired when it was wanted again comes to its end, and is dialled anew.
        let due = peers.values.filter { !$0.lane.isFirst && $0.isRetiring } + excess
        for peer in due {
            guard let link = peer.arbiter.established, let worker = workerOfSetup[link.rawValue] else { continue }
            let lane = peer.lane
            shared.workers[worker].submit { $0.retire(lane) }
        }
        for first in Set(due.map(\.lane.first)).compactMap({ peers[$0] }) { announce(first, again: true) }
        if hasLostLanes || !due.isEmpty { scheduleSweep() }
    }
}
