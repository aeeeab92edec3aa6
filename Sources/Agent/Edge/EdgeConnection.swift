import Bytes
import Documents
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import PKI
import TLS

/// One connection of an external client, from its first byte to its last.
///
/// It begins with what the listener asks for (PROXY header, a look at the first bytes, TLS), then serves HTTP requests
/// one after the other, each by an `EdgeExchange`, until it ends or becomes a tunnel.
final class EdgeConnection: ByteChannelOwner, TimerHandler {
    /// What the connection is doing.
    enum Phase {
        /// Waits for the PROXY header of a trusted proxy.
        case proxyHeader
        /// Waits for the first bytes, which tell TLS from plain HTTP.
        case firstBytes
        /// TLS is being set up.
        case handshake
        /// Waits for a request, or reads its head.
        case idle
        /// A request is under way.
        case request(EdgeExchange)
        /// Bytes are passed on both ways, WebSocket or not.
        case tunnel(any EdgeTunnel)
        /// The last answer is being sent.
        case closing
    }

    /// The tags of the timers.
    private static let phaseTag = 0
    private static let progressTag = 1
    private static let expiryTag = 2
    /// What must move within the body timeout.
    static let leastProgress: UInt64 = 16 << 10

    /// Unique in this run.
    let id: UInt64
    /// The client's socket.
    let channel: ByteChannel
    /// The listener that it came through, by name.
    let listenerName: String
    /// That listener's settings when it came.
    let listener: EdgeListenerRuntime
    unowned let core: EdgeCore
    /// What is known of the other end.
    private(set) var facts: ConnectionFacts
    private(set) var phase = Phase.idle
    /// Reads requests; nil once the connection is a tunnel.
    var parser: RequestParser?
    /// Under which address the connection counts; nil while it does not count.
    private(set) var countedAddress: IPAddress?
    /// For which principal it counts.
    private(set) var countedPrincipal: String?
    /// Somebody proved on this connection who he is.
    var isAuthenticated = false
    private(set) var isClosed = false

    // The place in the list of those that may be closed.
    var isEvictable = false
    var evictionNext: EdgeConnection?
    var evictionPrevious: EdgeConnection?
    /// Since when it waits for its next request, on the loop's clock.
    private var idleSince: UInt64 = 0

    private var phaseDeadline = Deadline()
    private var progressDeadline = Deadline()
    private var expiryDeadline = Deadline()
    private var lastReceived: UInt64 = 0
    private var lastSent: UInt64 = 0
    private var wasStalled = false

    init(
        _ descriptor: consuming FileDescriptor, id: UInt64, facts: ConnectionFacts, listenerName: String,
        listener: EdgeListenerRuntime, core: EdgeCore
    ) {
        self.id = id
        self.facts = facts
        self.listenerName = listenerName
        self.listener = listener
        self.core = core
        channel = ByteChannel(descriptor, parts: core.parts)
        channel.owner = self
    }

    /// The connection's id as clients know it: the loop, the connection, and bits that nobody can guess.
    private(set) lazy var publicID: String = {
        var random = SystemRandomNumberGenerator()
        return "\(core.handle.index)-\(String(id, radix: 36))-\(String(random.next() >> 16, radix: 36))"
    }()

    /// Whether a request or tunnel is under way.
    var isBusy: Bool {
        switch phase {
        case .request, .tunnel, .closing: true
        default: false
        }
    }

    /// What it is doing, for metrics.
    var kind: String {
        switch phase {
        case .proxyHeader, .firstBytes, .handshake: "handshake"
        case .idle, .closing: "idle"
        case .request: "request"
        case .tunnel(let tunnel): tunnel.kind
        }
    }

    // MARK: - The beginning

    /// Puts the connection on the loop and begins with what its listener asks for.
    func start() {
        do throws(SystemError) {
            try channel.start()
        } catch {
            return finish()
        }
        core.evictable.append(self)
        let limits = core.runtime.configuration.limits
        phaseDeadline.set(after: limits.handshakeTimeout.nanoseconds, core.loop, self, tag: Self.phaseTag)
        let isTrusted = listener.trust.trusts(facts.peer)
        if listener.settings.tls == .behindProxy, !isTrusted {
            return refuseConnection("untrusted_peer")
        }
        if listener.settings.proxyProtocol == .require, isTrusted {
            phase = .proxyHeader
        } else {
            begin()
        }
    }

