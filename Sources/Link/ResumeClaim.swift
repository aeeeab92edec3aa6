internal import Bytes

/// What one end says of a session that is to go on over a new link: the payload of RESUME.
public struct ResumeClaim: Sendable, Hashable {
    /// Size of the payload in bytes.
    public static let size = 24

    /// Which resumption of the session this is; each epoch is good for one. Zero declines.
    public var epoch: UInt64
    /// How many sequenced frames of the peer the sender has processed.
    public var processed: UInt64
    /// How many sequenced frames the sender has sent, resent ones counted once.
    public var sent: UInt64

    /// A claim from its parts.
    public init(epoch: UInt64, processed: UInt64, sent: UInt64) {
        self.epoch = epoch
        self.processed = processed
        self.sent = sent
    }

    /// The dialler does not hold the session that the acceptor offers.
    public static let declined = ResumeClaim(epoch: 0, processed: 0, sent: 0)

    /// Parses the payload of RESUME.
    public init(payload: UnsafeRawBufferPointer) throws(PayloadError) {
        var reader = PayloadReader(payload)
        epoch = try reader.uint64()
        processed = try reader.uint64()
        sent = try reader.uint64()
        try reader.finish()
        guard epoch > 0 || self == .declined else { throw .badField("epoch") }
    }

    /// The payload of RESUME.
    public var payload: [UInt8] {
        var writer = ByteWriter(minimumCapacity: ResumeClaim.size)
        writer.writeUInt64(epoch)
        writer.writeUInt64(processed)
        writer.writeUInt64(sent)
        return writer.bytes
    }

    /// The whole frame, header included.
    var frame: [UInt8] { LinkFrame(type: .resume).encoded(payload: payload) }
}

extension Hello {
    /// The extension by which an agent says that it resumes sessions.
    static let resumptionExtension: UInt16 = 1

    /// The highest epoch that the sender knows for its session with the receiver, zero for none; nil: it does not resume
    /// sessions. In an acceptor's answer it says that RESUME and AUTH follow. A value of another length than eight bytes
    /// counts as none.
    public var resumptionEpoch: UInt64? {
        get {
            guard let value = extensions.first(where: { $0.type == Hello.resumptionExtension })?.value,
                value.count == 8
            else { return nil }
            return value.withUnsafeBytes { $0.loadBE64() }
        }
        set {
            extensions.removeAll { $0.type == Hello.resumptionExtension }
            guard let newValue else { return }
            var writer = ByteWriter(minimumCapacity: 8)
            writer.writeUInt64(newValue)
            extensions.append(FrameExtension(type: Hello.resumptionExtension, value: writer.bytes))
        }
    }
}
