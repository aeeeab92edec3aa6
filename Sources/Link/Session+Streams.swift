// Opening, answering and ending streams.

extension Session {
    /// Opens a stream. Data may follow at once, within the peer's initial credit (`credit(of:)`); keeping a copy of it for
    /// a retry on another instance is the caller's affair.
    public func open(_ request: OpenRequest, now: UInt64) throws(SessionError) -> StreamHandle {
        self.now = max(self.now, now)
        guard state == .open else { throw .ended }
        guard !goingAway || opensOn, !peerGoingAway else { throw .goingAway }
        guard request.isEncodable else { throw .badRequest }
        guard localStreams < Int(clamping: peer.maximumStreams) else { throw .tooManyStreams }
        guard nextLocalID <= LinkFrame.maximumStreamID else { throw .idsExhausted }
        guard outbox.acceptsData else { throw .congested }
        guard budget.reserve(configuration.initialCredit) else { throw .overloaded }
        let payload = request.encodedPayload(initialCredit: UInt32(configuration.initialCredit))
        guard write(.open, id: nextLocalID, payload: payload) else {
            budget.release(configuration.initialCredit)
            throw .congested
        }
        let slot = add(nextLocalID, phase: .opening, sendLimit: UInt64(peer.initialCredit), isLocal: true)
        slab[slot].pointee.openSequence = outbox.sequence
        nextLocalID += 2
        localStreams += 1
        count.opened += 1
        return handle(slot)
    }

    /// A new stream whose floor of credit was reserved from the budget.
    func add(_ id: UInt64, phase: Stream.Phase, sendLimit: UInt64, isLocal: Bool) -> UInt32 {
        let slot = slab.allocate()
        let stream = slab[slot]
        stream.pointee.id = id
        stream.pointee.phase = phase
        stream.pointee.isLocal = isLocal
        stream.pointee.sendLimit = sendLimit
        stream.pointee.receiveLimit = UInt64(configuration.initialCredit)
        stream.pointee.window = UInt32(configuration.initialCredit)
        stream.pointee.lastGrant = now
        map.insert(slot, slab)
        return slot
    }

    /// Takes a stream that the peer offered.
    public func accept(_ stream: StreamHandle) {
        guard state == .open, let found = slab.find(stream), found.pointee.phase == .offered else { return }
        found.pointee.phase = .open
        found.pointee.pending.insert(.accept)
        replenish(stream.slot)
        settle(stream.slot)
    }

    /// Declines a stream that the peer offered. Nothing of it may have reached a target: the peer may try another
    /// instance. The handle is no longer valid.
    public func refuse(_ stream: StreamHandle, _ notice: Notice) {
        guard state == .open, let found = slab.find(stream), found.pointee.phase == .offered else { return }
        count.refusedHere += 1
        end(stream.slot, .refuse, notice)
    }

    /// Declines a stream that the peer offered.
    public func refuse(_ stream: StreamHandle, _ reason: LinkReason, detail: String = "", retryAfter: UInt32 = 0) {
        refuse(stream, Notice(reason, retryAfter: retryAfter, detail: detail))
    }

    /// This end's direction is complete: the peer's application sees the end of input after everything committed before.
    public func finish(_ stream: StreamHandle) {
        guard state == .open, let found = slab.find(stream), !found.pointee.sendFinished,
            found.pointee.phase == .open || found.pointee.phase == .opening
        else { return }
        stopSending(stream.slot)
        found.pointee.pending.insert(.end)
        settle(stream.slot)
    }

    /// Ends the stream in both directions; the peer resets its application's connection. A stream that the peer offered
    /// and that was not answered yet is refused instead. The handle is no longer valid.
    public func reset(_ stream: StreamHandle, _ reason: LinkReason, detail: String = "") {
        guard state == .open, let found = slab.find(stream) else { return }
        if resumption.isParked, reason == .accessWithdrawn { resumption.withheld.insert(found.pointee.id) }
        if found.pointee.phase == .offered { return refuse(stream, reason, detail: detail) }
        count.resetsOut += 1
        end(stream.slot, .reset, Notice(reason, detail: detail))
    }

    /// The application took `count` bytes of what was received: credit goes back to the peer, in batches of at least half
    /// a window.
    public func consumed(_ stream: StreamHandle, _ count: Int) {
        guard let found = slab.find(stream), count > 0, !found.pointee.marks.contains(.arriving) else { return }
        precondition(UInt64(count) <= found.pointee.unread, "more consumed than was received")
        found.pointee.consumed += UInt64(count)
        guard state == .open, found.pointee.phase != .offered else { return }
        if found.pointee.hasEnd {
            freeIfComplete(stream.slot)
        } else {
            replenish(stream.slot)
        }
    }

    // MARK: Helpers

    /// The stream leaves the scheduler; its END is written by the caller.
    func stopSending(_ slot: UInt32) {
        let stream = slab[slot]
        stream.pointee.sendFinished = true
        stream.pointee.readable = false
        ready.remove(slot, slab)
    }

