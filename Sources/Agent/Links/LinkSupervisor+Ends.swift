import EventLoop
import JSON
import Link

/// Dials that came to nothing, links and sessions that ended, and what comes next.
extension LinkSupervisor {
    func dialEnded(_ peer: Peer, _ failure: LinkFailure) {
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
                refused: failure.code == ConnectError.Code.refused.rawValue, now: Clock.monotonicNanoseconds()),
            !isLinked(besides: peer.lane)
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
        let isHarmless = ["superseded", "no_address", Self.linksFull.code].contains(failure.code)
        goOn(
            peer, text, reason: failure.reason, retryAfter: failure.retryAfter,
            cause: failure.retryAfter > 0 ? .hint : isHarmless ? .linkLost : .failed)
    }

    /// Whether the node has a link on another lane: then its agent is not gone, whatever refuses a dial.
    private func isLinked(besides lane: Lane) -> Bool {
        peers.values.contains { $0.node == lane.node && $0.lane != lane && $0.link != nil }
    }

    /// A link or a setup ended, at whatever moment. Unless another one is on its way, whose own end comes here too, those
    /// who wait are told `text`, and a permanent peer is dialled again.
    func goOn(
        _ peer: Peer, _ text: String?, reason: LinkReason?, retryAfter: UInt32 = 0, cause: DialPause.Cause = .linkLost
    ) {
        guard !isStopped, peer.link == nil, peer.attempt == nil, peer.arbiter.isIdle else { return }
        peer.isRetiring = false
        // The session is expected back, or its end: who wants a stream meanwhile waits like the streams that it has.
        if peer.isWanted, peer.successor == nil, peer.parkedOn == nil, let text { failWishes(peer, text) }
        let now = Clock.monotonicNanoseconds()
        guard peer.timer == nil, !peer.pause.lasts(now) else { return }
        let delay = beginPause(peer, cause, reason: reason, retryAfter: retryAfter, now: now)
        guard peer.isPermanent || peer.parkedOn != nil || peer.successor != nil || isLaneWanted(peer) else { return }
        schedule(peer, after: delay)
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
        if reason == .stopping { peer.returnsAfter = retryAfter }
        peer.isRetiring = true
        if lane.isFirst { linkStateChanged(node, false) }
    }

    /// A link that only brings documents, beside the node's own, is gone.
    func guestLeft(_ lane: Lane, link: UInt64) {
        workerOfSetup[link] = nil
        incoming[link] = nil
        guard let peer = peers[lane], peer.link?.link != link else { return }
        // It was taken when this end's own dial had failed, which was not repeated for its sake.
        let stoodForNode = peer.arbiter.established == LinkID(link)
        perform(peer.arbiter.lost(LinkID(link)), peer)
        if stoodForNode { goOn(peer, "somebody with a revoked certificate came in its place", reason: nil) }
    }

    /// A link is gone.
    /// - Parameters:
    ///   - isParked: its session waits for another one.
    ///   - endedInOrder: the peer's kernel ended the connection in order.
    ///   - roundTrip: the last one that it measured, in nanoseconds.
    func lost(
        _ lane: Lane, link: UInt64, reason: LinkReason, text: String, isParked: Bool, endedInOrder: Bool,
        roundTrip: UInt64?
    ) {
        let node = lane.node
        let worker = workerOfSetup.removeValue(forKey: link)
        incoming[link] = nil
        guard let peer = peers[lane] else { return }
        let wasRetiring = peer.isRetiring && peer.arbiter.established == LinkID(link)
        let wasInUse = peer.link?.link == link
        let hasStood = noteEnd(peer, wasInUse: wasInUse || wasRetiring)
        if isParked {
            peer.redials = ParkedRedials(
                dialledHere: peer.link?.isDialler ?? false, endedInOrder: endedInOrder,
                resumeFor: shared.parking.resumeFor, roundTrip: roundTrip)
            peer.parkedOn = peer.link?.worker ?? worker
            peer.remember(endpoints(of: peer))
            watchExcess()
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
        let retryAfter = peer.returnsAfter
        peer.returnsAfter = 0
        goOn(
            peer, "the link was lost: \(text)", reason: reason, retryAfter: retryAfter,
            cause: retryAfter > 0 ? .hint : hasStood ? .linkLost : .failed)
    }

    /// A parked session is over.
    func sessionEnded(_ lane: Lane) {
        guard let peer = peers[lane], peer.parkedOn != nil else { return }
        peer.parkedOn = nil
        if lane.isFirst { endLanes(of: lane.node, .resumeRefused, Self.noFirstLane) }
        guard peer.link == nil else { return }
        if lane.isFirst { linkStateChanged(lane.node, false) }
        // Who waited for the session has nothing to wait for any more; a dial under way tells them its own end.
        if peer.isWanted, peer.attempt == nil, peer.successor == nil, peer.arbiter.isIdle {
            let text = peer.lastError?.text ?? "it did not come back in time"
            failWishes(peer, "the session with the node is over: \(text)")
        }
        guard !peer.isPermanent, !peer.isWanted, !isLaneWanted(peer), let timer = peer.timer else { return }
        ControlPlane.loop.cancel(timer)
        peer.timer = nil
    }
}
