import Directory
import EventLoop
import JSON
import Link
import Policy

/// The one way to open a stream: local proxy, control socket and the agent itself bring a local connection with a wish,
/// and this finds an instance, a link and, where one fails, the next one.
final class StreamOpening {
    unowned let core: WorkerCore
    /// Connections that wait for a link to a node.
    private var waiting: [String: [LocalConnection]] = [:]
    private var resting = RestingInstances()

    init(core: WorkerCore) { self.core = core }

    /// Starts a wish: the socket is registered, nothing of it was read.
    func start(_ local: LocalConnection) {
        guard let attempt = local.attempt else { return }
        if attempt.deadline == nil { attempt.deadline = core.loop.now &+ attempt.timeout }
        proceed(local, attempt)
    }

    private func proceed(_ local: LocalConnection, _ attempt: OpenAttempt) {
        if core.isHandedOver, passOn(local, attempt) { return }
        let routing = core.routing
        let decision = routing.authorizeOpening(attempt.acting, service: attempt.service)
        guard decision.allowed else {
            core.counters.denied(decision.reason.rawValue)
            let failure = OpenFailure(
                kind: .denied, reason: decision.reason.rawValue, detail: decision.explanation.summary)
            return giveUp(local, attempt, failure)
        }
        guard !routing.isOutOfService || attempt.isBuiltIn else {
            return giveUp(
                local, attempt, OpenFailure(kind: .unreachable, reason: "going_away", detail: "this node drains"))
        }
        let isMoved = attempt.isMoved
        let kept = isMoved || attempt.isKept ? attempt.current : nil
        attempt.isMoved = false
        attempt.isKept = false
        attempt.route.take()?.load.arrived()
        if kept == nil { attempt.closedLanes = [] }
        guard let candidate = kept ?? choose(attempt, routing) else {
            let failure =
                attempt.lastFailure
                ?? OpenFailure(
                    kind: routing.hasInstance(of: attempt.service, node: attempt.node) ? .unavailable : .notFound,
                    reason: "no_healthy_instance",
                    detail: routing.explainNoInstance(of: attempt.service, node: attempt.node))
            return giveUp(local, attempt, failure)
        }
        let left = (attempt.deadline ?? 0).subtractingReportingOverflow(core.loop.now)
        guard !left.overflow, left.partialValue > 0 else { return giveUp(local, attempt, attempt.timeoutFailure) }
        // An instance that hangs must leave time for another one.
        let isLast = attempt.tried.count + 1 >= core.usableInstances(of: attempt.service).count
        local.startTimer(isLast ? left.partialValue : left.partialValue / 2)
        attempt.current = candidate
        if candidate.node == routing.node {
            count(attempt, candidate)
            core.serving.connectPair(local, attempt, candidate)
        } else {
            switch lane(to: candidate.node, attempt, staying: isMoved) {
            case .here(let link): open(local, attempt, candidate, on: link)
            case .elsewhere(let route): core.move(local, by: route)
            case .gated: waiting[candidate.node, default: []].append(local)
            case .none:
                waiting[candidate.node, default: []].append(local)
                core.wantLink(to: candidate.node)
            }
        }
    }

    private func open(
        _ local: LocalConnection, _ attempt: OpenAttempt, _ candidate: OpenAttempt.Candidate, on link: LinkConnection
    ) {
        let request: OpenRequest
        do throws(OpenFailure) {
            request = try OpenRequest(
                service: attempt.service, instance: candidate.instance, acting: attempt.acting,
                policy: core.routing.policy)
        } catch {
            // No other instance could be told either.
            return giveUp(local, attempt, error)
        }
        do throws(SessionError) {
            let stream = try link.session.open(request, now: core.loop.now)
            count(attempt, candidate)
            link.adopt(local, stream)
        } catch {
            laneFailed(local, attempt, link.lane, "the link to \(candidate.node) takes no stream: \(error.code)")
        }
    }

