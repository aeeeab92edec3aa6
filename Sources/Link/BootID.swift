internal import Bytes

/// 128 random bits that an agent draws when it starts. Together with the verified identity they name a running agent; a
/// new boot id ends the old session.
public struct BootID: Sendable, Hashable, CustomStringConvertible {
    /// Size on the wire in bytes.
    public static let size = 16

    /// The first eight bytes, big endian.
    public let high: UInt64
    /// The last eight bytes, big endian.
    public let low: UInt64

    /// A boot id from its two halves.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A fresh boot id.
    public static func random(using generator: inout some RandomNumberGenerator) -> BootID {
        BootID(high: generator.next(), low: generator.next())
    }

    /// The boot id written as 32 hexadecimal digits; nil for anything else.
    public init?(hex: String) {
        guard let bytes = Hex.decode(hex), bytes.count == BootID.size else { return nil }
        self = bytes.withUnsafeBytes { BootID(high: $0.loadBE64(), low: $0.loadBE64(at: 8)) }
    }

    /// 32 hexadecimal digits.
    public var description: String {
        var writer = ByteWriter(minimumCapacity: BootID.size)
        writer.writeUInt64(high)
        writer.writeUInt64(low)
        return Hex.encode(writer.bytes)
    }
}
