import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import Link
import WebSocket

/// A WebSocket connection between a client and a service, after the 101: bytes are passed on as they are. Only the frames'
/// borders are looked at, so that the edge can put in a frame of its own between two others: its end with a reason, and the
/// answers of `conduit.auth.v1`.
final class WebSocketTunnel: EdgeTunnel, BackendUser {
    /// How long the service may take to end a frame in which the edge wants to end the connection, in nanoseconds.
    private static let frameTime: UInt64 = 2_000_000_000
    /// How long before its end a client that speaks `conduit.auth.v1` is told that a renewal is due, in seconds; a quarter
    /// of the time that is left where that is less.
    private static let notice: Int64 = 60

    let kind = "websocket"
    private unowned let connection: EdgeConnection
    private let core: EdgeCore
    private let backend: BackendConnection
    private let route: EdgeRouteRuntime?
    private let requestID: String
    private let url: String
    private let clientAddress: IPAddress?
    private let certificateThumbprint: [UInt8]?
    private var caller: EdgeCaller
    private let startedAt: UInt64

    /// Frames from the client, where it speaks with the edge itself.
    private var auth: InBandAuth?
    /// Frames from the client, where it does not.
    private var clientFrames = FrameTracker()
    /// Frames from the service.
    private var serviceFrames = FrameTracker()
    /// Messages for the client that wait for a place between two of the service.
    private var messages: [String] = []
    /// Why the connection is to end at the next border of a frame.
    private var ending: EdgeRefusal?
    private var isChecking = false
    private var isEnded = false
    private var clientFinished = false
    private var serviceFinished = false
    private var wasNoticed = false

    /// A tunnel behind the service's 101; tells the client of it. Throws where the service's answer is not in order.
    init(
        _ exchange: EdgeExchange, _ backend: BackendConnection, _ answer: HTTPResponseHead, _ upgrade: WebSocketUpgrade
    ) throws(EdgeRefusal) {
        connection = exchange.connection
        core = exchange.core
        self.backend = backend
        route = exchange.route
        requestID = exchange.requestID
        url = exchange.url
        clientAddress = exchange.client?.address
        certificateThumbprint = exchange.certificate?.thumbprint
        caller = exchange.caller
        startedAt = core.loop.now
        if upgrade.offersEdgeProtocol, caller.authenticated != nil { auth = InBandAuth(.passing) }
        if exchange.firstMessage != nil {
            let selected = try upgrade.serviceSelection(answer)
            messages.append(
                InBandMessage.accepted(
                    expires: caller.authenticated?.expiry, connection: connection.publicID, selected: selected))
            return
        }
        var passed = try exchange.responseHead(answer, keepsAlive: true)
        passed.headers.set("Conduit-Connection", connection.publicID)
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
        setExpiry()
        setIdleTime()
        insert()
        client.flush()
        client.rereadSoon()
        backend.channel.rereadSoon()
    }

    /// After one end has ended its direction, a WebSocket is over in all but name (RFC 6455, section 7.1.1): the other one
    /// gets this time to end its own, in nanoseconds. A service that never does must not keep connections for ever.
    private static let halfOpenTime: UInt64 = 10 * Clock.second

    private func setIdleTime() {
        guard ending == nil, !clientFinished, !serviceFinished, let timeout = route?.settings.idleTimeout.nanoseconds,
            timeout > 0
        else { return }
        connection.setPhaseTime(timeout)
    }

    // MARK: - From the client

    func clientReceived() {
        guard !isEnded, ending == nil else { return client.input.removeAll() }
        let hasMoved = auth == nil ? passClient() : passClientMessages()
        // The connection may be gone: the service's side calls this too.
        guard !isEnded else { return }
        if hasMoved { setIdleTime() }
        if case .open = client.inputEnd { return client.resumeReading() }
        guard client.input.isEmpty || !isHeldBack, !clientFinished, !isEnded else { return }
        clientFinished = true
        backend.channel.finishWriting()
        if !serviceFinished { connection.setPhaseTime(Self.halfOpenTime) }
        endIfDone()
    }

    /// Answers that wait for a place, at which no further message for the edge is taken.
    private static let mostMessages = 16

    /// A message for the edge has to wait, since the client does not take the answers to those before.
    private var waitsForRoom = false

    /// What the client sent has to wait: for keys, for the service, or for the client itself.
    private var isHeldBack: Bool { isChecking || waitsForRoom || backend.channel.isCongested }

