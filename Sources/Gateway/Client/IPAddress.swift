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

/// The strict reading of addresses.
enum IPAddressText {
    static func parse(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        text.contains(0x3A) ? v6(text) : v4(text).map { IPAddress(v4: $0) }
    }

    /// Four numbers of 0 to 255 without leading zeros.
    static func v4(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> UInt32? {
        guard text.count <= 15 else { return nil }
        var value: UInt32 = 0
        var parts = 0
        for part in text.split(separator: 0x2E, omittingEmptySubsequences: false) {
            guard 1...3 ~= part.count, part.count == 1 || part.first != 0x30 else { return nil }
            var number: UInt32 = 0
            for byte in part {
                guard byte &- 0x30 < 10 else { return nil }
                number = number * 10 + UInt32(byte &- 0x30)
            }
            guard number < 256, parts < 4 else { return nil }
            value = value << 8 | number
            parts += 1
        }
        return parts == 4 ? value : nil
    }

    private static func v6(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> IPAddress? {
        guard 2...45 ~= text.count else { return nil }
        // The groups before and behind "::".
        var front: [UInt16] = []
        var back: [UInt16] = []
        var hasGap = false
        var index = text.startIndex
        if text[index] == 0x3A {
            guard text[index + 1] == 0x3A else { return nil }
            hasGap = true
            index += 2
        }
        while index < text.endIndex {
            let end = text[index...].firstIndex(of: 0x3A) ?? text.endIndex
            let part = text[index..<end]
            guard let groups = groups(part, isLast: end == text.endIndex) else { return nil }
            if hasGap { back += groups } else { front += groups }
            if end == text.endIndex { break }
            index = end + 1
            // A colon must be followed by a group or make the gap.
            guard index < text.endIndex else { return nil }
            if text[index] == 0x3A {
                if hasGap { return nil }
                hasGap = true
                index += 1
            }
        }
        let count = front.count + back.count
        guard hasGap ? count <= 7 : count == 8 else { return nil }
        let all = front + [UInt16](repeating: 0, count: 8 - count) + back
        return IPAddress(v6: all.reduce(UInt128(0)) { $0 << 16 | UInt128($1) })
    }

    /// One group, or two where the last part is an IPv4 address.
    private static func groups(_ part: Slice<UnsafeBufferPointer<UInt8>>, isLast: Bool) -> [UInt16]? {
        if isLast, part.contains(0x2E) {
            return v4(part).map { [UInt16(truncatingIfNeeded: $0 >> 16), UInt16(truncatingIfNeeded: $0)] }
        }
        guard 1...4 ~= part.count else { return nil }
        var value: UInt16 = 0
        for byte in part {
            guard let digit = Text.hexValue(byte) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return [value]
    }
}
