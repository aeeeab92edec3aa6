internal import Bytes
internal import WebSocket

/// What is to be sent and what was sent but not acknowledged yet: one log of frames, exactly as they go to the wire.
///
/// Each frame is laid out behind the last one as WebSocket header, link header and payload, and masked in place where this
/// end is the WebSocket client. The transport takes contiguous ranges with many frames in them; the same bytes stay until
/// the peer agent has acknowledged them, so that retention costs no copy. Two positions move through the log on their own:
/// *sent* and *acknowledged*. A segment goes back to the pool when all of it is sent and every sequenced frame in it is
/// acknowledged; an idle log holds none.
public struct Outbox: ~Copyable {
    /// Room before a payload: the longest WebSocket header without a mask key, and the link header.
    static let plainHeader = 4 + LinkFrame.headerSize
    static let keySize = 4
    /// Type of a frame that stands for one which may not be sent any more; every receiver skips it.
    static let placeholder: UInt8 = 0x7F

    var pool: SegmentPool
    var masks: MaskKeys
    var masking: Bool
    let limit: Int
    /// Bytes beyond `limit` that control frames may take.
    let controlReserve: Int

    var head: Segment?
    var tail: Segment?
    /// The segment that is being sent, and how far.
    var sending: Segment?
    var sentOffset = 0
    /// While the session moves: bytes that the old link has still to take, up to its last frame. What lies behind them is
    /// for the new one.
    private(set) var boundary: Int?
    /// Room handed out and not committed yet; -1: none.
    var reserved = -1

    private(set) var sequence: UInt64 = 0
    private(set) var acknowledged: UInt64 = 0
    var retained = 0
    var unsent = 0
    private(set) var framesWritten: UInt64 = 0
    private(set) var bytesSent: UInt64 = 0

    /// An empty log. `masking`: this end is the WebSocket client. `limit`: bytes held before `reserve` gives nothing.
    /// `controlReserve`: bytes beyond that for control frames.
    public init(
        pool: SegmentPool, masks: MaskKeys, masking: Bool, limit: Int = 16 << 20, controlReserve: Int = 1 << 20
    ) {
        self.pool = pool
        self.masks = masks
        self.masking = masking
        self.limit = limit
        self.controlReserve = controlReserve
    }

    deinit {
        var next = head
        while let segment = next {
            next = segment.next
            pool.give(segment.base)
        }
    }

    /// Bytes held for sending or for acknowledgement, counted by whole segments' contents.
    public var retainedBytes: Int { retained }

    /// Bytes that wait to be sent.
    public var unsentBytes: Int { unsent }

    /// Bytes that the link in use may be lent: all that wait, or those before the boundary.
    var lendable: Int { boundary ?? unsent }

    /// How many sequenced frames were written so far; the number of the next one, counting from zero.
    public var nextSequence: UInt64 { sequence }

    /// How many sequenced frames the peer has acknowledged.
    public var acknowledgedCount: UInt64 { acknowledged }

    /// Whether application data may be added. Beyond the bound of the worker's pool a log may have two segments: so each session
    /// goes on, whatever others hold, as its own peer acknowledges the first of them. (With one, it would have to be empty
    /// before the next, which it never is while the other direction goes on and needs CREDIT.)
    public var acceptsData: Bool {
        retained < limit && (head == tail || hasRoomInTail || pool.hasRoomForData)
    }

    /// The least room for application data that is worth a frame; where a segment has less left, the next one begins.
    private static let leastRoom = 16 << 10

    private var header: Int { masking ? Outbox.plainHeader + Outbox.keySize : Outbox.plainHeader }

    private var hasRoomInTail: Bool {
        guard let tail else { return false }
        return SegmentPool.segmentSize - tail.used - header >= Outbox.leastRoom
    }

    /// Whether the retention limit is reached; only the peer's acknowledgement changes that.
    var isFull: Bool { retained >= limit }

    /// Whether a control frame may be added. All have a reserve of their own beyond the limit. REFUSE, which has no stream
    /// to wait at, has a quarter of a mebibyte more, and unsequenced frames another quarter, so that an acknowledgement can
    /// always be written.
    func accepts(_ type: FrameType) -> Bool {
        let extra = !type.isSequenced ? 2 << 18 : type == .refuse ? 1 << 18 : 0
        return retained < limit + controlReserve + extra
    }

    // MARK: Writing

    /// Writable room for the payload of the next frame: up to `wanted` bytes, fewer where a segment ends, nil when the
    /// retention limit is reached. To be followed by `commit` or `cancel`; nothing else may write in between.
    public mutating func reserve(_ wanted: Int) -> UnsafeMutableRawBufferPointer? {
        guard acceptsData, wanted > 0 else { return nil }
        return room(min(wanted, LinkFrame.maximumPayload), atLeast: Outbox.leastRoom)
    }

