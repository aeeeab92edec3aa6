import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON

/// The service's side: the connection to it, and its response on the way to the client.
extension EdgeExchange {
    /// Methods that may be sent twice (RFC 9110, 9.2.2).
    private static let idempotent: Set<HTTPMethod> = [.get, .head, .options, .put, .delete]

    /// How far the service's response is.
    struct Relayed {
        /// Writes its body for the client; nil until the head is sent.
        var writer: HTTPBodyWriter?
        var framing = HTTPFraming.none
        var trailers = HTTPHeaders()
        /// The 101 that makes the connection a tunnel.
        var switchingHead: HTTPResponseHead?
    }

    func backendReady(_ connection: BackendConnection) {
        guard case .connecting = state else { return connection.release() }
        backend = connection
        connection.use(by: self)
        if isServiceSocket { return becomeServiceSocket(connection) }
        guard let forward else { return dropBackend() }
        do throws(HTTPError) {
            try HTTPEncoder.encode(forward, into: &connection.channel.output)
        } catch {
            return refuse(EdgeRefusal(error))
        }
        connection.parser.expect(forward)
        requestBody.writer = HTTPBodyWriter(forward)
        connection.channel.flush()
        state = .awaitingResponse
        guard !requestBody.isComplete else { return }
        if head.expectsContinue, channel.input.isEmpty {
            channel.output.append(HTTPEncoder.continueResponse)
            channel.flush()
        }
        connection.channel.resumeReading()
        if head.framing.hasBody {
            self.connection.watchProgress()
            channel.rereadSoon()
        }
    }

    func backendUnavailable(_ failure: BackendFailure) { refuse(refusal(for: failure)) }

    /// What the client is told; what it may not know goes into the log.
    func refusal(for failure: BackendFailure) -> EdgeRefusal {
        core.shared.log.info(
            "edge_backend_failed", "a request found no way to its service",
            [
                ("request", .string(requestID)), ("service", .string(route?.settings.service ?? "")),
                ("principal", .string(caller.name)), ("reason", .string(failure.reason)),
                ("detail", .string(failure.detail)),
            ])
        switch failure.kind {
        case .denied:
            return .forbidden(reason: failure.reason, detail: "you may not use this service")
        case .unavailable:
            return EdgeRefusal(reason: failure.reason, status: 503, detail: "the service is not available")
        case .overloaded:
            return EdgeRefusal(
                reason: failure.reason, status: 503, detail: "this service has too much to do",
                headers: ["Retry-After": String(max(1, (Int(failure.retryAfter) + 999) / 1_000))])
        case .broken: return EdgeRefusal(reason: failure.reason, status: 502, detail: "the service cannot be reached")
        case .timeout: return EdgeRefusal(reason: failure.reason, status: 504, detail: "the service does not answer")
        }
    }

    func backendReceived(_ connection: BackendConnection) { passResponse() }

