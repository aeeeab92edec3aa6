import Bytes

/// A token's subject as it stands in a principal's name.
public enum SubjectName {
    /// Visible ASCII stays as it is, except `/`, `%` and `*`; every other byte becomes `%XX`. Injective.
    public static func encode(_ subject: String) -> String {
        var text = ""
        for byte in subject.utf8 {
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "%"), UInt8(ascii: "*"), 0...0x20, 0x7F...0xFF:
                text += "%" + Hex.encode([byte], uppercase: true)
            default:
                text.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return text
    }

    /// The subject that `encode` made the text of; nil for a text that it never makes.
    public static func decode(_ text: String) -> String? {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            let digits = String(decoding: rest.prefix(2), as: UTF8.self)
            guard let value = Hex.decode(digits)?.first else { return nil }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard let subject = String(validating: bytes, as: UTF8.self), encode(subject) == text else { return nil }
        return subject
    }
}
