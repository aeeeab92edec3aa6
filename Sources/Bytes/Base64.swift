/// Base 64 with padding (RFC 4648 section 4).
///
/// Decoding is strict, so that every byte string has exactly one text: no white space, the padding that the length asks
/// for and no other, unused trailing bits zero (section 3.5).
public enum Base64 {
    /// The text for `bytes`, padded.
    public static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        Base64Alphabet.standard.encode(bytes, padded: true)
    }

    /// The text for `bytes`, padded.
    public static func encode(_ bytes: [UInt8]) -> String {
        bytes.withUnsafeBytes { encode($0) }
    }

    /// The bytes that `text` stands for; nil unless it is the canonical text.
    public static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { decode(UnsafeRawBufferPointer($0)) }
    }

    /// The bytes that the ASCII `text` stands for; nil unless it is the canonical text.
    public static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        Base64Alphabet.standard.decode(text, padded: true)
    }
}

/// Base 64 with the alphabet for URLs and file names (RFC 4648 section 5), without padding, as JOSE has it.
///
/// As strict as `Base64`; a text with padding is refused (RFC 7515 section 2).
public enum Base64URL {
    /// The text for `bytes`, without padding.
    public static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        Base64Alphabet.url.encode(bytes, padded: false)
    }

    /// The text for `bytes`, without padding.
    public static func encode(_ bytes: [UInt8]) -> String {
        bytes.withUnsafeBytes { encode($0) }
    }

    /// The bytes that `text` stands for; nil unless it is the canonical text.
    public static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { decode(UnsafeRawBufferPointer($0)) }
    }

    /// The bytes that the ASCII `text` stands for; nil unless it is the canonical text.
    public static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        Base64Alphabet.url.decode(text, padded: false)
    }
}

/// One of the two alphabets, with both directions of the coding.
private struct Base64Alphabet: Sendable {
    static let standard = Base64Alphabet("+", "/")
    static let url = Base64Alphabet("-", "_")

    /// Character of each value 0…63.
    private let characters: [UInt8]
    /// Value of each character; 0xFF where it is none.
    private let values: [UInt8]

    /// `last62` and `last63` are the characters in which the alphabets differ.
    private init(_ last62: Unicode.Scalar, _ last63: Unicode.Scalar) {
        characters =
            Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789".utf8)
            + [UInt8(ascii: last62), UInt8(ascii: last63)]
        var table = [UInt8](repeating: 0xFF, count: 256)
        for (value, character) in characters.enumerated() { table[Int(character)] = UInt8(value) }
        values = table
    }

    func encode(_ bytes: UnsafeRawBufferPointer, padded: Bool) -> String {
        let rest = bytes.count % 3
        let tail = rest == 0 ? 0 : (padded ? 4 : rest + 1)
        return String(unsafeUninitializedCapacity: bytes.count / 3 * 4 + tail) { text in
            var out = 0
            func put(_ value: UInt32) {
                text[out] = characters[Int(value & 63)]
                out += 1
            }
            var index = 0
            while index + 3 <= bytes.count {
                let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
                put(group >> 18)
                put(group >> 12)
                put(group >> 6)
                put(group)
                index += 3
            }
            if rest == 1 {
                let group = UInt32(bytes[index]) << 16
                put(group >> 18)
                put(group >> 12)
            } else if rest == 2 {
                let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8
                put(group >> 18)
                put(group >> 12)
                put(group >> 6)
            }
            if padded, rest > 0 {
                for _ in rest..<3 {
                    text[out] = UInt8(ascii: "=")
                    out += 1
                }
            }
            return out
        }
    }

    func decode(_ text: UnsafeRawBufferPointer, padded: Bool) -> [UInt8]? {
        var length = text.count
        if padded {
            guard length.isMultiple(of: 4) else { return nil }
            for _ in 0..<2 where length > 0 && text[length - 1] == UInt8(ascii: "=") { length -= 1 }
        }
        let rest = length % 4
        guard rest != 1 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(length / 4 * 3 + 2)
        var group: UInt32 = 0
        for index in 0..<length {
            let value = values[Int(text[index])]
            guard value < 64 else { return nil }
            group = group << 6 | UInt32(value)
            if index % 4 == 3 {
                result.append(UInt8(truncatingIfNeeded: group >> 16))
                result.append(UInt8(truncatingIfNeeded: group >> 8))
                result.append(UInt8(truncatingIfNeeded: group))
                group = 0
            }
        }
        switch rest {
        case 2:
            guard group & 0xF == 0 else { return nil }
            result.append(UInt8(truncatingIfNeeded: group >> 4))
        case 3:
            guard group & 0x3 == 0 else { return nil }
            result.append(UInt8(truncatingIfNeeded: group >> 10))
            result.append(UInt8(truncatingIfNeeded: group >> 2))
        default:
            break
        }
        return result
    }
}
