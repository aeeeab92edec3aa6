internal import Bytes

// The byte path inward: one frame in, one event out.

extension Session {
    /// Takes one frame: the payload of one binary WebSocket message, unmasked. Offsets in the event are into `message`,
    /// which is not kept.
    public func received(_ message: UnsafeRawBufferPointer, now: UInt64) -> SessionEvent {
        guard state == .open else { return .none }
        self.now = max(self.now, now)
        lastHeard = self.now
        probeDeadline = .max
        count.framesIn += 1
        count.bytesIn += UInt64(message.count)
        guard message.count <= LinkFrame.headerSize + configuration.maximumPayload else {
            return fail(.frameTooLarge, "frame of \(message.count) bytes")
        }
        let frame: LinkFrame
        switch LinkFrame.parse(message) {
        case .frame(let parsed): frame = parsed
        case .skip(let sequenced):
            if sequenced { countProcessed(message.count) }
            return .none
        case .invalid: return fail(.protocolError, "illegal frame header")
        }
        if frame.type.isSequenced { countProcessed(message.count) }
        if frame.type == .data { return receivedData(frame, message.count) }
        let payload = UnsafeRawBufferPointer(rebasing: message[LinkFrame.headerSize...])
        switch frame.type {
        case .open: return receivedOpen(frame.streamID, payload)
        case .accept, .credit: return receivedCredit(frame, payload)
        case .refuse, .reset: return receivedEnding(frame, payload)
        case .end: return receivedEnd(frame.streamID, payload)
        case .goAway: return receivedGoAway(payload)
        case .ack: return receivedAck(payload)
        case .ping: return receivedPing(payload)
        case .pong: return receivedPong(payload)
        case .hello: return fail(.protocolError, "second HELLO")
        case .switchLink: return receivedSwitch(payload)
        case .move: return receivedMove(payload)
        case .lanes: return receivedLanes(payload)
        case .transfer: return receivedTransfer(frame.streamID, payload)
        case .taken: return receivedTaken(frame.streamID, payload)
        case .data, .resume, .auth: return fail(.protocolError, "unexpected \(frame.type)")
        }
    }

    private func countProcessed(_ bytes: Int) {
        processed += 1
        unacknowledgedBytes += bytes
        if acknowledgeAt == .max { acknowledgeAt = now + configuration.acknowledgementDelay }
        if unacknowledgedBytes >= configuration.acknowledgementBytes { acknowledgeAt = now }
    }

    enum Lookup {
        case live(UInt32)
        /// Used before and over: late frames are ignored.
        case over
        /// Never opened.
        case unknown
    }

    func lookUp(_ id: UInt64) -> Lookup {
        if id == cachedID { return .live(cachedSlot) }
        if let slot = map.find(id, slab) {
            guard slab[slot].pointee.phase != .ending else { return .over }
            cachedID = id
            cachedSlot = slot
            return .live(slot)
        }
        let isLocal = id & 1 == parity.rawValue
        return (isLocal ? id < nextLocalID : id <= lastPeerID) ? .over : .unknown
    }

    private func receivedData(_ frame: LinkFrame, _ size: Int) -> SessionEvent {
        let length = UInt64(size - LinkFrame.headerSize)
        let finished = frame.flags.contains(.finish)
        guard length > 0 || finished else { return fail(.protocolError, "empty DATA") }
        let slot: UInt32
        switch lookUp(frame.streamID) {
        case .live(let found): slot = found
        case .over: return .none
        case .unknown: return fail(.protocolError, "DATA on a stream that was never opened")
        }
        let stream = slab[slot]
        guard stream.pointee.phase != .opening else { return fail(.protocolError, "DATA before ACCEPT") }
        guard !stream.pointee.receiveFinished else { return fail(.protocolError, "DATA after the end") }
        guard !stream.pointee.isOffered else { return fail(.protocolError, "DATA before TAKEN") }
        let again = min(length, UInt64(stream.pointee.duplicate))
        let news = length - again
        guard news <= stream.pointee.receiveLimit - stream.pointee.receiveOffset else {
            return fail(.creditExceeded, "DATA beyond the credit of stream \(frame.streamID)")
        }
        if again > 0 || stream.pointee.marks.contains(.endAgain) {
            return receivedAgain(slot, Int(again), size, finished: finished)
        }
        stream.pointee.receiveOffset += length
        count.dataIn += length
        let name = StreamHandle(slot: slot, generation: stream.pointee.generation)
        if length >= UInt64(configuration.sharedQuantum) { lastBulk = now }
        if finished { stopReceiving(slot) }
        return length == 0 ? .finished(name) : .data(name, LinkFrame.headerSize..<size, finished: finished)
    }

