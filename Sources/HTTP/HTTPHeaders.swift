/// The fields of a head or trailer section: ordered, names without regard to case, several values a name.
///
/// All text lies in one buffer, so that parsing a head costs two allocations however many fields it has; strings are made
/// on access. Values are kept as bytes: what is not UTF-8 passes through unchanged and reads with U+FFFD. Nothing is
/// checked here; encoders refuse illegal names and values, so a line break in a value cannot reach the wire.
public struct HTTPHeaders: Sendable {
    struct Field: Sendable {
        var nameStart: Int32
        var nameCount: Int32
        var valueStart: Int32
        var valueCount: Int32
    }

    var text: [UInt8] = []
    var fields: [Field] = []

    /// No fields.
    public init() {}

    /// The given fields in order.
    public init(_ fields: some Sequence<(String, String)>) {
        for (name, value) in fields { append(name, value) }
    }

    /// Number of field lines.
    public var count: Int { fields.count }

    /// Whether there is no field.
    public var isEmpty: Bool { fields.isEmpty }

    /// Adds a field behind the others. Blanks around the value are not part of it (RFC 9110, 5.5).
    public mutating func append(_ name: String, _ value: String) {
        var name = name
        var value = value
        name.withUTF8 { name in
            value.withUTF8 { value in
                var bytes = UnsafeRawBufferPointer(value)[...]
                while let first = bytes.first, Grammar.isBlank(first) { bytes = bytes.dropFirst() }
                while let last = bytes.last, Grammar.isBlank(last) { bytes = bytes.dropLast() }
                append(name: UnsafeRawBufferPointer(name), value: UnsafeRawBufferPointer(rebasing: bytes))
            }
        }
    }

    /// Adds all fields of another section behind the others, without making strings.
    public mutating func append(contentsOf other: HTTPHeaders) {
        text.reserveCapacity(text.count + other.text.count)
        fields.reserveCapacity(fields.count + other.fields.count)
        other.text.withUnsafeBytes { text in
            for field in other.fields { append(name: field.name(in: text), value: field.value(in: text)) }
        }
    }

    /// Puts one field in the place of all with its name; a new one comes last.
    public mutating func set(_ name: String, _ value: String) {
        remove(name)
        append(name, value)
    }

    /// Removes all fields of that name and tells how many there were.
    @discardableResult
    public mutating func remove(_ name: String) -> Int {
        let before = fields.count
        var name = name
        name.withUTF8 { wanted in
            let wanted = UnsafeRawBufferPointer(wanted)
            text.withUnsafeBytes { text in
                fields.removeAll { Grammar.equalIgnoringCase($0.name(in: text), wanted) }
            }
        }
        return before - fields.count
    }

    /// Removes the fields for which `condition` holds.
    public mutating func removeAll(where condition: (_ name: String, _ value: String) -> Bool) {
        let all = Array(self)
        fields = zip(fields, all).filter { !condition($0.1.name, $0.1.value) }.map(\.0)
    }

    /// Removes the fields for whose name `condition` holds, in one pass and without making strings. The bytes are valid
    /// during the call only.
    public mutating func removeAll(whereName condition: (_ name: UnsafeRawBufferPointer) -> Bool) {
        text.withUnsafeBytes { text in fields.removeAll { condition($0.name(in: text)) } }
    }

    mutating func append(name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        let start = Int32(text.count)
        text.append(contentsOf: name)
        text.append(contentsOf: value)
        fields.append(
            Field(
                nameStart: start, nameCount: Int32(name.count), valueStart: start + Int32(name.count),
                valueCount: Int32(value.count)))
    }
}

extension HTTPHeaders.Field {
    @inline(__always)
    func name(in text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: text[Int(nameStart)..<Int(nameStart + nameCount)])
    }

    @inline(__always)
    func value(in text: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: text[Int(valueStart)..<Int(valueStart + valueCount)])
    }
}

// MARK: - Looking up

extension HTTPHeaders {
    /// The first value of `name`.
    public subscript(_ name: String) -> String? {
        var found: String?
        visit(name) { value in
            found = String(decoding: value, as: UTF8.self)
            return false
        }
        return found
    }

    /// Whether there is a field of that name.
    public func contains(_ name: String) -> Bool {
        var found = false
        visit(name) { _ in
            found = true
            return false
        }
        return found
    }

    /// All values of `name`, a line each, in order.
    public func values(_ name: String) -> [String] {
        var values: [String] = []
        visit(name) { value in
            values.append(String(decoding: value, as: UTF8.self))
            return true
        }
        return values
    }

    /// The value of a field that may occur only once; throws `duplicate_field` where it occurs more often.
    public func single(_ name: String) throws(HTTPError) -> String? {
        let values = values(name)
        if values.count > 1 { throw HTTPError(.duplicateField, "\(name) may be sent only once") }
        return values.first
    }

