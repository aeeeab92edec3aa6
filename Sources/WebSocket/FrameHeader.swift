internal import Bytes

/// The header of a frame (RFC 6455 section 5.2).
///
/// ```
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-------+-+-------------+-------------------------------+
/// |F|R|R|R| opcode|M| length (7)  | length (16 or 64, if 126/127) |
/// |I|S|S|S|  (4)  |A|             |                               |
/// |N|V|V|V|       |S|             |                               |
/// | |1|2|3|       |K|             | masking key (32, if MASK)     |
/// +-+-+-+-+-------+-+-------------+-------------------------------+
/// ```
public struct FrameHeader: Sendable, Hashable {
    /// The largest header: two bytes, a 64-bit length, a key. Room to reserve before a payload.
    public static let maximumSize = 14

    /// The largest payload of a control frame (section 5.5).
    public static let maximumControlPayload = 125

    /// Whether this is the last frame of its message.
    public var fin: Bool
    /// The three reserved bits as a number: RSV1 is 4, RSV2 is 2, RSV3 is 1. Zero without extensions.
    public var rsv: UInt8
    /// What the frame carries.
    public var opcode: Opcode
    /// Whether the payload is masked; if so, `key` is on the wire.
    public var masked: Bool
    /// The masking key in wire order (see `Masking`); without meaning unless `masked`.
    public var key: UInt32
    /// Number of bytes of the payload.
    public var payloadLength: Int

    /// A header for a frame without mask.
    public init(fin: Bool = true, rsv: UInt8 = 0, opcode: Opcode, payloadLength: Int) {
        self.init(fin: fin, rsv: rsv, opcode: opcode, masked: false, key: 0, payloadLength: payloadLength)
    }

    /// A header for a frame that is masked with `maskKey`, which must be fresh and unpredictable (see `Masking`).
    public init(fin: Bool = true, rsv: UInt8 = 0, opcode: Opcode, maskKey: UInt32, payloadLength: Int) {
        self.init(fin: fin, rsv: rsv, opcode: opcode, masked: true, key: maskKey, payloadLength: payloadLength)
    }

    init(fin: Bool, rsv: UInt8, opcode: Opcode, masked: Bool, key: UInt32, payloadLength: Int) {
        precondition(payloadLength >= 0, "a payload of negative length")
        precondition(rsv < 8, "more than three reserved bits")
        self.fin = fin
        self.rsv = rsv
        self.opcode = opcode
        self.masked = masked
        self.key = key
        self.payloadLength = payloadLength
    }
}

// MARK: - Parsing

extension FrameHeader {
    /// What the first bytes of a frame say.
    public enum Parsed: Sendable, Hashable {
        /// The header is longer than the bytes at hand: at least `need` bytes, counted from its start.
        case incomplete(need: Int)
        /// The header, which takes `size` bytes; the payload follows.
        case complete(FrameHeader, size: Int)
        /// No header of RFC 6455.
        case invalid(Violation)
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// Refuses what is wrong for everybody: reserved opcodes, fragmented or long control frames, lengths that are not
    /// minimal or need 64 bits. The reserved bits and the mask depend on extensions and role: `FrameReader` and
    /// `Connection` check them.
    public static func parse(_ bytes: UnsafeRawBufferPointer) -> Parsed {
        guard bytes.count >= 2, let start = bytes.baseAddress else { return .incomplete(need: 2) }
        let first = start.load(as: UInt8.self)
        let second = start.load(fromByteOffset: 1, as: UInt8.self)
        guard let opcode = Opcode(rawValue: first & 0x0F) else { return .invalid(.reservedOpcode) }
        let fin = first & 0x80 != 0
        let masked = second & 0x80 != 0
        let short = Int(second & 0x7F)
        if opcode.isControl {
            guard fin else { return .invalid(.fragmentedControl) }
            guard short <= maximumControlPayload else { return .invalid(.controlTooLong) }
        }
        let lengthEnd = short < 126 ? 2 : (short == 126 ? 4 : 10)
        let size = lengthEnd &+ (masked ? 4 : 0)
        guard bytes.count >= lengthEnd else { return .incomplete(need: size) }
        var length = short
        if short == 126 {
            length = Int(start.loadBE16(at: 2))
            guard length > 125 else { return .invalid(.lengthNotMinimal) }
        } else if short == 127 {
            let long = start.loadBE64(at: 2)
            guard long >> 63 == 0 else { return .invalid(.lengthOutOfRange) }
            guard long > 0xFFFF else { return .invalid(.lengthNotMinimal) }
            length = Int(long)
        }
        guard bytes.count >= size else { return .incomplete(need: size) }
        var key: UInt32 = 0
        if masked { key = UInt32(littleEndian: start.loadUnaligned(fromByteOffset: lengthEnd, as: UInt32.self)) }
        let header = FrameHeader(
            fin: fin, rsv: (first >> 4) & 7, opcode: opcode, masked: masked, key: key, payloadLength: length)
        return .complete(header, size: size)
    }
}

// MARK: - Encoding

extension FrameHeader {
    /// How many bytes the header takes on the wire: 2 to 14.
    public var encodedSize: Int {
        let length = payloadLength < 126 ? 2 : (payloadLength <= 0xFFFF ? 4 : 10)
        return length &+ (masked ? 4 : 0)
    }

    /// The size of a header for that payload: what to keep free before it.
    public static func size(payloadLength: Int, masked: Bool) -> Int {
        let length = payloadLength < 126 ? 2 : (payloadLength <= 0xFFFF ? 4 : 10)
        return length &+ (masked ? 4 : 0)
    }

    /// Writes the header in its shortest form and returns its size.
    ///
    /// - Parameter destination: at least `encodedSize` writable bytes (14 are always enough).
    @discardableResult
    public func encode(into destination: UnsafeMutableRawPointer) -> Int {
        let first = (fin ? 0x80 : 0) | (rsv &<< 4) | opcode.rawValue
        let mask: UInt8 = masked ? 0x80 : 0
        destination.storeBytes(of: first, as: UInt8.self)
        var size = 2
        if payloadLength < 126 {
            destination.storeBytes(of: mask | UInt8(truncatingIfNeeded: payloadLength), toByteOffset: 1, as: UInt8.self)
        } else if payloadLength <= 0xFFFF {
            destination.storeBytes(of: mask | 126, toByteOffset: 1, as: UInt8.self)
            destination.storeBE16(UInt16(truncatingIfNeeded: payloadLength), at: 2)
            size = 4
        } else {
            destination.storeBytes(of: mask | 127, toByteOffset: 1, as: UInt8.self)
            destination.storeBE64(UInt64(payloadLength), at: 2)
            size = 10
        }
        if masked {
            destination.storeBytes(of: key.littleEndian, toByteOffset: size, as: UInt32.self)
            size &+= 4
        }
        return size
    }
}
