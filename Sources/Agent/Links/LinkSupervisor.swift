import Documents
import EventLoop
import JSON
import Link

/// Keeps the links: permanent ones to the directory and the configured peers, others on first use. Decides, with an
/// arbiter for each node, which of several links stays.
@ControlPlane
final class LinkSupervisor {
    /// How links are kept.
    struct Settings: Sendable {
        /// The first reconnect comes within this time, in nanoseconds.
        var reconnectMinimum: UInt64
        /// The longest time between two reconnects.
        var reconnectMaximum: UInt64
        /// The same for permanent peers.
        var reconnectMaximumPermanent: UInt64
    }

    /// What is known about one node as a peer.
    struct PeerStatus: Sendable {
        let node: String
        let isPermanent: Bool
        let state: String
        let link: EstablishedLink?
        let lastError: LinkFailure?
        /// Sessions with this node that went on over another link.
        let resumptions: Int
        /// How often its session changed to another link on purpose.
        let moves: Int
    }

    final class Peer {
        let node: String
        var arbiter: LinkArbiter
        var isPermanent = false
        var configured: Endpoint?
        var backoff: Backoff
        var link: EstablishedLink?
        var attempt: UInt64?
        var timer: TimerID?
        var isWanted = false
        /// The link is still there but takes no new streams.
        var isRetiring = false
        var lastError: LinkFailure?
        /// The session waits for a new link, on this worker.
        var parkedOn: Int?
        var redials = ParkedRedials()
        var resumptions = 0
        var move = MoveWish()

        init(node: String, own: String, backoff: Backoff) {
            self.node = node
            self.backoff = backoff
            arbiter = LinkArbiter(local: own, peer: node)
        }
    }

    /// Time for an old link to show life when another agent claims its identity, in nanoseconds.
    private nonisolated static let probeTimeout: UInt64 = 1_000_000_000

    let shared: AgentShared
    private let settings: Settings
    private(set) var peers: [String: Peer] = [:]
    var incoming: [UInt64: IncomingLink] = [:]
    var workerOfSetup: [UInt64: Int] = [:]
    private(set) var isStopped = false
    /// Clocks of nodes that are or were linked, minus ours, in milliseconds. A node each, as `peers`.
    private var clocks: [String: Int64] = [:]
    private var strangers = StrangerReports()

    /// Bounds what those who prove no identity can write into the log: all are counted, a few each second are named, for
    /// each reason apart, so that a flood of one kind does not hide the others. The reasons are our own codes, a few dozen.
    private struct StrangerReports {
        private static let perSecond = 10
        private var second: UInt64 = 0
        private var named: [String: Int] = [:]
        private var hidden = 0

        mutating func admit(_ reason: String, now: UInt64) -> Bool {
            if now / 1_000_000_000 != second {
                second = now / 1_000_000_000
                named.removeAll(keepingCapacity: true)
            }
            let count = named[reason, default: 0] + 1
            named[reason] = count
            if count > Self.perSecond { hidden += 1 }
            return count <= Self.perSecond
        }

        /// How many were left out since this was asked last.
        mutating func takeHidden() -> Int {
            defer { hidden = 0 }
            return hidden
        }
    }

    /// Where the directory says a node is.
    var addresses: @ControlPlane (String) -> [Endpoint] = { _ in [] }
    /// The set of links changed: node → worker.
    var linksChanged: @ControlPlane ([String: Int]) -> Void = { _ in }
    /// A link to a node was established or lost.
    var linkStateChanged: @ControlPlane (_ node: String, _ isUp: Bool) -> Void = { _, _ in }

    init(shared: AgentShared, settings: Settings) {
        self.shared = shared
        self.settings = settings
    }

    // MARK: - Whom to link

    /// The nodes to which a link is always kept, with their addresses. Replaces the ones before.
    func keep(_ permanent: [String: Endpoint]) {
        for (node, endpoint) in permanent where node != shared.node {
            let peer = peer(node)
            if let before = peer.configured, before != endpoint, peer.link?.isDialler == true {
                wantMove(peer, .address)
            }
            peer.configured = endpoint
            if !peer.isPermanent {
                peer.isPermanent = true
                peer.backoff = backoff(permanent: true)
            }
            dial(peer)
        }
        for peer in peers.values where peer.isPermanent && permanent[peer.node] == nil {
            peer.isPermanent = false
            peer.configured = nil
            peer.backoff = backoff(permanent: false)
        }
    }

