import EventLoop
import JSON
import Link
import PKI
import Policy

/// The serving side: decides about each stream that a peer opens and connects it to its target. This agent always
/// decides itself, whatever the dialling one checked before.
final class StreamServing {
    private unowned let core: WorkerCore

    init(core: WorkerCore) { self.core = core }

    /// A peer opened a stream. The check and the stream's place in the link's table happen in one turn of the worker's
    /// loop, under one snapshot: no change of policy falls in between, and each later one is applied to the stream.
    func opened(_ stream: StreamHandle, _ request: OpenRequest, on link: LinkConnection) {
        let acting = request.principal.isEmpty ? nil : PrincipalID(request.principal)
        guard request.principal.isEmpty || acting != nil, Policy.Name.isLegal(request.service) else {
            return link.refuse(stream, .badOpen, "service or principal is not well formed")
        }
        if let parting = link.parting {
            // What a policy takes from a link says nothing about other instances.
            let reason: LinkReason = parting.reason == .identityRevoked ? .denied : .accessWithdrawn
            return link.refuse(stream, reason, parting.reason.name)
        }
        let attributes: Subject.Attributes
        do throws(PayloadError) {
            attributes = try request.attributes()
        } catch {
            return link.refuse(stream, .badOpen, "the attributes are not well formed: \(error.code)")
        }
        guard attributes.isEmpty || acting?.isExternal == true else {
            return link.refuse(stream, .badOpen, "only tokens and keys have attributes")
        }
        guard link.carries(request.service) else {
            return link.refuse(stream, .documentsBehind, "only newer mesh documents may be brought")
        }
        let routing = core.routing
        let inbound = InboundStream(
            service: request.service, peer: link.node, acting: acting, attributes: attributes)
        if link.isCatchingUp { return serveDocuments(stream, inbound, on: link) }
        let decision = routing.policy.authorizeOpen(
            peer: link.principal, actingAs: acting, attributes: attributes, service: request.service)
        if !Policy.Name.isReserved(request.service) {
            core.decisions.note(
                DecisionMemory.Question(
                    .connect, commonName: link.peer.commonName, spiffe: link.peer.spiffe?.description, acting: acting,
                    attributes: attributes, target: request.service),
                decision, at: Clock.unixSeconds())
        }
        guard decision.allowed else {
            core.counters.denied(decision.reason.rawValue)
            core.shared.log.warning(
                "stream_denied", "a peer's stream was refused",
                [
                    ("node", .string(link.node)), ("as", .string(request.principal)),
                    ("service", .string(request.service)), ("reason", .string(decision.reason.rawValue)),
                    ("rule", decision.rule.map { .string($0.description) } ?? .null),
                ] + AuditMeaning.strangers(!PrincipalID.isProven(acting)))
            return link.refuse(
                stream, decision.reason == .actAsMissing ? .actAsDenied : .denied, decision.reason.rawValue)
        }
        guard !routing.isDraining else { return link.refuse(stream, .goingAway, "the node drains") }
        if Policy.Name.isReserved(request.service) {
            return serveBuiltIn(stream, inbound, decision, on: link)
        }
        guard !routing.isOutOfService else { return link.refuse(stream, .goingAway, "the node drains") }
        guard link.gate.admitsPeer else {
            return link.refuse(stream, .documentsBehind, "node \(routing.node) waits for a newer mesh document")
        }
        guard let service = routing.services[request.service] else {
            return link.refuse(stream, .noSuchService, "no service \(request.service) here")
        }
        let instance = LocalService.instance(node: routing.node, service: service.name)
        guard request.instance.isEmpty || request.instance == instance else {
            return link.refuse(stream, .noSuchInstance, "no instance \(request.instance) here")
        }
        guard service.isHealthy else { return link.refuse(stream, .unhealthy, "its health check fails") }
        do throws(SystemError) {
            let (target, isConnected) = try connect(service, inbound)
            link.adopt(target, stream)
            if isConnected { link.localConnected(target) }
        } catch {
            link.refuse(
                stream, error.errno == Errno.connectionRefused ? .targetRefused : .targetUnreachable, "\(error)")
        }
    }

    /// Starts to connect to a service's target.
    private func connect(
        _ service: LocalService, _ inbound: InboundStream
    ) throws(SystemError) -> (LocalConnection, isConnected: Bool) {
        guard let address = service.target.direct else { return (try bridge(service, inbound), false) }
        switch try Socket.connectStart(address) {
        case .connected(let socket):
            keepAlive(socket.rawValue, address)
            let target = LocalConnection(socket, role: .target(inbound), core: core)
            try target.register()
            return (target, true)
        case .inProgress(let socket):
            keepAlive(socket.rawValue, address)
            let target = LocalConnection(socket, role: .target(inbound), connectingTo: address, core: core)
            try target.register()
            target.startTimer(service.connectTimeout)
            return (target, false)
        case .queueFull:
            throw SystemError(call: "connect", subject: address.description, errno: Errno.wouldBlock)
        }
    }

