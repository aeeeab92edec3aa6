/// The kind of a link frame: the first byte of its header.
///
/// The top bit says whether the frame is outside the sequence (0x80: not counted, not retained, not sent again). The
/// other numbers up to `0x0B` and `0x87` are assigned, see `docs/link-protocol.md`.
public enum FrameType: UInt8, Sendable, Hashable, CaseIterable {
    /// Asks for a new stream to a service.
    case open = 0x01
    /// Takes a stream and grants its first credit.
    case accept = 0x02
    /// Declines a stream, with a reason.
    case refuse = 0x03
    /// Bytes of a stream.
    case data = 0x04
    /// The sender's direction of the stream is complete.
    case end = 0x05
    /// The stream is over in both directions, with a reason.
    case reset = 0x06
    /// Raises the offset up to which the peer may send on the stream.
    case credit = 0x07
    /// The sender takes no new streams.
    case goAway = 0x08
    /// The last frame on a link whose session moves to another one.
    case switchLink = 0x09
    /// A stream of another lane is to go on on this one.
    case transfer = 0x0A
    /// Takes such a stream.
    case taken = 0x0B

    /// First frame of each end on a link: versions, boot id, intent.
    case hello = 0x80
    /// How many sequenced frames were processed.
    case ack = 0x81
    /// Asks for a PONG.
    case ping = 0x82
    /// Answers the newest PING.
    case pong = 0x83
    /// Says how far a session got that is to go on over a new link.
    case resume = 0x84
    /// Proves the right to that session.
    case auth = 0x85
    /// Asks the peer to dial a link to which the session moves.
    case move = 0x86
    /// How many lanes the sender takes from now on.
    case lanes = 0x87

    /// Whether the frame counts in the sequence of its lane and is kept until acknowledged.
    @inlinable
    public var isSequenced: Bool { rawValue & 0x80 == 0 }

    /// Whether the frame speaks of one stream (id not zero) or of the whole session (id zero).
    public var isStreamFrame: Bool {
        switch self {
        case .open, .accept, .refuse, .data, .end, .reset, .credit, .transfer, .taken: true
        case .goAway, .switchLink, .hello, .ack, .ping, .pong, .resume, .auth, .move, .lanes: false
        }
    }
}

/// The second byte of a frame's header.
public struct FrameFlags: OptionSet, Sendable, Hashable {
    /// The byte on the wire.
    public let rawValue: UInt8

    /// The flags in a byte from the wire.
    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// On DATA: the sender's direction of the stream is complete with this frame.
    public static let finish = FrameFlags(rawValue: 0x01)
    /// A receiver that does not know the frame's type skips the frame. Not allowed on types of version 1.
    public static let ignorable = FrameFlags(rawValue: 0x80)
}
