/// The fast way in: reads whole frames out of one contiguous, writable buffer and unmasks them where they lie.
///
/// The mesh link uses it: its buffer holds at least one frame, so a frame costs one call, no copy and no allocation. The
/// caller keeps what it received in a buffer that begins at a frame's first byte, asks for the next step, uses the
/// payload, and drops `consumed` bytes.
///
/// Checks all of RFC 6455's framing rules for its role (section 5), size limits included. It does not look into
/// payloads: text is not checked for UTF-8 and a close frame's payload is not taken apart; `UTF8Validator` and
/// `ClosePayload` do that. `Connection` does everything, for callers that take input piece by piece.
public struct FrameReader: Sendable {
    /// What the bytes at the start of the buffer are.
    public enum Step: Sendable, Hashable {
        /// The frame is not complete: it needs at least `total` bytes, counted from the start of the buffer. Nothing was
        /// changed; receive more and call again with the same bytes in front.
        case needMore(total: Int)
        /// An unfragmented message: `payload` in the buffer, unmasked; the frame took `consumed` bytes.
        case message(MessageKind, payload: Range<Int>, consumed: Int)
        /// One frame of a message in several; `kind` is that of the message.
        case fragment(MessageKind, payload: Range<Int>, isFirst: Bool, isLast: Bool, consumed: Int)
        /// A control frame (close, ping or pong), unmasked.
        case control(Opcode, payload: Range<Int>, consumed: Int)
        /// The peer broke the protocol or a limit; the connection is to be closed with the violation's code. Every
        /// further call gives the same.
        case failed(Violation)
    }

    /// Which end this is; decides about masks.
    public let role: Role
    /// The largest payload of one frame, in bytes.
    public let maximumFramePayload: Int
    /// The largest message, over all of its fragments, in bytes.
    public let maximumMessage: Int

    private var assembly: Assembly
    private var violation: Violation?

    /// A reader at the start of a connection.
    ///
    /// - Parameters:
    ///   - role: which end this is.
    ///   - maximumFramePayload: the largest frame accepted; a larger one fails with 1009 as soon as its header is there.
    ///   - maximumMessage: the largest message accepted; by default no larger than a frame.
    public init(role: Role, maximumFramePayload: Int, maximumMessage: Int? = nil) {
        precondition(maximumFramePayload >= 0, "a negative limit")
        self.role = role
        self.maximumFramePayload = maximumFramePayload
        self.maximumMessage = maximumMessage ?? maximumFramePayload
        assembly = Assembly()
    }

    /// Reads the frame at the start of `buffer`.
    ///
    /// Call it again only after dropping `consumed` bytes: the payload is unmasked, the frame cannot be read twice.
    public mutating func next(_ buffer: UnsafeMutableRawBufferPointer) -> Step {
        if let violation { return .failed(violation) }
        switch FrameHeader.parse(UnsafeRawBufferPointer(buffer)) {
        case .incomplete(let need):
            return .needMore(total: need)
        case .invalid(let violation):
            return fail(violation)
        case .complete(let header, let size):
            if let violation = header.violation(for: role, allowedBits: 0) { return fail(violation) }
            if let violation = assembly.refusal(of: header, maximumFramePayload, maximumMessage) {
                return fail(violation)
            }
            let (total, overflow) = size.addingReportingOverflow(header.payloadLength)
            guard !overflow else { return fail(.frameTooLarge) }
            guard buffer.count >= total else { return .needMore(total: total) }
            if header.masked {
                Masking.apply(header.key, to: UnsafeMutableRawBufferPointer(rebasing: buffer[size..<total]))
            }
            return step(header, payload: size..<total, consumed: total)
        }
    }

    private mutating func step(_ header: FrameHeader, payload: Range<Int>, consumed: Int) -> Step {
        if header.opcode.isControl { return .control(header.opcode, payload: payload, consumed: consumed) }
        let isFirst = header.opcode != .continuation
        let kind = assembly.take(header)
        if isFirst, header.fin { return .message(kind, payload: payload, consumed: consumed) }
        return .fragment(kind, payload: payload, isFirst: isFirst, isLast: header.fin, consumed: consumed)
    }

    private mutating func fail(_ violation: Violation) -> Step {
        self.violation = violation
        return .failed(violation)
    }
}

/// Where the connection stands between the fragments of a message (RFC 6455 section 5.4).
struct Assembly: Sendable {
    /// The message whose last fragment is still to come.
    private(set) var kind: MessageKind?
    /// Whether that message's first frame had RSV1 set.
    private(set) var compressed = false
    /// Bytes of the message's frames so far.
    private var size = 0

    /// Why a data frame with this header cannot come now; nil for control frames and where all is well.
    func refusal(of header: FrameHeader, _ maximumFramePayload: Int, _ maximumMessage: Int) -> Violation? {
        if header.opcode.isControl { return nil }
        if header.opcode == .continuation {
            guard kind != nil else { return .unexpectedContinuation }
        } else {
            guard kind == nil else { return .interleavedMessage }
        }
        guard header.payloadLength <= maximumFramePayload else { return .frameTooLarge }
        let (total, overflow) = size.addingReportingOverflow(header.payloadLength)
        return overflow || total > maximumMessage ? .messageTooLarge : nil
    }

    /// Notes a data frame that was not refused and returns its message's kind.
    mutating func take(_ header: FrameHeader) -> MessageKind {
        let kind = kind ?? (header.opcode == .text ? .text : .binary)
        if header.opcode != .continuation { compressed = header.rsv & FrameHeader.rsv1 != 0 }
        if header.fin {
            self.kind = nil
            size = 0
        } else {
            self.kind = kind
            size &+= header.payloadLength
        }
        return kind
    }
}

extension FrameHeader {
    /// RSV1 as a bit of `rsv`; permessage-deflate marks compressed messages with it (RFC 7692 section 6).
    static let rsv1: UInt8 = 4

    /// What is wrong with reserved bits or mask. `allowedBits` may be set on the first frame of a data message.
    func violation(for role: Role, allowedBits: UInt8) -> Violation? {
        if rsv != 0 {
            let allowed = opcode == .text || opcode == .binary ? allowedBits : 0
            guard rsv & ~allowed == 0 else { return .reservedBit }
        }
        guard masked == role.expectsMask else { return masked ? .maskedFrame : .unmaskedFrame }
        return nil
    }
}