    /// A socket of ours whose other end is carried on to a target that is reached by name or over TLS.
    private func bridge(_ service: LocalService, _ inbound: InboundStream) throws(SystemError) -> LocalConnection {
        let (ours, theirs) = try Socket.pair().split { ours, theirs in (ours.release(), theirs.release()) }
        let target = LocalConnection(
            FileDescriptor(owning: ours), role: .target(inbound), isBridged: true, core: core)
        // Before anything that may fail: it owns a descriptor from here on.
        let other = FileDescriptor(owning: theirs)
        try target.register()
        let bridge = try TargetBridge(other, local: target, service: service, core: core)
        target.bridge = bridge
        core.keep(bridge)
        return target
    }

    /// Notices that another host is gone: its end would never come.
    private func keepAlive(_ descriptor: Int32, _ target: SocketAddress) {
        guard target.port != nil, !target.isLoopback else { return }
        try? Socket.setKeepAlive(descriptor)
    }

    /// A socket of ours whose other end the control plane serves.
    private func builtIn(_ inbound: InboundStream, _ caller: ControlCaller) throws(SystemError) -> LocalConnection {
        let service = inbound.service
        let ours = try Socket.pair().split { ours, theirs in
            let handed = theirs.release()
            ControlPlane.post { [shared = core.shared] in
                shared.serveControl(FileDescriptor(owning: handed), caller, service)
            }
            return ours.release()
        }
        let target = LocalConnection(FileDescriptor(owning: ours), role: .target(inbound), core: core)
        try target.register()
        return target
    }

    private func serveBuiltIn(
        _ stream: StreamHandle, _ inbound: InboundStream, _ decision: Decision, on link: LinkConnection
    ) {
        guard canServe(inbound.service) else {
            return link.refuse(stream, .noSuchService, "no service \(inbound.service) here")
        }
        do throws(SystemError) {
            let target = try builtIn(inbound, .peer(decision.principal, node: link.node))
            link.adopt(target, stream)
            link.localConnected(target)
        } catch {
            link.refuse(stream, .internalError, "\(error)")
        }
    }

    /// What somebody without any right brings is judged by its signature.
    private func serveDocuments(_ stream: StreamHandle, _ inbound: InboundStream, on link: LinkConnection) {
        do throws(SystemError) {
            let target = try builtIn(inbound, .bearer(node: link.node))
            link.adopt(target, stream)
            link.localConnected(target)
        } catch {
            link.refuse(stream, .internalError, "\(error)")
        }
    }

    private func canServe(_ builtIn: String) -> Bool {
        switch builtIn {
        case Policy.Name.agentService, Policy.Name.documentsService: true
        case Policy.Name.directoryService: core.shared.servesDirectory
        default: false
        }
    }

    /// An application of this node wants a service of this node.
    func connectPair(_ local: LocalConnection, _ attempt: OpenAttempt, _ candidate: OpenAttempt.Candidate) {
        let inbound = InboundStream(
            service: attempt.service, peer: nil, acting: attempt.acting.principalID,
            attributes: attempt.acting.attributes)
        do throws(SystemError) {
            if canServe(attempt.service) {
                let target = try builtIn(inbound, core.routing.controlCaller(attempt.acting))
                join(local, target).localConnected(target)
            } else if let service = core.routing.services[attempt.service] {
                let (target, isConnected) = try connect(service, inbound)
                let pair = join(local, target)
                if isConnected { pair.localConnected(target) }
            } else {
                core.opening.failed(local, .notFound, "no service \(attempt.service) here", reason: "no_such_service")
            }
        } catch {
            core.opening.failed(local, .unreachable, "\(error)", reason: "target_unreachable")
        }
    }

    private func join(_ local: LocalConnection, _ target: LocalConnection) -> LocalPair {
        let pair = LocalPair(application: local, target: target, core: core)
        core.track(pair)
        target.attach(pair, nil)
        local.attach(pair, nil)
        return pair
    }
}

extension PrincipalID {
    /// Whether somebody has proven at the peer to be whom OPEN names: as `ActingAs.isProven` says it there.
    fileprivate static func isProven(_ acting: PrincipalID?) -> Bool {
        switch acting?.namespace {
        case .uid, .jwt, .key, .node: true
        case .service, .anonymous, nil: false
        }
    }
}
