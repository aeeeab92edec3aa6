internal import Bytes

// Streams that change their lane (`docs/link-protocol.md`, "Streams that change their lane"). A stream has two sessions then:
// the one that it leaves, and the one that takes it. Their owner carries a `DetachedStream` from one to the other.

extension Session {
    /// Offsets in streams are below this; it keeps arithmetic on them far from overflow.
    static let offsetBound: UInt64 = 1 << 62
    /// Bytes of a stream that a peer may not have seen acknowledged, beyond two windows: acknowledgements are due long before.
    static let heldBound: UInt64 = 1 << 20
    /// The most TRANSFERs of this end that wait for their answers on one lane.
    public static let transfersAtOnce = 256

    // MARK: The lane that a stream leaves

    /// To the opener: what to ask the peer for on another lane (`transfer`). The stream stays here until `depart`, or `stay`;
    /// it sends no more bytes meanwhile, all else goes on. Nil for a stream that cannot go (`mayLeave`), or not now: the log has
    /// been looked through for others too much.
    ///
    /// - Parameter lane: the number of this session's lane.
    public func leave(_ stream: StreamHandle, lane: UInt8) -> TransferRequest? {
        guard mayLeave(stream), let found = slab.find(stream), let sent = unacknowledged(stream.slot) else {
            return nil
        }
        found.pointee.marks.insert(.leaving)
        ready.remove(stream.slot, slab)
        // The peer acknowledges frames from now on that it ignores, because it has the stream on the other lane already.
        kept[stream.slot] = sent
        return TransferRequest(lane: lane, stream: found.pointee.id, session: name)
    }

    /// Whether a stream is one that could leave: ours, accepted, not over, not on its way already.
    public func mayLeave(_ stream: StreamHandle) -> Bool {
        guard name != 0, canPark, let found = slab.find(stream), found.pointee.isLocal, found.pointee.phase == .open
        else { return false }
        return found.pointee.marks.isDisjoint(with: [.leaving, .arriving])
    }

    /// To the opener: the other lane did not take the stream, which goes on here, with what it still had to send again.
    public func stay(_ stream: StreamHandle) {
        guard let found = slab.find(stream), found.pointee.marks.contains(.leaving) else { return }
        found.pointee.marks.remove(.leaving)
        kept[stream.slot] = nil
        schedule(stream.slot)
        freeIfComplete(stream.slot)
    }

    /// To the opener: the peer goes on with the stream on the other lane. It is over here; what still comes is ignored.
    public func depart(_ stream: StreamHandle, _ answer: TransferAnswer) throws(TransferError) -> DetachedStream {
        guard let found = slab.find(stream), found.pointee.marks.contains(.leaving), let sent = kept[stream.slot] else {
            throw .notMovable
        }
        guard answer.received <= found.pointee.sendOffset, answer.credit >= found.pointee.sendLimit,
            answer.from <= found.pointee.receiveOffset
        else { throw .impossible }
        let missing = Int(clamping: found.pointee.sendOffset - answer.received)
        guard missing <= sent.count, !answer.isFinished || found.pointee.sendFinished && missing == 0 else {
            throw .impossible
        }
        return detach(stream.slot, Array(sent.suffix(missing)))
    }

    /// To the acceptor: gives the peer's stream away, to the lane on which the request came. Nil where there is none that could
    /// go: the request is to be refused, and nothing has happened.
    public func give(_ request: TransferRequest) -> (stream: StreamHandle, detached: DetachedStream)? {
        // What the peer has acknowledged it has received: it departs only when it knows that this end did.
        guard let stream = givable(request), let sent = unacknowledged(stream.slot) else { return nil }
        return (stream, detach(stream.slot, sent))
    }

    /// The stream that `give` would give.
    public func givable(_ request: TransferRequest) -> StreamHandle? {
        guard name != 0, request.session == name, canPark, let slot = map.find(request.stream, slab) else { return nil }
        let stream = slab[slot]
        guard !stream.pointee.isLocal, stream.pointee.phase == .open, !stream.pointee.pending.contains(.accept) else {
            return nil
        }
        return handle(slot)
    }

