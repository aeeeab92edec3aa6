import EventLoop
import Link

/// Wishes for links that came while a pause between two dials lasted.
struct HeldWishes {
    /// Those that a dial soon answered.
    var waited: UInt64 = 0
    /// Those that were told at once why there is no link.
    var refused: UInt64 = 0
}

/// When a peer may be dialled: not before a pause is over, whoever wants the link.
extension LinkSupervisor {
    /// A link that was in use for less than this, in nanoseconds, counts as a dial that came to nothing: a peer that takes links
    /// and drops them is not dialled as fast as applications connect.
    private nonisolated static let shortestLife: UInt64 = 1_000_000_000

    /// Somebody wants a link to a peer that has none.
    func wish(_ peer: Peer) {
        let isFirst = !peer.isWanted
        peer.isWanted = true
        // What is under way has an end of its own.
        guard peer.attempt == nil else { return }
        let now = Clock.monotonicNanoseconds()
        switch peer.pause.wish(now: now) {
        case .dial:
            endPause(peer)
            dial(peer)
        case .wait(let rest):
            heldWishes.waited += 1
            guard isFirst || peer.timer == nil else { return }
            if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
            schedule(peer, after: rest)
        case .refuse(let rest):
            // The session, the peer itself, or a link that it dials, is expected meanwhile.
            guard peer.parkedOn == nil, peer.successor == nil, peer.arbiter.isIdle else { return }
            heldWishes.refused += 1
            let seconds = Double(rest / 100_000_000) / 10
            failWishes(
                peer,
                "\(peer.lastError?.text ?? "there is no link"); it is dialled again in \(seconds) s at the earliest")
        }
    }

    /// Those who wait for a link to a peer are told that there is none.
    func failWishes(_ peer: Peer, _ text: String) {
        let node = peer.node
        peer.isWanted = false
        for worker in shared.workers { worker.submit { $0.opening.linkFailed(node, text) } }
    }

    /// Begins the pause before the next dial; gives its length in nanoseconds.
    func beginPause(
        _ peer: Peer, _ cause: DialPause.Cause, reason: LinkReason?, retryAfter: UInt32, now: UInt64
    ) -> UInt64 {
        let next = peer.backoff.pause(
            reason: reason, retryAfter: retryAfter, wantedCap: settings.reconnectMaximumPermanent,
            random: UInt64.random(in: .min ... .max))
        var delay = next.delay
        if peer.parkedOn != nil, cause != .hint {
            delay = peer.redials.delay(delay, random: UInt64.random(in: .min ... .max))
        }
        peer.pause.begin(cause, now: now, delay: delay, wanted: next.wanted)
        return delay
    }

    /// Other pauses are configured. Those that last are drawn anew, but for delays that peers have named.
    func use(_ settings: Settings) {
        guard settings != self.settings else { return }
        self.settings = settings
        let now = Clock.monotonicNanoseconds()
        for peer in peers.values {
            peer.backoff = backoff(permanent: peer.isPermanent || !peer.lane.isFirst)
            guard let timer = peer.timer, peer.pause.cause != .hint, peer.pause.lasts(now), peer.parkedOn == nil
            else { continue }
            ControlPlane.loop.cancel(timer)
            schedule(peer, after: beginPause(peer, peer.pause.cause, reason: nil, retryAfter: 0, now: now))
        }
    }

    /// The peer may be dialled at once.
    func endPause(_ peer: Peer) {
        peer.pause.over()
        if let timer = peer.timer { ControlPlane.loop.cancel(timer) }
        peer.timer = nil
    }

    /// A link has ended. Whether it had stood, so that all is as if no dial had failed before it.
    func noteEnd(_ peer: Peer, wasInUse: Bool) -> Bool {
        guard wasInUse else { return true }
        guard Clock.monotonicNanoseconds() - peer.linkedAt >= Self.shortestLife else { return false }
        peer.backoff.succeeded()
        return true
    }
}