    /// The peer's direction is complete: what it was granted and did not use goes back to the budget.
    func stopReceiving(_ slot: UInt32) {
        let stream = slab[slot]
        stream.pointee.receiveFinished = true
        // What it was granted is still the other lane's.
        if stream.pointee.marks.contains(.arriving) { return }
        let unread = UInt32(clamping: stream.pointee.unread)
        budget.release(Int(stream.pointee.window - unread))
        stream.pointee.window = unread
        stream.pointee.pending.remove(.credit)
        if !stream.pointee.awaitsRoom { control.remove(slot, slab) }
        freeIfComplete(slot)
    }

    private func receivedEnd(_ id: UInt64, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.isEmpty else { return fail(.protocolError, "END with a payload") }
        switch lookUp(id) {
        case .over: return .none
        case .unknown: return fail(.protocolError, "END on a stream that was never opened")
        case .live(let slot):
            let stream = slab[slot]
            guard stream.pointee.phase != .opening else { return fail(.protocolError, "END before ACCEPT") }
            guard !stream.pointee.receiveFinished else { return fail(.protocolError, "END twice") }
            guard !stream.pointee.isOffered else { return fail(.protocolError, "END before TAKEN") }
            if stream.pointee.duplicate > 0 || stream.pointee.marks.contains(.endAgain) {
                return receivedAgain(slot, 0, LinkFrame.headerSize, finished: true)
            }
            let name = handle(slot)
            stopReceiving(slot)
            return .finished(name)
        }
    }

    private func receivedOpen(_ id: UInt64, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard id & 1 == parity.opposite.rawValue, id > lastPeerID else {
            return fail(.protocolError, "OPEN with stream id \(id)")
        }
        let credit: UInt32
        do {
            (request, credit) = try OpenRequest.parse(payload: payload)
        } catch {
            return fail(.protocolError, "OPEN: \(error.code)")
        }
        lastPeerID = id
        let refusal: LinkReason?
        if goingAway {
            refusal = .goingAway
        } else if peerStreams >= configuration.maximumPeerStreams || !quota.take() {
            refusal = .tooManyStreams
        } else if !budget.reserve(configuration.initialCredit) {
            quota.give()
            refusal = .streamOverloaded
        } else {
            refusal = nil
        }
        if let refusal {
            count.refusedHere += 1
            quota.refused(refusal)
            let notice = Notice(refusal, retryAfter: refusal.retryDelay)
            guard write(.refuse, id: id, payload: notice.encodedPayload(for: .refuse)) else {
                return fail(.flood, "OPENs without reading the answers")
            }
            return .none
        }
        let slot = add(id, phase: .offered, sendLimit: UInt64(credit), isLocal: false)
        slab[slot].pointee.marks = .counted
        peerStreams += 1
        count.accepted += 1
        return .opened(handle(slot))
    }

