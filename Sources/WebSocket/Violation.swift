/// How a peer broke RFC 6455 or a limit of this end. The connection cannot go on after it (section 7.1.7).
///
/// The raw value is the stable code for logs and metrics; the fault is always the peer's.
public enum Violation: String, Error, Sendable, Hashable, CaseIterable {
    /// A reserved bit is set and no extension gives it a meaning (section 5.2).
    case reservedBit = "reserved_bit"
    /// An opcode that RFC 6455 reserves (section 5.2).
    case reservedOpcode = "reserved_opcode"
    /// A control frame without FIN (section 5.5).
    case fragmentedControl = "fragmented_control"
    /// A control frame of more than 125 bytes (section 5.5).
    case controlTooLong = "control_too_long"
    /// A length in more bytes than it needs (section 5.2).
    case lengthNotMinimal = "length_not_minimal"
    /// A 64-bit length with the highest bit set (section 5.2).
    case lengthOutOfRange = "length_out_of_range"
    /// A client sent a frame without mask (section 5.1).
    case unmaskedFrame = "unmasked_frame"
    /// A server sent a masked frame (section 5.1).
    case maskedFrame = "masked_frame"
    /// A continuation frame while no message is under way (section 5.4).
    case unexpectedContinuation = "unexpected_continuation"
    /// A new message inside of another one's fragments (section 5.4).
    case interleavedMessage = "interleaved_message"
    /// A frame larger than this end accepts.
    case frameTooLarge = "frame_too_large"
    /// A message larger than this end accepts.
    case messageTooLarge = "message_too_large"
    /// A text message that is not UTF-8 (section 8.1).
    case invalidUTF8 = "invalid_utf8"
    /// A close frame whose payload is a single byte (section 5.5.1).
    case truncatedCloseCode = "truncated_close_code"
    /// A close frame with a code that must not be sent (section 7.4).
    case invalidCloseCode = "invalid_close_code"
    /// A close frame whose reason is not UTF-8 (section 5.5.1).
    case invalidCloseReason = "invalid_close_reason"

    /// The status code that tells the peer (section 7.4.1).
    public var closeCode: CloseCode {
        switch self {
        case .frameTooLarge, .messageTooLarge: .messageTooBig
        case .invalidUTF8, .invalidCloseReason: .invalidPayload
        default: .protocolError
        }
    }
}

extension Violation: CustomStringConvertible {
    /// One sentence for people; at most 123 bytes, so that it fits a close frame as reason.
    public var description: String {
        switch self {
        case .reservedBit: "a reserved bit is set, but no extension was negotiated"
        case .reservedOpcode: "the opcode is reserved"
        case .fragmentedControl: "a control frame is fragmented"
        case .controlTooLong: "a control frame is longer than 125 bytes"
        case .lengthNotMinimal: "a payload length is not in its shortest form"
        case .lengthOutOfRange: "a payload length has its highest bit set"
        case .unmaskedFrame: "a frame from the client is not masked"
        case .maskedFrame: "a frame from the server is masked"
        case .unexpectedContinuation: "a continuation frame, but no message is under way"
        case .interleavedMessage: "a new message began before the last one was finished"
        case .frameTooLarge: "the frame is larger than accepted here"
        case .messageTooLarge: "the message is larger than accepted here"
        case .invalidUTF8: "the text message is not valid UTF-8"
        case .truncatedCloseCode: "the close frame has a payload of one byte"
        case .invalidCloseCode: "the close code must not be sent"
        case .invalidCloseReason: "the close reason is not valid UTF-8"
        }
    }
}