    /// Somebody wants to reach `node`.
    func want(_ node: String) {
        guard node != shared.node, !isStopped else { return }
        let peer = peer(node)
        if let link = peer.link {
            return shared.workers.forEach { $0.submit { $0.opening.linkAvailable(link.node) } }
        }
        if peer.isRetiring {
            return shared.workers.forEach { $0.submit { $0.opening.linkFailed(node, "it takes no new streams") } }
        }
        peer.isWanted = true
        // Somebody waits now: do not sit out a backoff.
        if let timer = peer.timer {
            ControlPlane.loop.cancel(timer)
            peer.timer = nil
        }
        dial(peer)
    }

    private func peer(_ node: String) -> Peer {
        if let peer = peers[node] { return peer }
        let peer = Peer(node: node, own: shared.node, backoff: backoff(permanent: false))
        peers[node] = peer
        return peer
    }

    private func backoff(permanent: Bool) -> Backoff {
        Backoff(
            base: settings.reconnectMinimum,
            cap: permanent ? settings.reconnectMaximumPermanent : settings.reconnectMaximum)
    }

    private func dial(_ peer: Peer) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.timer == nil else { return }
        guard let endpoint = endpoints(of: peer).randomElement() else {
            let failure = LinkFailure(
                code: "no_address", text: "no address is known for node \(peer.node)",
                hint: "it must register with the directory, or be listed in peers", reason: nil, retryAfter: 0)
            return dialEnded(peer, failure)
        }
        let id = shared.newLinkID()
        guard case .dial = peer.arbiter.dial(LinkID(id)) else { return }
        peer.attempt = id
        // A session goes on where its streams live.
        let worker = peer.parkedOn ?? leastLoadedWorker()
        workerOfSetup[id] = worker
        let order = LinkDial(id: id, node: peer.node, endpoints: [endpoint])
        shared.workers[worker].submit { $0.dial(order) }
    }

    /// Where a node may be reached.
    func endpoints(of peer: Peer) -> [Endpoint] {
        var endpoints = peer.configured.map { [$0] } ?? []
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

    /// The number of links in use.
    var linkCount: Int { peers.values.count { $0.link != nil } }

    // MARK: - What workers tell

    /// A dial stands and could say HELLO.
    func canGreet(node: String, link: UInt64) {
        guard let worker = workerOfSetup[link] else { return }
        switch peer(node).arbiter.greet(LinkID(link)) {
        case .hello(let intent): shared.workers[worker].submit { $0.decide(link, .greet(intent)) }
        case .abandon: end(link, .superseded, "another link is used")
        }
    }

    /// The peer answered our HELLO.
    func answered(node: String, link: UInt64, bootID: BootID) {
        let peer = peer(node)
        if let worker = workerOfSetup[link], let home = home(of: peer), home != worker {
            return move(link, from: worker, to: home) { $0.answered(node: node, link: link, bootID: bootID) }
        }
        perform(peer.arbiter.answered(LinkID(link), bootID: bootID), peer)
    }

    /// A peer said HELLO.
    func arrived(_ link: IncomingLink) {
        guard !isStopped, peers[link.node]?.link != nil || linkCount < shared.maximumLinks else {
            let text = isStopped ? "the agent stops" : "the agent has all the links it takes"
            shared.workers[link.worker].submit {
                $0.decide(link.link, .refuse(.overloaded, detail: text, retryAfter: 5_000))
            }
            return
        }
        let peer = peer(link.node)
        if let home = home(of: peer), home != link.worker {
            let moved = IncomingLink(
                link: link.link, worker: home, node: link.node, bootID: link.bootID, intent: link.intent,
                remote: link.remote)
            return move(link.link, from: link.worker, to: home) { $0.arrived(moved) }
        }
        incoming[link.link] = link
        workerOfSetup[link.link] = link.worker
        perform(peer.arbiter.received(LinkID(link.link), bootID: link.bootID, intent: link.intent), peer)
    }

    /// The worker that has the session with a node, in use or parked.
    private func home(of peer: Peer) -> Int? { peer.link?.worker ?? peer.parkedOn }

    /// A setup goes on on the worker that has the session of its peer; then what was asked is asked again from there.
    private func move(
        _ link: UInt64, from worker: Int, to home: Int,
        _ again: @escaping @Sendable @ControlPlane (LinkSupervisor) -> Void
    ) {
        workerOfSetup[link] = home
        shared.workers[worker].submit { [shared] core in
            core.moveSetup(link, to: home) { _ in
                ControlPlane.post { if let supervisor = shared.supervisor { again(supervisor) } }
            }
        }
    }

    /// A link carries frames now.
    func established(_ link: EstablishedLink) {
        incoming[link.link] = nil
        let peer = peer(link.node)
        // Another link was chosen in between; this one has been told to close.
        guard peer.arbiter.established == LinkID(link.link) else { return }
        peer.link = link
        peer.attempt = peer.attempt == link.link ? nil : peer.attempt
        peer.isWanted = false
        peer.isRetiring = false
        peer.parkedOn = nil
        if link.isResumed { peer.resumptions += 1 }
        peer.lastError = nil
        tookPlace(link, peer)
        peer.backoff.succeeded()
        if let timer = peer.timer {
            ControlPlane.loop.cancel(timer)
            peer.timer = nil
        }
        shared.log.info(
            "link_established", "linked to node \(link.node)",
            [
                ("node", .string(link.node)), ("remote", .string(link.remote)),
                ("dialled", .bool(link.isDialler)), ("peer_version", .string(link.peerVersion)),
                ("resumed", .bool(link.isResumed)),
            ])
        publish()
        linkStateChanged(link.node, true)
    }

    /// A setup ended without a link.
    func setupFailed(node: String, link: UInt64, remote: String, isDialler: Bool, _ failure: LinkFailure) {
        incoming[link] = nil
        workerOfSetup[link] = nil
        let failure = doubtingClocks(failure, of: node)
        guard isDialler else {
            if !node.isEmpty || strangers.admit(failure.code, now: Clock.monotonicNanoseconds()) {
                shared.log.warning(
                    "handshake_failed", "a connection did not become a link",
                    [
                        ("remote", .string(remote)), ("node", .string(node)), ("reason", .string(failure.code)),
                        ("detail", .string(failure.text)), ("hint", failure.hint.map { .string($0) } ?? .null),
                        ("unreported", .init(strangers.takeHidden())),
                    ])
            }
            guard let peer = peers[node] else { return }
            perform(peer.arbiter.lost(LinkID(link)), peer)
            return goOn(peer, failure.text, reason: failure.reason)
        }
        guard let peer = peers[node] else { return }
        let action = peer.arbiter.lost(LinkID(link))
        if peer.attempt == link { peer.attempt = nil }
        perform(action, peer)
        if peer.move.attempt == link { return moveFailed(peer, failure) }
        dialEnded(peer, failure)
    }

    /// A node's clock minus this one's, in milliseconds, as a link has just shown it.
    func clockSeen(node: String, offset: Int64) { clocks[node] = offset }

    /// A certificate that was refused for its time, with what is known of clocks where that explains it.
    private func doubtingClocks(_ failure: LinkFailure, of node: String) -> LinkFailure {
        guard let gap = failure.clockGap, let doubt = ClockDoubt(gap: gap, node: node, offsets: clocks) else {
            return failure
        }
        var failure = failure
        failure.text += "; " + doubt.text(node: node)
        failure.hint = doubt.hint(node: node)
        return failure
    }

    private func dialEnded(_ peer: Peer, _ failure: LinkFailure) {
        guard peer.link == nil, !isStopped else { return }
        // What repeats is said once, at the level it deserves.
        if peer.lastError?.code != failure.code || peer.lastError?.text != failure.text, failure.code != "superseded" {
            var fields: [Log.Field] = [
                ("node", .string(peer.node)), ("reason", .string(failure.code)), ("detail", .string(failure.text)),
            ]
            if let hint = failure.hint { fields.append(("hint", .string(hint))) }
            shared.log.warning("dial_failed", "could not link to node \(peer.node)", fields)
        }
        peer.lastError = failure
        if let worker = peer.parkedOn,
            peer.redials.isGone(
                refused: failure.code == ConnectError.Code.refused.rawValue, now: Clock.monotonicNanoseconds())
        {
            let node = peer.node
            shared.workers[worker].submit {
                $0.endParked(
                    node, .linkLost, outcome: .peerGone, "the peer's agent is gone: its address refuses connections")
            }
        }
        // A dial that gave way to the peer's: who waits for a link waits for that one.
        let text = failure.code == "superseded" ? nil : failure.text
        goOn(peer, text, reason: failure.reason, retryAfter: failure.retryAfter)
    }

    /// A link or a setup ended, at whatever moment. Unless another one is on its way, whose own end comes here too, those
    /// who wait are told `text`, and a permanent peer is dialled again.
    private func goOn(_ peer: Peer, _ text: String?, reason: LinkReason?, retryAfter: UInt32 = 0) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.arbiter.isIdle else { return }
        peer.isRetiring = false
        if peer.isWanted, let text {
            let node = peer.node
            peer.isWanted = false
            for worker in shared.workers { worker.submit { $0.opening.linkFailed(node, text) } }
        }
        guard peer.isPermanent || peer.parkedOn != nil, peer.timer == nil else { return }
        var delay = peer.backoff.failed(
            reason: reason, retryAfter: retryAfter, random: UInt64.random(in: .min ... .max))
        if peer.parkedOn != nil { delay = peer.redials.delay(delay, random: UInt64.random(in: .min ... .max)) }
        peer.timer = ControlPlane.loop.schedule(after: delay, Redial(self, peer.node), tag: 0)
    }

    private func redial(_ node: String) {
        guard let peer = peers[node] else { return }
        peer.timer = nil
        dial(peer)
    }

    /// The peer takes no new streams on a link.
    func retiring(node: String, link: UInt64, reason: LinkReason, retryAfter: UInt32) {
        shared.log.info(
            "link_retiring", "node \(node) takes no new streams",
            [("node", .string(node)), ("reason", .string(reason.name))])
        guard let peer = peers[node], peer.link?.link == link else { return }
        peer.link = nil
        peer.isRetiring = true
        forgetMove(peer)
        publish()
        linkStateChanged(node, false)
    }

    /// A link is gone.
    /// - Parameters:
    ///   - isParked: its session waits for another one.
    ///   - endedInOrder: the peer's kernel ended the connection in order.
    func lost(
        node: String, link: UInt64, reason: LinkReason, text: String, isParked: Bool, endedInOrder: Bool
    ) {
        let worker = workerOfSetup.removeValue(forKey: link)
        guard let peer = peers[node] else { return }
        let wasInUse = peer.link?.link == link
        if isParked {
            peer.redials = ParkedRedials(
                dialledHere: peer.link?.isDialler ?? false, endedInOrder: endedInOrder,
                resumeFor: shared.parking.resumeFor)
            peer.parkedOn = peer.link?.worker ?? worker
        }
        let action = peer.arbiter.lost(LinkID(link))
        if wasInUse {
            peer.link = nil
            forgetMove(peer)
        }
        if !isStopped, reason != .replaced {
            shared.log.warning(
                "link_lost", "the link to node \(node) ended",
                [
                    ("node", .string(node)), ("reason", .string(reason.name)), ("detail", .string(text)),
                    ("parked", .bool(isParked)),
                ])
        }
        if wasInUse { publish() }
        perform(action, peer)
        guard peer.link == nil else { return }
        if wasInUse, !isParked { linkStateChanged(node, false) }
        // Also the end of a link that took no new streams any more (its node comes back after a restart), and of one that
        // was gone before it was reported as established.
        goOn(peer, "the link was lost: \(text)", reason: reason)
    }

    /// A parked session is over.
    func sessionEnded(node: String) {
        guard let peer = peers[node], peer.parkedOn != nil else { return }
        peer.parkedOn = nil
        guard peer.link == nil else { return }
        linkStateChanged(node, false)
        guard !peer.isPermanent, !peer.isWanted, let timer = peer.timer else { return }
        ControlPlane.loop.cancel(timer)
        peer.timer = nil
    }

    /// The probe of a link ended.
    func probeEnded(node: String, answered: Bool) {
        guard let peer = peers[node] else { return }
        perform(peer.arbiter.probeEnded(answered: answered), peer)
    }

    // MARK: - What arbiters want

    private func perform(_ action: LinkArbiter.Action, _ peer: Peer) {
        switch action {
        case .none: break
        case .establish(let link, let closing, _):
            if peer.attempt == link.rawValue { peer.attempt = nil }
            if let worker = workerOfSetup[link.rawValue] {
                shared.workers[worker].submit { $0.decide(link.rawValue, .accept) }
            }
            close(closing, peer)
        case .move(let link, let closing):
            close(closing, peer)
            if let worker = workerOfSetup[link.rawValue] {
                shared.workers[worker].submit { $0.decide(link.rawValue, .accept) }
            }
        case .close(let closing), .hold(let closing): close(closing, peer)
        case .probe(let link, let closing):
            close(closing, peer)
            guard let current = peer.link, current.link == link.rawValue else {
                return probeEnded(node: peer.node, answered: false)
            }
            shared.workers[current.worker].submit { $0.probe(link.rawValue, timeout: Self.probeTimeout) }
        case .duplicateIdentity(let link):
            let remote = incoming[link.rawValue]?.remote ?? ""
            shared.log.error(
                "duplicate_identity", "two living agents use the identity of node \(peer.node)",
                [
                    ("node", .string(peer.node)), ("newcomer", .string(remote)),
                    ("in_use", .string(peer.link?.remote ?? "")),
                ])
            end(link.rawValue, .duplicateIdentity, "another living agent speaks for node \(peer.node)")
        }
    }

    private func close(_ closing: [LinkArbiter.Closing], _ peer: Peer) {
        for item in closing {
            if peer.attempt == item.link.rawValue { peer.attempt = nil }
            end(item.link.rawValue, item.reason, item.reason.name)
        }
    }

    func end(_ link: UInt64, _ reason: LinkReason, _ text: String) {
        guard let worker = workerOfSetup[link] else { return }
        shared.workers[worker].submit { $0.end(link, reason, text) }
    }

    private func publish() {
        var links: [String: Int] = [:]
        for peer in peers.values {
            if let link = peer.link { links[peer.node] = link.worker }
        }
        linksChanged(links)
    }

    // MARK: - Seen from outside

    /// Every node that is linked, dialled or kept.
    var status: [PeerStatus] {
        peers.values.sorted { $0.node < $1.node }.compactMap { peer in
            let state =
                peer.link != nil
                ? "established"
                : peer.parkedOn != nil
                    ? "parked" : peer.attempt != nil ? "dialling" : peer.timer != nil ? "waiting" : "idle"
            guard state != "idle" || peer.isPermanent else { return nil }
            return PeerStatus(
                node: peer.node, isPermanent: peer.isPermanent, state: state, link: peer.link,
                lastError: peer.lastError,
                resumptions: peer.resumptions, moves: peer.move.count)
        }
    }

    /// The mesh documents that `node` had when its link was made; nil where it takes none of this mesh.
    func documents(of node: String) -> DocumentVersions? { peers[node]?.link?.documents }

    /// Whether there is a link to `node`.
    func isLinked(to node: String) -> Bool { peers[node]?.link != nil }

    /// Stops dialling and accepting.
    func stop() {
        isStopped = true
        for peer in peers.values {
            if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
            peer.timer = nil
            forgetMove(peer)
        }
    }

    /// Dials again when its time has come.
    private final class Redial: TimerHandler {
        private let supervisor: LinkSupervisor
        private let node: String

        init(_ supervisor: LinkSupervisor, _ node: String) {
            self.supervisor = supervisor
            self.node = node
        }

        func timerFired(tag: Int, loop: EventLoop) {
            ControlPlane.assumeIsolated { [supervisor, node] in supervisor.redial(node) }
        }
    }
}
