import Arguments
import JSON

/// How values of one type are read, written, described and published in the schema.
struct Codec<Value: Sendable>: Sendable {
    /// Reads a value; a problem is reported and gives nil.
    let decode: @Sendable (JSONNode, inout Decoding) -> Value?
    /// The value as it stands in a configuration file.
    let encode: @Sendable (Value) -> JSONValue
    let form: ValueForm
}

/// What the documentation, the schema and flags know of a type.
struct ValueForm: Sendable {
    /// How a flag's or variable's text becomes a value.
    enum Text: Sendable {
        /// The text is the value.
        case plain
        /// Values between commas, or a JSON5 array.
        case list
        /// JSON5.
        case json5
    }

    /// For people: `duration from 10ms to 1h`.
    let words: String
    /// JSON Schema for the value, without description and default.
    let schema: JSONObject
    var text = Text.plain
    var isNullable = false
    var isBoolean = false
    /// The value's name in help texts: `DURATION`.
    var placeholder = "VALUE"

    /// A flag's or variable's text as a node; nil after a report.
    func node(_ text: String, _ decoding: inout Decoding) -> JSONNode? {
        let start = JSONPosition(line: 1, column: 1)
        if isNullable, text == "null" { return JSONNode(content: .null, position: start) }
        switch self.text {
        case .plain:
            return JSONNode(content: .string(text), position: start)
        case .list where !text.hasPrefix("["):
            let parts = text.split(separator: ",").map { part in
                JSONNode(content: .string(String(part.trimmed)), position: start)
            }
            return JSONNode(content: .array(parts), position: start)
        case .list, .json5:
            do {
                decoding.text = Array(text.utf8)
                return try JSONReader.parseDocument(decoding.text, dialect: .json5).root
            } catch {
                decoding.report(.badSyntax, at: start, "expected \(words) written in JSON5: \(error)")
                return nil
            }
        }
    }
}

extension Codec {
    /// The same value as `codec` has, or nil written as null.
    static func optional<Wrapped>(_ codec: Codec<Wrapped>) -> Codec where Value == Wrapped? {
        var form = codec.form
        form.isNullable = true
        return Codec(
            decode: { node, decoding in
                if node.isNull { return .some(nil) }
                return codec.decode(node, &decoding).map { .some($0) }
            },
            encode: { $0.map(codec.encode) ?? .null },
            form: form)
    }
}

extension Codec where Value == String {
    /// A string that `problem` finds nothing wrong with.
    static func string(
        _ words: String, _ placeholder: String, pattern: String? = nil, maximumLength: Int = 4096,
        problem: @escaping @Sendable (String) -> String? = { _ in nil }
    ) -> Codec {
        var schema: JSONObject = ["type": "string"]
        if let pattern { schema["pattern"] = .string(pattern) }
        return Codec(
            decode: { node, decoding in
                guard let text = node.string else {
                    decoding.wrongType(node, words)
                    return nil
                }
                guard text.utf8.count <= maximumLength else {
                    decoding.report(.outOfRange, at: node.position, "has more than \(maximumLength) bytes")
                    return nil
                }
                if let problem = problem(text) {
                    decoding.report(.badValue, at: node.position, "expected \(words), found \"\(text)\"; \(problem)")
                    return nil
                }
                return text
            },
            encode: { .string($0) },
            form: ValueForm(words: words, schema: schema, placeholder: placeholder))
    }

    /// A name of a node, service or identity.
    static func name(_ words: String, _ placeholder: String) -> Codec {
        string(words, placeholder, pattern: NameRule.pattern, problem: NameRule.problem)
    }

    /// A file or directory; relative ones start at the configuration file's directory.
    static var path: Codec {
        let plain = string("a path", "PATH", pattern: "^[^\\u0000]+$") { path in
            path.isEmpty ? "it is empty" : path.utf8.contains(0) ? "it contains a zero byte" : nil
        }
        return Codec(
            decode: { node, decoding in plain.decode(node, &decoding).map { decoding.resolved($0) } },
            encode: plain.encode,
            form: plain.form)
    }
}

extension Codec where Value == Bool {
    /// `true` or `false`.
    static var boolean: Codec {
        Codec(
            decode: { node, decoding in
                if let value = node.bool { return value }
                // Flags and variables are text.
                switch (decoding.source, node.string) {
                case (.flag, "true"?), (.environment, "true"?): return true
                case (.flag, "false"?), (.environment, "false"?): return false
                default:
                    decoding.wrongType(
                        node, "true or false", hint: node.string.map { _ in "write true or false, unquoted" })
                    return nil
                }
            },
            encode: { .bool($0) },
            form: ValueForm(words: "true or false", schema: ["type": "boolean"], isBoolean: true, placeholder: "BOOL"))
    }
}

extension Codec where Value == Int {
    /// An integer within a range.
    static func integer(_ range: ClosedRange<Int>) -> Codec {
        let words = "an integer from \(range.lowerBound) to \(range.upperBound)"
        return Codec(
            decode: { node, decoding in
                var value = node.integer
                if case .file = decoding.source {} else if let text = node.string { value = Int64(text) }
                guard let value else {
                    decoding.wrongType(node, words, hint: node.string.flatMap(Int.init).map { "write \($0), unquoted" })
                    return nil
                }
                guard range.contains(Int(value)) else {
                    decoding.report(.outOfRange, at: node.position, "expected \(words), found \(value)")
                    return nil
                }
                return Int(value)
            },
            encode: { JSONValue($0) },
            form: ValueForm(
                words: words,
                schema: [
                    "type": "integer", "minimum": JSONValue(range.lowerBound), "maximum": JSONValue(range.upperBound),
                ],
                placeholder: "N"))
    }
}

extension Codec where Value: RawRepresentable & CaseIterable, Value.RawValue == String {
    /// One of the type's words.
    static var choice: Codec { choice(instead: [:]) }

    /// One of the type's words.
    ///
    /// - Parameter hints: what to do instead of words that somebody may expect here, and that are none.
    static func choice(instead hints: [String: String]) -> Codec {
        let all = Value.allCases.map(\.rawValue)
        let words = all.map { "\"\($0)\"" }.joined(separator: " or ")
        return Codec(
            decode: { node, decoding in
                guard let text = node.string else {
                    decoding.wrongType(node, words, hint: node.number.map { _ in "write it in quotation marks" })
                    return nil
                }
                guard let value = Value(rawValue: text) else {
                    let nearest = Suggestion.closest(to: text, among: all)
                    decoding.report(
                        .badValue, at: node.position, "expected \(words), found \"\(text)\"",
                        hint: hints[text] ?? nearest.map { "did you mean \"\($0)\"?" })
                    return nil
                }
                return value
            },
            encode: { .string($0.rawValue) },
            form: ValueForm(
                words: words, schema: ["type": "string", "enum": JSONValue(all)],
                placeholder: all.joined(separator: "|")))
    }
}

extension Codec where Value == Configuration.InlinePolicy {
    /// A policy, kept as it is written.
    static var inlinePolicy: Codec {
        Codec(
            decode: { node, decoding in
                guard node.members != nil else {
                    decoding.wrongType(node, "a policy object")
                    return nil
                }
                return Configuration.InlinePolicy(
                    node: node, source: decoding.source.name, sourceText: decoding.text)
            },
            encode: { $0.node.value },
            form: ValueForm(
                words: "a policy object", schema: ["type": "object"], text: .json5, placeholder: "JSON5"))
    }
}

extension Substring {
    /// Without spaces at both ends.
    var trimmed: Substring {
        var text = self
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return text
    }
}
