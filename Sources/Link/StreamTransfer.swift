internal import Bytes

/// Asks to go on with a stream on the lane on which this is sent: the payload of TRANSFER.
///
/// Layout: lane (1), stream id on that lane (6), name of that lane's session (8).
public struct TransferRequest: Sendable, Hashable {
    /// Size of the payload in bytes.
    public static let size = 15

    /// The lane on which the stream is.
    public var lane: UInt8
    /// The stream's id there.
    public var stream: UInt64
    /// The name of that lane's session (`Session.name`): ids begin anew with each.
    public var session: UInt64

    /// A request from its parts.
    public init(lane: UInt8, stream: UInt64, session: UInt64) {
        self.lane = lane
        self.stream = stream
        self.session = session
    }

    /// Parses the payload of TRANSFER.
    public init(payload: UnsafeRawBufferPointer) throws(PayloadError) {
        var reader = PayloadReader(payload)
        lane = try reader.uint8()
        stream = UInt64(try reader.uint16()) << 32
        stream |= UInt64(try reader.uint32())
        session = try reader.uint64()
        try reader.finish()
        guard lane < Hello.maximumLanes else { throw .badField("lane") }
        guard stream > 0 else { throw .badField("stream") }
    }

    /// The payload of TRANSFER.
    public var payload: [UInt8] {
        var writer = ByteWriter(minimumCapacity: TransferRequest.size)
        writer.writeUInt8(lane)
        writer.writeUInt48(stream)
        writer.writeUInt64(session)
        return writer.bytes
    }
}

/// Takes a stream of another lane: the payload of TAKEN.
///
/// Layout: flags (1: 1 the end of the opener's direction was received), received (8), credit (8), from (8).
public struct TransferAnswer: Sendable, Hashable {
    /// Size of the payload in bytes.
    public static let size = 25

    /// How many bytes the sender has received: the opener sends again what follows.
    public var received: UInt64
    /// Whether the sender has received the end of the opener's direction.
    public var isFinished: Bool
    /// The offset up to which the sender takes bytes.
    public var credit: UInt64
    /// The offset from which the sender sends again: what is before it was acknowledged on the other lane.
    public var from: UInt64

    /// An answer from its parts.
    public init(received: UInt64, isFinished: Bool, credit: UInt64, from: UInt64) {
        self.received = received
        self.isFinished = isFinished
        self.credit = credit
        self.from = from
    }

    /// Parses the payload of TAKEN.
    public init(payload: UnsafeRawBufferPointer) throws(PayloadError) {
        var reader = PayloadReader(payload)
        let flags = try reader.uint8()
        received = try reader.uint64()
        credit = try reader.uint64()
        from = try reader.uint64()
        try reader.finish()
        guard flags <= 1 else { throw .badField("flags") }
        guard received <= credit, credit < Session.offsetBound else { throw .badField("credit") }
        guard from < Session.offsetBound else { throw .badField("from") }
        isFinished = flags == 1
    }

    /// The payload of TAKEN.
    public var payload: [UInt8] {
        var writer = ByteWriter(minimumCapacity: TransferAnswer.size)
        writer.writeUInt8(isFinished ? 1 : 0)
        writer.writeUInt64(received)
        writer.writeUInt64(credit)
        writer.writeUInt64(from)
        return writer.bytes
    }
}

extension Hello {
    /// The extension by which an agent says that it takes streams of other lanes.
    static let transferExtension: UInt16 = 6

    /// Whether TRANSFER may be sent to the sender of this HELLO. The extension has no value; with one it counts as none.
    public var takesTransfers: Bool {
        get { extensions.contains { $0.type == Hello.transferExtension && $0.value.isEmpty } }
        set {
            extensions.removeAll { $0.type == Hello.transferExtension }
            if newValue { extensions.append(FrameExtension(type: Hello.transferExtension, value: [])) }
        }
    }
}

/// Why a stream does not change its lane.
public enum TransferError: Error, Sendable, Hashable {
    /// There is no such stream, or it cannot go: not accepted yet, over, on its way already.
    case notMovable
    /// The peer claims something that cannot be: a violation on the lane on which it did.
    case impossible

    /// Stable name for logs.
    public var code: String {
        switch self {
        case .notMovable: "not_movable"
        case .impossible: "impossible_counts"
        }
    }
}

/// A stream between two lanes: what its session knew of it, and the bytes that the peer has not received. May go to another
/// thread. What it has reserved of the budget, and its place of the quota, are given back unless a session takes them over.
public final class DetachedStream {
    let sendOffset: UInt64
    let sendLimit: UInt64
    let sendFinished: Bool
    let receiveOffset: UInt64
    let consumed: UInt64
    let receiveLimit: UInt64
    let receiveFinished: Bool
    let isBulk: Bool
    /// Sent, and perhaps not received by the peer: the last bytes before `sendOffset`.
    let tail: [UInt8]
    private var window: UInt32
    private let budget: ReceiveBudget
    private var hasPlace: Bool
    private let quota: StreamQuota

    init(_ stream: Stream, tail: [UInt8], budget: ReceiveBudget, quota: StreamQuota) {
        sendOffset = stream.sendOffset
        sendLimit = stream.sendLimit
        sendFinished = stream.sendFinished
        receiveOffset = stream.receiveOffset
        consumed = stream.consumed
        receiveLimit = stream.receiveLimit
        receiveFinished = stream.hasEnd
        isBulk = stream.isBulk
        window = stream.window
        self.tail = tail
        self.budget = budget
        hasPlace = stream.marks.contains(.counted)
        self.quota = quota
    }

    deinit {
        budget.release(Int(window))
        if hasPlace { quota.give() }
    }

    /// The reservation, which is the caller's from now on. `budget` must be the one that it was taken from.
    func takeWindow(of budget: ReceiveBudget) -> UInt32 {
        precondition(budget === self.budget, "a stream of another agent")
        defer { window = 0 }
        return window
    }

    /// Whether it has a place among the streams of peers, which is the caller's from now on. `quota` must be the one that it
    /// was taken from.
    func takePlace(of quota: StreamQuota) -> Bool {
        precondition(quota === self.quota, "a stream of another agent")
        defer { hasPlace = false }
        return hasPlace
    }
}

/// Bytes that are to be sent again on another lane than the one that sent them first.
final class StreamTail {
    private let bytes: [UInt8]
    private var sent = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var count: Int { bytes.count - sent }

    /// The bytes that are left.
    var rest: ArraySlice<UInt8> { bytes[sent...] }

    /// Fills `room`, which is no larger than what is left.
    func take(into room: UnsafeMutableRawBufferPointer) {
        room.copyBytes(from: bytes[sent..<(sent + room.count)])
        sent += room.count
    }
}