    func backendDrained(_ connection: BackendConnection) {
        if !requestBody.isComplete { channel.rereadSoon() }
    }

    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?) {
        backend = nil
        lost(error.reason, error.description, withdrawn: withdrawn)
    }

    /// Passes on what is there of the response.
    func passResponse() {
        guard let backend else { return }
        while true {
            switch state {
            case .awaitingResponse, .responding: break
            default: return
            }
            if channel.isCongested { return connection.watchProgress() }
            do throws(HTTPError) {
                guard let event = try backend.parser.next(&backend.channel.input) else { break }
                try pass(event, from: backend)
            } catch {
                return lost(error.code.rawValue, error.text, withdrawn: backend.withdrawn)
            }
        }
        if case .open = backend.channel.inputEnd {
            backend.channel.resumeReading()
            return
        }
        serviceEnded(backend)
    }

    private func serviceEnded(_ backend: BackendConnection) {
        // Somebody's decision to end the stream is on its way in the same tick, if there was one.
        core.atTickEnd { [weak self] in
            guard let self, self.backend === backend else { return }
            do throws(HTTPError) {
                let isCut =
                    backend.withdrawn != nil || backend.broken != nil || backend.channel.inputEnd == .truncated
                if !isCut, let event = try backend.parser.inputEnded(backend.channel.input) {
                    return try self.pass(event, from: backend)
                }
                self.lost(
                    backend.broken ?? "service_closed", "the service closed the connection",
                    withdrawn: backend.withdrawn)
            } catch {
                self.lost("service_closed", error.text, withdrawn: backend.withdrawn)
            }
        }
    }

    private func pass(_ event: ResponseParser.Event, from backend: BackendConnection) throws(HTTPError) {
        switch event {
        case .interim(let head): try passInterim(head)
        case .head(let head): try passHead(head)
        case .body(let count):
            var failure: HTTPError?
            backend.channel.input.withReadable { bytes in
                do throws(HTTPError) {
                    try relayed.writer?.write(
                        UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: &channel.output)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            backend.parser.take(count, from: &backend.channel.input)
            channel.flush()
            if route?.settings.idleTimeout != .zero { setIdleTime() }
        case .trailers(let trailers): relayed.trailers = trailers
        case .end:
            let fields = relayed.framing == .chunked ? cleanedResponseTrailers : HTTPHeaders()
            try relayed.writer?.finish(trailers: fields, into: &channel.output)
            channel.flush()
            answered()
        case .switched: becomeTunnel(backend)
        }
    }

    private var cleanedResponseTrailers: HTTPHeaders {
        ProtectedFields.cleaned(trailers: relayed.trailers, head: HTTPHeaders())
    }

    private func setIdleTime() {
        if let timeout = route?.settings.idleTimeout.nanoseconds, timeout > 0 {
            connection.setPhaseTime(timeout)
        } else {
            connection.clearPhaseTime()
        }
    }

    /// Passes on an interim response, such as 103 Early Hints (RFC 8297). Not 100: the edge itself has asked for the body.
    /// Clients of HTTP/1.0 know none (RFC 9110, section 15.2), and one that asked for a WebSocket waits for its 101.
    private func passInterim(_ hint: HTTPResponseHead) throws(HTTPError) {
        guard hint.status != 100, head.version == .http11, upgrade == nil else { return }
        try HTTPEncoder.encode(try rewritten(hint, keepsAlive: true), answering: head.method, into: &channel.output)
        channel.flush()
    }

    private func rewritten(
        _ answer: HTTPResponseHead, keepsAlive: Bool
    ) throws(HTTPError) -> HTTPResponseHead {
        do throws(EdgeRefusal) {
            return try responseHead(answer, keepsAlive: keepsAlive)
        } catch {
            throw HTTPError(.badStatusLine, status: 502, error.detail)
        }
    }

    private func passHead(_ answer: HTTPResponseHead) throws(HTTPError) {
        status = answer.status
        if answer.status == 101 {
            relayed.switchingHead = answer
            return
        }
        if firstMessage != nil {
            return refuse(
                EdgeRefusal(
                    .badServiceAnswer, status: 502, "the service answered the WebSocket handshake with \(status)"))
        }
        state = .responding
        setIdleTime()
        connection.setExpiry(atUnixSeconds: caller.expiry)
        closesAfterwards = closesAfterwards || !head.keepsAlive || core.isDraining
        let passed = try rewritten(answer, keepsAlive: !closesAfterwards)
        closesAfterwards = closesAfterwards || passed.framing == .untilClose
        relayed.framing = passed.framing
        try HTTPEncoder.encode(passed, answering: head.method, into: &channel.output)
        relayed.writer = HTTPBodyWriter(passed, answering: head.method)
        channel.flush()
    }

    /// The service, or the way to it, broke off.
    private func lost(_ reason: String, _ detail: String, withdrawn: String?) {
        let wasReused = backend?.isReused ?? true
        switch state {
        case .awaitingResponse:
            let canRetry =
                withdrawn == nil && !wasRetried && wasReused && !head.framing.hasBody
                && Self.idempotent.contains(head.method) && upgrade == nil
            dropBackend()
            if canRetry, let route {
                wasRetried = true
                state = .connecting
                core.counters.backendRetried &+= 1
                core.pool.acquire(
                    BackendKey(service: route.settings.service, acting: caller.acting), for: self, fresh: true)
                return
            }
            let failure = BackendFailure(withdrawn == nil ? .broken : .denied, withdrawn ?? reason, detail)
            refuse(refusal(for: failure))
        case .responding:
            dropBackend()
            fail(withdrawn ?? reason)
        default: dropBackend()
        }
    }

    func dropBackend() {
        let backend = backend
        self.backend = nil
        backend?.reset()
    }

    // MARK: - Tunnels

    private func becomeServiceSocket(_ backend: BackendConnection) {
        guard let upgrade else { return dropBackend() }
        do throws(EdgeRefusal) {
            let tunnel = try ServiceSocket(self, backend, upgrade)
            self.backend = nil
            firstMessage = nil
            status = 101
            state = .ended
            log()
            connection.become(tunnel)
            tunnel.start()
        } catch {
            refuse(error)
        }
    }

    private func becomeTunnel(_ backend: BackendConnection) {
        guard let answer = relayed.switchingHead, let upgrade else {
            return lost("unexpected_upgrade", "the service switched protocols", withdrawn: nil)
        }
        do throws(EdgeRefusal) {
            let tunnel = try WebSocketTunnel(self, backend, answer, upgrade)
            self.backend = nil
            firstMessage = nil
            state = .ended
            log()
            connection.become(tunnel)
            tunnel.start()
        } catch {
            refuse(error)
        }
    }
}
