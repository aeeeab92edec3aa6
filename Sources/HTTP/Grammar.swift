/// Character classes of RFC 9110 and RFC 3986 as 128-bit sets: one shift and one mask a byte, no table in memory.
struct ByteSet: Sendable {
    let low: UInt64
    let high: UInt64

    @inline(__always)
    func contains(_ byte: UInt8) -> Bool {
        if byte < 64 { return low &>> UInt64(byte) & 1 == 1 }
        if byte < 128 { return high &>> UInt64(byte &- 64) & 1 == 1 }
        return false
    }
}

enum Grammar {
    /// tchar (RFC 9110, 5.6.2).
    @inline(__always) static var token: ByteSet { ByteSet(low: 0x03ff_6cfa_0000_0000, high: 0x57ff_ffff_c7ff_fffe) }
    /// pchar, "/" and "%" (RFC 3986, 3.3), and "[", "]", "|", which browsers send unescaped.
    @inline(__always) static var path: ByteSet { ByteSet(low: 0x2fff_fff2_0000_0000, high: 0x57ff_fffe_afff_ffff) }
    /// Visible ASCII without `"`, `#`, `<`, `>` and `\`: what URL-conforming clients (WHATWG) leave unescaped in a query.
    @inline(__always) static var query: ByteSet { ByteSet(low: 0xafff_fff2_0000_0000, high: 0x7fff_ffff_efff_ffff) }
    /// unreserved (RFC 3986, 2.3): never needs escaping.
    @inline(__always) static var unreserved: ByteSet {
        ByteSet(low: 0x03ff_6000_0000_0000, high: 0x47ff_fffe_87ff_fffe)
    }
    /// Letters, digits, ".", "-" and "_": a host name as it really occurs; no percent-escapes, no sub-delims.
    @inline(__always) static var hostName: ByteSet { ByteSet(low: 0x03ff_6000_0000_0000, high: 0x07ff_fffe_87ff_fffe) }

    /// Whether `bytes` is a token: one or more tchar.
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty && bytes.allSatisfy { token.contains($0) }
    }

    /// Whether `byte` may stand in a field value: HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5).
    @inline(__always)
    static func isFieldByte(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    @inline(__always)
    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// The value of a hexadecimal digit.
    @inline(__always)
    static func hexValue(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }

    /// ASCII lower case; other bytes as they are.
    @inline(__always)
    static func lowered(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }

    /// Whether both are equal without regard to the case of ASCII letters.
    @inline(__always)
    static func equalIgnoringCase(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        guard a.count == b.count else { return false }
        for index in 0..<a.count where lowered(a[index]) != lowered(b[index]) { return false }
        return true
    }

    /// Whether both are equal without regard to the case of ASCII letters.
    static func equalIgnoringCase(_ a: String, _ b: String) -> Bool {
        let (a, b) = (a.utf8, b.utf8)
        return a.count == b.count && zip(a, b).allSatisfy { lowered($0) == lowered($1) }
    }

    @inline(__always)
    static func equalIgnoringCase(_ a: UInt8, _ b: UInt8) -> Bool { lowered(a) == lowered(b) }

    /// `text` without leading and trailing SP and HTAB.
    static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.utf8.first, isBlank(first) { text = text.dropFirst() }
        while let last = text.utf8.last, isBlank(last) { text = text.dropLast() }
        return text
    }
}
