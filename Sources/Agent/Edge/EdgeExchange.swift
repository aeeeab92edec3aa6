import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import TLS

/// One request of a client and its answer: who asks, where it goes, and the bytes of both bodies as they come.
///
/// Nothing is collected: a body moves on as far as the other side takes it, and the rest stays in the socket it comes
/// from.
final class EdgeExchange: BackendUser, BackendWaiter {
    /// How far it is.
    enum State {
        /// Keys of an issuer are being fetched before the client can be judged.
        case authenticating
        /// The body of a request for the edge itself is coming.
        case collecting
        /// Waits for a connection to the service.
        case connecting
        /// The request is being sent; no response yet.
        case awaitingResponse
        /// The response is being passed on.
        case responding
        /// The response is complete.
        case answered
        /// Over.
        case ended
    }

    /// Methods that may be sent twice (RFC 9110, 9.2.2).
    private static let idempotent: Set<HTTPMethod> = [.get, .head, .options, .put, .delete]

    let head: HTTPRequestHead
    unowned let connection: EdgeConnection
    let core: EdgeCore
    let startedAt: UInt64
    /// What the client is told to find it in the logs by.
    var requestID = ""
    var client: ClientInfo?
    /// The client's certificate, where it has one.
    var certificate: ClientCertificate?
    var route: EdgeRouteRuntime?
    var match: RouteMatch?
    var upgrade: WebSocketUpgrade?
    var caller = EdgeCaller.anonymous(commonName: nil)
    /// The credential that was used.
    var presented: PresentedCredential?
    /// The client's next DPoP proof needs this.
    var dpopNonce: String?
    /// Trailers of the request.
    var requestTrailers = HTTPHeaders()
    var state = State.authenticating
    /// The request asks for a TCP service as a WebSocket.
    var isServiceSocket = false
    /// The client has its 101 already, and authenticated (or will) with its first message.
    var firstMessage: FirstMessage?

    private var forward: HTTPRequestHead?
    private var backend: BackendConnection?
    private var requestWriter: HTTPBodyWriter?
    private var responseWriter: HTTPBodyWriter?
    private var isRequestComplete = false
    private var discardsBody = false
    private var wasRetried = false
    private var closesAfterwards = false
    private var bodyBytes = 0
    private var status = 0
    private var reason: String?
    private var isLogged = false

    init(_ head: HTTPRequestHead, _ connection: EdgeConnection) {
        self.head = head
        self.connection = connection
        core = connection.core
        startedAt = core.loop.now
        requestID =
            String(core.random.next() | 1 << 63, radix: 16) + String(core.random.next() | 1 << 63, radix: 16)
    }

    private var channel: ByteChannel { connection.channel }

    // MARK: - The request

    /// Decides about the request and sends it on its way.
    func start() {
        do throws(EdgeRefusal) {
            try admit()
        } catch {
            refuse(error)
        }
    }

    /// Everything was decided: `forward` goes to the service, if there is anything to be forwarded.
    func send(_ forward: HTTPRequestHead?) {
        guard let route else { return }
        self.forward = forward
        state = .connecting
        connection.setPhaseTime(route.settings.timeout.nanoseconds)
        let key = BackendKey(service: route.settings.service, acting: caller.acting)
        if upgrade == nil { core.pool.acquire(key, for: self) } else { core.pool.acquireOwn(key, for: self) }
    }

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

    /// Whether the request's body can be taken now.
    var takesBody: Bool {
        if isRequestComplete { return false }
        if collected != nil { return true }
        if discardsBody || !head.framing.hasBody { return true }
        guard let backend, case .awaitingResponse = state else {
            if case .responding = state, let backend { return !backend.channel.isCongested }
            return false
        }
        return !backend.channel.isCongested
    }

    /// The client is expected to send more of its body.
    var awaitsBody: Bool { !isRequestComplete && takesBody && head.framing.hasBody }