    /// How many bytes the stream has moved in both directions since it was opened.
    public func traffic(of stream: StreamHandle) -> UInt64 {
        slab.find(stream).map { $0.pointee.sendOffset &+ $0.pointee.receiveOffset } ?? 0
    }

    private func detach(_ slot: UInt32, _ tail: [UInt8]) -> DetachedStream {
        let stream = slab[slot]
        // Frames of a parked session that would be sent again for nobody.
        if isParked { resumption.withheld.insert(stream.pointee.id) }
        let detached = DetachedStream(stream.pointee, tail: tail, budget: budget, quota: quota)
        stream.pointee.window = 0
        stream.pointee.marks.remove(.counted)
        free(slot)
        return detached
    }

    /// What the stream has sent, the peer not acknowledged, and may not have received: the last bytes before its offset. Nil where
    /// too much of the log would have to be looked through for that now: a peer that does not acknowledge makes it long, and could
    /// ask again and again.
    private func unacknowledged(_ slot: UInt32) -> [UInt8]? {
        let stream = slab[slot]
        let rest = tails[slot]?.rest ?? []
        let first = max(stream.pointee.firstWritten, outbox.acknowledged)
        guard first < stream.pointee.endWritten else { return Array(rest) }
        let frames = first..<stream.pointee.endWritten
        guard readings.take(outbox.readLength(of: frames), now: now) else { return nil }
        return outbox.bytes(of: stream.pointee.id, in: frames) + rest
    }

    // MARK: The lane that takes it

    /// To the opener: asks the peer to go on with a stream of another lane here. The stream's handle on this lane; `.taken` or
    /// `.refused` follow.
    public func transfer(_ request: TransferRequest, now: UInt64) throws(SessionError) -> StreamHandle {
        self.now = max(self.now, now)
        guard state == .open else { throw .ended }
        guard !goingAway, !peerGoingAway else { throw .goingAway }
        guard peer.takesTransfers, name != 0 else { throw .badRequest }
        guard localStreams < Int(clamping: peer.maximumStreams) else { throw .tooManyStreams }
        guard nextLocalID <= LinkFrame.maximumStreamID else { throw .idsExhausted }
        guard transfersAsked < Session.transfersAtOnce, !isParked, outbox.acceptsData,
            write(.transfer, id: nextLocalID, payload: request.payload)
        else { throw .congested }
        let slot = addTransfer(nextLocalID, .opening, isLocal: true)
        slab[slot].pointee.openSequence = outbox.sequence
        nextLocalID += 2
        localStreams += 1
        return handle(slot)
    }

    /// Goes on with a stream of another lane: at the opener after `.taken`, with its `answer`; at the acceptor after
    /// `.transferOffered`, which answers it.
    ///
    /// - Returns: how many of the bytes that came here before are news to the application, the last of them; always zero at the
    ///   acceptor.
    public func adopt(
        _ stream: StreamHandle, _ detached: DetachedStream, _ answer: TransferAnswer? = nil
    ) throws(TransferError) -> Int {
        guard state == .open, let found = slab.find(stream), found.pointee.marks.contains(.transfer) else {
            throw .notMovable
        }
        var news = 0
        switch (found.pointee.phase, answer) {
        case (.open, let answer?) where found.pointee.marks.contains(.arriving):
            news = try arrive(found, detached, answer)
        case (.offered, nil):
            answered(found)
            found.pointee.phase = .open
            found.pointee.pending.insert(.accept)
            // The opener may have said a newer limit here already.
            found.pointee.sendLimit = max(found.pointee.sendLimit, detached.sendLimit)
            found.pointee.receiveOffset = detached.receiveOffset
            found.pointee.receiveFinished = detached.receiveFinished
            if detached.sendFinished { found.pointee.pending.insert(.end) }
        default: throw .notMovable
        }
        found.pointee.sendOffset = detached.sendOffset
        found.pointee.sendFinished = detached.sendFinished
        found.pointee.receiveLimit = detached.receiveLimit
        found.pointee.consumed = detached.consumed
        found.pointee.window = detached.takeWindow(of: budget)
        if detached.takePlace(of: quota) { found.pointee.marks.insert(.counted) }
        found.pointee.isBulk = detached.isBulk
        if found.pointee.receiveFinished { keepUnread(found) }
        if !detached.tail.isEmpty {
            found.pointee.pending.insert(.tail)
            tails[stream.slot] = StreamTail(detached.tail)
        }
        settle(stream.slot)
        return news
    }