    /// Two random usable instances, and of these the one with less open streams for its weight.
    /// Those whose agents named a delay come last.
    private func choose(_ attempt: OpenAttempt, _ routing: RoutingSnapshot) -> OpenAttempt.Candidate? {
        if Policy.Name.isReserved(attempt.service) {
            guard let node = attempt.node, !attempt.tried.contains(node),
                routing.provides(node: node, service: attempt.service)
            else { return nil }
            return OpenAttempt.Candidate(node: node, instance: "")
        }
        var usable = core.usableInstances(of: attempt.service).filter { instance in
            !attempt.tried.contains(instance.id)
                && (attempt.node == nil || instance.node == attempt.node)
                && (attempt.instance == nil || instance.id == attempt.instance)
        }
        if !resting.isEmpty, usable.count > 1 {
            let rested = usable.filter { !resting.isResting($0.id, now: core.loop.now) }
            if !rested.isEmpty { usable = rested }
        }
        guard let only = usable.first else { return nil }
        // Most services have one instance: it needs no random numbers, each of which is a system call.
        guard usable.count > 1 else { return OpenAttempt.Candidate(node: only.node, instance: only.id) }
        let place = Int.random(in: 0..<usable.count)
        let other = (place + Int.random(in: 1..<usable.count)) % usable.count
        let (first, second) = (usable[place], usable[other])
        let chosen = burden(first) <= burden(second) ? first : second
        return OpenAttempt.Candidate(node: chosen.node, instance: chosen.id)
    }

    private func burden(_ instance: Instance) -> Double {
        (Double(core.shared.load.count(instance.id)) + 1) / Double(max(instance.weight, 1))
    }

    // MARK: - What comes of it

    /// The serving agent accepted the stream.
    func accepted(_ local: LocalConnection, _ attempt: OpenAttempt) {
        local.cancelTimer()
        attempt.accepted()
        core.counters.opened &+= 1
        attempt.observer?(.accepted)
        if let answers = attempt.answers { local.answer(answers.accepted) }
    }

    /// The instance did not do; nothing of the stream reached a target. The next one is tried.
    func failed(
        _ local: LocalConnection, _ kind: OpenFailure.Kind, _ detail: String, reason: String? = nil,
        retryAfter: UInt32 = 0
    ) {
        guard !local.isClosed, let attempt = local.attempt else { return }
        if let current = attempt.current {
            resting.rest(current.instance, milliseconds: retryAfter, now: core.loop.now)
            attempt.tried.insert(current.instance.isEmpty ? current.node : current.instance)
        }
        release(attempt)
        attempt.current = nil
        attempt.rewind()
        attempt.lastFailure = OpenFailure(
            kind: kind, reason: reason ?? "unreachable", detail: detail, retryAfter: retryAfter)
        core.counters.retried &+= 1
        core.shared.log.debug(
            "instance_failed", "an instance did not take the stream",
            [("service", .string(attempt.service)), ("detail", .string(detail))])
        proceed(local, attempt)
    }

    /// Starts again with the same instance.
    func tryAgain(_ local: LocalConnection, _ attempt: OpenAttempt) {
        if attempt.isCounted, let current = attempt.current { core.shared.load.remove(current.instance) }
        attempt.isCounted = false
        attempt.isKept = true
        attempt.rewind()
        proceed(local, attempt)
    }

    /// The instance did not answer in time. Whether it took the stream is not known: the next one is tried only if no byte
    /// of the application was sent (docs/link-protocol.md, "Retry").
    func unanswered(
        _ local: LocalConnection, _ attempt: OpenAttempt, _ detail: String, reason: String = "timeout"
    ) {
        guard attempt.hasSentBytes else { return failed(local, .unreachable, detail, reason: reason) }
        ended(attempt)
        giveUp(local, attempt, OpenFailure(kind: .unreachable, reason: reason, detail: detail))
    }

    /// The link's peer is to be had on another link soon: nothing of the stream was processed, and the same instance will do.
    func again(_ local: LocalConnection, _ attempt: OpenAttempt) {
        guard !local.isClosed else { return }
        release(attempt)
        attempt.current = nil
        attempt.rewind()
        core.counters.retried &+= 1
        proceed(local, attempt)
    }

