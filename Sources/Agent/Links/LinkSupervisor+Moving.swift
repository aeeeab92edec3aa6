import EventLoop
import JSON
import Link

/// Why a session is to move to another link.
enum MoveReason: String, Sendable {
    /// This node has another certificate.
    case identity
    /// The peer has another address, by the configuration or the directory.
    case address
    /// The peer's certificate ends soon; it may have a newer one.
    case expiry
    /// The peer asked for it, because it cannot dial this node.
    case asked
}

/// What is known about the next move of a peer's session.
struct MoveWish {
    /// Why it is wanted; nil: it is not.
    var reason: MoveReason?
    /// The dial under way for it.
    var attempt: UInt64?
    /// The next attempt.
    var timer: TimerID?
    /// The next look at the peer's certificate.
    var expiry: TimerID?
    /// The pace of attempts: applications do not wait for them.
    var backoff = Backoff(base: 50_000_000, cap: 5_000_000_000)
    /// What went wrong last, which is said once.
    var lastFailure: String?
    /// How often the session moved.
    var count = 0
}

/// Moves sessions to other links on purpose, before an old certificate or address does harm.
extension LinkSupervisor {
    /// With so much time for each link, in nanoseconds, a node with many does not shake hands with all of them at once.
    private static let spread: UInt64 = 2_000_000
    /// The longest such time.
    private static let longestSpread: UInt64 = 30_000_000_000
    /// So long before its peer's certificate ends a link is to be replaced, in seconds; of a shorter rest a third.
    private static let expiryLead: Int64 = 60

    /// This node has another certificate: every session moves to a link that is made with it, and who refused the old one is
    /// dialled again soon.
    func identityChanged() {
        for peer in peers.values {
            guard peer.link == nil else {
                wantMove(peer, .identity)
                continue
            }
            guard !isStopped, let timer = peer.timer else { continue }
            ControlPlane.loop.cancel(timer)
            peer.timer = nil
            peer.backoff.succeeded()
            schedule(peer, after: UInt64.random(in: 0...min(UInt64(peers.count) * Self.spread, Self.longestSpread)))
        }
    }

    /// The directory says where nodes are. A session whose link was dialled to where its node is not to be found any more moves: the
    /// way that still carries it may be gone for the next link.
    func addressesChanged() {
        for peer in peers.values {
            guard let link = peer.link, link.isDialler, peers[peer.lane.first]?.configured == nil,
                peer.move.reason == nil
            else { continue }
            let known = endpoints(of: peer)
            guard !known.isEmpty, !known.contains(where: { $0.description == link.remote }) else { continue }
            wantMove(peer, .address)
        }
    }

    /// A peer asks this end to dial.
    func moveWanted(_ lane: Lane) {
        guard let peer = peers[lane], peer.move.reason == nil, !endpoints(of: peer).isEmpty else { return }
        wantMove(peer, .asked)
    }

    func wantMove(_ peer: Peer, _ reason: MoveReason) {
        // Sessions that end with their links do not move either.
        guard !isStopped, peer.link != nil, shared.parking.resumeFor > 0 else { return }
        peer.move.reason = reason
        peer.move.backoff.succeeded()
        scheduleMove(peer, after: UInt64.random(in: 0...min(UInt64(linkCount) * Self.spread, Self.longestSpread)))
    }

    private func scheduleMove(_ peer: Peer, after delay: UInt64) {
        if let timer = peer.move.timer { ControlPlane.loop.cancel(timer) }
        peer.move.timer = ControlPlane.schedule(after: delay) { [self, lane = peer.lane] in
            guard let peer = peers[lane] else { return }
            peer.move.timer = nil
            tryMove(peer)
        }
    }

    /// Dials a link to move to, or asks the peer to, where this end has no address to dial.
    private func tryMove(_ peer: Peer) {
        guard !isStopped, let link = peer.link, let reason = peer.move.reason, peer.move.attempt == nil else { return }
        // Whether it comes to anything or not, until the session has moved this is not over.
        scheduleMove(peer, after: nextDelay(peer))
        let configured = reason == .address ? peers[peer.lane.first]?.configured : nil
        let known = configured.map { [$0] } ?? endpoints(of: peer)
        guard let endpoint = known.randomElement() else { return ask(peer, link) }
        let id = shared.newLinkID()
        guard case .dial = peer.arbiter.dialMove(LinkID(id)) else { return }
        peer.move.attempt = id
        workerOfSetup[id] = link.worker
        let order = LinkDial(id: id, lane: peer.lane, endpoints: [endpoint])
        shared.workers[link.worker].submit { $0.dial(order) }
    }

