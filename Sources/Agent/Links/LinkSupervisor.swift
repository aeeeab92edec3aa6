import EventLoop
import Link

/// Keeps the links: permanent ones to the directory and the configured peers, others on first use. Decides, with an
/// arbiter for each node, which of several links stays.
@ControlPlane
final class LinkSupervisor {
    /// How links are kept.
    struct Settings: Sendable, Equatable {
        /// The first reconnect comes within this time, in nanoseconds.
        var reconnectMinimum: UInt64
        /// The longest time between two reconnects.
        var reconnectMaximum: UInt64
        /// The same for permanent peers.
        var reconnectMaximumPermanent: UInt64
    }

    let shared: AgentShared
    var settings: Settings
    /// Wishes for links that came while a pause between two dials lasted.
    var heldWishes = HeldWishes()
    var peers: [Lane: Peer] = [:]
    /// Looks after lanes that are not needed any more, while there are any.
    var laneSweep: TimerID?
    /// Looks after the balance of lanes, while a node has several.
    var balanceTimer: TimerID?
    var incoming: [UInt64: IncomingLink] = [:]
    var workerOfSetup: [UInt64: Int] = [:]
    private(set) var isStopped = false
    /// Another process has taken the listeners over.
    var isHandedOver = false
    /// Clocks of nodes that are or were linked, minus ours, in milliseconds. A node each, as `peers`.
    var clocks: [String: Int64] = [:]
    var strangers = StrangerReports()

    /// Where the directory says a node is.
    var addresses: @ControlPlane (String) -> [Endpoint] = { _ in [] }
    /// The links that take new streams changed, by node.
    var linksChanged: @ControlPlane ([String: [LaneRoute]]) -> Void = { _ in }
    /// A link to a node was established or lost.
    var linkStateChanged: @ControlPlane (_ node: String, _ isUp: Bool) -> Void = { _, _ in }
    /// A peer has refused or ended a link because this node's certificate is revoked, as it says.
    var saidRevoked: @ControlPlane (_ by: String, _ text: String) -> Void = { _, _ in }
    /// A link of another lane to a node was established.
    var laneEstablished: @ControlPlane (_ node: String) -> Void = { _ in }

    init(shared: AgentShared, settings: Settings) {
        self.shared = shared
        self.settings = settings
    }

    // MARK: - Whom to link

    /// The nodes to which a link is always kept, with their addresses. Replaces the ones before.
    func keep(_ permanent: [String: Endpoint]) {
        for (node, endpoint) in permanent where node != shared.node {
            let peer = peer(Lane(node))
            if let before = peer.configured, before != endpoint {
                for lane in lanes(of: node) where lane.link?.isDialler == true { wantMove(lane, .address) }
                endPause(peer)
            }
            peer.configured = endpoint
            if !peer.isPermanent {
                peer.isPermanent = true
                peer.backoff = backoff(permanent: true)
            }
            dial(peer)
        }
        for peer in peers.values where peer.lane.isFirst && peer.isPermanent && permanent[peer.node] == nil {
            peer.isPermanent = false
            peer.configured = nil
            peer.backoff = backoff(permanent: false)
        }
    }

    /// Somebody wants to reach `node`.
    func want(_ node: String) {
        guard node != shared.node, !isStopped else { return }
        let peer = peer(Lane(node))
        if peer.link != nil { return tellSoon(peer) }
        if peer.isRetiring {
            return shared.workers.forEach { $0.submit { $0.opening.linkFailed(node, "it takes no new streams") } }
        }
        wish(peer)
    }

    /// A worker wants a link that there is, because it has not heard of it yet, or this end not of its end. Who waits looks again soon,
    /// once however many have asked: each look of each of them may ask again.
    private func tellSoon(_ peer: Peer) {
        guard peer.telling == nil else { return }
        peer.telling = ControlPlane.schedule(after: Self.tellDelay) { [self, lane = peer.lane] in tell(lane) }
    }

    /// In nanoseconds.
    private nonisolated static let tellDelay: UInt64 = 1_000_000