    /// The client's address is known: he is counted, and what speaks TLS begins.
    private func begin() {
        let isTrusted = listener.trust.trusts(facts.peer) && facts.proxyHeader == nil
        let address = listener.trust.address(of: facts)
        if let address, !listener.filter.admits(address) { return refuseConnection("address_not_allowed") }
        // A proxy's connections are those of many clients; they count in total only.
        let key = isTrusted ? nil : address?.limitKey
        let counted = key ?? IPAddress(high: .max, low: id)
        guard core.admit(counted, for: self) else { return refuseConnection("too_many_connections") }
        countedAddress = counted
        switch listener.settings.tls {
        case .disabled, .behindProxy: speakHTTP()
        case .application, .auto:
            phase = .firstBytes
            lookAtFirstBytes()
        }
    }

    private func readProxyHeader() {
        switch ProxyProtocol.parse(&channel.input) {
        case .incomplete:
            if case .open = channel.inputEnd { return }
            refuseConnection("missing_proxy_header")
        case .header(let header):
            facts.proxyHeader = header
            begin()
        case .notProxy: refuseConnection("missing_proxy_header")
        case .invalid(let error): refuseConnection("bad_proxy_header", detail: error.rawValue)
        }
    }

    private func lookAtFirstBytes() {
        switch channel.input.withReadable({ FirstBytes.detect($0) }) {
        case .needMore:
            if case .open = channel.inputEnd {} else { finish() }
        case .tls: startTLS()
        case .http where mayBePlain: speakHTTP()
        case .http: explainPlaintext()
        case .proxyV1, .proxyV2: refuseConnection("untrusted_proxy_header")
        case .other: refuseConnection("not_tls")
        }
    }

    /// In mode `auto`, trusted proxies may speak plain HTTP.
    private var mayBePlain: Bool { listener.settings.tls == .auto && listener.trust.trusts(facts.peer) }

    private func startTLS() {
        if let countedAddress, !core.shared.mayShakeHands(countedAddress, at: core.loop.now) {
            core.counters.limited("handshakes")
            return refuseConnection("too_many_handshakes")
        }
        // Certificates are those of now, also for a connection that came before a reload.
        let context = core.runtime.listeners[listenerName]?.tls ?? listener.tls
        guard let context else { return finish() }
        do throws(TLSError) {
            let session = try TLSSession(contexts: context)
            phase = .handshake
            facts.isTLS = true
            channel.startTLS(session)
        } catch {
            refuseConnection("internal_error", detail: "\(error)")
        }
    }

    /// Plain HTTP on a port that speaks TLS: an answer that a person can read.
    private func explainPlaintext() {
        core.counters.refused("tls_required")
        if parser == nil { parser = RequestParser() }
        var head: HTTPRequestHead?
        do throws(HTTPError) {
            guard case .head(let found)? = try parser?.next(&channel.input) else {
                // The head is not complete yet.
                if case .open = channel.inputEnd { return }
                return finish()
            }
            head = found
        } catch {
            // Then only the explanation is possible.
        }
        let answer: PlaintextAnswer = listener.settings.plaintext == .redirect ? .redirect : .explain
        answerAndClose(
            answer.response(
                to: head, publicOrigin: listener.settings.publicOrigin, hosts: listener.redirectHosts,
                port: Socket.localAddress(channel.socket)?.port ?? 443, requestID: nil),
            to: head?.method ?? .get)
    }

    private func speakHTTP() {
        phase = .idle
        var limits = HTTPLimits()
        limits.head = core.runtime.configuration.limits.header
        limits.fieldLine = min(limits.fieldLine, limits.head)
        parser = RequestParser(limits: limits)
        let timeout = core.runtime.configuration.limits.headerTimeout
        phaseDeadline.set(after: timeout.nanoseconds, core.loop, self, tag: Self.phaseTag)
        if !channel.input.isEmpty { readRequests() }
    }