    private var collected: (atMost: Int, bytes: [UInt8], then: Collected)?

    /// What is done with a body that was collected.
    typealias Collected = (EdgeExchange, [UInt8]) throws(EdgeRefusal) -> Void

    /// Collects the body of a request for the edge itself; `then` is called when it is complete.
    func collect(atMost: Int, then: @escaping Collected) {
        state = .collecting
        connection.setPhaseTime(core.runtime.configuration.limits.bodyTimeout.nanoseconds)
        collected = (atMost, [], then)
        if head.expectsContinue, channel.input.isEmpty {
            channel.output.append(HTTPEncoder.continueResponse)
            channel.flush()
        }
    }

    private func collectedAll() {
        guard let collected else { return }
        self.collected = nil
        do throws(EdgeRefusal) {
            try collected.then(self, collected.bytes)
        } catch {
            refuse(error)
        }
    }

    /// Takes `count` bytes of the body, at the front of the client's input; returns how many were taken. The caller removes
    /// them: a refusal may already have thrown away the whole input.
    func takeBody(_ count: Int) -> Int {
        bodyBytes += count
        if let limit = collected?.atMost {
            guard bodyBytes <= limit else {
                refuse(
                    EdgeRefusal(reason: "body_too_large", status: 413, detail: "the body is larger than \(limit) bytes")
                )
                return count
            }
            channel.input.withReadable { collected?.bytes += UnsafeRawBufferPointer(rebasing: $0[..<count]) }
            return count
        }
        if discardsBody { return count }
        guard bodyBytes <= route?.settings.maximumBody ?? .max else {
            refuse(
                EdgeRefusal(
                    reason: "body_too_large", status: 413,
                    detail: "the body is larger than the \(route?.settings.maximumBody ?? 0) bytes allowed here",
                    closesConnection: true))
            return count
        }
        guard let backend else { return 0 }
        var failure: HTTPError?
        channel.input.withReadable { bytes in
            do throws(HTTPError) {
                try requestWriter?.write(
                    UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: &backend.channel.output)
            } catch {
                failure = error
            }
        }
        // Not while the input is being read: refusing may throw it away.
        if let failure {
            refuse(EdgeRefusal(failure))
            return count
        }
        backend.channel.flush()
        connection.watchProgress()
        return count
    }

    /// The request is complete.
    func requestEnded() {
        isRequestComplete = true
        if case .collecting = state { return collectedAll() }
        if let backend, !discardsBody {
            do throws(HTTPError) {
                let fields = ProtectedFields.cleaned(trailers: requestTrailers, head: head.headers)
                try requestWriter?.finish(
                    trailers: forward?.framing == .chunked ? fields : HTTPHeaders(), into: &backend.channel.output)
            } catch {
                return refuse(EdgeRefusal(error))
            }
            backend.channel.flush()
        }
        if case .answered = state { end() }
    }

    /// The rest of the request is malformed: where it ends is not known.
    func requestBroken(_ error: HTTPError) {
        isRequestComplete = false
        refuse(EdgeRefusal(error))
    }

    /// The client has sent its end of file: it is gone. There are clients that half-close and wait, and nobody can tell
    /// them from those that have given up; the service must learn of the latter, who are many (nginx decides so too).
    func clientEnded() {
        if case .answered = state { return }
        fail("client_closed")
    }

    private var responseFraming = HTTPFraming.none