    private func nextDelay(_ peer: Peer, _ failure: LinkFailure? = nil) -> UInt64 {
        peer.move.backoff.failed(
            reason: failure?.reason, retryAfter: failure?.retryAfter ?? 0, random: UInt64.random(in: .min ... .max))
    }

    private func ask(_ peer: Peer, _ link: EstablishedLink) {
        let lane = peer.lane
        shared.workers[link.worker].submit { $0.askForMove(lane) }
    }

    /// A dial of a link to move to came to nothing. The session is where it was.
    func moveFailed(_ peer: Peer, _ failure: LinkFailure) {
        peer.move.attempt = nil
        guard let link = peer.link, let reason = peer.move.reason else { return }
        if failure.code != LinkReason.superseded.name, peer.move.lastFailure != failure.text {
            peer.move.lastFailure = failure.text
            shared.log.warning(
                "move_failed", "the session with node \(peer.node) stays on its link",
                [
                    ("node", .string(peer.node)), ("lane", .init(Int(peer.lane.number))),
                    ("why", .string(reason.rawValue)), ("reason", .string(failure.code)),
                    ("detail", .string(failure.text)),
                ])
        }
        // It may be that only the peer can dial.
        if failure.reason == nil { ask(peer, link) }
        guard reason != .asked else { return forgetMove(peer) }
        scheduleMove(peer, after: nextDelay(peer, failure))
    }

    /// A session moves to a link: that is the one in use now.
    func moved(_ link: EstablishedLink) {
        incoming[link.link] = nil
        guard let peer = peers[link.lane], peer.arbiter.moved(LinkID(link.link)) else {
            return end(link.link, .replaced, "another link is used")
        }
        peer.link = link
        peer.move.count += 1
        peer.lastError = nil
        if peer.move.attempt == link.link { peer.move.attempt = nil }
        tookPlace(link, peer)
        shared.log.info(
            "link_moved", "the session with node \(link.lane.node) goes on over a new link",
            [
                ("node", .string(link.lane.node)), ("lane", .init(Int(link.lane.number))),
                ("remote", .string(link.remote)), ("dialled", .bool(link.isDialler)),
                ("peer_expires", .string(Timestamp.rfc3339(milliseconds: link.peerExpires * 1_000))),
            ])
    }

    /// `link` is the one in use now. Whether it has to be replaced soon is known already.
    func tookPlace(_ link: EstablishedLink, _ peer: Peer) {
        forgetMove(peer)
        // Another certificate came while the link was made.
        if link.generation < shared.identity.generation { wantMove(peer, .identity) }
        watchExpiry(of: link, peer)
    }

    /// The link is not to be replaced.
    func forgetMove(_ peer: Peer) {
        for timer in [peer.move.timer, peer.move.expiry].compactMap({ $0 }) { ControlPlane.loop.cancel(timer) }
        peer.move.timer = nil
        peer.move.expiry = nil
        peer.move.reason = nil
        peer.move.lastFailure = nil
        peer.move.backoff.succeeded()
    }

    // MARK: - Expiry

    /// Looks again when the peer's certificate nears its end. The wall clock may be set and the machine may sleep, so it
    /// looks once a minute at least.
    private func watchExpiry(of link: EstablishedLink, _ peer: Peer) {
        let left = link.peerExpires - Clock.unixSeconds()
        let lead = min(Self.expiryLead, max(left, 0) / 3)
        let wait = min(max(left - lead, 1), Self.expiryLead)
        peer.move.expiry = ControlPlane.schedule(after: UInt64(wait) * 1_000_000_000) { [self, lane = peer.lane] in
            guard let peer = peers[lane] else { return }
            peer.move.expiry = nil
            expiryDue(peer)
        }
    }

    private func expiryDue(_ peer: Peer) {
        guard let link = peer.link else { return }
        let left = link.peerExpires - Clock.unixSeconds()
        guard left > 0 else {
            let end = Timestamp.rfc3339(milliseconds: link.peerExpires * 1_000)
            return self.end(link.link, .identityExpired, "the certificate of node \(peer.node) ended at \(end)")
        }
        if left <= Self.expiryLead, peer.move.reason == nil { wantMove(peer, .expiry) }
        watchExpiry(of: link, peer)
    }
}