    /// ACCEPT and CREDIT both carry the offset up to which we may send.
    private func receivedCredit(_ frame: LinkFrame, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 8 else { return fail(.protocolError, "\(frame.type) with \(payload.count) bytes") }
        let limit = payload.loadBE64()
        let slot: UInt32
        switch lookUp(frame.streamID) {
        case .live(let found): slot = found
        case .over: return .none
        case .unknown: return fail(.protocolError, "\(frame.type) on a stream that was never opened")
        }
        let stream = slab[slot]
        let isAccept = frame.type == .accept
        guard !isAccept || !stream.pointee.marks.contains(.transfer) else {
            return fail(.protocolError, "ACCEPT of a stream of another lane")
        }
        guard stream.pointee.phase == (isAccept ? .opening : stream.pointee.isLocal ? .open : stream.pointee.phase)
        else {
            return fail(.protocolError, "\(frame.type) in the wrong state")
        }
        // Absolute, and only ever raised. The bound keeps arithmetic on offsets far from overflow. What the lane before was
        // granted last may come again.
        let mayRepeat = isAccept || stream.pointee.marks.contains(.transfer)
        guard mayRepeat ? limit >= stream.pointee.sendLimit : limit > stream.pointee.sendLimit,
            limit < Session.offsetBound
        else {
            return fail(.protocolError, "\(frame.type) lowers the credit")
        }
        let wasBlocked = stream.pointee.credit == 0
        stream.pointee.sendLimit = limit
        let name = handle(slot)
        if isAccept { stream.pointee.phase = .open }
        schedule(slot)
        let canSend = stream.pointee.canSend
        if isAccept {
            freeIfComplete(slot)
            return .accepted(name)
        }
        return wasBlocked && canSend ? .writable(name) : .none
    }

    /// A stream of the peer that it resets within this time, in nanoseconds, counts towards a flood.
    static let rapidReset: UInt64 = 100_000_000

    private func receivedEnding(_ frame: LinkFrame, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        let parsed: Notice
        do {
            parsed = try Notice.parse(frame.type, payload: payload).notice
        } catch {
            return fail(.protocolError, "\(frame.type): \(error.code)")
        }
        switch lookUp(frame.streamID) {
        case .unknown: return fail(.protocolError, "\(frame.type) on a stream that was never opened")
        case .over:
            // Our own RESET may still wait for room; the peer no longer needs it.
            if let slot = map.find(frame.streamID, slab) { free(slot) }
            return .none
        case .live(let slot):
            let stream = slab[slot]
            let isRefuse = frame.type == .refuse
            guard isRefuse == (stream.pointee.phase == .opening) else {
                return fail(.protocolError, "\(frame.type) in the wrong state")
            }
            // Opened, or fed, a moment ago: many idle connections of one application that ends are no flood.
            let wasUseless =
                !stream.pointee.isLocal && stream.pointee.sendOffset == 0
                && now - stream.pointee.lastGrant < Session.rapidReset
            let name = handle(slot)
            notice = parsed
            free(slot)
            if isRefuse {
                count.refusedByPeer += 1
                return .refused(name, parsed.reason)
            }
            count.resetsIn += 1
            if wasUseless, !resets.take(now: now) { return fail(.flood, "streams opened and reset at once") }
            return .reset(name, parsed.reason)
        }
    }

    private func receivedGoAway(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        do {
            let parsed = try Notice.parse(.goAway, payload: payload)
            guard parsed.lastStreamID < nextLocalID, !peerGoingAway || parsed.lastStreamID <= peerLastID else {
                return fail(.protocolError, "GOAWAY with stream id \(parsed.lastStreamID)")
            }
            notice = parsed.notice
            peerGoingAway = true
            peerLastID = parsed.lastStreamID
            return .goAway(notice.reason)
        } catch {
            return fail(.protocolError, "GOAWAY: \(error.code)")
        }
    }

    private func receivedAck(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 8 else { return fail(.protocolError, "ACK with \(payload.count) bytes") }
        let acknowledged = payload.loadBE64()
        guard acknowledged > outbox.acknowledged, outbox.acknowledge(acknowledged) else {
            return fail(.protocolError, "ACK of \(acknowledged)")
        }
        return .none
    }
}
