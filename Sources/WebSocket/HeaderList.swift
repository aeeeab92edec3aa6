/// Small pieces of HTTP's grammar that the handshake needs (RFC 9110 section 5.6).
enum HeaderList {
    /// The elements of a comma-separated list over several fields, without white space; empty elements are left out.
    static func elements(_ fields: [String]) -> [String] {
        fields.flatMap { field in
            field.utf8.split(separator: UInt8(ascii: ",")).map { trimmed(Substring($0)) }.filter { !$0.isEmpty }
        }
    }

    /// Whether one of the elements is `token`, whatever its case (`token` is given in lower case).
    static func contains(_ token: String, in fields: [String]) -> Bool {
        elements(fields).contains { lowercased($0) == token }
    }

    /// `text` without spaces and tabs around it.
    static func trimmed(_ text: Substring) -> String {
        var bytes = Substring(text).utf8
        while let first = bytes.first, isSpace(first) { bytes.removeFirst() }
        while let last = bytes.last, isSpace(last) { bytes.removeLast() }
        return String(Substring(bytes))
    }

    /// ASCII letters in lower case, all else as it is.
    static func lowercased(_ text: String) -> String {
        String(decoding: text.utf8.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// Whether `text` is a token: field names, subprotocols.
    static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy(isTokenByte)
    }

    /// Whether `text` can stand as a field's value: no control characters but tab, no white space around it.
    static func isFieldValue(_ text: String) -> Bool {
        guard text.utf8.allSatisfy({ $0 == 0x09 || ($0 >= 0x20 && $0 != 0x7F) }) else { return false }
        return trimmed(Substring(text)) == text
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
