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

    /// The request's head as the service gets it.
    var forward: HTTPRequestHead?
    /// The connection to the service, while it is the exchange's.
    var backend: BackendConnection?
    var requestBody = RequestBody()
    var relayed = Relayed()
    var wasRetried = false
    var closesAfterwards = false
    var status = 0
    var reason: String?
    private var isLogged = false

    init(_ head: HTTPRequestHead, _ connection: EdgeConnection) {
        self.head = head
        self.connection = connection
        core = connection.core
        startedAt = core.loop.now
        requestID =
            String(core.random.next() | 1 << 63, radix: 16) + String(core.random.next() | 1 << 63, radix: 16)
    }

    var channel: ByteChannel { connection.channel }

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

    /// The client has sent its end of file: it is gone. There are clients that half-close and wait, and nobody can tell
    /// them from those that have given up; the service must learn of the latter, who are many (nginx decides so too).
    func clientEnded() {
        if case .answered = state { return }
        fail("client_closed")
    }

    // MARK: - The end

    /// The response was passed on whole.
    func answered() {
        state = .answered
        connection.clearPhaseTime()
        let backend = backend
        self.backend = nil
        if requestBody.isComplete {
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
    func end(closing: Bool = false) {
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
        if head.framing.hasBody, !requestBody.isComplete { refusal.closesConnection = true }
        closesAfterwards = closesAfterwards || refusal.closesConnection
        var response = refusal.response(requestID: requestID.isEmpty ? nil : requestID)
        answer(&response)
    }

    /// Writes a whole answer of the edge.
    func answer(_ response: inout HTTPResponse) {
        status = response.head.status
        requestBody.isDiscarded = true
        // A body that nobody wants is not waited for: it could take for ever.
        let hasRest = head.framing.hasBody && !requestBody.isComplete
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
        } else if requestBody.isComplete {
            end()
        }
        // A request without body is complete with the next event.
    }

    /// The answer cannot be completed: the client learns it by the connection's end.
    func fail(_ reason: String) {
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
        connection.setExpiry(atUnixSeconds: state == .responding ? caller.expiry : nil)
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
        connection.setExpiry(atUnixSeconds: caller.expiry)
        return nil
    }

    // MARK: - Records

    func log() {
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
                ("reason", reason.map { .string($0) } ?? .null), ("bodyBytes", .init(requestBody.bytes)),
                ("milliseconds", .init(Int(nanoseconds / 1_000_000))),
            ])
    }
}