    // MARK: - The channel

    func channelSecured(_ channel: ByteChannel) {
        guard case .handshake = phase, let session = channel.session else { return }
        core.counters.handshake(session.protocolVersion.map { "\($0)" } ?? "unknown")
        facts.peerHasCertificate = session.peerIdentity != nil
        noticePins(session)
        askStatus(session)
    }

    /// Asks what the issuer says of the client's certificate, where there is somebody to ask, and serves when that is settled.
    private func askStatus(_ session: TLSSession) {
        let settings = listener.settings
        let responder = settings.clientOCSPResponder.flatMap { FetchURL($0) }
        guard let ocsp = core.ocsp, let question = ocsp.question(session.peerChain, settings.clientOCSP, responder)
        else { return statusKnown(.passes) }
        let (id, loop) = (self.id, core.handle)
        ocsp.ask(question) { verdict in loop.submit { $0.statusKnown(id, verdict) } }
    }

    /// The answer. What is revoked stands in the snapshot that the loop has by now.
    func statusKnown(_ verdict: OCSPVerdict) {
        guard case .handshake = phase, !isClosed, let session = channel.session else { return }
        if let entry = core.revoked().entry(for: session.peerChain) {
            return refuseConnection("certificate_revoked", detail: "\(entry.name): \(entry.reason)")
        }
        if case .unknown(let why) = verdict { return refuseConnection("revocation_unknown", detail: why) }
        speakHTTP()
    }

