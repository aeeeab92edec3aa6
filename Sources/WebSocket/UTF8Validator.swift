/// Checks a text that arrives in pieces for UTF-8 (RFC 3629), and fails at the first byte that cannot be right.
///
/// Overlong forms, surrogates and everything above U+10FFFF are refused. Pieces may end anywhere, also within a
/// character; after the last one `isComplete` must hold.
public struct UTF8Validator: Sendable {
    /// How many continuation bytes the character under way still needs.
    private var missing: UInt8 = 0
    /// The range of the next continuation byte: narrower than 80…BF after E0, ED, F0 and F4.
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    /// A validator at the start of a text.
    public init() {}

    /// Whether the text so far ends between two characters.
    public var isComplete: Bool { missing == 0 }

    /// Takes the next piece; false as soon as the text cannot become valid any more, whatever follows. The validator
    /// is of no use after that.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let start = bytes.baseAddress else { return true }
        let end = bytes.count
        var at = 0
        while missing > 0 {
            guard at < end else { return true }
            guard take(start.load(fromByteOffset: at, as: UInt8.self)) else { return false }
            at &+= 1
        }
        while at < end {
            if end &- at >= 8,
                start.loadUnaligned(fromByteOffset: at, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                at &+= 8
                continue
            }
            let lead = start.load(fromByteOffset: at, as: UInt8.self)
            at &+= 1
            if lead < 0x80 { continue }
            guard begin(lead) else { return false }
            while missing > 0 {
                guard at < end else { return true }
                guard take(start.load(fromByteOffset: at, as: UInt8.self)) else { return false }
                at &+= 1
            }
        }
        return true
    }

    /// Whether `bytes` are, all together, a valid text.
    public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var validator = UTF8Validator()
        return validator.append(bytes) && validator.isComplete
    }

    /// Takes the first byte of a character beyond ASCII.
    @inline(__always)
    private mutating func begin(_ lead: UInt8) -> Bool {
        low = 0x80
        high = 0xBF
        switch lead {
        case 0xC2...0xDF:
            missing = 1
        case 0xE0...0xEF:
            missing = 2
            if lead == 0xE0 { low = 0xA0 }
            if lead == 0xED { high = 0x9F }
        case 0xF0...0xF4:
            missing = 3
            if lead == 0xF0 { low = 0x90 }
            if lead == 0xF4 { high = 0x8F }
        default:
            return false
        }
        return true
    }

    /// Takes a continuation byte.
    @inline(__always)
    private mutating func take(_ byte: UInt8) -> Bool {
        guard byte >= low, byte <= high else { return false }
        low = 0x80
        high = 0xBF
        missing &-= 1
        return true
    }
}
