import Directory
import Documents
import EventLoop
import JSON
import Link
import PKI
import Policy
import TLS

/// Everything that lives on one worker's thread.
final class WorkerCore: TimerHandler {
    let index: Int
    let loop: EventLoop
    let shared: AgentShared
    /// What the worker decides with. Replaced as a whole at the start of a job.
    private(set) var routing: RoutingSnapshot
    /// The links that live here.
    var links = LinkTable()
    /// Links that were replaced or are retiring but still carry streams.
    private(set) var retiring: [UInt64: LinkConnection] = [:]
    /// Sessions that wait for their next link.
    var parked: [Lane: ParkedSession] = [:]
    private(set) var setups: [UInt64: LinkSetup] = [:]
    private var pairs: [ObjectIdentifier: LocalPair] = [:]
    private var bridges: [ObjectIdentifier: TargetBridge] = [:]
    /// See `linger`.
    var lingering: [ObjectIdentifier: LocalConnection] = [:]
    var upstreams: [ObjectIdentifier: UpstreamListener] = [:]
    /// Another process has taken the listeners over: what goes on here goes on to its end.
    var isHandedOver = false
    var localCount = 0
    var counters = WorkerCounters()
    /// What was said of servers' SCTs.
    var transparency = TransparencyNotices()
    var targets = TargetNotices()
    /// What the policy was asked here about peers, for `mesh policy replay`.
    var decisions = DecisionMemory()
    private var usable: [String: [Instance]] = [:]
    /// Told when another policy is in force, after links and streams were decided about again.
    var policyChanged: (() -> Void)?

    /// Links on their way at once; a node with more peers takes them one after the other.
    private static let maximumSetups = 1_024
    /// Links of one lane that take no new streams and are still there, on one worker: as many runs of its agent as a node has left
    /// behind with streams that last.
    private static let maximumRetiring = 16