    // MARK: - The service

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
        requestWriter = HTTPBodyWriter(forward)
        connection.channel.flush()
        state = .awaitingResponse
        guard !isRequestComplete else { return }
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
                reason: failure.reason, status: 503, detail: "too many requests wait for this service",
                headers: ["Retry-After": "1"])
        case .broken: return EdgeRefusal(reason: failure.reason, status: 502, detail: "the service cannot be reached")
        case .timeout: return EdgeRefusal(reason: failure.reason, status: 504, detail: "the service does not answer")
        }
    }

    func backendReceived(_ connection: BackendConnection) { passResponse() }

    func backendDrained(_ connection: BackendConnection) {
        if !isRequestComplete { channel.rereadSoon() }
    }

    func backendLost(_ connection: BackendConnection, _ error: ChannelError, withdrawn: String?) {
        backend = nil
        lost(error.reason, error.description, withdrawn: withdrawn)
    }

    /// Passes on what is there of the response.
    private func passResponse() {
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
                    try responseWriter?.write(
                        UnsafeRawBufferPointer(rebasing: bytes[..<count]), into: &channel.output)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            backend.parser.take(count, from: &backend.channel.input)
            channel.flush()
            if route?.settings.idleTimeout != .zero { setIdleTime() }
        case .trailers(let trailers): responseTrailers = trailers
        case .end:
            let fields = responseFraming == .chunked ? cleanedResponseTrailers : HTTPHeaders()
            try responseWriter?.finish(trailers: fields, into: &channel.output)
            channel.flush()
            answered()
        case .switched: becomeTunnel(backend)
        }
    }

    private var responseTrailers = HTTPHeaders()

    private var cleanedResponseTrailers: HTTPHeaders {
        ProtectedFields.cleaned(trailers: responseTrailers, head: HTTPHeaders())
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
            switchingHead = answer
            return
        }
        if firstMessage != nil {
            return refuse(
                EdgeRefusal(
                    .badServiceAnswer, status: 502, "the service answered the WebSocket handshake with \(status)"))
        }
        state = .responding
        setIdleTime()
        connection.setExpiry(atUnixSeconds: caller.authenticated?.expiry)
        closesAfterwards = closesAfterwards || !head.keepsAlive || core.isDraining
        let passed = try rewritten(answer, keepsAlive: !closesAfterwards)
        closesAfterwards = closesAfterwards || passed.framing == .untilClose
        responseFraming = passed.framing
        try HTTPEncoder.encode(passed, answering: head.method, into: &channel.output)
        responseWriter = HTTPBodyWriter(passed, answering: head.method)
        channel.flush()
    }

    private var switchingHead: HTTPResponseHead?

    /// The response was passed on whole.
    private func answered() {
        state = .answered
        connection.clearPhaseTime()
        let backend = backend
        self.backend = nil
        if isRequestComplete {
            backend?.release()
            end()
        } else {
            // The service has answered before it had the whole request: its connection is of no use.
            backend?.close()
            if head.framing.hasBody {
                // What is still coming is not worth waiting for.
                end(closing: true)
            }
        }
    }

    /// Everything is over; the next request may come.
    private func end(closing: Bool = false) {
        if case .ended = state { return }
        state = .ended
        log()
        connection.exchangeEnded(keepAlive: !closing && !closesAfterwards)
    }

    // MARK: - What goes wrong

    /// The edge answers instead of the service.
    func refuse(_ refusal: EdgeRefusal) {
        switch state {
        case .ended, .answered: return
        case .responding: return fail(refusal.reason)
        default: break
        }
        core.counters.refused(refusal.reason)
        reason = refusal.reason
        status = refusal.status
        dropBackend()
        if let firstMessage {
            state = .ended
            log()
            return firstMessage.end(refusal)
        }
        var refusal = refusal
        if head.framing.hasBody, !isRequestComplete { refusal.closesConnection = true }
        closesAfterwards = closesAfterwards || refusal.closesConnection
        var response = refusal.response(requestID: requestID.isEmpty ? nil : requestID)
        answer(&response)
    }

    /// Writes a whole answer of the edge.
    func answer(_ response: inout HTTPResponse) {
        status = response.head.status
        discardsBody = true
        // A body that nobody wants is not waited for: it could take for ever.
        let hasRest = head.framing.hasBody && !isRequestComplete
        closesAfterwards = closesAfterwards || hasRest || !head.keepsAlive || core.isDraining
        response = decorated(response, keepsAlive: !closesAfterwards)
        do throws(HTTPError) {
            try response.encode(answering: head.method, into: &channel.output)
        } catch {
            return fail("internal_error")
        }
        channel.flush()
        state = .answered
        connection.clearPhaseTime()
        if closesAfterwards {
            end(closing: true)
        } else if isRequestComplete {
            end()
        }
        // A request without body is complete with the next event.
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

    private func dropBackend() {
        let backend = backend
        self.backend = nil
        backend?.reset()
    }

    /// The answer cannot be completed: the client learns it by the connection's end.
    private func fail(_ reason: String) {
        if case .ended = state { return }
        self.reason = reason
        state = .ended
        dropBackend()
        log()
        channel.reset()
        connection.finish()
    }

    /// The client is gone.
    func clientLost(_ reason: String) {
        if case .ended = state { return }
        state = .ended
        self.reason = reason
        dropBackend()
        log()
    }

    /// The client takes bytes again.
    func clientDrained() { passResponse() }

    /// The service did not begin to answer in time, or nothing moved for too long.
    func timedOut() {
        switch state {
        case .authenticating:
            refuse(EdgeRefusal(reason: "keys_unavailable", status: 503, detail: "the issuer's keys cannot be fetched"))
        case .responding: fail("idle_timeout")
        case .collecting: bodyTimedOut()
        default:
            refuse(
                refusal(
                    for: BackendFailure(.timeout, "service_timeout", "no response within the route's timeout")))
        }
    }

    /// The client does not send its body fast enough.
    func bodyTimedOut() {
        refuse(
            EdgeRefusal(
                reason: "body_timeout", status: 408, detail: "the request's body did not arrive in time",
                closesConnection: true))
    }

    /// Looks again whether the client may go on.
    func recheck() {
        switch state {
        case .connecting, .awaitingResponse, .responding: break
        default: return
        }
        if let route, let refusal = core.refusal(of: caller, service: route.settings.service) {
            core.counters.ended(refusal.reason)
            return refuse(refusal)
        }
        connection.setExpiry(atUnixSeconds: state == .responding ? caller.authenticated?.expiry : nil)
    }

    /// Goes on with a new token of the same client; nil, or why not.
    func renew(_ authenticated: Authenticated) -> EdgeRefusal? {
        guard case .responding = state, let settings = route?.settings else {
            return .forbidden(reason: "other_client", detail: "the connection belongs to another client")
        }
        do throws(EdgeRefusal) {
            caller = try core.renewed(caller, authenticated, scopes: settings.scopes, service: settings.service)
        } catch {
            return error
        }
        connection.setExpiry(atUnixSeconds: authenticated.expiry)
        return nil
    }

    // MARK: - Tunnels

    private func becomeTunnel(_ backend: BackendConnection) {
        guard let answer = switchingHead, let upgrade else {
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

    // MARK: - Records

    private func log() {
        guard !isLogged else { return }
        isLogged = true
        let nanoseconds = core.loop.now &- startedAt
        core.counters.request(
            route: route?.name ?? "none", status: status, seconds: Double(nanoseconds) / 1e9)
        core.shared.log.info(
            "edge_request", "\(head.method) \(head.path) \(status)",
            [
                ("request", .string(requestID)), ("listener", .string(connection.listenerName)),
                ("client", .string(client?.address?.description ?? connection.clientText)),
                ("tls", (connection.channel.session?.protocolVersion?.rawValue).map { .string($0) } ?? .null),
                ("method", .string(head.method.rawValue)),
                ("host", .string(client?.host?.description ?? "")), ("path", .string(head.path)),
                ("route", .string(route?.name ?? "")), ("service", .string(route?.settings.service ?? "")),
                ("principal", .string(caller.name)), ("status", .init(status)),
                ("reason", reason.map { .string($0) } ?? .null), ("bodyBytes", .init(bodyBytes)),
                ("milliseconds", .init(Int(nanoseconds / 1_000_000))),
            ])
    }
}
