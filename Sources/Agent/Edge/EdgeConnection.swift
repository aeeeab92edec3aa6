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
    private static let certificateTag = 3

    /// When its TLS handshake began, on the loop's clock.
    var handshakeBegan: UInt64 = 0
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
    var facts: ConnectionFacts
    var phase = Phase.idle
    /// Reads requests; nil once the connection is a tunnel.
    var parser: RequestParser?
    /// Under which address the connection counts; nil while it does not count.
    var countedAddress: IPAddress?
    /// For which principal it counts.
    var countedPrincipal: String?
    /// Somebody proved on this connection who he is.
    var isAuthenticated = false
    var isClosed = false

    // The place in the list of those that may be closed.
    var isEvictable = false
    var evictionNext: EdgeConnection?
    var evictionPrevious: EdgeConnection?
    /// Since when it waits for its next request, on the loop's clock.
    var idleSince: UInt64 = 0

    private var phaseDeadline = Deadline()
    private var progressDeadline = Deadline()
    private var progress = ProgressWatch()
    private var expiryDeadline = Deadline()
    private var certificateDeadline = Deadline()
    /// When the certificate of the TLS connection ends, or the first of those above it (unix seconds); nil without one.
    private(set) var certificateEnd: Int64?

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

    // MARK: - The channel

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
        case .handshake: noticeFailedHandshake(error)
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
        // Also where a timer did not run because the host slept.
        if isCertificateOver { return refuseExpired(head.method) }
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
        guard keepAlive, !core.isDraining, !isCertificateOver, parser?.isEnded == true else {
            return closeAfterWriting()
        }
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
    func answerAndClose(_ response: HTTPResponse, to method: HTTPMethod) {
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

    /// Nothing is timed any more: the connection is over.
    func cancelTimers() {
        phaseDeadline.cancel(core.loop)
        progressDeadline.cancel(core.loop)
        expiryDeadline.cancel(core.loop)
        certificateDeadline.cancel(core.loop)
    }

    /// No time runs for the present phase.
    func clearPhaseTime() { phaseDeadline.clear() }

    /// Looks after the body timeout whether enough has moved; nothing happens where it is looked at already.
    func watchProgress() {
        guard progressDeadline.time == nil, !isClosed else { return }
        progress = ProgressWatch(channel)
        setProgressTime()
    }

    private func setProgressTime() {
        progressDeadline.set(
            after: core.runtime.configuration.limits.bodyTimeout.nanoseconds, core.loop, self, tag: Self.progressTag)
    }

    /// When the right to the connection ends; nil: never.
    func setExpiry(atUnixSeconds expiry: Int64?) {
        guard let expiry else { return expiryDeadline.clear() }
        expiryDeadline.set(after: Self.nanoseconds(until: expiry), core.loop, self, tag: Self.expiryTag)
    }

    /// The connection lives no longer than the certificates by which its client came in.
    func setCertificateEnd(_ chain: [Certificate]) {
        certificateEnd = chain.map(\.notAfter).min()
        guard let certificateEnd else { return certificateDeadline.clear() }
        certificateDeadline.set(
            after: Self.nanoseconds(until: certificateEnd), core.loop, self, tag: Self.certificateTag)
    }

    /// Whether that end has come.
    var isCertificateOver: Bool { certificateEnd.map { $0 <= Clock.unixSeconds() } ?? false }

    private static func nanoseconds(until end: Int64) -> UInt64 {
        let left = max(0, end - Clock.unixSeconds())
        let (nanoseconds, overflow) = UInt64(left).multipliedReportingOverflow(by: Clock.second)
        return overflow ? .max : nanoseconds
    }

    func timerFired(tag: Int, loop: EventLoop) {
        guard !isClosed else { return }
        switch tag {
        case Self.phaseTag:
            if phaseDeadline.fired(loop, self, tag: tag) { phaseTimedOut() }
        case Self.progressTag:
            if progressDeadline.fired(loop, self, tag: tag) { lookAtProgress() }
        case Self.certificateTag:
            if certificateDeadline.fired(loop, self, tag: tag) { lookAtCertificateEnd() }
        default:
            if expiryDeadline.fired(loop, self, tag: tag) { recheck() }
        }
    }

    private func phaseTimedOut() {
        switch phase {
        case .proxyHeader, .firstBytes, .handshake:
            core.counters.limited("handshake_timeout")
            if case .handshake = phase { core.counters.handshakeFailed("handshake_timeout") }
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
        var exchange: EdgeExchange?
        if case .request(let current) = phase, current.awaitsBody { exchange = current }
        switch progress.look(channel, awaitsBody: exchange != nil) {
        case .takesTooLittle:
            core.counters.limited("body_timeout")
            clientTooSlow("the client does not take its answer")
        case .sendsTooLittle:
            core.counters.limited("body_timeout")
            exchange?.bodyTimedOut()
        case .moves: setProgressTime()
        case .idle: break
        }
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

    /// The socket's other end, for logs.
    var clientText: String {
        switch facts.peer {
        case .address(let address, let port): address.isIPv4 ? "\(address):\(port)" : "[\(address)]:\(port)"
        case .unix: "unix"
        }
    }
}