    /// The opener's part of `adopt`: what came on both lanes counts once.
    private func arrive(
        _ found: UnsafeMutablePointer<Stream>, _ detached: DetachedStream, _ answer: TransferAnswer
    ) throws(TransferError) -> Int {
        let here = found.pointee.receiveOffset
        let before = detached.receiveOffset
        guard here <= detached.receiveLimit, !detached.receiveFinished || here <= before else { throw .impossible }
        // An end that came here lies behind everything that came before.
        guard !found.pointee.receiveFinished || here >= before else { throw .impossible }
        found.pointee.marks.remove(.arriving)
        if detached.sendFinished, !answer.isFinished { found.pointee.pending.insert(.end) }
        found.pointee.receiveOffset = max(here, before)
        found.pointee.duplicate = UInt32(clamping: before - min(here, before))
        if found.pointee.receiveFinished {
            // The end is here already.
        } else if detached.receiveFinished {
            found.pointee.marks.insert(.endAgain)
        } else {
            // The peer may not know the newest limit, which went to the lane before.
            found.pointee.pending.insert(.credit)
        }
        return Int(clamping: here - min(here, before))
    }

    /// The peer's direction was complete before the stream came: only what the application has not taken stays reserved.
    private func keepUnread(_ found: UnsafeMutablePointer<Stream>) {
        let unread = UInt32(clamping: found.pointee.unread)
        guard unread < found.pointee.window else { return }
        budget.release(Int(found.pointee.window - unread))
        found.pointee.window = unread
    }

    private func addTransfer(_ id: UInt64, _ phase: Stream.Phase, isLocal: Bool) -> UInt32 {
        let slot = add(id, phase: phase, sendLimit: 0, isLocal: isLocal)
        slab[slot].pointee.window = 0
        slab[slot].pointee.receiveLimit = 0
        slab[slot].pointee.marks = [.transfer, .asked]
        if isLocal { transfersAsked += 1 } else { transfersOffered += 1 }
        return slot
    }

    /// TRANSFER of the stream is answered, or the stream is over.
    func answered(_ stream: UnsafeMutablePointer<Stream>) {
        guard stream.pointee.marks.remove(.asked) != nil else { return }
        if stream.pointee.isLocal { transfersAsked -= 1 } else { transfersOffered -= 1 }
    }

    // MARK: Frames

    func receivedTransfer(_ id: UInt64, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard id & 1 == parity.opposite.rawValue, id > lastPeerID else {
            return fail(.protocolError, "TRANSFER with stream id \(id)")
        }
        guard transfersOffered < configuration.maximumTransfers, transfers.take(now: now) else {
            return fail(.flood, "more TRANSFERs than a working peer needs")
        }
        let request: TransferRequest
        do {
            request = try TransferRequest(payload: payload)
        } catch {
            return fail(.protocolError, "TRANSFER: \(error.code)")
        }
        lastPeerID = id
        transferRequest = request
        // What comes with a stream and is to be sent here counts as retained: without this a peer could bring more and more.
        let hasRoom = retainedBytes < configuration.retentionLimit
        guard !goingAway, hasRoom, peerStreams < configuration.maximumPeerStreams else {
            let reason: LinkReason = goingAway ? .goingAway : hasRoom ? .tooManyStreams : .streamOverloaded
            count.refusedHere += 1
            guard write(.refuse, id: id, payload: Notice(reason).encodedPayload(for: .refuse)) else {
                return fail(.flood, "TRANSFERs without reading the answers")
            }
            return .none
        }
        let slot = addTransfer(id, .offered, isLocal: false)
        peerStreams += 1
        return .transferOffered(handle(slot))
    }