    /// A failure that another instance would share.
    func giveUp(_ local: LocalConnection, _ attempt: OpenAttempt, _ failure: OpenFailure) {
        core.counters.failed(failure.reason)
        attempt.observer?(.failed(failure))
        core.shared.log.warning(
            "open_failed", "a connection was not carried",
            [
                ("service", .string(attempt.service)), ("origin", .string(attempt.origin)),
                ("as", .string(attempt.acting.description)), ("reason", .string(failure.reason)),
                ("detail", .string(failure.detail)),
            ] + AuditMeaning.strangers(!attempt.acting.isProven))
        guard let answers = attempt.answers else { return local.reset() }
        // Nothing more is tried, also when the application is slow to take the answer.
        local.cancelTimer()
        local.answer(answers.failed(failure))
        local.closeWhenWritten()
    }

    /// The stream of an application is over.
    func ended(_ attempt: OpenAttempt) {
        release(attempt)
        attempt.current = nil
    }

    /// An application's connection is closed for good.
    func closed(_ attempt: OpenAttempt) {
        attempt.route.take()?.load.arrived()
        ended(attempt)
        attempt.upstream?.connectionClosed()
    }

    private func count(_ attempt: OpenAttempt, _ candidate: OpenAttempt.Candidate) {
        core.shared.load.add(candidate.instance)
        attempt.isCounted = true
    }

    private func release(_ attempt: OpenAttempt) {
        guard attempt.isCounted, let current = attempt.current else { return }
        attempt.isCounted = false
        core.shared.load.remove(current.instance)
    }

    /// No stream within the connect timeout, and none is under way.
    func timedOut(_ local: LocalConnection) {
        guard let attempt = local.attempt else { return }
        forget(local)
        let node = attempt.current?.node ?? "?"
        let isBehind = core.links.of(node).contains { !$0.gate.isOpen }
        failed(
            local, .unreachable,
            isBehind
                ? "node \(node) and this one did not come to the same mesh documents in time (mesh documents)"
                : "no link to node \(node) in time", reason: isBehind ? LinkReason.documentsBehind.name : "timeout")
    }

    /// The application is gone before it had a stream.
    func abandoned(_ local: LocalConnection) {
        forget(local)
        local.close()
    }

    private func forget(_ local: LocalConnection) {
        guard let node = local.attempt?.current?.node else { return }
        waiting[node]?.removeAll { $0 === local }
        if waiting[node]?.isEmpty == true { waiting[node] = nil }
    }

    // MARK: - Links

    /// There is a link to `node` now, here or on another worker.
    func linkAvailable(_ node: String) {
        for local in waiting.removeValue(forKey: node) ?? [] where !local.isClosed {
            if let attempt = local.attempt { proceed(local, attempt) }
        }
    }

    /// `node` could not be linked.
    func linkFailed(_ node: String, _ detail: String) {
        for local in waiting.removeValue(forKey: node) ?? [] where !local.isClosed {
            failed(local, .unreachable, "no link to node \(node): \(detail)")
        }
    }

    // MARK: - Takeover

    /// Gives the successor what waits for a link.
    func passOnWaiting() {
        for local in waiting.values.flatMap({ $0 }) where !local.isClosed {
            if let attempt = local.attempt { _ = passOn(local, attempt) }
        }
        waiting = waiting.mapValues { $0.filter { !$0.isClosed } }.filter { !$0.value.isEmpty }
    }

    /// Gives the process that took over a connection that came in through an upstream and has no stream; with it, what was
    /// read from it already. False where it has to stay.
    private func passOn(_ local: LocalConnection, _ attempt: OpenAttempt) -> Bool {
        guard let upstream = attempt.upstream, let bytes = attempt.unsentBytes else { return false }
        guard let descriptor = local.takeDescriptor() else { return false }
        attempt.route.take()?.load.arrived()
        closed(attempt)
        core.passedOn()
        let raw = descriptor.release()
        let origin = upstream.origin
        ControlPlane.post { [shared = core.shared] in
            shared.passOn(FileDescriptor(owning: raw), origin, bytes)
        }
        return true
    }

    /// The nodes that connections wait for.
    var awaitedNodes: [String] { Array(waiting.keys) }
}
