import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import WebSocket

/// A WebSocket whose binary messages are the bytes of a service: `GET /v1/connect/SERVICE` (docs/connect.md).
///
/// Borders of messages mean nothing. An empty binary message ends one direction, as TCP's FIN does, and the other goes on;
/// when both have ended the WebSocket is closed with 1000. Whoever closes before resets the stream. Text messages are
/// refused (1003).
final class ServiceSocket: EdgeTunnel, BackendUser {
    /// What clients offer and get.
    static let subprotocol = "conduit.stream.v1"
    /// The largest binary message that is made: one receive.
    private static let maximumMessage = 64 << 10

    let kind = "connect"
    private unowned let connection: EdgeConnection
    private let core: EdgeCore
    private let backend: BackendConnection
    private let service: String
    private let idleTimeout: UInt64
    private let requestID: String
    private var caller: EdgeCaller
    private let startedAt: UInt64
    private var socket: WebSocket.Connection
    private var clientFinished = false
    private var serviceFinished = false
    private var isEnded = false

    /// A tunnel to `backend` for the client of `exchange`; answers its handshake.
    init(_ exchange: EdgeExchange, _ backend: BackendConnection, _ upgrade: WebSocketUpgrade) throws(EdgeRefusal) {
        connection = exchange.connection
        core = exchange.core
        self.backend = backend
        service = exchange.route?.settings.service ?? ""
        idleTimeout = exchange.route?.settings.idleTimeout.nanoseconds ?? 0
        requestID = exchange.requestID
        caller = exchange.caller
        startedAt = core.loop.now
        socket = WebSocket.Connection(
            server: WebSocket.Connection.Options(
                maximumFramePayload: .max, maximumMessage: .max, delivery: .streamed(compressed: false)))
        let selected = upgrade.protocols.contains(Self.subprotocol) ? Self.subprotocol : nil
        if exchange.firstMessage != nil {
            connection.channel.output.append(
                EdgeFrame.text(
                    InBandMessage.accepted(
                        expires: caller.authenticated?.expiry, connection: connection.publicID, selected: selected)))
            return
        }
        var head = upgrade.edgeAnswer()
        head.headers.remove("Sec-WebSocket-Protocol")
        if let selected = selected ?? (upgrade.offersEdgeProtocol ? WebSocketUpgrade.edgeProtocol : nil) {
            head.headers.append("Sec-WebSocket-Protocol", selected)
        }
        head.headers.append("X-Request-Id", requestID)
        head.headers.append("Conduit-Connection", connection.publicID)
        do throws(HTTPError) {
            try HTTPEncoder.encode(head, into: &connection.channel.output)
        } catch {
            throw EdgeRefusal(error)
        }
    }

    private var client: ByteChannel { connection.channel }

    /// Begins to pass on what is there.
    func start() {
        backend.use(by: self)
        core.counters.tunnelsOpened &+= 1
        connection.setExpiry(atUnixSeconds: caller.expiry)
        setIdleTime()
        client.flush()
        client.rereadSoon()
        backend.channel.rereadSoon()
    }

    private func setIdleTime() {
        if idleTimeout > 0 { connection.setPhaseTime(idleTimeout) }
    }

    // MARK: - From the client

    /// Whether the message under way has had a byte: an empty one ends the direction.
    private var messageHasBytes = false

    func clientReceived() {
        while !isEnded, !client.input.isEmpty, !backend.channel.isCongested {
            var consumed = 0
            var event = WebSocket.Connection.Event.needMore
            client.input.withMutableReadable { bytes in
                let received = socket.receive(bytes)
                consumed = received.consumed
                event = received.event
                if case .piece(let piece) = event, piece.kind == .binary, !clientFinished {
                    let all = UnsafeRawBufferPointer(bytes)
                    backend.channel.output.append(UnsafeRawBufferPointer(rebasing: all[piece.range]))
                }
            }
            client.input.consume(consumed)
            setIdleTime()
            take(event)
            if consumed == 0, case .needMore = event { break }
        }
        guard !isEnded else { return }
        backend.channel.flush()
        // Pongs for somebody who takes nothing stay there, where the latest takes the place of the others.
        if !client.isCongested { flushSocket() }
        if case .open = client.inputEnd { return client.resumeReading() }
        if client.input.isEmpty || !backend.channel.isCongested { clientLost("client_closed") }
    }

