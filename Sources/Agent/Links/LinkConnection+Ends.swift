import EventLoop
import Link
import PKI
import Policy
import TLS

/// The end of a link, and what operators see of it.
extension LinkConnection {
    /// Ends the link in order: the peer is told why.
    func close(_ reason: LinkReason, _ text: String) {
        guard !isClosed else { return }
        // GOAWAY would say that the session is over, too.
        if !reason.leavesSession {
            session.goAway(reason, detail: text)
            session.acknowledgeAtOnce()
            session.flushControl(now: core.loop.now)
        }
        seal()
        guard !isClosed else { return }
        _ = CloseFrame.encode(reason, text, masked: isDialler).withUnsafeBytes { tls.write($0) }
        tls.shutdown()
        // A reason that ends the session must arrive, or the peer waits for a link that will not come.
        if reason.leavesSession || !farewell() { transmit() }
        lost(reason, text)
    }

    /// The link is gone. Its session waits for another one, unless the reason says that it is over.
    func lost(_ reason: LinkReason, _ text: String, leavesSession: Bool = false) {
        guard !isClosed else { return }
        if let successor { return successor.predecessorLost(reason, text) }
        if hasNoSession { return retire() }
        isClosed = true
        dropPredecessor()
        if let deadline { core.loop.cancel(deadline.id) }
        deadline = nil
        leaveLoop()
        logParting()
        let isParked = parting == nil && (leavesSession || reason.leavesSession) && core.park(self)
        core.linkClosed(self, reason, text, isParked: isParked)
        if !isParked { endStreams(reason, text) }
    }

    /// The socket is of no more use.
    func leaveLoop() {
        if let registration { core.loop.deregister(registration) }
        registration = nil
        owned = nil
    }

    /// Applications' streams bytes, not the agents' own.
    var applicationStreams: Int {
        locals.count { local in
            guard let service = local?.attempt?.service ?? local?.inbound?.service else { return false }
            return !Policy.Name.isReserved(service)
        }
    }

    /// What operators see of the link.
    var status: LinkStatus {
        LinkStatus(
            lane: lane, id: id, worker: core.index, isDialler: isDialler, establishedAt: establishedAt,
            roundTrip: roundTrip, streams: session.streamCount, streamsTaken: transfers.taken,
            bytesReceived: bytesReceived, bytesSent: bytesSent,
            retained: session.retainedBytes, tlsVersion: tls.protocolVersion?.description ?? "",
            cipher: tls.cipherName ?? "",
            peerExpires: peer.notAfter, peerChain: tls.peerChain, pins: pins,
            clockOffset: session.clockEstimate.map { $0.offsetMilliseconds })
    }
}