    /// The elements of a comma-separated field over all its lines (RFC 9110, 5.6.1), without blanks and empty elements.
    /// Commas in quoted strings do not separate.
    public func list(_ name: String) -> [String] {
        values(name).flatMap { Self.elements($0) }
    }

    /// Whether a comma-separated field has `token` as an element, without regard to case.
    public func has(_ token: String, in name: String) -> Bool {
        var found = false
        var token = token
        token.withUTF8 { token in
            visit(name) { value in
                if value.contains(0x22) {
                    let elements = Self.elements(String(decoding: value, as: UTF8.self))
                    found = elements.contains { $0.utf8.elementsEqual(token, by: Grammar.equalIgnoringCase) }
                } else {
                    found = Self.hasElement(UnsafeRawBufferPointer(token), value)
                }
                return !found
            }
        }
        return found
    }

    /// The same as looking among the elements, for values without quotes: no strings are made.
    private static func hasElement(_ token: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Bool {
        if token.isEmpty { return false }
        var start = 0
        while start < value.count {
            let comma = value[start...].firstIndex(of: 0x2C) ?? value.count
            var end = comma
            while start < end, Grammar.isBlank(value[start]) { start += 1 }
            while end > start, Grammar.isBlank(value[end - 1]) { end -= 1 }
            if Grammar.equalIgnoringCase(UnsafeRawBufferPointer(rebasing: value[start..<end]), token) { return true }
            start = comma + 1
        }
        return false
    }

    static func elements(_ value: String) -> [String] {
        var elements: [String] = []
        var quoted = false
        var escaped = false
        var start = value.startIndex
        for index in value.utf8.indices {
            let byte = value.utf8[index]
            if escaped {
                escaped = false
            } else if quoted {
                if byte == 0x5C { escaped = true } else if byte == 0x22 { quoted = false }
            } else if byte == 0x22 {
                quoted = true
            } else if byte == 0x2C {
                elements.append(String(Grammar.trimmed(value[start..<index])))
                start = value.utf8.index(after: index)
            }
        }
        elements.append(String(Grammar.trimmed(value[start...])))
        return elements.filter { !$0.isEmpty }
    }

    /// Calls `body` with the bytes of each value of `name` until it returns false.
    func visit(_ name: String, _ body: (UnsafeRawBufferPointer) -> Bool) {
        if fields.isEmpty { return }
        var name = name
        name.withUTF8 { wanted in
            let wanted = UnsafeRawBufferPointer(wanted)
            text.withUnsafeBytes { text in
                for field in fields where Grammar.equalIgnoringCase(field.name(in: text), wanted) {
                    if !body(field.value(in: text)) { return }
                }
            }
        }
    }
}

// MARK: - Connection fields

extension HTTPHeaders {
    /// The options of the Connection field, in lower case.
    public var connectionOptions: [String] { list("Connection").map { $0.lowercased() } }

    /// Removes what concerns only this connection (RFC 9110, 7.6.1): the fields that Connection names, Connection itself,
    /// and those that are hop-by-hop by their definition or by custom. For relaying.
    public mutating func removeHopByHop() {
        for option in connectionOptions { remove(option) }
        for name in [
            "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "TE",
            "Trailer",
            "Transfer-Encoding", "Upgrade",
        ] { remove(name) }
    }
}

// MARK: - Protocols

extension HTTPHeaders: Sequence {
    /// Name and value of each field line, in order.
    public func makeIterator() -> AnyIterator<(name: String, value: String)> {
        var index = 0
        return AnyIterator {
            guard index < fields.count else { return nil }
            defer { index += 1 }
            return self[index]
        }
    }

    /// Name and value of the field line at `index`.
    public subscript(_ index: Int) -> (name: String, value: String) {
        let field = fields[index]
        return text.withUnsafeBytes { text in
            (
                String(decoding: field.name(in: text), as: UTF8.self),
                String(decoding: field.value(in: text), as: UTF8.self)
            )
        }
    }

    /// Number of field lines.
    public var underestimatedCount: Int { fields.count }
}

extension HTTPHeaders: Equatable {
    /// Same fields in the same order, names without regard to case.
    public static func == (a: HTTPHeaders, b: HTTPHeaders) -> Bool {
        guard a.fields.count == b.fields.count else { return false }
        return a.text.withUnsafeBytes { aText in
            b.text.withUnsafeBytes { bText in
                zip(a.fields, b.fields).allSatisfy { x, y in
                    Grammar.equalIgnoringCase(x.name(in: aText), y.name(in: bText))
                        && x.value(in: aText).elementsEqual(y.value(in: bText))
                }
            }
        }
    }
}

extension HTTPHeaders: ExpressibleByDictionaryLiteral, CustomStringConvertible {
    /// Fields in the order of the literal.
    public init(dictionaryLiteral elements: (String, String)...) { self.init(elements) }

    /// One line a field. Not for logs: values can be secrets.
    public var description: String { map { "\($0.name): \($0.value)" }.joined(separator: "\n") }
}