    /// One receive of a link.
    let ciphertext = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 64)
    /// Opened records and an unfinished frame before them.
    let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: (256 << 10) + (96 << 10), alignment: 64)
    /// One read of a pair. Not `plaintext`: a pair may be made, and move its first bytes, while a link still takes frames
    /// from there (a peer's REFUSE, after which this node's own instance is tried).
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 64)
    /// What this worker's byte channels share.
    private(set) lazy var channels = ChannelLoop(loop)
    let segments: SegmentPool
    /// The pool's timer runs: only while there are free segments, so that an idle worker does not wake up.
    private var isTrimming = false
    let maskKeys = MaskKeys()

    /// The one way to open a stream.
    private(set) var opening: StreamOpening!
    /// The serving side of streams.
    private(set) var serving: StreamServing!

    init(index: Int, loop: EventLoop, shared: AgentShared, routing: RoutingSnapshot) {
        self.index = index
        self.loop = loop
        self.shared = shared
        self.routing = routing
        segments = SegmentPool(limit: shared.links.retainedSegments)
        opening = StreamOpening(core: self)
        serving = StreamServing(core: self)
        segments.becameFree = { [unowned self] in scheduleTrim() }
    }

    /// After this time, in nanoseconds, or at most twice it, segments that were not needed go back to the system: long
    /// enough that traffic never waits for memory that it had a moment ago, short enough that a burst, or a reader that
    /// stalls, leaves nothing behind.
    private static let trimInterval: UInt64 = 500_000_000

    private func scheduleTrim() {
        guard !isTrimming else { return }
        isTrimming = true
        loop.schedule(after: Self.trimInterval, self, tag: 0)
    }

    func timerFired(tag: Int, loop: EventLoop) {
        segments.trim()
        isTrimming = false
        if segments.segmentsFree > 0 { scheduleTrim() }
    }

    deinit {
        ciphertext.deallocate()
        plaintext.deallocate()
        scratch.deallocate()
    }

    // MARK: - Snapshots

    /// The instances of a service that can be used, worked out once for each snapshot.
    func usableInstances(of service: String) -> [Instance] {
        if let known = usable[service] { return known }
        let instances = routing.usableInstances(of: service)
        usable[service] = instances
        return instances
    }

    /// Takes over a new snapshot. Where the policy changed, everything tracked is decided again.
    func apply(_ next: RoutingSnapshot) {
        let previous = routing
        routing = next
        usable.removeAll(keepingCapacity: true)
        let hasNewDocuments = next.documents != previous.documents
        let connections = Array(links.values) + Array(retiring.values)
        if hasNewDocuments { for link in connections { link.gate.have(next.documents) } }
        if next.policy !== previous.policy || next.revocations !== previous.revocations {
            reevaluate(isTold: hasNewDocuments)
            policyChanged?()
        } else if hasNewDocuments, connections.contains(where: { $0.isCatchingUp }) {
            reevaluate(isTold: hasNewDocuments)
        }
        recheckTargets(since: previous)
        if hasNewDocuments {
            for link in links.values where link.gate.isOpen { opening.linkAvailable(link.node) }
        }
        if next.directory.revision != previous.directory.revision { instancesChanged() }
        for node in opening.awaitedNodes where !links.of(node).isEmpty || next.links[node] != nil {
            opening.linkAvailable(node)
        }
    }

    /// - Parameter isTold: peers get the documents by which this is decided.
    private func reevaluate(isTold: Bool) {
        var closedStreams = 0
        for link in Array(links.values) + Array(retiring.values) where !link.awaitsDocuments && link.parting == nil {
            if let (entry, _) = revocation(of: link.tls, isDialler: link.isDialler) {
                closedStreams += link.session.streamCount
                noteRevoked(link, entry)
                let text = "the certificate of node \(link.node) is revoked: \(entry.reason)"
                end(link, LinkConnection.Parting(.identityRevoked, text), isTold: isTold)
                continue
            }
            link.principal = routing.policy.principal(for: link.subject)
            let decision = routing.policy.authorizeLink(peer: link.principal, with: routing.node)
            if decision.allowed, link.isCatchingUp, retiring[link.id] === link {
                link.close(.normal, "the documents that came give node \(link.node) the right to a link of its own")
            } else if decision.allowed {
                link.isCatchingUp = false
                closedStreams += link.reevaluate(routing)
            } else {
                closedStreams += link.session.streamCount
                counters.denied(decision.reason.rawValue)
                end(link, LinkConnection.Parting(.policyChanged, decision.reason.rawValue), isTold: isTold)
            }
        }
        closedStreams += reevaluateParked()
        for pair in pairs.values {
            guard let attempt = pair.application.attempt else { continue }
            let decision = routing.authorizeOpening(attempt.acting, service: attempt.service)
            guard !decision.allowed else { continue }
            closedStreams += 1
            pair.withdraw(pair.application, decision.reason.rawValue)
        }
        counters.withdrawn &+= UInt64(closedStreams)
        if closedStreams > 0 {
            shared.log.info(
                "policy_applied", "streams lost their right and were closed",
                [("streams", .integer(Int64(closedStreams))), ("worker", .integer(Int64(index)))])
        }
    }

    /// Ends a link that has lost its right; where a document says so, its peer gets that first.
    private func end(_ link: LinkConnection, _ parting: LinkConnection.Parting, isTold: Bool) {
        if isTold, link.canPart, links[link.lane] === link {
            link.part(parting)
        } else {
            link.close(parting.reason, parting.text)
        }
    }

    // MARK: - Links

    /// Starts a dial: from TCP to HELLO.
    func dial(_ dial: LinkDial) {
        let setup = LinkSetup(dial: dial, core: self)
        setups[setup.id] = setup
        setup.start()
    }

    /// Starts the server's side on an accepted connection.
    func accept(_ descriptor: consuming FileDescriptor, from address: SocketAddress) {
        // Strangers get so far before they prove anything; each costs some 60 KiB until then. The oldest of them leaves its
        // place: whoever means it has proven himself long before, and nobody can shut the door by being silent.
        if setups.count >= Self.maximumSetups,
            let oldest = setups.values.filter(\.isUnproven).min(by: { $0.id < $1.id })
        {
            oldest.fail("overloaded", "too many connections have not shown a certificate yet", hint: nil)
        }
        guard setups.count < Self.maximumSetups else {
            counters.handshakeFailed("overloaded")
            try? Socket.setLingerZero(descriptor.rawValue)
            return
        }
        let setup = LinkSetup(accepted: descriptor, from: address, id: shared.newLinkID(), core: self)
        setups[setup.id] = setup
        setup.start()
    }

    /// The control plane's answer to a HELLO.
    func decide(_ setup: UInt64, _ verdict: LinkVerdict) { setups[setup]?.decided(verdict) }

    /// What is said of the certificate of a setup's peer.
    func statusKnown(_ setup: UInt64, _ verdict: OCSPVerdict) { setups[setup]?.statusKnown(verdict) }

    /// The certificates of peers that have a link or a parked session here, by fingerprint.
    var certificatesInUse: Set<String> {
        let connections = Array(links.values) + Array(retiring.values) + parked.values.map(\.link)
        return Set(connections.flatMap { $0.tls.peerChain.map(\.fingerprintSHA256) })
    }

    /// Ends a link or a setup that is not wanted any more.
    func end(_ id: UInt64, _ reason: LinkReason, _ text: String) {
        if let setup = setups[id] {
            setup.decided(.refuse(reason, detail: text, retryAfter: 0))
        } else {
            link(id)?.close(reason, text)
        }
    }

    /// The setup is over, well or not.
    func setupEnded(_ setup: LinkSetup) { setups[setup.id] = nil }

    /// A setup that goes on on another worker.
    func takeSetup(_ id: UInt64) -> LinkSetup? {
        guard let setup = setups[id], setup.takeOff() else { return nil }
        setups[id] = nil
        return setup
    }

    /// A setup that began on another worker.
    func adopt(_ setup: LinkSetup) {
        setups[setup.id] = setup
        setup.goOn()
    }

    /// A link is established: it can carry streams from now on.
    ///
    /// - Parameter status: what the control plane is told of it.
    func establish(_ link: LinkConnection, _ status: EstablishedLink) {
        if let old = links[link.lane] {
            links[link.lane] = nil
            old.close(.replaced, "a newer link of the same agent took its place")
        }
        // One that went on was taken out before.
        endParked(link.lane, .resumeRefused, outcome: .refused, "a new session took its place")
        links[link.lane] = link
        counters.linksEstablished &+= 1
        // Before anything that came with the handshake is worked on: GOAWAY may be among it, and the control plane must not hear of
        // the end of a link before its beginning.
        ControlPlane.post { [shared] in shared.supervisor?.established(status) }
        do throws(SystemError) {
            try link.start()
        } catch {
            link.close(.internalError, "\(error)")
            return
        }
        if isHandedOver { leave(link) }
        opening.linkAvailable(link.node)
    }

    /// A link for mesh documents alone, of a node whose session waits here for another link, or whose certificate is revoked: who has
    /// no right to that session, or to the node's name, does not get at it. When the documents give the node its right, it dials
    /// again.
    func visit(_ link: LinkConnection) {
        // One of a kind: the others have had their time.
        for other in retiring.values where link.isGuest && other.isGuest && other.lane == link.lane {
            other.close(.replaced, "a newer link for documents takes its place")
        }
        retiring[link.id] = link
        do throws(SystemError) {
            try link.start()
        } catch {
            link.close(.internalError, "\(error)")
        }
    }

    /// The peer takes no new streams here; those under way go on.
    func linkRetiring(_ link: LinkConnection, _ reason: LinkReason, _ notice: Notice) {
        guard links[link.lane] === link else { return }
        links[link.lane] = nil
        retiring[link.id] = link
        boundRetiring(link.lane)
        let (lane, id, retryAfter) = (link.lane, link.id, notice.retryAfter)
        ControlPlane.post { [shared] in
            shared.supervisor?.retiring(lane, link: id, reason: reason, retryAfter: retryAfter)
        }
    }

    /// A node whose agent is replaced again and again while streams last leaves a link behind each time: the oldest has to go then.
    private func boundRetiring(_ lane: Lane) {
        let left = retiring.values.filter { $0.lane == lane }
        guard left.count > Self.maximumRetiring, let oldest = left.min(by: { $0.id < $1.id }) else { return }
        oldest.close(.overloaded, "node \(lane.node) has left \(left.count) links behind, whose streams go on")
    }

    /// The link is gone.
    func linkClosed(_ link: LinkConnection, _ reason: LinkReason, _ text: String, isParked: Bool) {
        if links[link.lane] === link { links[link.lane] = nil }
        retiring[link.id] = nil
        counters.linkClosed(reason.name)
        counters.closedLinkBytesReceived &+= link.bytesReceived
        counters.closedLinkBytesSent &+= link.bytesSent
        guard !link.isGuest else {
            // It may have been the link that a newcomer was about to get before its certificate was revoked.
            ControlPlane.post { [shared, lane = link.lane, id = link.id] in shared.supervisor?.guestLeft(lane, link: id)
            }
            return shared.log.warning(
                "link_lost", "a link for mesh documents of somebody with a revoked certificate ended",
                [("node", .string(link.node)), ("reason", .string(reason.name)), ("detail", .string(text))])
        }
        let (lane, id, endedInOrder, roundTrip) = (link.lane, link.id, link.endedInOrder, link.roundTrip)
        ControlPlane.post { [shared] in
            shared.supervisor?.lost(
                lane, link: id, reason: reason, text: text, isParked: isParked, endedInOrder: endedInOrder,
                roundTrip: roundTrip)
        }
        // Who came in its last moment waits for a link of which nobody has been asked for another.
        if link.parting != nil { opening.linkAvailable(link.node) }
    }

    /// The peer has acknowledged every mesh document that is in force here.
    func peerHasDocuments(_ node: String) {
        for link in links.of(node) {
            link.gate.peerCaughtUp()
            link.partingEnded(isAcknowledged: true)
            if link.gate.isOpen { opening.linkAvailable(node) }
        }
    }

    /// Asks the peer for a sign of life within `timeout` nanoseconds.
    func probe(_ id: UInt64, timeout: UInt64) {
        guard let link = link(id) else { return }
        link.probe(timeout: timeout)
    }

    private func link(_ id: UInt64) -> LinkConnection? {
        retiring[id] ?? links.values.first { $0.id == id }
    }

    /// An authenticated peer has refused or ended a link because this node's certificate is revoked, as it says.
    func saidRevoked(by node: String, _ text: String) {
        ControlPlane.post { [shared] in shared.supervisor?.saidRevoked(node, text) }
    }

    /// Asks the control plane for a link.
    func wantLink(to node: String) {
        ControlPlane.post { [shared] in shared.supervisor?.want(node) }
    }

    /// Hands an application's socket to the worker that has the lane's link.
    func move(_ local: LocalConnection, by route: LaneRoute) {
        guard let attempt = local.attempt else { return }
        guard let descriptor = local.takeDescriptor() else {
            return opening.giveUp(
                local, attempt,
                OpenFailure(
                    kind: .unreachable, reason: "exhausted",
                    detail: "this node has no descriptors left for a connection"))
        }
        // The connection goes on elsewhere, so its upstream keeps counting it.
        if !attempt.isBuiltIn { localCount -= 1 }
        // Chosen once: another choice there could send it back.
        attempt.isMoved = true
        attempt.route = route
        route.load.send()
        let raw = descriptor.release()
        let handed = Handover(attempt)
        shared.workers[route.worker].submit { core in
            core.open(FileDescriptor(owning: raw), handed.value)
        }
    }

    // MARK: - Local connections

    /// The door for everything local that wants a service.
    func open(_ descriptor: consuming FileDescriptor, _ attempt: OpenAttempt) {
        start(LocalConnection(descriptor, role: .application(attempt), core: self), attempt)
    }

    /// The same for the edge on this worker, whose end of the pipe is on this loop too.
    func open(_ pipe: PipeEnd, _ attempt: OpenAttempt) {
        start(LocalConnection(pipe, role: .application(attempt), core: self), attempt)
    }

    private func start(_ local: LocalConnection, _ attempt: OpenAttempt) {
        if !attempt.isBuiltIn { localCount += 1 }
        do throws(SystemError) {
            try local.register()
        } catch {
            return local.reset()
        }
        opening.start(local)
    }

    /// Keeps a bridge until it says that it is over.
    func keep(_ bridge: TargetBridge) { bridges[ObjectIdentifier(bridge)] = bridge }

    /// The bridges to targets of a service.
    func bridges(to service: String) -> [TargetBridge] { bridges.values.filter { $0.service == service } }

    /// The bridge's sockets are closed.
    func forget(_ bridge: TargetBridge) { bridges[ObjectIdentifier(bridge)] = nil }

    /// An application's connection goes on in another process.
    func passedOn() { localCount -= 1 }

    func track(_ pair: LocalPair) { pairs[ObjectIdentifier(pair)] = pair }

    /// The pair came to nothing; its application goes on without it.
    func forget(_ pair: LocalPair) { pairs[ObjectIdentifier(pair)] = nil }

    /// A local connection is over.
    func localClosed(_ local: LocalConnection) {
        lingering[ObjectIdentifier(local)] = nil
        if let attempt = local.attempt {
            if !attempt.isBuiltIn { localCount -= 1 }
            opening.closed(attempt)
        }
        if let link = local.carrier as? LinkConnection {
            link.localClosed(local)
        } else if let pair = local.carrier as? LocalPair, pair.application.isClosed, pair.target.isClosed {
            pairs[ObjectIdentifier(pair)] = nil
        }
    }

    /// Starts an upstream's listener on this worker.
    func listen(_ listener: UpstreamListener) throws(SystemError) {
        try listener.start(on: loop, core: self)
        upstreams[ObjectIdentifier(listener)] = listener
    }

    /// Stops an upstream's listener; its connections go on.
    func stopListening(_ listener: UpstreamListener) {
        upstreams[ObjectIdentifier(listener)] = nil
        listener.close()
    }

    // MARK: - The end

    /// No new connections; peers are told to go elsewhere.
    func drain() {
        for listener in upstreams.values { listener.close() }
        upstreams = [:]
        endAllParked("the node drains")
        sayFarewell()
        for link in links.values { link.scheduleFlush() }
    }

    /// Applications' streams and connections that are still under way; those of the agents themselves do not count.
    var activity: Int {
        (Array(links.values) + Array(retiring.values)).reduce(0) { $0 + $1.applicationStreams }
            + pairs.values.count { $0.application.attempt?.isBuiltIn != true } + lingering.count
    }

    /// Closes everything.
    func shutDown() {
        for listener in upstreams.values { listener.close() }
        for setup in Array(setups.values) { setup.abandon() }
        endAllParked("the agent stops")
        if !isHandedOver { sayFarewell() }
        let reason = isHandedOver ? LinkReason.goingAway : .stopping
        for link in Array(links.values) + Array(retiring.values) { link.close(reason, "the agent stops") }
        for pair in Array(pairs.values) { pair.withdraw(pair.application, "the agent stops") }
        resetLingering()
    }

    /// What this worker shows of itself.
    var report: WorkerReport {
        WorkerReport(
            index: index, counters: counters,
            links: (Array(links.values) + Array(retiring.values)).map(\.status), parked: parked.values.map(\.status),
            localConnections: localCount,
            segmentsInUse: segments.segmentsInUse, polls: loop.polls)
    }
}
