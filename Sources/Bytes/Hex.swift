/// Base 16 (RFC 4648 section 8), without prefix or separators.
public enum Hex {
    /// Two digits for each byte, lower case unless told otherwise.
    public static func encode(_ bytes: UnsafeRawBufferPointer, uppercase: Bool = false) -> String {
        let letters: UInt8 = (uppercase ? UInt8(ascii: "A") : UInt8(ascii: "a")) - 10
        return String(unsafeUninitializedCapacity: bytes.count * 2) { digits in
            for (index, byte) in bytes.enumerated() {
                digits[2 * index] = digit(byte >> 4, letters)
                digits[2 * index + 1] = digit(byte & 15, letters)
            }
            return bytes.count * 2
        }
    }

    /// Two digits for each byte, lower case unless told otherwise.
    public static func encode(_ bytes: [UInt8], uppercase: Bool = false) -> String {
        bytes.withUnsafeBytes { encode($0, uppercase: uppercase) }
    }

    /// The bytes that `text` stands for; nil unless it has an even number of digits (either case) and nothing else.
    public static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { decode(UnsafeRawBufferPointer($0)) }
    }

    /// The bytes that the ASCII digits `text` stand for; nil unless it is an even number of digits and nothing else.
    public static func decode(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(text.count / 2)
        for index in stride(from: 0, to: text.count, by: 2) {
            guard let high = value(text[index]), let low = value(text[index + 1]) else { return nil }
            result.append(high << 4 | low)
        }
        return result
    }

    private static func digit(_ nibble: UInt8, _ letters: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : letters + nibble
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
