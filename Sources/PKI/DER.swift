/// The few DER encodings (X.690) that certificate extensions need.
enum DER {
    /// One value: tag, length, content.
    static func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var bytes = [tag]
        if content.count < 0x80 {
            bytes.append(UInt8(content.count))
        } else {
            var length: [UInt8] = []
            var rest = content.count
            while rest > 0 {
                length.insert(UInt8(rest & 0xFF), at: 0)
                rest >>= 8
            }
            bytes.append(0x80 | UInt8(length.count))
            bytes += length
        }
        return bytes + content
    }

    static func sequence(_ parts: [[UInt8]]) -> [UInt8] { value(0x30, parts.flatMap { $0 }) }
    static func octets(_ bytes: [UInt8]) -> [UInt8] { value(0x04, bytes) }
    static let yes: [UInt8] = [0x01, 0x01, 0xFF]

    /// A non-negative integer.
    static func integer(_ number: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = UInt(max(0, number))
        repeat {
            bytes.insert(UInt8(rest & 0xFF), at: 0)
            rest >>= 8
        } while rest > 0
        if bytes[0] & 0x80 != 0 { bytes.insert(0, at: 0) }
        return value(0x02, bytes)
    }

    /// A non-negative integer from its big-endian bytes, of which the first is not zero.
    static func unsigned(_ bytes: [UInt8]) -> [UInt8] {
        value(0x02, bytes.first.map { $0 & 0x80 != 0 } ?? true ? [0] + bytes : bytes)
    }

    /// A named bit list (X.690, 11.2.2): bit 0 is the most significant, trailing zero bits are left out.
    static func bits(_ bits: UInt16) -> [UInt8] {
        guard bits != 0 else { return value(0x03, [0]) }
        let highest = 15 - bits.leadingZeroBitCount
        var bytes = [UInt8](repeating: 0, count: highest / 8 + 1)
        for bit in 0...highest where bits & (1 << UInt16(bit)) != 0 { bytes[bit / 8] |= 0x80 >> UInt8(bit % 8) }
        return value(0x03, [UInt8(7 - highest % 8)] + bytes)
    }

    /// An object identifier; nil when the dotted text is not one.
    static func objectIdentifier(_ dotted: String) -> [UInt8]? {
        let arcs = dotted.split(separator: ".", omittingEmptySubsequences: false).map { UInt64($0) }
        guard arcs.count >= 2, let first = arcs[0], let second = arcs[1], first <= 2,
            second < (first == 2 ? 1 << 32 : 40)
        else { return nil }
        var content: [UInt8] = []
        for arc in [first * 40 + second] + arcs.dropFirst(2) {
            guard var rest = arc else { return nil }
            var digits = [UInt8(rest & 0x7F)]
            rest >>= 7
            while rest > 0 {
                digits.insert(UInt8(rest & 0x7F) | 0x80, at: 0)
                rest >>= 7
            }
            content += digits
        }
        return value(0x06, content)
    }
}
