import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import WebSocket

/// A WebSocket connection between a client and a service, after the 101: bytes are passed on as they are, and only the
/// frames' borders are looked at, so that the edge can end it between two frames with a reason.
final class WebSocketTunnel: EdgeTunnel, BackendUser {
    let kind = "websocket"
    unowned let connection: EdgeConnection
    let core: EdgeCore
    private let backend: BackendConnection
    private let route: EdgeRouteRuntime?
    private let requestID: String
    private var caller: EdgeCaller
    private let startedAt: UInt64
    private var isEnded = false
    private var clientFinished = false
    private var serviceFinished = false

    /// A tunnel behind the service's 101; writes the 101 for the client. Throws where the service's answer is not in
    /// order.
    init(
        _ exchange: EdgeExchange, _ backend: BackendConnection, _ answer: HTTPResponseHead, _ upgrade: WebSocketUpgrade
    ) throws(EdgeRefusal) {
        connection = exchange.connection
        core = exchange.core
        self.backend = backend
        route = exchange.route
        requestID = exchange.requestID
        caller = exchange.caller
        startedAt = core.loop.now
        let passed = try exchange.responseHead(answer, keepsAlive: true)
        do throws(HTTPError) {
            try HTTPEncoder.encode(passed, into: &connection.channel.output)
        } catch {
            throw EdgeRefusal(error)
        }
    }

    private var client: ByteChannel { connection.channel }

    /// Begins to pass on what is there.
    func start() {
        backend.use(by: self)
        core.counters.tunnelsOpened &+= 1
        connection.setExpiry(atUnixSeconds: caller.authenticated?.expiry)
        setIdleTime()
        client.flush()
        client.rereadSoon()
        backend.channel.rereadSoon()
    }

    private func setIdleTime() {
        if let timeout = route?.settings.idleTimeout.nanoseconds, timeout > 0 { connection.setPhaseTime(timeout) }
    }

    // MARK: - Both ways

    func clientReceived() {
        guard !isEnded else { return }
        move(from: client, to: backend.channel)
        if case .open = client.inputEnd { return }
        guard client.input.isEmpty, !clientFinished else { return }
        clientFinished = true
        backend.channel.finishWriting()
        endIfDone()
    }

    func backendReceived(_ connection: BackendConnection) {
        guard !isEnded else { return }
        move(from: backend.channel, to: client)
        if case .open = backend.channel.inputEnd { return }
        guard backend.channel.input.isEmpty, !serviceFinished else { return }
        core.atTickEnd { [weak self] in self?.serviceEnded() }
    }

    private func serviceEnded() {
        guard !isEnded, !serviceFinished else { return }
        if let withdrawn = backend.withdrawn {
            return end(.forbidden(reason: withdrawn, detail: "access was withdrawn"))
        }
        serviceFinished = true
        client.finishWriting()
        endIfDone()
    }

    private func move(from source: ByteChannel, to sink: ByteChannel) {
        setIdleTime()
        guard !source.input.isEmpty else { return source.resumeReading() }
        guard !sink.isCongested else {
            if sink === client { connection.watchProgress() }
            return
        }
        source.input.withReadable { sink.output.append($0) }
        source.input.removeAll(keepingCapacity: true)
        sink.flush()
        source.resumeReading()
    }

    func clientDrained() { backendReceived(backend) }

    func backendDrained(_ connection: BackendConnection) { clientReceived() }

    // MARK: - The end

    private func endIfDone() {
        guard clientFinished, serviceFinished else { return }
        finish("ended")
        backend.channel.closeAfterWriting()
        backend.close()
        connection.closeAfterWriting()
    }

    func clientLost(_ reason: String) {
        guard !isEnded else { return }
        finish(reason)
        backend.reset()
    }

    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?) {
        core.atTickEnd { [weak self] in
            guard let self, !self.isEnded else { return }
            if let withdrawn = withdrawn ?? self.backend.withdrawn {
                return self.end(.forbidden(reason: withdrawn, detail: "access was withdrawn"))
            }
            self.end(EdgeRefusal(reason: error.reason, status: 502, detail: "the service broke off"))
        }
    }

    func timedOut() { end(EdgeRefusal(reason: "idle_timeout", status: 408, detail: "nothing moved for too long")) }

    func recheck() {
        guard !isEnded else { return }
        if let authenticated = caller.authenticated,
            let failure = core.runtime.authenticator.recheck(authenticated, at: Clock.unixSeconds())
        {
            return end(EdgeRefusal(failure))
        }
        if let route, let failure = core.connector.refusal(of: caller.acting, service: route.settings.service) {
            return end(.forbidden(reason: failure.reason, detail: "access was withdrawn"))
        }
        connection.setExpiry(atUnixSeconds: caller.authenticated?.expiry)
    }

    func end(_ refusal: EdgeRefusal) {
        guard !isEnded else { return }
        core.counters.ended(refusal.reason)
        finish(refusal.reason)
        backend.reset()
        connection.closeAfterWriting()
    }

    private func finish(_ reason: String) {
        isEnded = true
        core.shared.log.info(
            "edge_websocket_closed", "a WebSocket connection ended",
            [
                ("request", .string(requestID)), ("principal", .string(caller.name)), ("reason", .string(reason)),
                ("bytesIn", .init(Int(client.bytesReceived))), ("bytesOut", .init(Int(client.bytesSent))),
                ("milliseconds", .init(Int((core.loop.now &- startedAt) / 1_000_000))),
            ])
    }
}
