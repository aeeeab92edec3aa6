import EventLoop
import PKI
import TLS

/// Connects to a target: resolves its name, connects, and where TLS is spoken shakes hands. Told once, from the loop.
final class TargetDial: ConnectHandler, ByteChannelOwner, TimerHandler {
    private let target: ServiceTarget
    private let parts: ChannelLoop
    private var connector: Connector?
    private var channel: ByteChannel?
    private var timer: TimerID?
    private var finished: ((Result<ByteChannel, TargetError>) -> Void)?

    /// TLS with the target, once it is decided; nil without.
    private(set) var session: TLSSession?

    /// Starts. `timeout` nanoseconds are for everything together.
    init(
        _ target: ServiceTarget, timeout: UInt64, parts: ChannelLoop,
        finished: @escaping (Result<ByteChannel, TargetError>) -> Void
    ) {
        self.target = target
        self.parts = parts
        self.finished = finished
        timer = parts.loop.schedule(after: timeout, self, tag: 0)
        connector = Connector(to: target.endpoint, timeout: timeout, loop: parts.loop, handler: self)
    }

    /// Gives up; nobody is told.
    func cancel() {
        finished = nil
        end(nil)
    }

    private func end(_ result: Result<ByteChannel, TargetError>?) {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
        connector?.cancel()
        connector = nil
        if case .success? = result {} else { channel?.reset() }
        channel = nil
        let finished = finished.take()
        if let result { finished?(result) }
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        end(.failure(.timeout))
    }

    func connected(
        _ descriptor: consuming FileDescriptor, to address: SocketAddress, connector: Connector, loop: EventLoop
    ) {
        self.connector = nil
        // Notices that another host is gone: its end would never come.
        if address.port != nil, !address.isLoopback { try? Socket.setKeepAlive(descriptor.rawValue) }
        let channel = ByteChannel(descriptor, parts: parts, owner: self)
        self.channel = channel
        do throws(SystemError) {
            try channel.start()
        } catch {
            return end(.failure(.system(error)))
        }
        guard let tls = target.tls else { return end(.success(channel)) }
        do throws(TLSError) {
            channel.startTLS(
                try TLSSession(
                    context: tls.context, serverName: tls.serverName, expecting: .foreignServer(host: tls.host)))
        } catch {
            end(.failure(.tls(.tls(error))))
        }
    }

    func connectFailed(_ error: ConnectError, connector: Connector, loop: EventLoop) {
        self.connector = nil
        end(.failure(.connect(error)))
    }

    func channelSecured(_ channel: ByteChannel) {
        session = channel.session
        end(.success(channel))
    }

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        session = channel.session
        self.channel = nil
        end(.failure(.tls(error)))
    }

    func channelReceived(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}
}
