import EventLoop
import JSON
import Link

/// Links on their way: what workers tell of them.
extension LinkSupervisor {
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
        guard !isStopped, mayLink(link.lane) else {
            if isHandedOver { return passBy(link) }
            let (reason, text) =
                isStopped
                ? (LinkReason.stopping, "the agent stops")
                : (.overloaded, "the agent has all the links it takes")
            return shared.workers[link.worker].submit {
                $0.decide(link.link, .refuse(reason, detail: text, retryAfter: reason.retryDelay))
            }
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
    func home(of peer: Peer) -> Int? { peer.link?.worker ?? peer.parkedOn ?? laneHome(peer) }

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
        peer.remember(endpoints(of: peer))
        peer.attempt = peer.attempt == link.link ? nil : peer.attempt
        peer.isWanted = false
        peer.returnsAfter = 0
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
            watchBalance()
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
                var fields: [Log.Field] = [
                    ("remote", .string(remote)), ("node", .string(failure.revoked?.node ?? node)),
                    ("reason", .string(failure.code)), ("detail", .string(failure.text)),
                    ("hint", failure.hint.map { .string($0) } ?? .null),
                    ("unreported", .init(strangers.takeHidden())),
                ]
                if let revoked = failure.revoked { fields.append(("serial", .string(revoked.serial))) }
                shared.log.warning("handshake_failed", "a connection did not become a link", fields)
            }
            guard let peer = peers[lane] else { return }
            perform(peer.arbiter.lost(LinkID(link)), peer)
            // Whoever has the certificate: the node of that name, which may have another one, is dialled as if he had not come.
            return goOn(peer, failure.text, reason: failure.revoked == nil ? failure.reason : nil)
        }
        guard let peer = peers[lane] else { return }
        let action = peer.arbiter.lost(LinkID(link))
        if peer.attempt == link { peer.attempt = nil }
        perform(action, peer)
        if peer.move.attempt == link { return moveFailed(peer, failure) }
        dialEnded(peer, failure)
    }

    /// The probe of a link ended.
    func probeEnded(_ lane: Lane, answered: Bool) {
        guard let peer = peers[lane] else { return }
        perform(peer.arbiter.probeEnded(answered: answered), peer)
    }
}
