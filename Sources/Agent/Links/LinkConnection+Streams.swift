import EventLoop
import JSON
import Link
import PKI
import Policy

/// The streams of a link and their sockets.
extension LinkConnection: StreamCarrier {
    func local(_ stream: StreamHandle) -> LocalConnection? {
        let slot = Int(stream.slot)
        guard slot < locals.count, let local = locals[slot], local.stream == stream else { return nil }
        return local
    }

    /// Gives the stream its socket.
    func adopt(_ local: LocalConnection, _ stream: StreamHandle) {
        let slot = Int(stream.slot)
        while locals.count <= slot { locals.append(nil) }
        locals[slot] = local
        local.attach(self, stream)
        scheduleFlush()
    }

    func removeLocal(_ stream: StreamHandle) -> LocalConnection? {
        guard let local = local(stream) else { return nil }
        locals[Int(stream.slot)] = nil
        if let attempt = local.attempt, attempt.isAccepted { core.opening.ended(attempt) }
        return local
    }

    /// Both directions are complete: the socket goes its own way (it may still have bytes to write).
    func releaseIfDone(_ local: LocalConnection, _ stream: StreamHandle) {
        guard !session.isLive(stream) else { return }
        _ = removeLocal(stream)
        local.detach()
    }

    /// A connection of the link is closed. Its stream may live a little longer, until its END is written.
    func localClosed(_ local: LocalConnection) {
        guard let slot = local.stream.map({ Int($0.slot) }), slot < locals.count, locals[slot] === local else { return }
        locals[slot] = nil
    }

    /// Declines a peer's stream.
    func refuse(_ stream: StreamHandle, _ reason: LinkReason, _ detail: String) {
        core.counters.refused(reason.name)
        session.refuse(stream, reason, detail: detail)
        if local(stream) != nil { locals[Int(stream.slot)] = nil }
        scheduleFlush()
    }

    func localReadable(_ local: LocalConnection) {
        guard let stream = local.stream else { return }
        session.markReadable(stream)
        scheduleFlush()
    }

    func localTook(_ local: LocalConnection, _ count: Int) {
        guard let stream = local.stream else { return }
        session.consumed(stream, count)
        releaseIfDone(local, stream)
        scheduleFlush()
    }

    func localFailed(_ local: LocalConnection) {
        guard let stream = local.stream else { return local.reset() }
        session.reset(stream, .applicationReset)
        cancelTransfer(of: stream)
        _ = removeLocal(stream)
        local.detach()
        local.reset()
        scheduleFlush()
    }

    func localConnected(_ local: LocalConnection) {
        guard let stream = local.stream else { return }
        session.accept(stream)
        core.counters.accepted &+= 1
        local.flush()
        scheduleFlush()
    }

    /// What the peer's certificate proved, as the policy takes it.
    var subject: Subject { .node(commonName: peer.commonName, spiffe: peer.spiffe?.description) }

    /// Asks the peer for a sign of life within `timeout` nanoseconds.
    func probe(timeout: UInt64) {
        isProbed = true
        session.probe(now: core.loop.now, timeout: timeout)
        scheduleFlush()
    }

    func probeEnded(answered: Bool) {
        isProbed = false
        ControlPlane.post { [shared = core.shared, lane] in shared.supervisor?.probeEnded(lane, answered: answered) }
    }

    func localConnectFailed(_ local: LocalConnection, _ error: TargetError) {
        refuseTarget(local, error.reason, "\(error)")
    }

    func localTimedOut(_ local: LocalConnection) {
        switch local.role {
        case .target: refuseTarget(local, .targetTimeout, "the target did not answer in time")
        case .application:
            guard let stream = local.stream, let attempt = local.attempt else { return }
            session.reset(stream, .cancelled)
            _ = removeLocal(stream)
            local.detach()
            scheduleFlush()
            core.opening.unanswered(local, attempt, "node \(node) did not answer in time")
        }
    }

    func refuseTarget(_ local: LocalConnection, _ reason: LinkReason, _ detail: String) {
        guard let stream = local.stream else { return local.close() }
        core.shared.log.warning(
            "target_failed", "a local target could not be reached",
            [("service", .string(local.inbound?.service ?? "")), ("detail", .string(detail))])
        refuse(stream, reason, reason.name)
        local.detach()
        local.close()
    }

    func withdraw(_ local: LocalConnection, _ text: String) {
        guard let stream = local.stream else { return }
        local.attempt?.observer?(.ended(reason: text))
        session.reset(stream, .accessWithdrawn, detail: text)
        cancelTransfer(of: stream)
        _ = removeLocal(stream)
        local.detach()
        local.reset()
        scheduleFlush()
    }

    /// Applies the policy in force to every stream of the link; what lost its right is closed.
    /// - Returns: how many streams were closed.
    func reevaluate(_ routing: RoutingSnapshot) -> Int {
        var closed = 0
        var provided: [String: Bool] = [:]
        for case let local? in locals {
            guard let reason = objection(to: local, routing, &provided) else { continue }
            closed += 1
            withdraw(local, reason)
        }
        return closed
    }

    /// Applies it to one stream, which has come from another lane.
    func reevaluate(_ local: LocalConnection) {
        var provided: [String: Bool] = [:]
        guard let reason = objection(to: local, core.routing, &provided) else { return }
        core.counters.withdrawn &+= 1
        withdraw(local, reason)
    }

    /// Why the policy does not let a stream be; nil where it does. `provided`: what is known already of services that the peer
    /// may provide.
    private func objection(
        to local: LocalConnection, _ routing: RoutingSnapshot, _ provided: inout [String: Bool]
    ) -> String? {
        let decision: Decision
        switch local.role {
        case .application(let attempt):
            let provides = provided[attempt.service] ?? routing.provides(node: node, service: attempt.service)
            provided[attempt.service] = provides
            guard provides else { return PolicyReason.notProvider.rawValue }
            decision = routing.authorizeOpening(attempt.acting, service: attempt.service)
        case .target(let inbound):
            decision = routing.policy.authorizeOpen(
                peer: principal, actingAs: inbound.acting, attributes: inbound.attributes, service: inbound.service)
        }
        return decision.allowed ? nil : decision.reason.rawValue
    }
}
