import Bytes
import EventLoop
import Gateway
import HTTP
import JOSE
import WebSocket

/// A WebSocket whose client has got the 101 from the edge itself and must prove with its first message who it is. Nothing
/// reaches the service before; a refusal is a close frame.
final class FirstMessage: EdgeTunnel {
    let kind = "handshake"
    private let exchange: EdgeExchange
    private unowned let connection: EdgeConnection
    private let core: EdgeCore
    private var auth = InBandAuth(.first)
    private var hasCredential = false
    private var isEnded = false

    /// Answers the handshake of `exchange` with the edge's own 101.
    init(_ exchange: EdgeExchange, _ upgrade: WebSocketUpgrade) throws(EdgeRefusal) {
        self.exchange = exchange
        connection = exchange.connection
        core = exchange.core
        do throws(HTTPError) {
            var head = upgrade.edgeAnswer()
            head.headers.append("X-Request-Id", exchange.requestID)
            try HTTPEncoder.encode(head, into: &connection.channel.output)
        } catch {
            throw EdgeRefusal(error)
        }
    }

    /// Waits for the message.
    func start() {
        core.firstMessages += 1
        core.evictable.append(connection)
        connection.setPhaseTime(UInt64(InBandAuth.firstTimeout) * Clock.second)
        connection.channel.flush()
        connection.channel.rereadSoon()
    }

    /// What the edge waits for is over: the credential came, or the end.
    private func leave() {
        guard !hasCredential else { return }
        hasCredential = true
        core.firstMessages -= 1
        core.evictable.remove(connection)
    }

    func clientReceived() {
        while !isEnded, !hasCredential {
            let channel = connection.channel
            switch channel.input.withReadable({ auth.next($0) }) {
            case .needMore:
                if case .open = channel.inputEnd { return channel.resumeReading() }
                return clientLost("client_closed")
            case .credential(let credential, let consumed):
                channel.input.consume(consumed)
                leave()
                check(credential)
            case .ping(let payload, let consumed):
                channel.input.consume(consumed)
                channel.output.append(EdgeFrame.pong(payload))
                channel.flush()
            case .pong(let consumed): channel.input.consume(consumed)
            case .pass, .malformed, .closed:
                return end(EdgeRefusal(.authenticationExpected, status: 401, "no credential"))
            case .failed(let refusal): return end(refusal)
            }
        }
    }

    private func check(_ credential: PresentedCredential, isRetry: Bool = false) {
        let credentials = ClientCredentials(
            message: credential, url: exchange.url, certificateThumbprint: exchange.certificate?.thumbprint)
        let result = core.authenticate(
            credentials, client: exchange.client?.address, requestID: exchange.requestID, isRetry: isRetry)
        switch result {
        case .known(let authenticated):
            do throws(EdgeRefusal) {
                exchange.presented = credential
                try exchange.accept(authenticated)
            } catch {
                exchange.refuse(error)
            }
        case .failed(let failure):
            let waits =
                !isRetry && exchange.wait(for: failure) { [weak self] in self?.check(credential, isRetry: true) }
            if !waits { exchange.refuse(EdgeRefusal(failure)) }
        }
    }

    func clientDrained() {}

    func clientLost(_ reason: String) {
        guard !isEnded else { return }
        isEnded = true
        leave()
        exchange.firstMessage = nil
        exchange.clientLost(reason)
        connection.finish()
    }

    func timedOut() {
        if hasCredential { return exchange.timedOut() }
        end(EdgeRefusal(.authenticationTimeout, status: 401, "no authentication message came in time"))
    }

    func recheck() { if hasCredential { exchange.recheck() } }

    func renew(_ authenticated: Authenticated) -> EdgeRefusal? {
        EdgeRefusal(.authenticationExpected, status: 409, "the first message is still awaited")
    }

    func end(_ refusal: EdgeRefusal) {
        guard !isEnded else { return }
        isEnded = true
        leave()
        core.counters.ended(refusal.reason)
        exchange.firstMessage = nil
        exchange.clientLost(refusal.reason)
        connection.channel.output.append(EdgeFrame.close(refusal.closePayload))
        connection.closeAfterWriting()
    }
}

extension EdgeExchange {
    /// The client proves itself with its first message instead of its handshake.
    func awaitFirstMessage(_ upgrade: WebSocketUpgrade) throws(EdgeRefusal) {
        let most = max(16, core.runtime.configuration.limits.connections / 8)
        guard core.firstMessages < most else {
            core.counters.limited("first_messages")
            throw EdgeRefusal(
                .tooManyConnections, status: 429, "too many clients are proving themselves; wait a moment",
                headers: ["Retry-After": "1"])
        }
        let first = try FirstMessage(self, upgrade)
        firstMessage = first
        connection.become(first)
        first.start()
    }
}
