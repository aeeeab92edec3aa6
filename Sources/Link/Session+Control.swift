internal import Bytes

// Acknowledgements, pings, deadlines, and the writing of everything that is kept as state instead of queued.

extension Session {
    /// Writes the control frames that are due: PONG, ACK, CREDIT, and whatever found no room before. To be called before
    /// each sending and on `.flush`, whether the transport is writable or not: while much waits to be sent nothing is
    /// written, and what is not written stays coalesced and loses nothing by waiting.
    public func flushControl(now: UInt64) {
        self.now = max(self.now, now)
        guard state == .open || goAwayDue != nil, state != .ended else { return }
        guard outbox.unsent < configuration.controlBacklog else { return }
        writeGoAway()
        guard state == .open else { return }
        while control.count > 0 {
            let slot = control.head
            if !settle(slot, credit: true) { break }
        }
        writeTails()
        writeAck()
        if pongDue, write(.pong, pongToken, wallClock) { pongDue = false }
        if pingDue { writePing() }
    }

    /// The next `flushControl` acknowledges all that was processed. To be called before a link ends in order: a peer whose streams
    /// are complete must know that, or it has to take them for cut short.
    public func acknowledgeAtOnce() {
        if processed > acknowledgedToPeer { acknowledgeAt = min(acknowledgeAt, now) }
    }

    /// Whether `flushControl` has something to write at once (an acknowledgement that may still wait does not count).
    public var hasControl: Bool {
        switch state {
        case .open:
            control.count > 0 || areTailsWritable || pongDue || pingDue || goAwayDue != nil || acknowledgeAt <= now
        case .failed: goAwayDue != nil
        case .ended: false
        }
    }

    /// Checks that the peer lives: a PING is sent at once, and `advance` gives `.peerSilent` unless any frame comes within
    /// `timeout` nanoseconds.
    public func probe(now: UInt64, timeout: UInt64) {
        self.now = max(self.now, now)
        guard state == .open else { return }
        probeDeadline = min(probeDeadline, self.now + timeout)
        if pingToken == 0 { pingDue = true }
    }

    /// Asks the peer for an answer that it gives after everything that was sent so far, GOAWAY above all.
    public func confirm() {
        guard state == .open else { return }
        // The answer to a ping that is under way may have been sent before.
        confirmations = pingToken == 0 ? 1 : 2
        pingDue = pingDue || pingToken == 0
    }

    /// Whether that answer has come: then every frame has come, too, that the peer sent before it knew.
    public var isConfirmed: Bool { confirmations == 0 || state != .open }

    /// Whether a probe waits for a sign of life.
    public var isProbing: Bool { probeDeadline != .max }

    /// When `advance` is to be called next, in monotonic nanoseconds.
    public var nextDeadline: UInt64 {
        guard state == .open else { return violationUnseen ? now : .max }
        // With a full backlog an acknowledgement cannot be written and must not make the timer spin.
        let acknowledgement = outbox.unsent < configuration.controlBacklog ? acknowledgeAt : .max
        return min(acknowledgement, nextPing, lastHeard + deadPeerTimeout, probeDeadline)
    }

    /// Lets time pass. Frames that have arrived already are to be passed to `received` first, so that a process that was
    /// stopped for a while does not take its own silence for the peer's.
    public func advance(now: UInt64) -> SessionAlarm {
        self.now = max(self.now, now)
        if violationUnseen, case .failed(let reason) = state {
            violationUnseen = false
            return .violation(reason)
        }
        guard state == .open else { return .none }
        if self.now >= probeDeadline || self.now - lastHeard >= deadPeerTimeout { return .peerSilent }
        if self.now >= nextPing {
            nextPing = self.now + pingInterval
            if pingToken == 0 { pingDue = true }
        }
        return hasControl ? .flush : .none
    }

    // MARK: Acknowledgement

    private func writeAck() {
        guard processed > acknowledgedToPeer else { return }
        guard now >= acknowledgeAt || (outbox.unsent > 0 && unacknowledgedBytes >= configuration.piggybackBytes) else {
            return
        }
        guard write(.ack, processed) else {
            _ = fail(.retentionExceeded, "no room for an acknowledgement")
            violationUnseen = true
            return
        }
        acknowledgedToPeer = processed
        unacknowledgedBytes = 0
        acknowledgeAt = .max
    }

    // MARK: Ping

    private func writePing() {
        pingToken = max(now, 1)
        pingWall = wallClock
        guard write(.ping, pingToken, pingWall) else {
            pingToken = 0
            return
        }
        pingDue = false
        pingSequence = outbox.sequence
    }

    func receivedPing(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 16 else { return fail(.protocolError, "PING with \(payload.count) bytes") }
        guard pings.take(now: now) else { return fail(.flood, "too many pings") }
        pongToken = payload.loadBE64()
        pongDue = true
        return .none
    }

    func receivedPong(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 16 else { return fail(.protocolError, "PONG with \(payload.count) bytes") }
        guard pingToken != 0, payload.loadBE64() == pingToken else {
            return fail(.protocolError, "PONG without a PING")
        }
        // Frames arrive in order and acknowledgements are due within milliseconds: what was sent before the last ping that
        // was answered a second ago or more has been acknowledged, or never will be.
        if answeredPingAt != 0, now - answeredPingAt >= 1_000_000_000, outbox.acknowledged < answeredPingSequence {
            return fail(.retentionExceeded, "frames are processed but not acknowledged")
        }
        answeredPingAt = now
        answeredPingSequence = pingSequence
        lastRoundTrip = now - min(now, pingToken)
        smoothed = smoothed == 0 ? lastRoundTrip : smoothed - smoothed / 8 + lastRoundTrip / 8
        pingToken = 0
        if confirmations > 0 {
            confirmations -= 1
            pingDue = pingDue || confirmations > 0
        }
        peerClock.add(sent: pingWall, received: wallClock, peer: payload.loadBE64(at: 8))
        return .pong(roundTrip: lastRoundTrip)
    }
}
