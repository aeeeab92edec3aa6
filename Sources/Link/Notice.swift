internal import Bytes

/// What REFUSE, RESET and GOAWAY say: a reason, a text for humans and a retry delay.
public struct Notice: Sendable, Hashable {
    /// Longest text in bytes of UTF-8; longer ones are cut at a character when sent and a violation when received.
    public static let maximumDetail = 255

    /// The stable reason.
    public var reason: LinkReason
    /// How long to wait before trying again, in milliseconds; zero: nothing said. Not part of RESET.
    public var retryAfter: UInt32
    /// Text for humans, empty when there is none. Remote callers get no more than they may know.
    public var detail: String

    /// A notice from its parts.
    public init(_ reason: LinkReason, retryAfter: UInt32 = 0, detail: String = "") {
        self.reason = reason
        self.retryAfter = retryAfter
        self.detail = detail
    }

    /// The payload for a frame of `type` (`.refuse`, `.reset` or `.goAway`); `lastStreamID` is GOAWAY's.
    public func encodedPayload(for type: FrameType, lastStreamID: UInt64 = 0) -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: 16)
        writer.writeUInt16(reason.rawValue)
        if type != .reset { writer.writeUInt32(retryAfter) }
        if type == .goAway { writer.writeUInt48(lastStreamID) }
        writer.writeString(detail.truncated(utf8: Notice.maximumDetail))
        return writer.bytes
    }

    /// Parses the payload of a frame of `type` (`.refuse`, `.reset` or `.goAway`).
    public static func parse(
        _ type: FrameType, payload: UnsafeRawBufferPointer
    ) throws(PayloadError) -> (notice: Notice, lastStreamID: UInt64) {
        var reader = PayloadReader(payload)
        let reason = LinkReason(code: try reader.uint16())
        let retryAfter = type == .reset ? 0 : try reader.uint32()
        var last: UInt64 = 0
        if type == .goAway {
            last = UInt64(try reader.uint16()) << 32
            last |= UInt64(try reader.uint32())
        }
        let detail = try reader.remainingText(limit: maximumDetail, field: "detail")
        return (Notice(reason, retryAfter: retryAfter, detail: detail), last)
    }
}
