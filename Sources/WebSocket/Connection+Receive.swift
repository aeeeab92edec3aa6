internal import Bytes

extension Connection {
    /// Takes bytes from the transport, up to the next event.
    ///
    /// - Parameter input: what was received, in order, cut anywhere; it is unmasked in place, so nobody else may need
    ///   it as it was.
    /// - Returns: how many bytes were taken, and what they led to. Call again with the rest until all are taken; after
    ///   `close` or `failed` everything is taken and ignored.
    public mutating func receive(_ input: UnsafeMutableRawBufferPointer) -> Received {
        if isFinished { return Received(consumed: input.count, event: .needMore) }
        var at = 0
        while true {
            if frame == nil {
                switch begin(input, at: &at) {
                case .more: return Received(consumed: at, event: .needMore)
                case .begun: break
                case .refused(let violation): return fail(violation, consumed: input.count)
                }
            }
            guard var current = frame else { return Received(consumed: at, event: .needMore) }
            let start = at
            at &+= min(current.missing, input.count &- at)
            let part = UnsafeMutableRawBufferPointer(rebasing: input[start..<at])
            if current.header.masked { Masking.apply(current.header.key, to: part, offset: current.received) }
            current.received &+= part.count
            frame = current.missing == 0 ? nil : current
            let event =
                current.header.opcode.isControl
                ? takeControl(current, UnsafeRawBufferPointer(part))
                : takeData(current, UnsafeRawBufferPointer(part), at: start)
            switch event {
            case .failed(let violation): return fail(violation, consumed: input.count)
            case .close: return Received(consumed: input.count, event: event)
            case .needMore where at < input.count || frame == nil: continue
            default: return Received(consumed: at, event: event)
            }
        }
    }

    private enum Begin {
        case more
        case begun
        case refused(Violation)
    }

    /// Reads a header, straight from the input where it is whole there.
    private mutating func begin(_ input: UnsafeMutableRawBufferPointer, at: inout Int) -> Begin {
        var rest = UnsafeRawBufferPointer(rebasing: input[at...])
        if partialHeader.count == 0, case .complete(let header, let size) = FrameHeader.parse(rest) {
            at &+= size
            return begin(header)
        }
        while true {
            switch partialHeader.parse() {
            case .invalid(let violation):
                return .refused(violation)
            case .complete(let header, _):
                partialHeader.removeAll()
                return begin(header)
            case .incomplete(let need):
                guard !rest.isEmpty else { return .more }
                at &+= partialHeader.fill(upTo: need, from: rest)
                rest = UnsafeRawBufferPointer(rebasing: input[at...])
            }
        }
    }

    /// Checks a header and makes its frame the current one.
    private mutating func begin(_ header: FrameHeader) -> Begin {
        var allowedBits: UInt8 = 0
        if case .streamed(compressed: true) = options.delivery { allowedBits = FrameHeader.rsv1 }
        if let violation = header.violation(for: role, allowedBits: allowedBits) { return .refused(violation) }
        if header.opcode.isControl {
            frame = IncomingFrame(header: header, kind: .binary)
            return .begun
        }
        if let violation = assembly.refusal(of: header, options.maximumFramePayload, options.maximumMessage) {
            return .refused(violation)
        }
        let kind = assembly.take(header)
        if header.opcode != .continuation {
            validator = UTF8Validator()
            deliveredFirst = false
            if header.fin, options.delivery == .whole {
                // What a header promises is only believed as far as it costs next to nothing.
                message.reserveCapacity(min(header.payloadLength, 4096))
            }
        }
        frame = IncomingFrame(header: header, kind: kind)
        return .begun
    }

    /// A part of a data frame; `needMore` if there is nothing to tell.
    private mutating func takeData(_ frame: IncomingFrame, _ part: UnsafeRawBufferPointer, at start: Int) -> Event {
        let isLast = frame.header.fin && frame.missing == 0
        if frame.kind == .text, !assembly.compressed {
            guard validator.append(part), !isLast || validator.isComplete else { return .failed(.invalidUTF8) }
        }
        guard case .streamed = options.delivery else {
            message.append(contentsOf: part)
            guard isLast else { return .needMore }
            let whole = message
            message = []
            return .message(frame.kind, whole)
        }
        guard isLast || !part.isEmpty else { return .needMore }
        let isFirst = !deliveredFirst
        deliveredFirst = true
        return .piece(
            Piece(
                kind: frame.kind, range: start..<start &+ part.count, isFirst: isFirst, isLast: isLast,
                isCompressed: assembly.compressed))
    }

    /// A part of a control frame; `needMore` until it is whole.
    private mutating func takeControl(_ frame: IncomingFrame, _ part: UnsafeRawBufferPointer) -> Event {
        control.append(contentsOf: part)
        guard frame.missing == 0 else { return .needMore }
        let payload = control
        control = []
        switch frame.header.opcode {
        case .ping:
            if options.answersPings, state == .open { answer(ping: payload) }
            return .ping(payload)
        case .pong:
            return .pong(payload)
        default:
            return takeClose(payload)
        }
    }

    private mutating func takeClose(_ payload: [UInt8]) -> Event {
        switch payload.withUnsafeBytes(ClosePayload.parse) {
        case .failure(let violation):
            return .failed(violation)
        case .success(let close):
            received = close
            if state == .open { queueClose(close.code.map { ClosePayload($0) } ?? .empty) }
            end(.closed)
            return .close(close)
        }
    }

    private mutating func fail(_ violation: Violation, consumed: Int) -> Received {
        if state == .open { queueClose(ClosePayload(violation.closeCode, reason: violation.description)) }
        end(.failed(violation))
        return Received(consumed: consumed, event: .failed(violation))
    }

    /// Gives back what only a living connection needs.
    private mutating func end(_ state: State) {
        self.state = state
        frame = nil
        control = []
        message = []
        deferredPong = nil
        outgoing = nil
    }
}
