internal import Bytes

/// What a link is for, said by the end that dialled it.
public enum LinkIntent: Sendable, Hashable {
    /// The dialler has no session with this agent yet.
    case initial
    /// The dialler believes its link to this agent to be dead; the new one takes its place.
    case replace
    /// The session moves here on purpose, while its link is in use: another certificate, another address.
    case move

    var code: UInt8 {
        switch self {
        case .initial: 0
        case .replace: 1
        case .move: 3
        }
    }

    init(code: UInt8) throws(PayloadError) {
        switch code {
        case 0: self = .initial
        case 1: self = .replace
        case 3: self = .move
        default: throw .badField("intent")
        }
    }
}

/// The first frame of each end on a link (payload of HELLO).
public struct Hello: Sendable, Hashable {
    /// The version of the protocol that this room speaks.
    public static let currentVersion: UInt8 = 1
    /// Longest payload of a HELLO that is accepted, in bytes.
    public static let maximumSize = 4_096
    /// The most lanes between two agents.
    public static let maximumLanes = 16

    /// Lowest and highest version the sender speaks; in an answer both are the version chosen.
    public var versions: ClosedRange<UInt8>
    /// Names the running agent together with its verified identity.
    public var bootID: BootID
    /// What the link is for. In an answer: a copy of the dialler's.
    public var intent: LinkIntent
    /// Which of the lanes between the two agents the link is for, from zero; others than zero only to a peer that takes
    /// several (`lanes`). In an answer: a copy of the dialler's.
    public var lane: UInt8 = 0
    /// The sender's clock, milliseconds since 1970.
    public var unixMilliseconds: UInt64
    /// Longest frame payload the sender takes, `LinkFrame.minimumPayloadLimit…LinkFrame.maximumPayload`.
    public var maximumPayload: UInt32
    /// Bytes the sender takes on each new stream before it has granted any, at most 1 MiB.
    public var initialCredit: UInt32
    /// Streams that the peer may have open at once.
    public var maximumStreams: UInt32
    /// Bytes the sender keeps unacknowledged before it stops; information for operators.
    public var retainedLimit: UInt64
    /// Program and version, "conduit-mesh/0.1.0". At most 255 bytes.
    public var agent: String
    /// Extensions; receivers ignore those that they do not know.
    public var extensions: [FrameExtension]

    /// A HELLO of this version with the limits of `configuration`.
    public init(
        bootID: BootID, intent: LinkIntent, unixMilliseconds: UInt64, agent: String,
        configuration: SessionConfiguration = SessionConfiguration(), extensions: [FrameExtension] = []
    ) {
        versions = Hello.currentVersion...Hello.currentVersion
        self.bootID = bootID
        self.intent = intent
        self.unixMilliseconds = unixMilliseconds
        maximumPayload = UInt32(configuration.maximumPayload)
        initialCredit = UInt32(configuration.initialCredit)
        maximumStreams = UInt32(configuration.maximumPeerStreams)
        retainedLimit = UInt64(configuration.retentionLimit)
        self.agent = agent.truncated(utf8: 255)
        self.extensions = extensions
    }

    /// Parses the payload of a HELLO (everything after the frame's header).
    public init(payload: UnsafeRawBufferPointer) throws(PayloadError) {
        guard payload.count <= Hello.maximumSize else { throw .badField("length") }
        var reader = PayloadReader(payload)
        let lowest = try reader.uint8()
        let highest = try reader.uint8()
        guard lowest >= 1, lowest <= highest else { throw .badField("versions") }
        versions = lowest...highest
        intent = try LinkIntent(code: try reader.uint8())
        lane = try reader.uint8()
        guard lane < Hello.maximumLanes else { throw .badField("lane") }
        bootID = BootID(high: try reader.uint64(), low: try reader.uint64())
        unixMilliseconds = try reader.uint64()
        maximumPayload = try reader.uint32()
        guard (LinkFrame.minimumPayloadLimit...LinkFrame.maximumPayload).contains(Int(maximumPayload)) else {
            throw .badField("maximum payload")
        }
        initialCredit = try reader.uint32()
        guard initialCredit <= 1 << 20 else { throw .badField("initial credit") }
        maximumStreams = try reader.uint32()
        retainedLimit = try reader.uint64()
        agent = try reader.shortText()
        extensions = try FrameExtension.readAll(&reader)
    }

    /// The payload of the HELLO. Extensions that do not fit (`FrameExtension` gives the limits) are left out.
    public func encodedPayload() -> [UInt8] {
        var writer = ByteWriter(minimumCapacity: 96)
        writer.writeUInt8(versions.lowerBound)
        writer.writeUInt8(versions.upperBound)
        writer.writeUInt8(intent.code)
        writer.writeUInt8(lane)
        writer.writeUInt64(bootID.high)
        writer.writeUInt64(bootID.low)
        writer.writeUInt64(unixMilliseconds)
        writer.writeUInt32(maximumPayload)
        writer.writeUInt32(initialCredit)
        writer.writeUInt32(maximumStreams)
        writer.writeUInt64(retainedLimit)
        let agent = agent.truncated(utf8: 255)
        writer.writeUInt8(UInt8(agent.utf8.count))
        writer.writeString(agent)
        if FrameExtension.fits(extensions) { FrameExtension.writeAll(extensions, to: &writer) }
        return writer.bytes
    }

    /// The whole frame, header included.
    public func encodedFrame() -> [UInt8] {
        LinkFrame(type: .hello).encoded(payload: encodedPayload())
    }
}

extension String {
    /// The longest prefix of whole characters with at most `limit` bytes of UTF-8.
    func truncated(utf8 limit: Int) -> String {
        guard utf8.count > limit else { return self }
        var end = startIndex
        while end < endIndex {
            let next = index(after: end)
            if utf8.distance(from: startIndex, to: next) > limit { break }
            end = next
        }
        return String(self[..<end])
    }
}