    private func hasRoom() -> Bool {
        waitsForRoom = messages.count >= Self.mostMessages || client.isCongested
        return !waitsForRoom
    }

    private func passClient() -> Bool {
        guard !client.input.isEmpty, !backend.channel.isCongested else { return false }
        client.input.withReadable { bytes in
            _ = clientFrames.track(bytes)
            backend.channel.output.append(bytes)
        }
        client.input.removeAll(keepingCapacity: true)
        backend.channel.flush()
        return true
    }

    private func passClientMessages() -> Bool {
        var hasMoved = false
        waitsForRoom = false
        while !isChecking, !isEnded, ending == nil, !backend.channel.isCongested {
            guard let step = client.input.withReadable({ auth?.next($0) }) else { break }
            switch step {
            case .needMore: return hasMoved
            case .pass(let count):
                client.input.withReadable {
                    backend.channel.output.append(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
                client.input.consume(count)
                backend.channel.flush()
            case .credential(let credential, let consumed):
                guard hasRoom() else { return hasMoved }
                client.input.consume(consumed)
                renew(credential)
            case .malformed(let refusal, let consumed):
                guard hasRoom() else { return hasMoved }
                client.input.consume(consumed)
                tell(InBandMessage.refused(refusal.reason))
            case .ping(_, let consumed), .pong(let consumed): client.input.consume(consumed)
            case .failed(let refusal):
                end(refusal)
                return true
            case .closed: return hasMoved
            }
            hasMoved = true
        }
        return hasMoved
    }

    // MARK: - From the service

    func backendReceived(_ connection: BackendConnection) {
        guard !isEnded else { return }
        passService()
        if case .open = backend.channel.inputEnd { return }
        guard backend.channel.input.isEmpty, !serviceFinished else { return }
        // Somebody's decision to end the stream is on its way in the same tick, if there was one.
        core.atTickEnd { [weak self] in self?.serviceEnded(nil) }
    }

    private func passService() {
        let source = backend.channel
        guard !source.input.isEmpty else { return source.resumeReading() }
        guard !client.isCongested else { return connection.watchProgress() }
        let stop: FrameTracker.Stop = ending != nil ? .frameBoundary : messages.isEmpty ? .end : .messageBoundary
        let count = source.input.withReadable { bytes in
            let count = serviceFrames.track(bytes, until: stop)
            client.output.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
            return count
        }
        source.input.consume(count)
        setIdleTime()
        insert()
        guard !isEnded else { return }
        client.flush()
        if source.input.isEmpty { source.resumeReading() } else { source.rereadSoon() }
    }

    /// Puts in what the edge has to say, if this is a place for it.
    private func insert() {
        while !messages.isEmpty, serviceFrames.canInsertMessage {
            client.output.append(EdgeFrame.text(messages.removeFirst()))
            client.flush()
            if waitsForRoom { client.rereadSoon() }
        }
        if let ending, serviceFrames.canInsertControl { close(ending) }
    }

    private func serviceEnded(_ error: ChannelError?) {
        guard !isEnded, !serviceFinished else { return }
        if let withdrawn = backend.withdrawn {
            return end(.forbidden(reason: withdrawn, detail: "access was withdrawn"))
        }
        if backend.broken == LinkReason.applicationReset.name || error?.isReset == true { return breakOff() }
        if let reason = backend.broken ?? error?.reason {
            return end(EdgeRefusal(reason: reason, status: 502, detail: "the service broke off"))
        }
        serviceFinished = true
        client.finishWriting()
        if !clientFinished { connection.setPhaseTime(Self.halfOpenTime) }
        endIfDone()
    }

    func clientDrained() {
        backendReceived(backend)
        if waitsForRoom, !isEnded { clientReceived() }
    }

    func backendDrained(_ connection: BackendConnection) { clientReceived() }

    // MARK: - Renewal

    private func tell(_ message: String) {
        messages.append(message)
        insert()
    }

    /// A credential in a message of the client.
    private func renew(_ credential: PresentedCredential, isRetry: Bool = false) {
        let credentials = ClientCredentials(
            message: credential, url: url, certificateThumbprint: certificateThumbprint)
        switch core.authenticate(credentials, client: clientAddress, requestID: requestID, isRetry: isRetry) {
        case .known(let authenticated):
            if let refusal = renew(authenticated) {
                tell(InBandMessage.refused(refusal.reason))
            } else {
                tell(InBandMessage.accepted(expires: authenticated.expiry, connection: connection.publicID))
            }
        case .failed(let failure):
            if !isRetry {
                isChecking = core.fetchKeys(for: failure) { [weak self] in
                    guard let self, !self.isEnded else { return }
                    self.isChecking = false
                    self.renew(credential, isRetry: true)
                    self.client.rereadSoon()
                }
                if isChecking { return }
            }
            tell(InBandMessage.refused(failure.reason.rawValue, nonce: failure.dpopNonce))
        }
    }

    func renew(_ authenticated: Authenticated) -> EdgeRefusal? {
        do throws(EdgeRefusal) {
            caller = try core.renewed(
                caller, authenticated, scopes: route?.settings.scopes ?? [], service: route?.settings.service ?? "")
        } catch {
            return error
        }
        wasNoticed = false
        setExpiry()
        return nil
    }

    private func setExpiry() {
        guard let end = caller.expiry else { return connection.setExpiry(atUnixSeconds: nil) }
        guard auth != nil, !wasNoticed, let token = caller.authenticated?.expiry else {
            return connection.setExpiry(atUnixSeconds: end)
        }
        let left = token - Clock.unixSeconds()
        let notice = left > 1 ? token - min(Self.notice, max(1, left / 4)) : token
        connection.setExpiry(atUnixSeconds: min(end, notice))
    }

    // MARK: - The end

    func recheck() {
        guard !isEnded, ending == nil else { return }
        if let route, let refusal = core.refusal(of: caller, service: route.settings.service) { return end(refusal) }
        if auth != nil, !wasNoticed, let expiry = caller.authenticated?.expiry {
            let left = expiry - Clock.unixSeconds()
            if left <= Self.notice {
                wasNoticed = true
                tell(InBandMessage.expiring(seconds: Int(max(0, left))))
            }
        }
        setExpiry()
    }

    func timedOut() {
        if ending != nil || clientFinished || serviceFinished { return drop() }
        end(EdgeRefusal(reason: "idle_timeout", status: 408, detail: "nothing moved for too long"))
    }

    /// Ends the connection at the next border of a frame, telling the client why.
    func end(_ refusal: EdgeRefusal) {
        guard !isEnded, ending == nil else { return }
        ending = refusal
        core.counters.ended(refusal.reason)
        if serviceFrames.canInsertControl { return close(refusal) }
        guard !backend.channel.isClosed else { return drop() }
        // In the middle of a frame: its rest first.
        connection.setPhaseTime(Self.frameTime)
        passService()
    }

    private func close(_ refusal: EdgeRefusal) {
        finish(refusal.reason)
        client.output.append(EdgeFrame.close(refusal.closePayload))
        endBackend()
        connection.closeAfterWriting()
    }

    /// The service is told too, where that is possible.
    private func endBackend() {
        let frames = auth?.tracker ?? clientFrames
        guard frames.canInsertControl, !backend.channel.isClosed, !clientFinished, !backend.channel.isCongested else {
            return backend.reset()
        }
        var random = SystemRandomNumberGenerator()
        backend.channel.output.append(
            EdgeFrame.close(ClosePayload(.goingAway, reason: "client_ended_by_edge"), maskKey: random.next()))
        backend.closeAfterWriting()
    }

    /// Ends the connection without a word: there is no place for one.
    private func drop() {
        finish(ending?.reason ?? "dropped")
        backend.reset()
        client.reset()
        connection.finish()
    }

    private func endIfDone() {
        guard clientFinished, serviceFinished, !isEnded else { return }
        finish("ended")
        backend.closeAfterWriting()
        connection.closeAfterWriting()
    }

    func clientLost(_ reason: String) {
        guard !isEnded else { return }
        finish(reason)
        backend.reset()
    }

    /// The service has reset its connection: the client sees the same.
    private func breakOff() {
        finish("service_reset")
        backend.reset()
        client.flushNow()
        client.reset()
        connection.finish()
    }

    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?) {
        core.atTickEnd { [weak self] in self?.serviceEnded(error) }
    }

    private func finish(_ reason: String) {
        isEnded = true
        core.shared.log.info(
            "edge_websocket_closed", "a WebSocket connection ended",
            [
                ("request", .string(requestID)), ("principal", .string(caller.name)), ("reason", .string(reason)),
                ("code", serviceFrames.closePayload?.code.map { .init(Int($0.rawValue)) } ?? .null),
                ("bytesIn", .init(Int(client.bytesReceived))), ("bytesOut", .init(Int(client.bytesSent))),
                ("milliseconds", .init(Int((core.loop.now &- startedAt) / 1_000_000))),
            ])
    }
}
