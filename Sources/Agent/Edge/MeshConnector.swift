import Directory
import EventLoop
import Policy

/// Reaches services by streams of the mesh: a pipe, whose other end is a local connection with a wish like that of any
/// application. Policy, choice of an instance, retry and flow control are those of the mesh.
///
/// One for each worker, on its loop.
final class MeshConnector: BackendConnector {
    private unowned let worker: WorkerCore
    private let parts: ChannelLoop

    /// Opens streams through `worker`, on whose loop everything here happens.
    init(worker: WorkerCore, parts: ChannelLoop) {
        self.worker = worker
        self.parts = parts
    }

    func refusal(of acting: ActingAs, service: String) -> BackendFailure? {
        guard !worker.routing.isDraining, !worker.routing.isOutOfService else {
            return BackendFailure(.unavailable, "going_away", "the node drains")
        }
        guard !Policy.Name.isReserved(service) else {
            return BackendFailure(.denied, "reserved_service", "the mesh's own services are not reached by the edge")
        }
        let decision = worker.routing.authorizeOpening(acting, service: service)
        if decision.allowed { return nil }
        return BackendFailure(.denied, decision.reason.rawValue, decision.explanation.summary)
    }

    func knows(service: String) -> Bool {
        worker.routing.services[service] != nil || !worker.routing.directory.instances(of: service).isEmpty
    }

    func principal(of subject: Subject) -> PrincipalID? {
        let principal = worker.routing.policy.principal(for: subject, within: worker.routing.trustDomain)
        return principal.isIdentified ? principal.id : nil
    }

    func groups(of acting: ActingAs) -> [String] {
        guard case .external(let id, let attributes) = acting else { return [] }
        let routing = worker.routing
        let subject = Subject(id, trustDomain: routing.trustDomain, attributes: attributes)
        return routing.policy.principal(for: subject).groups.sorted()
    }

    func connect(_ key: BackendKey, timeout: UInt64, for waiter: any BackendConnecting) -> any BackendAttempt {
        let attempt = MeshAttempt(waiter, worker.loop.handle)
        let (ours, theirs) = PipeEnd.pair(worker.loop)
        let channel = ByteChannel(ours, parts: parts)
        attempt.channel = channel
        channel.startPipe()
        let wish = OpenAttempt(
            service: key.service, acting: key.acting, origin: "edge", timeout: timeout,
            observer: { [attempt] event in attempt.post(event) }, abort: attempt.mark)
        worker.open(theirs, wish)
        return attempt
    }
}

/// One stream that is opened for the edge. Events come from whichever worker has the stream.
private final class MeshAttempt: BackendAttempt, @unchecked Sendable {
    // Sendable by hand: everything but `post` is used on the edge's loop only.

    private weak var waiter: (any BackendConnecting)?
    private let handle: EventLoop.Handle
    /// Tells the stream's own end that our closing is a reset.
    let mark = OpenAttempt.AbortMark()
    var channel: ByteChannel?

    init(_ waiter: any BackendConnecting, _ handle: EventLoop.Handle) {
        self.waiter = waiter
        self.handle = handle
    }

    /// Takes an event to the edge's loop.
    func post(_ event: OpenAttempt.Event) {
        switch event {
        case .ended where handle.isOnLoopThread, .broken where handle.isOnLoopThread:
            // At once: the pipe's end is told in this very tick.
            received(event)
        default: handle.post { [self] in received(event) }
        }
    }

    private func received(_ event: OpenAttempt.Event) {
        switch event {
        case .accepted:
            guard let channel else { return }
            self.channel = nil
            guard !channel.isClosed else {
                waiter?.backendFailed(BackendFailure(.broken, "connection_reset", "the stream was reset at once"))
                return
            }
            if let waiter { waiter.backendConnected(channel) } else { channel.close() }
        case .failed(let failure):
            channel?.close()
            channel = nil
            waiter?.backendFailed(BackendFailure(failure))
        case .ended(let reason): waiter?.backendWithdrawn(reason: reason)
        case .leaving: waiter?.backendLeaves()
        case .broken(let reason): waiter?.backendBroke(reason: reason)
        }
    }

    func abort() { mark.set() }

    func cancel() {
        waiter = nil
        // The stream's own end sees the socket close.
        channel?.close()
        channel = nil
    }
}
