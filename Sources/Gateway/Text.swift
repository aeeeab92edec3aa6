/// Small pieces of grammar that several parsers of the edge need (RFC 9110, 5.6).
enum Text {
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

    /// ASCII letters in lower case, all else as it is.
    static func lowercased(_ text: some StringProtocol) -> String {
        String(decoding: text.utf8.map(lowered), as: UTF8.self)
    }

    /// Whether both are equal without regard to the case of ASCII letters.
    static func equalIgnoringCase(_ a: some StringProtocol, _ b: some StringProtocol) -> Bool {
        let (a, b) = (a.utf8, b.utf8)
        return a.count == b.count && zip(a, b).allSatisfy { lowered($0) == lowered($1) }
    }

    /// Whether both have the same bytes. `==` would take canonically equivalent characters for equal, and so the Kelvin
    /// sign for a K.
    static func equal(_ a: some StringProtocol, _ b: some StringProtocol) -> Bool { a.utf8.elementsEqual(b.utf8) }

    /// The parts between bytes of that value, empty ones included. Splitting by characters would not see a separator that
    /// forms one character with what stands before it.
    static func split(_ text: some StringProtocol, at separator: UInt8, most: Int = .max) -> [Substring] {
        Substring(text).utf8.split(separator: separator, maxSplits: most, omittingEmptySubsequences: false)
            .map { Substring($0) }
    }

    @inline(__always)
    static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    @inline(__always)
    static func isAlphanumeric(_ byte: UInt8) -> Bool { isDigit(byte) || lowered(byte) &- 0x61 < 26 }

    /// tchar (RFC 9110, 5.6.2).
    static func isTokenByte(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || "!#$%&'*+-.^_`|~".utf8.contains(byte) }

    /// Whether `text` is a token: one or more tchar.
    static func isToken(_ text: some StringProtocol) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy(isTokenByte)
    }

    /// `text` without blanks and tabs around it.
    static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.utf8.first, first == 0x20 || first == 0x09 { text = text.dropFirst() }
        while let last = text.utf8.last, last == 0x20 || last == 0x09 { text = text.dropLast() }
        return text
    }

    /// A decimal number from 0 to 65535 without sign or leading zeros.
    static func port(_ text: some StringProtocol) -> UInt16? {
        guard 1...5 ~= text.utf8.count, text.utf8.allSatisfy(isDigit),
            text.utf8.count == 1 || text.utf8.first != 0x30
        else { return nil }
        return UInt16(text)
    }

    /// `text` so that it is safe and unambiguous as a field's value: visible ASCII without "%" and `reserved` as it is,
    /// every other byte as `%XX`.
    static func escaped(_ text: String, reserving reserved: String.UTF8View = "".utf8) -> String {
        if text.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != 0x25 && !reserved.contains($0) }) { return text }
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if 0x21...0x7E ~= byte, byte != 0x25, !reserved.contains(byte) {
                bytes.append(byte)
            } else {
                bytes += [0x25, upperDigit(byte >> 4), upperDigit(byte & 15)]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The digit for 0 to 15, upper case.
    static func upperDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }

    /// A quoted string (RFC 9110, 5.6.4); what cannot stand in one becomes "?".
    static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = [0x22]
        for byte in text.utf8 {
            if byte == 0x22 || byte == 0x5C { bytes.append(0x5C) }
            bytes.append(0x20...0x7E ~= byte ? byte : 0x3F)
        }
        bytes.append(0x22)
        return String(decoding: bytes, as: UTF8.self)
    }
}