    func receivedTaken(_ id: UInt64, _ payload: UnsafeRawBufferPointer) -> SessionEvent {
        let answer: TransferAnswer
        do {
            answer = try TransferAnswer(payload: payload)
        } catch {
            return fail(.protocolError, "TAKEN: \(error.code)")
        }
        switch lookUp(id) {
        case .over: return .none
        case .unknown: return fail(.protocolError, "TAKEN on a stream that was never opened")
        case .live(let slot):
            let stream = slab[slot]
            guard stream.pointee.phase == .opening, stream.pointee.marks.contains(.transfer) else {
                return fail(.protocolError, "TAKEN in the wrong state")
            }
            answered(stream)
            stream.pointee.phase = .open
            stream.pointee.marks.insert(.arriving)
            stream.pointee.sendOffset = answer.received
            stream.pointee.sendLimit = answer.credit
            stream.pointee.receiveOffset = answer.from
            stream.pointee.consumed = answer.from
            // What was granted on the lane before is not known here; `adopt` looks at it exactly.
            stream.pointee.receiveLimit = answer.from + UInt64(2 * configuration.maximumWindow) + Session.heldBound
            transferAnswer = answer
            return .taken(handle(slot))
        }
    }

    /// DATA, or END, of which something came on the lane before: the first `again` bytes, or the end.
    func receivedAgain(_ slot: UInt32, _ again: Int, _ size: Int, finished: Bool) -> SessionEvent {
        let stream = slab[slot]
        let news = size - LinkFrame.headerSize - again
        stream.pointee.duplicate -= UInt32(again)
        let isEndNews = finished && !stream.pointee.marks.contains(.endAgain)
        guard news == 0 || !stream.pointee.marks.contains(.endAgain), !finished || stream.pointee.duplicate == 0 else {
            return fail(.protocolError, "another end than on the lane before")
        }
        stream.pointee.receiveOffset += UInt64(news)
        count.dataIn += UInt64(news)
        let name = handle(slot)
        if finished {
            stream.pointee.marks.remove(.endAgain)
            stopReceiving(slot)
        }
        guard news > 0 else { return isEndNews ? .finished(name) : .none }
        return .data(name, (LinkFrame.headerSize + again)..<size, finished: finished)
    }

    // MARK: Bytes that are sent again

    var transferBytes: Int {
        tails.isEmpty && kept.isEmpty
            ? 0 : tails.values.reduce(0) { $0 + $1.count } + kept.values.reduce(0) { $0 + $1.count }
    }

    /// Streams that have bytes to send again here. One that leaves sends them on its next lane.
    var writableTails: Int {
        tails.isEmpty ? 0 : tails.keys.count { !slab[$0].pointee.marks.contains(.leaving) }
    }

    var areTailsWritable: Bool { writableTails > 0 && outbox.acceptsData }

    /// Writes what other lanes sent in vain, within the session's limit, and then whatever waited for it.
    func writeTails() {
        guard !tails.isEmpty else { return }
        for slot in Array(tails.keys) {
            let stream = slab[slot]
            guard let tail = tails[slot], !stream.pointee.pending.contains(.accept),
                !stream.pointee.marks.contains(.leaving)
            else { continue }
            write(tail, of: stream)
            guard tail.count == 0 else { return }
            tails[slot] = nil
            stream.pointee.pending.remove(.tail)
            settle(slot)
        }
    }

    /// Writes as much of `tail` as there is room for.
    private func write(_ tail: StreamTail, of stream: UnsafeMutablePointer<Stream>) {
        while tail.count > 0 {
            let wanted = min(tail.count, maximumPayload)
            guard outbox.unsent < configuration.controlBacklog, let room = outbox.reserve(wanted) else { return }
            tail.take(into: room)
            outbox.commit(room.count, frame: LinkFrame(type: .data, streamID: stream.pointee.id))
            wrote(stream)
            count.dataOut += UInt64(room.count)
        }
    }
}

extension Stream {
    /// Whether the peer's end is known, be it that it comes again.
    var hasEnd: Bool { receiveFinished || marks.contains(.endAgain) }

    /// Whether the peer brought it from another lane and was not answered yet.
    var isOffered: Bool { phase == .offered && marks.contains(.transfer) }
}
