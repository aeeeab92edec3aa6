/// `%XX` in the names of external principals: what makes any issuer and subject one unambiguous word.
enum PercentEscapes {
    /// The text in visible ASCII, with `%` and `*` escaped, and `/` where asked for.
    static func escaped(_ text: some StringProtocol, slash: Bool) -> String {
        var escaped = ""
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "%"), UInt8(ascii: "*"): escaped += hex(byte)
            case UInt8(ascii: "/"): escaped += slash ? hex(byte) : "/"
            case 0x21...0x7E: escaped.unicodeScalars.append(Unicode.Scalar(byte))
            default: escaped += hex(byte)
            }
        }
        return escaped
    }

    /// The text behind escapes; nil when an escape is not complete or the bytes are no UTF-8.
    static func plain(_ text: some StringProtocol) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return byte < 16 ? "%0\(digits)" : "%\(digits)"
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
