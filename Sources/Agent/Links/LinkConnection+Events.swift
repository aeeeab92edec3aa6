import EventLoop
import Link
import Policy

/// What frames of the session mean for applications and for the control plane.
extension LinkConnection {
    func handle(_ event: SessionEvent, _ frame: UnsafeRawBufferPointer) {
        switch event {
        case .none: break
        case .data(let stream, let range, let finished):
            guard let local = local(stream) else {
                arrivedEarly(stream, UnsafeRawBufferPointer(rebasing: frame[range]), finished: finished)
                break
            }
            guard let taken = local.deliver(UnsafeRawBufferPointer(rebasing: frame[range])) else {
                return localFailed(local)
            }
            if taken > 0 { session.consumed(stream, taken) }
            if finished { peerFinished(local, stream) }
        case .finished(let stream):
            guard let local = local(stream) else {
                arrivedEarly(stream, UnsafeRawBufferPointer(start: nil, count: 0), finished: true)
                break
            }
            peerFinished(local, stream)
        case .opened(let stream):
            if let request = session.lastRequest { core.serving.opened(stream, request, on: self) }
        case .accepted(let stream):
            if let local = local(stream), let attempt = local.attempt { core.opening.accepted(local, attempt) }
        case .refused(let stream, let reason):
            guard let local = removeLocal(stream) else {
                transferRefused(stream, reason)
                break
            }
            refused(local, reason, session.lastNotice)
        case .transferOffered(let stream): transferOffered(stream)
        case .taken(let stream): transferTaken(stream)
        case .reset(let stream, let reason):
            transferReset(stream, reason)
            guard let local = removeLocal(stream) else { break }
            core.counters.resetByPeer(reason.name)
            if reason != .accessWithdrawn {
                local.attempt?.observer?(.broken(reason: reason.name))
            } else {
                let detail = session.lastNotice.detail
                local.attempt?.observer?(.ended(reason: PolicyReason(rawValue: detail)?.rawValue ?? reason.name))
            }
            local.detach()
            local.reset()
        case .writable: break
        case .pong(let roundTrip):
            self.roundTrip = roundTrip
            tellOfClock()
            if isProbed, !session.isProbing { probeEnded(answered: true) }
        case .switched: peerSwitched()
        case .moveLost: lost(.linkLost, "the peer moved to a link that was lost")
        case .moveWanted: if !isGuest { core.moveWanted(lane) }
        case .lanes(let count): if !isGuest { peerTakes(lanes: count) }
        case .goAway(let reason):
            isRetiring = true
            hasSuccessor = reason == .goingAway && session.lastNotice.retryAfter > 0
            for case let local? in locals where local.attempt?.isAccepted == true { local.attempt?.observer?(.leaving) }
            core.linkRetiring(self, reason, session.lastNotice)
        case .violation(let reason):
            close(reason, session.lastNotice.detail)
        }
    }

    /// The control plane knows clocks to a second: for refusals that a wrong one explains.
    private func tellOfClock() {
        guard !isGuest, let offset = session.clockEstimate?.offsetMilliseconds else { return }
        if let told = toldClock, (told - offset).magnitude < 1_000 { return }
        toldClock = offset
        ControlPlane.post { [shared = core.shared, node] in shared.supervisor?.clockSeen(node: node, offset: offset) }
    }

    func peerFinished(_ local: LocalConnection, _ stream: StreamHandle) {
        local.finishWriting()
        releaseIfDone(local, stream)
    }

    /// The peer's agent said no to a stream of ours: the licence to try another instance, first bytes included.
    func refused(_ local: LocalConnection, _ reason: LinkReason, _ notice: Notice) {
        let detail = notice.detail
        local.detach()
        guard let attempt = local.attempt else { return local.reset() }
        switch reason {
        case .denied, .actAsDenied:
            core.opening.ended(attempt)
            core.opening.giveUp(
                local, attempt,
                OpenFailure(
                    // The peer's text is a reason only if it is one of ours: it becomes a label of a counter.
                    kind: .denied, reason: PolicyReason(rawValue: detail)?.rawValue ?? reason.name,
                    detail: "node \(node) denied it"))
        case .goingAway where hasSuccessor: core.opening.again(local, attempt)
        case .noSuchService, .noSuchInstance:
            core.opening.failed(local, .notFound, "node \(node): \(detail)", reason: reason.name)
        case .goingAway where !lane.isFirst: core.opening.laneFailed(local, attempt, lane, "node \(node): \(detail)")
        default:
            core.opening.failed(
                local, .unreachable, "node \(node): \(detail.isEmpty ? reason.name : detail)", reason: reason.name,
                retryAfter: notice.retryAfter)
        }
    }
}
