import Documents
import EventLoop
import Gateway
import HTTP
import JOSE
import JSON
import PKI
import TLS

/// How a connection ends, or is judged again and goes on.
extension EdgeConnection {
    /// Looks again whether the client may go on: after a change of policy, keys or revocations, and when a token ends.
    func recheck() {
        // Who is not let in yet is looked at when he is.
        if case .handshake = phase { return }
        if let session = channel.session, let entry = core.revoked().entry(for: session.peerChain) {
            return revoked(entry)
        }
        if isCertificateOver { return certificateEnded() }
        switch phase {
        case .request(let exchange): exchange.recheck()
        case .tunnel(let tunnel): tunnel.recheck()
        default: break
        }
    }

    /// The certificate by which the client came in is revoked: the connection ends, whatever it does.
    private func revoked(_ entry: RevocationEntry) {
        guard !isClosed else { return }
        core.shared.log.warning(
            "edge_certificate_revoked", "a connection was closed because its client's certificate is revoked",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)), ("entry", .string(entry.name)),
                ("why", .string(entry.reason)),
            ])
        breakOff("certificate_revoked")
    }

    /// CRLs or pins have changed, and speak against the client.
    func withdraw(_ objection: EdgeCore.Objection) {
        guard !isClosed else { return }
        core.shared.log.warning(
            objection.event, objection.text,
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)),
                ("reason", .string(objection.error.code)), ("detail", .string(objection.error.message)),
                ("hint", .string(objection.error.hint)),
            ])
        breakOff(objection.refusal)
    }

    /// Ends the connection without a word, whatever it does.
    private func breakOff(_ reason: String) {
        core.counters.ended(reason)
        switch phase {
        case .request(let exchange): exchange.clientLost(reason)
        case .tunnel(let tunnel): tunnel.clientLost(reason)
        default: break
        }
        channel.reset()
        finish()
    }

    /// The time of the client's certificate may be over: a timer runs by another clock than certificates do.
    func lookAtCertificateEnd() {
        if isCertificateOver { certificateEnded() } else { setCertificateEnd(channel.session?.peerChain ?? []) }
    }

    /// The certificate by which the client came in has ended: so does the connection, in order where that is possible.
    private func certificateEnded() {
        guard !isClosed else { return }
        core.shared.log.info(
            "edge_certificate_expired", "a connection ends because its client's certificate has expired",
            [
                ("listener", .string(listenerName)), ("client", .string(clientText)),
                ("subject", .string(channel.session?.peerChain.first?.subject ?? "")),
            ])
        let refusal = EdgeRefusal.certificateExpired
        switch phase {
        case .tunnel(let tunnel): tunnel.end(refusal)
        case .request(let exchange):
            core.counters.ended(refusal.reason)
            exchange.refuse(refusal)
        case .closing: break
        default:
            core.counters.ended(refusal.reason)
            closeAfterWriting()
        }
    }

    /// A request on a connection whose certificate has ended.
    func refuseExpired(_ method: HTTPMethod) {
        core.counters.refused(EdgeRefusal.certificateExpired.reason)
        answerAndClose(EdgeRefusal.certificateExpired.response(requestID: nil), to: method)
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
    func refuseConnection(_ reason: String, detail: String = "") {
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
        cancelTimers()
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
}
