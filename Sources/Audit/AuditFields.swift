public import JSON

/// Bounds what a record holds: names, reasons and paths come from whoever connects, who can make them as long as he likes.
///
/// What is too long is cut and ends with `… (N bytes)`, a list with `… (N elements)`; the record's field `cut` names the fields of
/// which something is missing.
public enum AuditFields {
    /// The longest text, in bytes as JSON writes it.
    public static let maximumText = 1024
    /// The longest reason or source by which events are counted, and the longest name of a field, in bytes.
    public static let maximumName = 128
    /// Most elements of a list, and most members of an object.
    public static let maximumElements = 64
    /// How deep objects and lists may lie in each other.
    public static let maximumDepth = 4
    /// All texts of a record together, in bytes as JSON writes them: a queue of thousands of records fits into memory.
    public static let maximumTotal = 16 << 10
    /// The field that says what was cut.
    static let cutField = "cut"

    /// The fields within their bounds.
    public static func bounded(_ fields: JSONObject) -> JSONObject {
        var cutter = Cutter()
        var result = JSONObject()
        var cut: [String] = []
        for member in fields.members.prefix(maximumElements) {
            let key = name(member.key)
            cutter.hasCut = key != member.key
            result[key] = cutter.value(member.value, depth: 1)
            if cutter.hasCut { cut.append(key) }
        }
        if fields.count > maximumElements { cut.append("…") }
        if !cut.isEmpty { result[cutField] = JSONValue(cut) }
        return result
    }

    /// A text that events are counted by, within its bound.
    public static func name(_ text: String) -> String {
        text.utf8.count <= maximumName ? text : beginning(of: text, within: maximumName) + "…"
    }

    /// The first characters of a text that JSON writes with so many bytes at most.
    private static func beginning(of text: String, within bytes: Int) -> String {
        var left = bytes
        var end = text.unicodeScalars.startIndex
        for index in text.unicodeScalars.indices {
            left -= cost(text.unicodeScalars[index])
            if left < 0 { break }
            end = text.unicodeScalars.index(after: index)
        }
        return String(text.unicodeScalars[..<end])
    }

    /// Bytes of a character in JSON (RFC 8259, section 7).
    private static func cost(_ scalar: Unicode.Scalar) -> Int {
        switch scalar {
        case "\"", "\\": 2
        case ..<" ", "\u{7F}": 6
        default: UTF8.width(scalar)
        }
    }

    private struct Cutter {
        /// Bytes that texts may still have.
        private var left = maximumTotal
        /// Something of the field of now was cut.
        var hasCut = false

        mutating func value(_ value: JSONValue, depth: Int) -> JSONValue {
            switch value {
            case .string(let text): .string(self.text(text))
            case .array(let elements): .array(list(elements, depth: depth))
            case .object(let object): self.object(object, depth: depth)
            case .null, .bool, .integer, .number: value
            }
        }

        private mutating func text(_ text: String) -> String {
            let size = text.utf8.count
            let beginning = beginning(of: text, within: min(maximumText, left))
            left -= beginning.unicodeScalars.reduce(0) { $0 + cost($1) }
            guard beginning.utf8.count < size else { return text }
            hasCut = true
            return "\(beginning)… (\(size) bytes)"
        }

        private mutating func list(_ elements: [JSONValue], depth: Int) -> [JSONValue] {
            guard depth < maximumDepth else { return tooDeep(elements.isEmpty) }
            var result: [JSONValue] = []
            for element in elements.prefix(maximumElements) {
                guard left > 0 else { break }
                result.append(value(element, depth: depth + 1))
            }
            guard result.count < elements.count else { return result }
            hasCut = true
            return result + [.string("… (\(elements.count) elements)")]
        }

        private mutating func tooDeep(_ isEmpty: Bool) -> [JSONValue] {
            guard !isEmpty else { return [] }
            hasCut = true
            return ["…"]
        }

        private mutating func object(_ object: JSONObject, depth: Int) -> JSONValue {
            guard depth < maximumDepth else {
                hasCut = hasCut || !object.isEmpty
                return object.isEmpty ? .object(object) : "…"
            }
            var result = JSONObject()
            for member in object.members.prefix(maximumElements) {
                guard left > 0 else { break }
                let key = name(member.key)
                if key != member.key { hasCut = true }
                left -= min(left, key.utf8.count)
                result[key] = value(member.value, depth: depth + 1)
            }
            if result.count < object.count { hasCut = true }
            return .object(result)
        }
    }
}
