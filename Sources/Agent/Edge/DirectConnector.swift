import EventLoop
import PKI
import Policy
import TLS

/// Where a service is reached without a mesh.
struct DirectTarget: Sendable {
    /// TLS towards the target.
    struct Security: Sendable {
        /// Roots, versions and our certificate.
        let context: TLSContext
        /// Whom its certificate must name.
        let expecting: ExpectedPeer
        /// What is sent as SNI; nil for an address.
        let serverName: String?
        /// Told what would have been refused, where the context does not check the server's certificate.
        var unchecked: (@Sendable (CertificateError) -> Void)?
    }

    /// Where it listens.
    let endpoint: Endpoint
    /// TLS, where it speaks TLS.
    let security: Security?
}

/// Reaches services by connections of its own, TCP or Unix, plain or TLS: for `mesh-agent front`, which has no mesh, and
/// for targets that speak TLS. There is no policy here: who gets through the door may use what is behind it.
final class DirectConnector: BackendConnector {
    private let parts: ChannelLoop
    private var targets: [String: DirectTarget]

    /// Connects on the loop of `parts` to targets by their services' names.
    init(_ targets: [String: DirectTarget], parts: ChannelLoop) {
        self.targets = targets
        self.parts = parts
    }

    /// Takes over other targets; connections that are there go on.
    func replace(_ targets: [String: DirectTarget]) { self.targets = targets }

    func refusal(of acting: ActingAs, service: String) -> BackendFailure? {
        targets[service] == nil
            ? BackendFailure(.unavailable, "no_such_service", "there is no target for \(service)") : nil
    }

    func knows(service: String) -> Bool { targets[service] != nil }

    func principal(of subject: Subject) -> PrincipalID? {
        guard case .node(let commonName?, _) = subject else { return nil }
        return .node(commonName)
    }

    func groups(of acting: ActingAs) -> [String] { acting.attributes["groups"] ?? [] }

    func connect(_ key: BackendKey, timeout: UInt64, for waiter: any BackendConnecting) -> any BackendAttempt {
        let attempt = DirectAttempt(waiter, parts)
        attempt.start(targets[key.service], timeout: timeout)
        return attempt
    }
}

/// One connection on its way: resolving, TCP, TLS.
final class DirectAttempt: BackendAttempt, ConnectHandler, ByteChannelOwner, TimerHandler {
    private weak var waiter: (any BackendConnecting)?
    private let parts: ChannelLoop
    private var connector: Connector?
    private var channel: ByteChannel?
    private var target: DirectTarget?
    private var timer: TimerID?
    private var failure: BackendFailure?

    init(_ waiter: any BackendConnecting, _ parts: ChannelLoop) {
        self.waiter = waiter
        self.parts = parts
    }

    /// Starts to connect; without a target it fails in the next tick.
    func start(_ target: DirectTarget?, timeout: UInt64) {
        self.target = target
        guard let target else {
            failure = BackendFailure(.unavailable, "no_such_service", "there is no target")
            timer = parts.loop.schedule(after: 0, self, tag: 0)
            return
        }
        failure = BackendFailure(.timeout, "connect_timed_out", "\(target.endpoint) did not answer in time")
        timer = parts.loop.schedule(after: timeout, self, tag: 0)
        connector = Connector(to: target.endpoint, timeout: timeout, loop: parts.loop, handler: self)
    }

    /// A socket's own reset does it.
    func abort() {}

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        if let failure { fail(failure) }
    }

    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
    ) {
        self.connector = nil
        if address.port != nil, !address.isLoopback { try? Socket.setKeepAlive(descriptor.rawValue) }
        let channel = ByteChannel(descriptor, parts: parts, owner: self)
        do {
            try channel.start()
            guard let security = target?.security else { return succeed(channel) }
            self.channel = channel
            channel.startTLS(
                try TLSSession(
                    context: security.context, serverName: security.serverName, expecting: security.expecting))
            channel.flush()
        } catch {
            channel.close()
            fail(BackendFailure(.broken, "connect_failed", "\(error)"))
        }
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.connector = nil
        fail(BackendFailure(error.code == .timedOut ? .timeout : .broken, error.code.rawValue, "\(error)"))
    }

    func channelSecured(_ channel: ByteChannel) {
        if let unchecked = target?.security?.unchecked, let error = channel.session?.certificateError {
            unchecked(error)
        }
        succeed(channel)
    }

    func channelReceived(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        fail(BackendFailure(.broken, error.reason, "\(error)"))
    }

    private func succeed(_ channel: ByteChannel) {
        cancelTimer()
        self.channel = nil
        channel.owner = nil
        guard let waiter else { return channel.close() }
        self.waiter = nil
        waiter.backendConnected(channel)
    }

    private func fail(_ failure: BackendFailure) {
        let waiter = waiter
        cancel()
        waiter?.backendFailed(failure)
    }

    private func cancelTimer() {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
    }

    func cancel() {
        waiter = nil
        cancelTimer()
        connector?.cancel()
        connector = nil
        channel?.close()
        channel = nil
    }
}