    /// Makes a frame of the first `count` bytes of the reserved room. Returns the sequence number that follows it.
    @discardableResult
    public mutating func commit(_ count: Int, frame: LinkFrame) -> UInt64 {
        precondition(count >= 0 && count <= reserved, "commit of more than was reserved")
        guard let tail else { preconditionFailure("commit without a reservation") }
        reserved = -1
        let header = masking ? Outbox.plainHeader + Outbox.keySize : Outbox.plainHeader
        let start = tail.base + tail.used
        let length = LinkFrame.headerSize + count
        let body: UnsafeMutableRawPointer
        let maskBit: UInt8 = masking ? 0x80 : 0
        let end: Int
        // FIN, opcode 2 (binary): one message is one WebSocket frame.
        start.storeBytes(of: 0x82, as: UInt8.self)
        if length <= 125 {
            // The short form of the length: the few bytes of payload move up to it.
            body = start + (header - 2 - LinkFrame.headerSize)
            (body + LinkFrame.headerSize).copyMemory(from: start + header, byteCount: count)
            start.storeBytes(of: maskBit | UInt8(length), toByteOffset: 1, as: UInt8.self)
            end = header - 2 + count
        } else {
            body = start + (header - LinkFrame.headerSize)
            start.storeBytes(of: maskBit | 126, toByteOffset: 1, as: UInt8.self)
            start.storeBE16(UInt16(length), at: 2)
            end = header + count
        }
        frame.encode(into: body)
        if masking {
            let key = masks.next()
            (body - Outbox.keySize).storeBytes(of: key.littleEndian, as: UInt32.self)
            Masking.apply(key, to: UnsafeMutableRawBufferPointer(start: body, count: length))
        }
        advance(tail, by: end, sequenced: frame.type.isSequenced)
        return sequence
    }

    /// Gives reserved room back unused.
    public mutating func cancel() {
        reserved = -1
        release()
    }

    /// Writes a whole control frame; false, and nothing written, when its share of the log is used up.
    public mutating func append(_ frame: LinkFrame, payload: UnsafeRawBufferPointer) -> Bool {
        guard accepts(frame.type) else { return false }
        return appendUnbounded(frame, payload: payload)
    }

    /// Writes a whole frame whatever is retained; false when the system has no memory.
    mutating func appendUnbounded(_ frame: LinkFrame, payload: UnsafeRawBufferPointer) -> Bool {
        guard let target = room(payload.count, atLeast: payload.count) else { return false }
        target.copyMemory(from: payload)
        commit(payload.count, frame: frame)
        return true
    }

    /// Writes a frame that counts in the sequence and says nothing, in the place of one that may not be sent any more; false
    /// when the system has no memory.
    private mutating func appendPlaceholder() -> Bool {
        guard room(0, atLeast: 0) != nil else { return false }
        commit(0, frame: LinkFrame(type: .end, flags: .ignorable))
        guard let tail else { return false }
        // Its type has no name here. Exclusive or changes it under a mask as well.
        let type = tail.base + tail.used - LinkFrame.headerSize
        let flipped = type.load(as: UInt8.self) ^ (FrameType.end.rawValue ^ Outbox.placeholder)
        type.storeBytes(of: flipped, as: UInt8.self)
        return true
    }

    private mutating func room(_ wanted: Int, atLeast minimum: Int) -> UnsafeMutableRawBufferPointer? {
        precondition(reserved < 0, "two reservations at once")
        let header = header
        var left = tail.map { SegmentPool.segmentSize - $0.used - header } ?? -1
        if left < min(wanted, minimum) {
            guard let base = pool.take() else { return nil }
            let segment = Segment(base: base, firstSequence: sequence)
            if let tail { tail.next = segment } else { head = segment }
            tail = segment
            if sending == nil {
                sending = segment
                sentOffset = Segment.start
            }
            left = SegmentPool.segmentSize - Segment.start - header
        }
        guard let tail else { return nil }
        reserved = min(wanted, left)
        return UnsafeMutableRawBufferPointer(start: tail.base + tail.used + header, count: reserved)
    }

    private mutating func advance(_ segment: Segment, by count: Int, sequenced: Bool) {
        segment.used += count
        retained += count
        unsent += count
        framesWritten += 1
        if sequenced {
            segment.sequencedFrames += 1
            sequence += 1
        }
    }

    // MARK: Sending and acknowledging

