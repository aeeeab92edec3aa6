/// What a frame carries (RFC 6455 section 5.2); the other ten values are reserved and refused.
public enum Opcode: UInt8, Sendable, Hashable, CaseIterable {
    /// A later fragment of a message.
    case continuation = 0x0
    /// The first fragment of a text message, or all of it.
    case text = 0x1
    /// The first fragment of a binary message, or all of it.
    case binary = 0x2
    /// The last frame that its sender sends (section 5.5.1).
    case close = 0x8
    /// Asks for a pong with the same payload (section 5.5.2).
    case ping = 0x9
    /// Answers a ping, or is an unasked sign of life (section 5.5.3).
    case pong = 0xA

    /// Whether it is a control frame: at most 125 bytes, never fragmented, allowed between fragments.
    @inlinable
    public var isControl: Bool { rawValue & 0x8 != 0 }
}

/// The kind of a data message.
public enum MessageKind: Sendable, Hashable {
    /// UTF-8 text; the whole message is valid, a fragment may end within a character.
    case text
    /// Any bytes.
    case binary

    /// The opcode of the message's first frame.
    @inlinable
    public var opcode: Opcode { self == .text ? .text : .binary }
}