    private func tell(_ lane: Lane) {
        guard let peer = peers[lane] else { return }
        peer.telling = nil
        guard peer.link != nil else { return want(lane.node) }
        for worker in shared.workers { worker.submit { $0.opening.linkAvailable(lane.node) } }
    }

    func peer(_ lane: Lane) -> Peer {
        if let peer = peers[lane] { return peer }
        let peer = Peer(lane, own: shared.node, backoff: backoff(permanent: !lane.isFirst))
        peers[lane] = peer
        return peer
    }

    func backoff(permanent: Bool) -> Backoff {
        Backoff(
            base: settings.reconnectMinimum,
            cap: permanent ? settings.reconnectMaximumPermanent : settings.reconnectMaximum)
    }

    func dial(_ peer: Peer) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.timer == nil else { return }
        guard peer.lane.isFirst || peer.parkedOn != nil || isLaneWanted(peer) else { return }
        peer.pause.over()
        guard mayLink(peer.lane) else { return dialEnded(peer, Self.linksFull) }
        let known = endpoints(of: peer)
        let candidates = known.isEmpty && peer.parkedOn != nil ? peer.knownEndpoints : known
        guard let endpoint = candidates.randomElement() else {
            // Whoever dialled the first lane dials the others.
            guard peer.lane.isFirst || peer.parkedOn != nil else { return }
            // It dials by itself.
            guard peer.successor == nil else { return }
            let failure = LinkFailure(
                code: "no_address", text: "no address is known for node \(peer.node)",
                hint: "it must register with the directory, or be listed in peers", reason: nil, retryAfter: 0)
            return dialEnded(peer, failure)
        }
        let id = shared.newLinkID()
        guard case .dial = peer.arbiter.dial(LinkID(id)) else { return }
        peer.attempt = id
        // A session goes on where its streams live.
        let worker = home(of: peer) ?? leastLoadedWorker()
        workerOfSetup[id] = worker
        let patience = peer.parkedOn == nil ? nil : peer.redials.nextPatience()
        let order = LinkDial(id: id, lane: peer.lane, endpoints: [endpoint], patience: patience)
        shared.workers[worker].submit { $0.dial(order) }
    }

    /// Where a node may be reached.
    func endpoints(of peer: Peer) -> [Endpoint] {
        var endpoints = peers[peer.lane.first]?.configured.map { [$0] } ?? []
        for address in addresses(peer.node) where !endpoints.contains(address) { endpoints.append(address) }
        return endpoints
    }

    /// The worker with the fewest links; of several the first, so that a small mesh stays on one thread.
    func leastLoadedWorker() -> Int {
        var counts = [Int](repeating: 0, count: shared.workers.count)
        for peer in peers.values {
            if let link = peer.link { counts[link.worker] += 1 }
        }
        return counts.indices.min { counts[$0] < counts[$1] } ?? 0
    }

    /// The number of nodes with a link in use on the first lane.
    var linkCount: Int { peers.values.count { $0.lane.isFirst && $0.link != nil } }

    /// Dials later.
    func schedule(_ peer: Peer, after delay: UInt64) {
        peer.timer = ControlPlane.schedule(after: delay) { [self, lane = peer.lane] in redial(lane) }
    }

    private func redial(_ lane: Lane) {
        guard let peer = peers[lane] else { return }
        peer.timer = nil
        dial(peer)
    }

    /// Tells which links take new streams.
    func publish() {
        var links: [String: [LaneRoute]] = [:]
        for peer in peers.values {
            guard let link = peer.link, peer.lane.isFirst || peer.lane.number < laneCount(peer.node) else { continue }
            links[peer.node, default: []].append(
                LaneRoute(number: peer.lane.number, worker: link.worker, load: link.load))
        }
        linksChanged(links.mapValues { $0.sorted { $0.number < $1.number } })
    }

    /// Stops dialling and accepting.
    func stop() {
        isStopped = true
        for timer in [laneSweep, balanceTimer].compactMap({ $0 }) { ControlPlane.loop.cancel(timer) }
        laneSweep = nil
        balanceTimer = nil
        for peer in peers.values {
            forgetSuccessor(peer)
            if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
            peer.timer = nil
            forgetMove(peer)
        }
    }
}
