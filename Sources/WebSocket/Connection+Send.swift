internal import Bytes

extension Connection {
    /// Above this much waiting output, only the latest ping is answered: a flood of pings must not fill memory.
    static let pongBacklog = 64 << 10
    /// An output queue that grew beyond this gives its memory back when it is empty.
    static let keptOutput = 16 << 10

    // MARK: - Messages

    /// Queues a text message.
    public mutating func send(text: String) throws(SendError) {
        guard state == .open else { throw .closed }
        guard outgoing == nil else { throw .messageUnderWay }
        var text = text
        text.withUTF8 { queue(.text, UnsafeRawBufferPointer($0)) }
    }

    /// Queues a binary message.
    public mutating func send(binary bytes: [UInt8]) throws(SendError) {
        guard state == .open else { throw .closed }
        guard outgoing == nil else { throw .messageUnderWay }
        bytes.withUnsafeBytes { queue(.binary, $0) }
    }

    /// Queues a message in one frame.
    public mutating func send(_ kind: MessageKind, _ bytes: UnsafeRawBufferPointer) throws(SendError) {
        guard state == .open else { throw .closed }
        guard outgoing == nil else { throw .messageUnderWay }
        if kind == .text, !UTF8Validator.isValid(bytes) { throw .invalidUTF8 }
        queue(kind.opcode, bytes)
    }

    /// Queues a frame of a message in several; the first call begins the message, the one with `isLast` ends it.
    ///
    /// - Parameters:
    ///   - kind: the message's kind; the same for all of its fragments.
    ///   - bytes: the payload; may end within a character of a text, except in the last fragment.
    ///   - isLast: whether the message ends with it.
    ///   - isCompressed: whether the message was compressed by somebody who negotiated that (sets RSV1 on the first
    ///     frame); the same for all of its fragments.
    public mutating func sendFragment(
        _ kind: MessageKind, _ bytes: UnsafeRawBufferPointer, isLast: Bool, isCompressed: Bool = false
    ) throws(SendError) {
        guard state == .open else { throw .closed }
        var current = outgoing ?? OutgoingMessage(kind: kind, isCompressed: isCompressed)
        guard current.kind == kind, current.isCompressed == isCompressed else { throw .messageUnderWay }
        if kind == .text, !isCompressed {
            guard current.validator.append(bytes), !isLast || current.validator.isComplete else { throw .invalidUTF8 }
        }
        let isFirst = outgoing == nil
        let rsv = isFirst && isCompressed ? FrameHeader.rsv1 : 0
        queue(isFirst ? kind.opcode : .continuation, bytes, fin: isLast, rsv: rsv)
        outgoing = isLast ? nil : current
    }

    // MARK: - Control frames

    /// Queues a ping with a payload of at most 125 bytes; may come between the fragments of a message.
    public mutating func ping(_ payload: [UInt8] = []) throws(SendError) {
        try sendControl(.ping, payload)
    }

    /// Queues a pong: the answer to a ping where `Options.answersPings` is off, or an unasked sign of life.
    public mutating func pong(_ payload: [UInt8] = []) throws(SendError) {
        try sendControl(.pong, payload)
    }

    /// Queues our close frame; nothing can be sent after it. What the peer sends until its own close frame is still
    /// delivered.
    ///
    /// - Throws: `closed` if a close frame was queued before, by us or as an answer.
    public mutating func close(_ payload: ClosePayload = ClosePayload(.normal)) throws(SendError) {
        guard state == .open else { throw .closed }
        queueClose(payload)
        outgoing = nil
        state = .closing
    }

    private mutating func sendControl(_ opcode: Opcode, _ payload: [UInt8]) throws(SendError) {
        guard state == .open else { throw .closed }
        guard payload.count <= FrameHeader.maximumControlPayload else { throw .controlTooLong }
        payload.withUnsafeBytes { queue(opcode, $0) }
    }

    // MARK: - Output

    /// How many bytes wait to be written to the transport.
    public var pendingOutput: Int { output.count }

    /// Calls `body` with the waiting bytes and drops as many as it says the transport took.
    ///
    /// Memory is given back when the output is empty and was large.
    public mutating func withOutput<E>(_ body: (UnsafeRawBufferPointer) throws(E) -> Int) throws(E) {
        guard !output.isEmpty else { return }
        let taken = try output.withReadable(body)
        output.consume(taken)
        guard output.isEmpty else { return }
        output.shrinkIfEmpty(keeping: Self.keptOutput)
        if let pong = deferredPong {
            deferredPong = nil
            pong.withUnsafeBytes { queue(.pong, $0) }
        }
    }

    /// Gives back all memory that is not in use, for a connection that goes idle.
    public mutating func releaseIdleMemory() {
        output.shrinkIfEmpty()
    }

    // MARK: - Queueing

    mutating func answer(ping payload: [UInt8]) {
        if output.count > Self.pongBacklog {
            deferredPong = payload
        } else {
            payload.withUnsafeBytes { queue(.pong, $0) }
        }
    }

    mutating func queueClose(_ payload: ClosePayload) {
        deferredPong = nil
        payload.bytes.withUnsafeBytes { queue(.close, $0) }
    }

    private mutating func queue(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer, fin: Bool = true, rsv: UInt8 = 0) {
        var header = FrameHeader(fin: fin, rsv: rsv, opcode: opcode, payloadLength: payload.count)
        if role == .client {
            header.masked = true
            header.key = maskKeys()
        }
        let size = header.encodedSize
        let room = output.reserve(size + payload.count)
        guard let start = room.baseAddress else { return }
        header.encode(into: start)
        if header.masked {
            Masking.copy(header.key, from: payload, to: start + size)
        } else if let bytes = payload.baseAddress {
            (start + size).copyMemory(from: bytes, byteCount: payload.count)
        }
        output.commit(size + payload.count)
    }
}
