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

    /// What is known about one lane to a node.
    struct PeerStatus: Sendable {
        let lane: Lane
        var node: String { lane.node }
        let isPermanent: Bool
        let state: String
        let link: EstablishedLink?
        let lastError: LinkFailure?
        /// How often its session went on over another link.
        let resumptions: Int
        /// How often its session changed to another link on purpose.
        let moves: Int
        /// How many lanes both ends take.
        let lanes: Int
    }

    /// One lane to a node: which of its links is in use, and what becomes of its session between two of them.
    final class Peer {
        let lane: Lane
        var node: String { lane.node }
        var arbiter: LinkArbiter
        var isPermanent = false
        var configured: Endpoint?
        var backoff: Backoff
        /// Since the last dial that came to nothing, or since the link was lost.
        var pause = DialPause()
        var link: EstablishedLink?
        /// When the link in use was established, in monotonic nanoseconds.
        var linkedAt: UInt64 = 0
        var attempt: UInt64?
        var timer: TimerID?
        var isWanted = false
        /// The link is still there but takes no new streams.
        var isRetiring = false
        var lastError: LinkFailure? { didSet { failedAt = lastError == nil ? nil : Clock.monotonicNanoseconds() } }
        /// When the last attempt failed; nil where none did since the last link.
        private(set) var failedAt: UInt64?
        /// The session waits for a new link, on this worker.
        var parkedOn: Int?
        /// Until then another run of its agent is expected, after the one before has said that it goes away. Dials that fail
        /// meanwhile are repeated, and who waits for a link goes on waiting.
        var successor: TimerID?
        var redials = ParkedRedials()
        var resumptions = 0
        var move = MoveWish()
        /// What is agreed with the node about lanes; of the first one only.
        var lanes = LaneAgreement()

        init(_ lane: Lane, own: String, backoff: Backoff) {
            self.lane = lane
            self.backoff = backoff
            arbiter = LinkArbiter(local: own, peer: lane.node)
        }
    }

    /// Time for an old link to show life when another agent claims its identity, in nanoseconds.
    private nonisolated static let probeTimeout: UInt64 = 1_000_000_000
    /// For how long a link that was wanted once and could not be made is shown, in nanoseconds: long enough for somebody to
    /// come and look.
    private nonisolated static let failureMemory: UInt64 = 600_000_000_000

    let shared: AgentShared
    let settings: Settings
    /// Wishes for links that came while a pause between two dials lasted.
    var heldWishes = HeldWishes()
    var peers: [Lane: Peer] = [:]
    /// Looks after lanes that are not needed any more, while there are any.
    var laneSweep: TimerID?
    var incoming: [UInt64: IncomingLink] = [:]
    var workerOfSetup: [UInt64: Int] = [:]
    private(set) var isStopped = false
    /// Another process has taken the listeners over.
    private(set) var isHandedOver = false
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
    /// The links that take new streams changed, by node.
    var linksChanged: @ControlPlane ([String: [LaneRoute]]) -> Void = { _ in }
    /// A link to a node was established or lost.
    var linkStateChanged: @ControlPlane (_ node: String, _ isUp: Bool) -> Void = { _, _ in }

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
        if peer.link != nil {
            return shared.workers.forEach { $0.submit { $0.opening.linkAvailable(node) } }
        }
        if peer.isRetiring {
            return shared.workers.forEach { $0.submit { $0.opening.linkFailed(node, "it takes no new streams") } }
        }
        wish(peer)
    }

    func peer(_ lane: Lane) -> Peer {
        if let peer = peers[lane] { return peer }
        let peer = Peer(lane, own: shared.node, backoff: backoff(permanent: !lane.isFirst))
        peers[lane] = peer
        return peer
    }

    private func backoff(permanent: Bool) -> Backoff {
        Backoff(
            base: settings.reconnectMinimum,
            cap: permanent ? settings.reconnectMaximumPermanent : settings.reconnectMaximum)
    }

    func dial(_ peer: Peer) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.timer == nil else { return }
        guard peer.lane.isFirst || peer.parkedOn != nil || isLaneWanted(peer) else { return }
        peer.pause.over()
        guard let endpoint = endpoints(of: peer).randomElement() else {
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
        let order = LinkDial(id: id, lane: peer.lane, endpoints: [endpoint])
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

    // MARK: - What workers tell

    /// A dial stands and could say HELLO.
    func canGreet(_ lane: Lane, link: UInt64) {
        guard let worker = workerOfSetup[link] else { return }
        switch peer(lane).arbiter.greet(LinkID(link)) {
        case .hello(let intent): shared.workers[worker].submit { $0.decide(link, .greet(intent)) }
        case .abandon: end(link, .superseded, "another link is used")
        }
    }

    /// The peer answered our HELLO.
    func answered(_ lane: Lane, link: UInt64, bootID: BootID, peer names: PeerNames) {
        let peer = peer(lane)
        guard lane.isFirst || hasSession(lane.first, bootID, names) else {
            return end(link, .resumeRefused, Self.noFirstLane)
        }
        if let worker = workerOfSetup[link], let home = home(of: peer), home != worker {
            return move(link, from: worker, to: home) { $0.answered(lane, link: link, bootID: bootID, peer: names) }
        }
        perform(peer.arbiter.answered(LinkID(link), bootID: bootID), peer)
    }

    /// A peer said HELLO.
    func arrived(_ link: IncomingLink) {
        let isKnown = !link.lane.isFirst || peers[link.lane]?.link != nil
        guard !isStopped, isKnown || linkCount < shared.maximumLinks else {
            if isHandedOver { return passBy(link) }
            let text = isStopped ? "the agent stops" : "the agent has all the links it takes"
            shared.workers[link.worker].submit {
                $0.decide(link.link, .refuse(.overloaded, detail: text, retryAfter: LinkReason.overloaded.retryDelay))
            }
            return
        }
        if let refusal = laneRefusal(link) {
            return shared.workers[link.worker].submit {
                $0.decide(link.link, .refuse(.resumeRefused, detail: refusal, retryAfter: 0))
            }
        }
        let peer = peer(link.lane)
        if let home = home(of: peer), home != link.worker {
            let moved = link.on(worker: home)
            return move(link.link, from: link.worker, to: home) { $0.arrived(moved) }
        }
        incoming[link.link] = link
        workerOfSetup[link.link] = link.worker
        let action = peer.arbiter.received(
            LinkID(link.link), bootID: link.bootID, intent: link.intent, predecessor: link.predecessor)
        perform(action, peer)
    }

    /// The worker that has the session of a lane, in use or parked, or that is to have it; nil where any may.
    private func home(of peer: Peer) -> Int? { peer.link?.worker ?? peer.parkedOn ?? laneHome(peer) }

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
        let peer = peer(link.lane)
        // Another link was chosen in between; this one has been told to close.
        guard peer.arbiter.established == LinkID(link.link) else { return }
        guard link.lane.isFirst || isStanding(peer, link.peer) else {
            return end(link.link, .resumeRefused, Self.noFirstLane)
        }
        let node = link.lane.node
        peer.link = link
        peer.attempt = peer.attempt == link.link ? nil : peer.attempt
        peer.isWanted = false
        peer.isRetiring = false
        peer.parkedOn = nil
        if link.isResumed { peer.resumptions += 1 }
        peer.lastError = nil
        tookPlace(link, peer)
        peer.linkedAt = Clock.monotonicNanoseconds()
        endPause(peer)
        shared.log.info(
            "link_established", "linked to node \(node)",
            [
                ("node", .string(node)), ("lane", .init(Int(link.lane.number))), ("remote", .string(link.remote)),
                ("dialled", .bool(link.isDialler)), ("peer_version", .string(link.peerVersion)),
                ("resumed", .bool(link.isResumed)),
            ])
        publish()
        guard link.lane.isFirst else {
            laneEstablished(node)
            return watchExcess()
        }
        linkStateChanged(node, true)
        peer.lanes.took(link)
        agreeOnLanes(node)
    }

    /// A setup ended without a link.
    func setupFailed(_ lane: Lane, link: UInt64, remote: String, isDialler: Bool, _ failure: LinkFailure) {
        let node = lane.node
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
            guard let peer = peers[lane] else { return }
            perform(peer.arbiter.lost(LinkID(link)), peer)
            return goOn(peer, failure.text, reason: failure.reason)
        }
        guard let peer = peers[lane] else { return }
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
        if peer.lastError?.code != failure.code || peer.lastError?.text != failure.text,
            failure.code != "superseded", peer.lane.isFirst || failure.code != LinkReason.resumeRefused.name
        {
            var fields: [Log.Field] = [
                ("node", .string(peer.node)), ("lane", .init(Int(peer.lane.number))), ("reason", .string(failure.code)),
                ("detail", .string(failure.text)),
            ]
            if let hint = failure.hint { fields.append(("hint", .string(hint))) }
            shared.log.warning("dial_failed", "could not link to node \(peer.node)", fields)
        }
        peer.lastError = failure
        if let worker = peer.parkedOn,
            peer.redials.isGone(
                refused: failure.code == ConnectError.Code.refused.rawValue, now: Clock.monotonicNanoseconds())
        {
            let lane = peer.lane
            shared.workers[worker].submit {
                $0.endParked(
                    lane, .linkLost, outcome: .peerGone, "the peer's agent is gone: its address refuses connections")
            }
        }
        if failure.reason == .goingAway, failure.retryAfter > 0 { expectSuccessor(peer) }
        // A dial that gave way to the peer's: who waits for a link waits for that one.
        let text = failure.code == "superseded" ? nil : failure.text
        // Nothing was dialled where there was no address, or came to harm where the peer's own dial was preferred.
        let isHarmless = failure.code == "superseded" || failure.code == "no_address"
        goOn(
            peer, text, reason: failure.reason, retryAfter: failure.retryAfter,
            cause: failure.retryAfter > 0 ? .hint : isHarmless ? .linkLost : .failed)
    }

    /// A link or a setup ended, at whatever moment. Unless another one is on its way, whose own end comes here too, those
    /// who wait are told `text`, and a permanent peer is dialled again.
    func goOn(
        _ peer: Peer, _ text: String?, reason: LinkReason?, retryAfter: UInt32 = 0, cause: DialPause.Cause = .linkLost
    ) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.arbiter.isIdle else { return }
        peer.isRetiring = false
        if peer.isWanted, peer.successor == nil, let text { failWishes(peer, text) }
        let now = Clock.monotonicNanoseconds()
        guard peer.timer == nil, !peer.pause.lasts(now) else { return }
        let delay = beginPause(peer, cause, reason: reason, retryAfter: retryAfter, now: now)
        guard peer.isPermanent || peer.parkedOn != nil || peer.successor != nil || isLaneWanted(peer) else { return }
        schedule(peer, after: delay)
    }

    /// Dials later.
    func schedule(_ peer: Peer, after delay: UInt64) {
        peer.timer = ControlPlane.loop.schedule(after: delay, Redial(self, peer.lane), tag: 0)
    }

    private func redial(_ lane: Lane) {
        guard let peer = peers[lane] else { return }
        peer.timer = nil
        dial(peer)
    }

    /// The peer takes no new streams on a link.
    func retiring(_ lane: Lane, link: UInt64, reason: LinkReason, retryAfter: UInt32) {
        let node = lane.node
        shared.log.info(
            "link_retiring", "a link to node \(node) takes no new streams",
            [("node", .string(node)), ("lane", .init(Int(lane.number))), ("reason", .string(reason.name))])
        guard let peer = peers[lane], let left = peer.link, left.link == link else { return }
        _ = noteEnd(peer, wasInUse: true)
        peer.link = nil
        forgetMove(peer)
        publish()
        if reason == .goingAway, retryAfter > 0 { return succeeded(peer, left, retryAfter: retryAfter) }
        peer.isRetiring = true
        if lane.isFirst { linkStateChanged(node, false) }
    }

    /// A link is gone.
    /// - Parameters:
    ///   - isParked: its session waits for another one.
    ///   - endedInOrder: the peer's kernel ended the connection in order.
    func lost(
        _ lane: Lane, link: UInt64, reason: LinkReason, text: String, isParked: Bool, endedInOrder: Bool
    ) {
        let node = lane.node
        let worker = workerOfSetup.removeValue(forKey: link)
        guard let peer = peers[lane] else { return }
        let wasRetiring = peer.isRetiring && peer.arbiter.established == LinkID(link)
        let wasInUse = peer.link?.link == link
        let hasStood = noteEnd(peer, wasInUse: wasInUse || wasRetiring)
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
            let fields: [Log.Field] = [
                ("node", .string(node)), ("lane", .init(Int(lane.number))), ("reason", .string(reason.name)),
                ("detail", .string(text)), ("parked", .bool(isParked)),
            ]
            if reason == .idle {
                shared.log.info("link_closed", "a link to node \(node) is not needed any more", fields)
            } else {
                shared.log.warning("link_lost", "the link to node \(node) ended", fields)
            }
        }
        if wasInUse { publish() }
        if lane.isFirst, !isParked, wasInUse || wasRetiring { endLanes(of: node, reason, text) }
        perform(action, peer)
        guard peer.link == nil else { return }
        if wasInUse, !isParked, lane.isFirst { linkStateChanged(node, false) }
        // Also the end of a link that took no new streams any more (its node comes back after a restart), and of one that
        // was gone before it was reported as established.
        goOn(peer, "the link was lost: \(text)", reason: reason, cause: hasStood ? .linkLost : .failed)
    }

    /// A parked session is over.
    func sessionEnded(_ lane: Lane) {
        guard let peer = peers[lane], peer.parkedOn != nil else { return }
        peer.parkedOn = nil
        if lane.isFirst { endLanes(of: lane.node, .resumeRefused, Self.noFirstLane) }
        guard peer.link == nil else { return }
        if lane.isFirst { linkStateChanged(lane.node, false) }
        guard !peer.isPermanent, !peer.isWanted, !isLaneWanted(peer), let timer = peer.timer else { return }
        ControlPlane.loop.cancel(timer)
        peer.timer = nil
    }

    /// The probe of a link ended.
    func probeEnded(_ lane: Lane, answered: Bool) {
        guard let peer = peers[lane] else { return }
        perform(peer.arbiter.probeEnded(answered: answered), peer)
    }

    // MARK: - What arbiters want

    func perform(_ action: LinkArbiter.Action, _ peer: Peer) {
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
                return probeEnded(peer.lane, answered: false)
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

    func publish() {
        var links: [String: [LaneRoute]] = [:]
        for peer in peers.values {
            guard let link = peer.link, peer.lane.isFirst || peer.lane.number < laneCount(peer.node) else { continue }
            links[peer.node, default: []].append(
                LaneRoute(number: peer.lane.number, worker: link.worker, load: link.load))
        }
        linksChanged(links.mapValues { $0.sorted { $0.number < $1.number } })
    }

    // MARK: - Seen from outside

    /// Every lane that is linked, dialled or kept, and nodes that could not be linked in the last minutes.
    var status: [PeerStatus] {
        peers.values.sorted { ($0.node, $0.lane.number) < ($1.node, $1.lane.number) }.compactMap { peer in
            let state =
                peer.link != nil
                ? "established"
                : peer.parkedOn != nil
                    ? "parked"
                    : peer.attempt != nil
                        ? "dialling" : peer.timer != nil ? "waiting" : hasFailedLately(peer) ? "failed" : "idle"
            guard state != "idle" || peer.isPermanent || isLaneWanted(peer) else { return nil }
            return PeerStatus(
                lane: peer.lane, isPermanent: peers[peer.lane.first]?.isPermanent == true, state: state,
                link: peer.link,
                lastError: peer.lastError,
                resumptions: peer.resumptions, moves: peer.move.count, lanes: laneCount(peer.node))
        }
    }

    private func hasFailedLately(_ peer: Peer) -> Bool {
        guard let failedAt = peer.failedAt, peer.lane.isFirst, peer.lastError?.code != "superseded" else {
            return false
        }
        return Clock.monotonicNanoseconds() - failedAt < Self.failureMemory
    }

    /// The mesh documents that `node` had when its link was made; nil where it takes none of this mesh.
    func documents(of node: String) -> DocumentVersions? { peers[Lane(node)]?.link?.documents }

    /// Whether there is a link to `node`.
    func isLinked(to node: String) -> Bool { peers[Lane(node)]?.link != nil }

    /// Stops dialling and accepting.
    func stop() {
        isStopped = true
        if let laneSweep { ControlPlane.loop.cancel(laneSweep) }
        laneSweep = nil
        for peer in peers.values {
            forgetSuccessor(peer)
            if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
            peer.timer = nil
            forgetMove(peer)
        }
    }

    /// Another process takes over: who arrives here still is sent there, and what is being dialled is given up.
    func handOver() {
        isHandedOver = true
        stop()
        for peer in peers.values {
            if let attempt = peer.attempt { end(attempt, .superseded, "another process took this one's place") }
        }
    }

    /// Dials again when its time has come.
    private final class Redial: TimerHandler {
        private let supervisor: LinkSupervisor
        private let lane: Lane

        init(_ supervisor: LinkSupervisor, _ lane: Lane) {
            self.supervisor = supervisor
            self.lane = lane
        }

        func timerFired(tag: Int, loop: EventLoop) {
            ControlPlane.assumeIsolated { [supervisor, lane] in supervisor.redial(lane) }
        }
    }
}
