/// The grammar of Forwarded (RFC 7239, 4).
enum ForwardedField {
    /// The elements of one line with their parameters, names in lower case. Nil where the line breaks the grammar
    /// anywhere: an open quote on its left, which a client may have sent, must not swallow what a proxy added.
    static func parse(_ line: String) -> [[String: String]]? {
        let bytes = Array(line.utf8)
        var index = 0
        var elements: [[String: String]] = []
        func skipBlanks() { while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 } }
        while true {
            skipBlanks()
            var element: [String: String] = [:]
            while index < bytes.count, bytes[index] != 0x2C {
                guard let name = token(bytes, &index), index < bytes.count, bytes[index] == 0x3D else { return nil }
                index += 1
                guard let value = quoted(bytes, &index) ?? token(bytes, &index) else { return nil }
                guard element.updateValue(value, forKey: Text.lowercased(name)) == nil else { return nil }
                skipBlanks()
                guard index < bytes.count, bytes[index] != 0x2C else { break }
                guard bytes[index] == 0x3B else { return nil }
                index += 1
                skipBlanks()
                guard index < bytes.count, bytes[index] != 0x2C else { return nil }
            }
            if element.isEmpty { return nil }
            elements.append(element)
            if index == bytes.count { return elements }
            index += 1
        }
    }

    private static func token(_ bytes: [UInt8], _ index: inout Int) -> String? {
        let start = index
        while index < bytes.count, Text.isTokenByte(bytes[index]) { index += 1 }
        return index == start ? nil : String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private static func quoted(_ bytes: [UInt8], _ index: inout Int) -> String? {
        guard index < bytes.count, bytes[index] == 0x22 else { return nil }
        var value: [UInt8] = []
        var at = index + 1
        while at < bytes.count, bytes[at] != 0x22 {
            if bytes[at] == 0x5C { at += 1 }
            guard at < bytes.count else { return nil }
            value.append(bytes[at])
            at += 1
        }
        guard at < bytes.count else { return nil }
        index = at + 1
        return String(decoding: value, as: UTF8.self)
    }
}