    /// Writes REFUSE or RESET and forgets the stream. Where the log has no room the stream keeps a place, without the text,
    /// until it has.
    private func end(_ slot: UInt32, _ type: FrameType, _ notice: Notice) {
        let stream = slab[slot]
        ready.remove(slot, slab)
        if cachedID == stream.pointee.id { cachedID = 0 }
        // The peer must see ACCEPT before RESET, or it would take the stream for one that was never answered.
        if stream.pointee.pending.contains(.accept), writeAnswer(slot) { stream.pointee.pending.remove(.accept) }
        if !stream.pointee.pending.contains(.accept),
            write(type, id: stream.pointee.id, payload: notice.encodedPayload(for: type))
        {
            free(slot)
            return
        }
        tails[slot] = nil
        kept[slot] = nil
        budget.release(Int(stream.pointee.window))
        stream.pointee.window = 0
        stream.pointee.phase = .ending
        stream.pointee.pending.formIntersection(.accept)
        stream.pointee.pending.insert(type == .refuse ? .refuse : .reset)
        stream.pointee.pendingReason = notice.reason.rawValue
        stream.pointee.pendingRetry = notice.retryAfter
        control.insert(slot, slab)
    }

    /// Writes what a stream has pending, in the order the protocol wants: ACCEPT, CREDIT, END; or REFUSE or RESET alone.
    /// What finds no room stays, and the stream stays in (or enters) the queue of `flushControl`. CREDIT waits for
    /// `flushControl` unless `credit` is set. False when the log is full.
    @discardableResult
    func settle(_ slot: UInt32, credit: Bool = false) -> Bool {
        let stream = slab[slot]
        let id = stream.pointee.id
        var complete = true
        if stream.pointee.pending.contains(.accept) {
            complete = writeAnswer(slot)
            // The limit in ACCEPT is the newest, so it stands for a CREDIT as well.
            if complete { stream.pointee.pending.subtract([.accept, .credit]) }
        }
        if complete, stream.pointee.phase == .ending {
            let notice = Notice(LinkReason(code: stream.pointee.pendingReason), retryAfter: stream.pointee.pendingRetry)
            let type: FrameType = stream.pointee.pending.contains(.refuse) ? .refuse : .reset
            complete = write(type, id: id, payload: notice.encodedPayload(for: type))
            if complete {
                free(slot)
                return true
            }
        }
        if complete, credit, stream.pointee.pending.contains(.credit) {
            complete = write(.credit, id: id, stream.pointee.receiveLimit)
            if complete { stream.pointee.pending.remove(.credit) }
        }
        if complete, stream.pointee.pending.contains(.end), !stream.pointee.pending.contains(.tail) {
            complete = outbox.append(
                LinkFrame(type: .end, streamID: id), payload: UnsafeRawBufferPointer(start: nil, count: 0))
            if complete {
                wrote(stream)
                stream.pointee.pending.remove(.end)
            }
        }
        if stream.pointee.awaitsRoom {
            control.insert(slot, slab)
        } else {
            control.remove(slot, slab)
            schedule(slot)
            freeIfComplete(slot)
        }
        return complete
    }

    /// Takes a stream that the peer opened, or that it brought from another lane; false when the log is full.
    private func writeAnswer(_ slot: UInt32) -> Bool {
        let stream = slab[slot]
        guard stream.pointee.marks.contains(.transfer) else {
            return write(.accept, id: stream.pointee.id, stream.pointee.receiveLimit)
        }
        let answer = TransferAnswer(
            received: stream.pointee.receiveOffset, isFinished: stream.pointee.receiveFinished,
            credit: stream.pointee.receiveLimit, from: stream.pointee.sendOffset - UInt64(tails[slot]?.count ?? 0))
        return write(.taken, id: stream.pointee.id, payload: answer.payload)
    }

    /// Raises the peer's limit when at least half a window was consumed, after adapting the window: doubled for a stream
    /// that is held back by it, halved while the budget is scarce.
    func replenish(_ slot: UInt32) {
        let stream = slab[slot]
        guard !stream.pointee.hasEnd else { return }
        var window = stream.pointee.window
        let open = stream.pointee.receiveLimit - stream.pointee.consumed
        guard open <= UInt64(window / 2) else { return }
        let floor = UInt32(configuration.initialCredit)
        if budget.isScarce {
            let smaller = max(window / 2, floor)
            budget.release(Int(window - smaller))
            window = smaller
        } else if window < configuration.maximumWindow, stream.pointee.unread <= UInt64(window / 4),
            now - stream.pointee.lastGrant <= max(2 * smoothed, Session.growthInterval)
        {
            let larger = UInt32(min(Int(window) * 2, configuration.maximumWindow))
            if budget.reserveGrowth(Int(larger - window)) { window = larger }
        }
        stream.pointee.window = window
        guard open <= UInt64(window / 2) else { return }
        stream.pointee.receiveLimit = stream.pointee.consumed + UInt64(window)
        stream.pointee.lastGrant = now
        stream.pointee.pending.insert(.credit)
        if stream.pointee.phase == .open || stream.pointee.phase == .opening { control.insert(slot, slab) }
    }

    /// Half a window consumed within this time is a stream that its window may hold back, whatever the round trip: 10 ms,
    /// a few ticks of a busy agent.
    static let growthInterval: UInt64 = 10_000_000
}
