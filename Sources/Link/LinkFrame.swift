public import Bytes

/// The header of a link frame and the strict rules for it.
///
/// One binary WebSocket message is one frame: type (1 byte), flags (1), stream id (6, big endian), payload.
public struct LinkFrame: Sendable, Hashable {
    /// Size of the header in bytes.
    public static let headerSize = 8
    /// The longest payload that an implementation may send or announce. Four full frames, their headers and some control
    /// frames fill a 256 KiB segment, and the length always fits the 16-bit form of a WebSocket header.
    public static let maximumPayload = 65_280
    /// The smallest limit that an end may announce in HELLO: every frame but DATA fits in it.
    public static let minimumPayloadLimit = 4_096
    /// The highest stream id.
    public static let maximumStreamID: UInt64 = 1 << 48 - 1

    /// The frame's kind.
    public var type: FrameType
    /// The frame's flags.
    public var flags: FrameFlags
    /// The stream, or zero for frames of the session. At most 48 bits.
    public var streamID: UInt64

    /// A header from its parts.
    @inlinable
    public init(type: FrameType, flags: FrameFlags = [], streamID: UInt64 = 0) {
        self.type = type
        self.flags = flags
        self.streamID = streamID
    }

    /// What the header of a received frame turned out to be.
    public enum Parsed: Sendable, Hashable {
        /// A frame of version 1.
        case frame(LinkFrame)
        /// A type from a later version that may be skipped; it counts in the sequence if `sequenced`.
        case skip(sequenced: Bool)
        /// Not a legal frame.
        case invalid
    }

    /// Parses the header of `message` and checks it against the rules that need no state: a known type, no unknown flag,
    /// a stream id exactly where the type wants one.
    @inlinable
    public static func parse(_ message: UnsafeRawBufferPointer) -> Parsed {
        guard message.count >= headerSize else { return .invalid }
        let flags = FrameFlags(rawValue: message[1])
        guard let type = FrameType(rawValue: message[0]) else {
            return flags.contains(.ignorable) ? .skip(sequenced: message[0] & 0x80 == 0) : .invalid
        }
        let id = message.loadBE48(at: 2)
        if type == .data {
            guard flags.rawValue & ~1 == 0, id != 0 else { return .invalid }
        } else {
            guard flags.rawValue == 0, type.isStreamFrame == (id != 0) else { return .invalid }
        }
        return .frame(LinkFrame(type: type, flags: flags, streamID: id))
    }

    /// Writes the header's eight bytes at `destination`.
    @inlinable
    public func encode(into destination: UnsafeMutableRawPointer) {
        destination.storeBE64(
            UInt64(type.rawValue) << 56 | UInt64(flags.rawValue) << 48 | streamID & LinkFrame.maximumStreamID)
    }

    /// A whole frame, header and payload, as bytes.
    public func encoded(payload: [UInt8] = []) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: LinkFrame.headerSize + payload.count)
        writer.writeUInt8(type.rawValue)
        writer.writeUInt8(flags.rawValue)
        writer.writeUInt48(streamID)
        writer.writeBytes(payload)
        return writer.bytes
    }
}
