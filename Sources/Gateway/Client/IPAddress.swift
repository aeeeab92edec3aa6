/// An IPv4 or IPv6 address as the edge reasons about it.
///
/// IPv4-mapped IPv6 addresses (`::ffff:192.0.2.1`) *are* the IPv4 address: whatever makes an address normalises them, so
/// that no list can be passed by writing an address in the other family. IPv4-compatible and NAT64 addresses stay IPv6.
public struct IPAddress: Sendable, Hashable {
    /// The number behind the address: 32 bits for IPv4, 128 for IPv6.
    let value: UInt128
    /// Whether it is an IPv4 address, mapped ones included.
    public let isIPv4: Bool

    /// The IPv4 address with that number: 127.0.0.1 is 0x7F000001.
    public init(v4 value: UInt32) {
        self.value = UInt128(value)
        isIPv4 = true
    }

    /// The address with those two halves; an IPv4-mapped one becomes IPv4.
    public init(high: UInt64, low: UInt64) {
        self.init(v6: UInt128(high) << 64 | UInt128(low))
    }

    init(v6 value: UInt128) {
        isIPv4 = value >> 32 == 0xFFFF
        self.value = isIPv4 ? value & 0xFFFF_FFFF : value
    }

    /// The address in 4 or 16 bytes in network order; nil for any other number of bytes.
    public init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 4 || bytes.count == 16 else { return nil }
        let value = bytes.reduce(UInt128(0)) { $0 << 8 | UInt128($1) }
        if bytes.count == 4 { self.init(v4: UInt32(value)) } else { self.init(v6: value) }
    }

    /// The address in 4 or 16 bytes in network order; nil for any other number of bytes.
    public init?(bytes: [UInt8]) {
        let address = bytes.withUnsafeBytes { IPAddress(bytes: $0) }
        guard let address else { return nil }
        self = address
    }

    /// Reads the text form: four decimal numbers without leading zeros, or RFC 4291 section 2.2. No brackets, no zone,
    /// no port, no blanks, no short or octal forms; nil for anything else.
    public init?(parsing text: String) {
        var text = text
        let parsed = text.withUTF8 { IPAddressText.parse($0[...]) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// 127.0.0.0/8 and ::1.
    public var isLoopback: Bool { isIPv4 ? value >> 24 == 127 : value == 1 }

    /// 0.0.0.0 and `::`.
    public var isUnspecified: Bool { value == 0 }

    /// 4 or 16 bytes in network order.
    public var bytes: [UInt8] {
        let count = isIPv4 ? 4 : 16
        return (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt128(8 * (count - 1 - $0))) }
    }

    /// Number of bits: 32 or 128.
    public var bitCount: Int { isIPv4 ? 32 : 128 }

    /// The address with all bits behind the first `bits` cleared.
    public func prefix(_ bits: Int) -> IPAddress {
        precondition(0...bitCount ~= bits, "a prefix longer than the address")
        let mask = Self.mask(bits, of: bitCount)
        return isIPv4 ? IPAddress(v4: UInt32(value & mask)) : IPAddress(unchecked: value & mask)
    }

    /// What limits count by: the IPv4 address itself, or the /64 of an IPv6 address, since whoever has one address of a
    /// /64 has them all.
    public var limitKey: IPAddress { isIPv4 ? self : prefix(64) }

    static func mask(_ bits: Int, of width: Int) -> UInt128 {
        let all: UInt128 = width == 32 ? 0xFFFF_FFFF : .max
        return bits == 0 ? 0 : all & ~((all >> UInt128(bits - 1)) >> 1)
    }

    /// An IPv6 address that stays one: cutting bits off cannot make a mapped address.
    private init(unchecked value: UInt128) {
        self.value = value
        isIPv4 = false
    }
}

extension IPAddress: CustomStringConvertible {
    /// "127.0.0.1", or the canonical text of RFC 5952.
    public var description: String {
        if isIPv4 { return bytes.map(String.init).joined(separator: ".") }
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: value >> UInt128(16 * (7 - $0))) }
        let gap = Self.longestZeros(groups)
        func text(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        guard let gap else { return text(groups[...]) }
        return "\(text(groups[..<gap.lowerBound]))::\(text(groups[gap.upperBound...]))"
    }

    /// The first longest run of at least two zero groups (RFC 5952, 4.2).
    private static func longestZeros(_ groups: [UInt16]) -> Range<Int>? {
        var best: Range<Int>?
        var start = 0
        while start < groups.count {
            var end = start
            while end < groups.count, groups[end] == 0 { end += 1 }
            if end - start >= 2, end - start > best?.count ?? 0 { best = start..<end }
            start = max(end, start + 1)
        }
        return best
    }
}