    /// Lends the next contiguous range that waits to be sent, whole frames as a rule; `body` says how many of its bytes the
    /// transport took. Returns what `body` returned, or zero when there is nothing to send.
    public mutating func withUnsent<E>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> Int
    ) throws(E) -> Int {
        guard let range = unsentRange() else { return 0 }
        let count = try body(range)
        sent(count)
        return count
    }

    /// The next contiguous range that waits to be sent; valid until `sent` or the next frame.
    mutating func unsentRange() -> UnsafeRawBufferPointer? {
        guard lendable > 0, let segment = sendable() else { return nil }
        let count = min(segment.used - sentOffset, lendable)
        return UnsafeRawBufferPointer(start: segment.base + sentOffset, count: count)
    }

    /// The transport took the first `count` bytes of the range.
    mutating func sent(_ count: Int) {
        guard count != 0 else { return }
        guard let segment = sending, count > 0, count <= min(segment.used - sentOffset, lendable) else {
            preconditionFailure("more sent than there was")
        }
        sentOffset += count
        unsent -= count
        if let left = boundary { boundary = left - count }
        bytesSent += UInt64(count)
        release()
    }

    /// The peer has processed `count` sequenced frames in all. False when it can't have: fewer than before, or more than
    /// were written.
    public mutating func acknowledge(_ count: UInt64) -> Bool {
        guard count >= acknowledged, count <= sequence else { return false }
        acknowledged = count
        release()
        return true
    }

    /// What was written so far is for the link in use, what follows for the next one, whose end masks or does not.
    mutating func beginMove(masking newMasking: Bool) {
        precondition(reserved < 0 && boundary == nil, "a move within a move")
        boundary = unsent
        masking = newMasking
    }

    /// The old link has taken everything that is its own: the new one goes on.
    mutating func crossBoundary() {
        precondition(boundary == 0, "frames of the old link are left")
        boundary = nil
    }

    private mutating func sendable() -> Segment? {
        while let segment = sending {
            if sentOffset < segment.used { return segment }
            guard let next = segment.next else { return nil }
            sending = next
            sentOffset = Segment.start
        }
        return nil
    }

    /// Gives back every segment at the head that is sent and acknowledged.
    private mutating func release() {
        while let segment = head {
            let isTail = segment == tail
            if isTail && reserved >= 0 { return }
            if segment == sending && sentOffset < segment.used { return }
            if segment.firstSequence + segment.sequencedFrames > acknowledged { return }
            let next = segment.next
            if segment == sending {
                sending = next
                sentOffset = Segment.start
            }
            retained -= segment.used - Segment.start
            pool.give(segment.base)
            head = next
            if isTail { tail = nil }
        }
    }

    // MARK: Starting again

    /// Lays the log out anew for another link: frames the peer has not processed are kept in order, with their sequence
    /// numbers, and wait to be sent from the first one; unsequenced frames are dropped; headers and masks become those of
    /// the new role. SWITCH, which spoke of a link, and DATA and END of the streams `withheld` are replaced by frames without
    /// content that count in the sequence (END too, or bytes left out would look like a direction that is complete). False when `processed` can't be, or the
    /// system has no memory; the log is unusable then.
    public mutating func rebase(processed: UInt64, masking newMasking: Bool, withheld: Set<UInt64> = []) -> Bool {
        precondition(reserved < 0, "rebase with room reserved")
        guard acknowledge(processed) else { return false }
        var next = head
        head = nil
        tail = nil
        sending = nil
        retained = 0
        unsent = 0
        boundary = nil
        masking = newMasking
        sequence = processed
        var complete = true
        while let segment = next {
            next = segment.next
            var number = segment.firstSequence
            var walker = FrameWalker(segment: segment)
            while complete, let message = walker.next() {
                let frame: LinkFrame
                switch LinkFrame.parse(message) {
                case .frame(let parsed) where parsed.type.isSequenced: frame = parsed
                case .skip(sequenced: true):
                    number += 1
                    if number > processed { complete = appendPlaceholder() }
                    continue
                default: continue
                }
                number += 1
                if number <= processed { continue }
                if frame.type == .switchLink
                    || (frame.type == .data || frame.type == .end) && withheld.contains(frame.streamID)
                {
                    complete = appendPlaceholder()
                    continue
                }
                complete = appendUnbounded(
                    frame, payload: UnsafeRawBufferPointer(rebasing: message[LinkFrame.headerSize...]))
            }
            pool.give(segment.base)
        }
        return complete
    }

    /// Drops everything and gives all segments back.
    public mutating func removeAll() {
        reserved = -1
        while let segment = head {
            head = segment.next
            pool.give(segment.base)
        }
        tail = nil
        sending = nil
        retained = 0
        unsent = 0
        boundary = nil
        acknowledged = sequence
    }
}