    private func take(_ event: WebSocket.Connection.Event) {
        switch event {
        case .needMore, .ping, .pong, .message: break
        case .piece(let piece):
            guard piece.kind == .binary else { return end(.unsupportedData, "text_not_expected") }
            if piece.isFirst { messageHasBytes = false }
            if !piece.range.isEmpty { messageHasBytes = true }
            if clientFinished { return end(.protocolError, "message_after_end") }
            guard piece.isLast, !messageHasBytes else { return }
            clientFinished = true
            backend.channel.finishWriting()
            endIfDone()
        case .close:
            flushSocket()
            finish("client_closed")
            backend.reset()
            connection.closeAfterWriting()
        case .failed(let violation):
            flushSocket()
            finish(violation.rawValue)
            backend.reset()
            connection.closeAfterWriting()
        }
    }

    // MARK: - From the service

    func backendReceived(_ connection: BackendConnection) {
        let source = backend.channel
        while !isEnded, !source.input.isEmpty {
            guard !client.isCongested else { return self.connection.watchProgress() }
            let count = min(source.input.count, Self.maximumMessage)
            source.input.withReadable { bytes in
                try? socket.send(.binary, UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            }
            source.input.consume(count)
            flushSocket()
            setIdleTime()
        }
        guard !isEnded else { return }
        if case .open = source.inputEnd { return source.resumeReading() }
        if !serviceFinished { core.atTickEnd { [weak self] in self?.serviceEnded(nil) } }
    }

    private func serviceEnded(_ error: ChannelError?) {
        guard !isEnded, !serviceFinished else { return }
        if let withdrawn = backend.withdrawn {
            return end(.forbidden(reason: withdrawn, detail: "access was withdrawn"))
        }
        if let reason = backend.broken ?? error?.reason {
            core.counters.ended(reason)
            return end(.internalError, reason)
        }
        serviceFinished = true
        try? socket.send(binary: [])
        flushSocket()
        endIfDone()
    }

    private func flushSocket() {
        socket.withOutput { bytes in
            client.output.append(bytes)
            return bytes.count
        }
        client.flush()
    }

    func clientDrained() {
        flushSocket()
        backendReceived(backend)
    }

    func backendDrained(_ connection: BackendConnection) { clientReceived() }

    // MARK: - The end

    private func endIfDone() {
        if clientFinished, serviceFinished { end(.normal, "") }
    }

    private func end(_ code: CloseCode, _ reason: String) {
        guard !isEnded else { return }
        finish(reason.isEmpty ? "ended" : reason)
        try? socket.close(ClosePayload(code, reason: reason))
        flushSocket()
        if code == .normal { backend.closeAfterWriting() } else { backend.reset() }
        connection.closeAfterWriting()
    }

    func end(_ refusal: EdgeRefusal) {
        guard !isEnded else { return }
        core.counters.ended(refusal.reason)
        finish(refusal.reason)
        try? socket.close(refusal.closePayload)
        flushSocket()
        backend.reset()
        connection.closeAfterWriting()
    }

    func clientLost(_ reason: String) {
        guard !isEnded else { return }
        finish(reason)
        // Without a close frame nobody knows whether everything has come.
        backend.reset()
        connection.finish()
    }

    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?) {
        core.atTickEnd { [weak self] in self?.serviceEnded(error) }
    }

    func timedOut() { end(EdgeRefusal(reason: "idle_timeout", status: 408, detail: "nothing moved for too long")) }

    func recheck() {
        guard !isEnded else { return }
        if let refusal = core.refusal(of: caller, service: service) { return end(refusal) }
        connection.setExpiry(atUnixSeconds: caller.expiry)
    }

    func renew(_ authenticated: Authenticated) -> EdgeRefusal? {
        do throws(EdgeRefusal) {
            caller = try core.renewed(
                caller, authenticated, scopes: core.runtime.configuration.connect.scopes, service: service)
        } catch {
            return error
        }
        connection.setExpiry(atUnixSeconds: caller.expiry)
        return nil
    }

    private func finish(_ reason: String) {
        isEnded = true
        core.shared.log.info(
            "edge_connect_closed", "a connection to a service ended",
            [
                ("request", .string(requestID)), ("service", .string(service)), ("principal", .string(caller.name)),
                ("reason", .string(reason)), ("bytesIn", .init(Int(client.bytesReceived))),
                ("bytesOut", .init(Int(client.bytesSent))),
                ("milliseconds", .init(Int((core.loop.now &- startedAt) / 1_000_000))),
            ])
    }
}