    private func noticePins(_ session: TLSSession) {
        guard let result = session.pinOutcome.code else { return }
        core.counters.pinChecked(result)
        guard case .mismatch(let error) = session.pinOutcome else { return }
        core.shared.log.warning(
            "pin_mismatch", "a client was let in although its certificate matches no pin (report only)",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)),
                ("detail", .string(error.message)), ("hint", .string(error.hint)),
                ("fingerprint", .string(session.peerIdentity?.fingerprint ?? "")),
            ])
    }

    /// Whoever gets here holds a certificate of a CA that the listener trusts.
    private func noticeRefusedPin(_ error: ChannelError) {
        core.counters.pinChecked("refused")
        core.shared.log.warning(
            "pin_mismatch", "a client was refused because its certificate matches no pin",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)), ("detail", .string("\(error)")),
            ])
    }

    func channelReceived(_ channel: ByteChannel) {
        switch phase {
        case .proxyHeader: readProxyHeader()
        case .firstBytes: lookAtFirstBytes()
        case .handshake: break
        case .idle, .request: readRequests()
        case .tunnel(let tunnel): tunnel.clientReceived()
        case .closing: channel.input.removeAll()
        }
    }

    func channelDrained(_ channel: ByteChannel) {
        switch phase {
        case .request(let exchange): exchange.clientDrained()
        case .tunnel(let tunnel): tunnel.clientDrained()
        case .idle: channel.rereadSoon()
        default: break
        }
    }

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        switch phase {
        case .handshake:
            core.counters.handshake(error.reason)
            if error.reason == CertificateReason.pinMismatch.rawValue { noticeRefusedPin(error) }
            core.shared.log.debug(
                "edge_handshake_failed", "a client's TLS handshake failed",
                [("client", .string(clientText)), ("reason", .string(error.reason)), ("detail", .string("\(error)"))])
        case .request(let exchange): exchange.clientLost(error.reason)
        case .tunnel(let tunnel): tunnel.clientLost(error.reason)
        default: break
        }
        finish()
    }

    // MARK: - Requests

    /// Reads what is there: heads begin requests, bodies go to the one under way.
    func readRequests() {
        reading: while !isClosed {
            switch phase {
            // Whoever does not take his answers gets no further ones.
            case .idle where channel.isCongested: break reading
            case .idle, .request: break
            default: break reading
            }
            if case .request(let exchange) = phase, !exchange.takesBody { break }
            do throws(HTTPError) {
                guard let event = try parser?.next(&channel.input) else { break reading }
                switch event {
                case .head(let head): begin(head)
                case .body(let count):
                    guard case .request(let exchange) = phase else { break reading }
                    let taken = exchange.takeBody(count)
                    if isClosed { return }
                    if case .request = phase { parser?.take(taken, from: &channel.input) }
                    if taken < count { break reading }
                case .trailers(let trailers):
                    if case .request(let exchange) = phase { exchange.requestTrailers = trailers }
                case .end:
                    if case .request(let exchange) = phase { exchange.requestEnded() }
                }
            } catch {
                refuseMessage(error)
                return
            }
        }
        guard !isClosed else { return }
        noteInput()
    }

    /// After reading: the end of the input, timeouts, and more input if there is room for it.
    private func noteInput() {
        if case .open = channel.inputEnd {} else { return clientEnded() }
        if case .idle = phase, parser?.isIdle == false { startHeaderTime() }
        channel.resumeReading()
    }

    private var headerTimeRuns = false

    private func startHeaderTime() {
        guard !headerTimeRuns else { return }
        headerTimeRuns = true
        let timeout = core.runtime.configuration.limits.headerTimeout
        phaseDeadline.set(after: timeout.nanoseconds, core.loop, self, tag: Self.phaseTag)
    }

    private func clientEnded() {
        switch phase {
        case .request(let exchange): exchange.clientEnded()
        // What was answered may still wait to be sent.
        case .idle: closeAfterWriting()
        default: break
        }
    }

    private func begin(_ head: HTTPRequestHead) {
        headerTimeRuns = false
        core.evictable.remove(self)
        phaseDeadline.clear()
        let exchange = EdgeExchange(head, self)
        phase = .request(exchange)
        exchange.start()
    }

    /// The message itself is malformed.
    private func refuseMessage(_ error: HTTPError) {
        core.counters.refused(error.code.rawValue)
        if case .request(let exchange) = phase {
            exchange.requestBroken(error)
            return
        }
        core.shared.log.info(
            "edge_bad_request", "a malformed request was refused",
            [("client", .string(clientText)), ("reason", .string(error.code.rawValue))])
        answerAndClose(EdgeRefusal(error).response(requestID: nil), to: .get)
    }

    /// The exchange is over; its response was written whole. The next request may follow.
    func exchangeEnded(keepAlive: Bool) {
        guard !isClosed, case .request = phase else { return }
        progressDeadline.clear()
        expiryDeadline.clear()
        guard keepAlive, !core.isDraining, parser?.isEnded == true else { return closeAfterWriting() }
        parser?.proceed()
        guard parser?.isFinished == false else { return closeAfterWriting() }
        phase = .idle
        idleSince = core.loop.now
        core.evictable.append(self)
        phaseDeadline.set(
            after: core.runtime.configuration.limits.idleTimeout.nanoseconds, core.loop, self, tag: Self.phaseTag)
        channel.flush()
        // Pipelined requests are here already. Not from inside the exchange that has just ended.
        if !channel.input.isEmpty { channel.rereadSoon() } else { noteInput() }
    }

    /// The connection becomes a tunnel.
    func become(_ tunnel: any EdgeTunnel) {
        parser = nil
        phaseDeadline.clear()
        phase = .tunnel(tunnel)
    }

    /// Answers without an exchange, and closes.
    private func answerAndClose(_ response: HTTPResponse, to method: HTTPMethod) {
        do throws(HTTPError) {
            try response.encode(answering: method, into: &channel.output)
        } catch {
            return finish()
        }
        closeAfterWriting()
    }

    // MARK: - Time

    /// Time for the present phase; replaces the one that runs.
    func setPhaseTime(_ nanoseconds: UInt64) {
        phaseDeadline.set(after: nanoseconds, core.loop, self, tag: Self.phaseTag)
    }

    /// No time runs for the present phase.
    func clearPhaseTime() { phaseDeadline.clear() }

    /// Looks after the body timeout whether enough has moved; nothing happens where it is looked at already.
    func watchProgress() {
        guard progressDeadline.time == nil, !isClosed else { return }
        lastReceived = channel.bytesReceived
        lastSent = channel.bytesSent
        wasStalled = channel.waitingBytes > 0
        setProgressTime()
    }

    private func setProgressTime() {
        progressDeadline.set(
            after: core.runtime.configuration.limits.bodyTimeout.nanoseconds, core.loop, self, tag: Self.progressTag)
    }

    /// When the right to the connection ends; nil: never.
    func setExpiry(atUnixSeconds expiry: Int64?) {
        guard let expiry else { return expiryDeadline.clear() }
        let left = max(0, expiry - Clock.unixSeconds())
        let (nanoseconds, overflow) = UInt64(left).multipliedReportingOverflow(by: Clock.second)
        expiryDeadline.set(after: overflow ? .max : nanoseconds, core.loop, self, tag: Self.expiryTag)
    }

    func timerFired(tag: Int, loop: EventLoop) {
        guard !isClosed else { return }
        switch tag {
        case Self.phaseTag:
            if phaseDeadline.fired(loop, self, tag: tag) { phaseTimedOut() }
        case Self.progressTag:
            if progressDeadline.fired(loop, self, tag: tag) { lookAtProgress() }
        default:
            if expiryDeadline.fired(loop, self, tag: tag) { recheck() }
        }
    }

    private func phaseTimedOut() {
        switch phase {
        case .proxyHeader, .firstBytes, .handshake:
            core.counters.limited("handshake_timeout")
            if case .handshake = phase { core.counters.handshake("handshake_timeout") }
            finish()
        case .idle:
            guard parser?.isIdle == false else { return closeAfterWriting() }
            core.counters.limited("header_timeout")
            let refusal = EdgeRefusal(
                reason: "header_timeout", status: 408, detail: "the request's head did not arrive in time",
                closesConnection: true)
            answerAndClose(refusal.response(requestID: nil), to: .get)
        case .request(let exchange): exchange.timedOut()
        case .tunnel(let tunnel): tunnel.timedOut()
        case .closing: finish()
        }
    }

    private func lookAtProgress() {
        let received = channel.bytesReceived &- lastReceived
        let sent = channel.bytesSent &- lastSent
        let isStalled = channel.waitingBytes > 0
        if wasStalled, isStalled, sent < Self.leastProgress {
            core.counters.limited("body_timeout")
            return clientTooSlow("the client does not take its answer")
        }
        var isWatched = isStalled
        if case .request(let exchange) = phase, exchange.awaitsBody {
            if received < Self.leastProgress {
                core.counters.limited("body_timeout")
                return exchange.bodyTimedOut()
            }
            isWatched = true
        }
        lastReceived = channel.bytesReceived
        lastSent = channel.bytesSent
        wasStalled = isStalled
        if isWatched { setProgressTime() }
    }

    private func clientTooSlow(_ text: String) {
        switch phase {
        case .request(let exchange): exchange.clientLost("client_too_slow")
        case .tunnel(let tunnel): tunnel.clientLost("client_too_slow")
        default: break
        }
        channel.reset()
        finish()
    }

    // MARK: - The end

    /// Looks again whether the client may go on: after a change of policy, keys or revocations, and when a token ends.
    func recheck() {
        // Who is not let in yet is looked at when he is.
        if case .handshake = phase { return }
        if let session = channel.session, let entry = core.revoked().entry(for: session.peerChain) {
            return revoked(entry)
        }
        switch phase {
        case .request(let exchange): exchange.recheck()
        case .tunnel(let tunnel): tunnel.recheck()
        default: break
        }
    }

    /// The certificate by which the client came in is revoked: the connection ends, whatever it does.
    private func revoked(_ entry: RevocationEntry) {
        guard !isClosed else { return }
        core.counters.ended("certificate_revoked")
        core.shared.log.warning(
            "edge_certificate_revoked", "a connection was closed because its client's certificate is revoked",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)), ("entry", .string(entry.name)),
                ("why", .string(entry.reason)),
            ])
        switch phase {
        case .request(let exchange): exchange.clientLost("certificate_revoked")
        case .tunnel(let tunnel): tunnel.clientLost("certificate_revoked")
        default: break
        }
        channel.reset()
        finish()
    }

    /// Goes on with a new token of the same client; nil, or why not.
    func renew(_ authenticated: Authenticated) -> EdgeRefusal? {
        switch phase {
        case .request(let exchange): exchange.renew(authenticated)
        case .tunnel(let tunnel): tunnel.renew(authenticated)
        default:
            EdgeRefusal(
                reason: "unknown_connection", status: 404, detail: "nothing is under way on this connection")
        }
    }

    /// Counts the connection for a principal; false where he has too many.
    func count(principal: String) -> Bool {
        if countedPrincipal == principal { return true }
        if let countedPrincipal { core.shared.leave(principal: countedPrincipal) }
        countedPrincipal = nil
        guard core.shared.admit(principal: principal) else {
            core.counters.limited("connections_per_principal")
            return false
        }
        countedPrincipal = principal
        return true
    }

    /// Whether it may be closed to make room: not while its last answer is still being sent, for as long as a body may take.
    func mayBeEvicted(at now: UInt64) -> Bool {
        channel.waitingBytes == 0 || now &- idleSince > core.runtime.configuration.limits.bodyTimeout.nanoseconds
    }

    /// Leaves its place to somebody else: it does not count any more. The address under which it counted.
    func leavePlace() -> IPAddress? {
        defer { countedAddress = nil }
        return countedAddress
    }

    /// Makes room for somebody else.
    func evict() {
        core.counters.ended("evicted")
        if case .tunnel(let tunnel) = phase { tunnel.clientLost("evicted") }
        finish()
    }

    /// The agent drains: whoever waits is closed, the others after their answer.
    func drain() {
        switch phase {
        case .request, .tunnel, .closing: break
        default: finish()
        }
    }

    /// Bytes are passed on both ways.
    var isTunnel: Bool { if case .tunnel = phase { true } else { false } }

    /// Tells the client of a tunnel that the agent stops, and ends it.
    func sayGoodbye() {
        if case .tunnel(let tunnel) = phase { tunnel.end(Self.goingAway) }
    }

    private static let goingAway = EdgeRefusal(.goingAway, status: 503, "the agent stops")

    /// Ends the connection and what is under way on it.
    func abort() {
        if case .request(let exchange) = phase { exchange.clientLost(Self.goingAway.reason) }
        sayGoodbye()
        finish()
    }

    /// Turns the connection away before anything was said.
    private func refuseConnection(_ reason: String, detail: String = "") {
        core.counters.refused(reason)
        core.shared.log.info(
            "edge_connection_refused", "a connection was refused",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)), ("reason", .string(reason)),
                ("detail", .string(detail)),
            ])
        channel.reset()
        finish()
    }

    /// Sends what waits and closes.
    func closeAfterWriting() {
        guard !isClosed else { return }
        phase = .closing
        channel.closeAfterWriting()
        finish()
    }

    /// The connection is over for the edge; a channel that still sends closes itself.
    func finish() {
        guard !isClosed else { return }
        isClosed = true
        phase = .closing
        phaseDeadline.cancel(core.loop)
        progressDeadline.cancel(core.loop)
        expiryDeadline.cancel(core.loop)
        if let countedAddress {
            // One that still sends its last answer counts until its socket is closed.
            channel.whenClosed = { [shared = core.shared] in shared.leave(countedAddress) }
        }
        countedAddress = nil
        if !channel.isLingering { channel.close() }
        if let countedPrincipal { core.shared.leave(principal: countedPrincipal) }
        countedPrincipal = nil
        core.closed(self)
    }

    /// The socket's other end, for logs.
    var clientText: String {
        switch facts.peer {
        case .address(let address, let port): address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        case .unix: "unix"
        }
    }
}

/// What a connection has become after its last request.
protocol EdgeTunnel: AnyObject {
    /// For metrics: websocket, connect.
    var kind: String { get }
    /// There are bytes of the client, or their end.
    func clientReceived()
    /// The client takes bytes again.
    func clientDrained()
    /// The client is gone.
    func clientLost(_ reason: String)
    /// The time that was set is over.
    func timedOut()
    /// Looks again whether it may go on.
    func recheck()
    /// Ends it, telling the client why.
    func end(_ refusal: EdgeRefusal)
    /// Goes on with a new token of the same client; nil, or why not.
    func renew(_ authenticated: Authenticated) -> EdgeRefusal?
}
