import JSON

extension Codec {
    /// A list; a flag or variable has its values between commas. `orOne` also takes a single value without brackets.
    static func list<Element: Hashable & Sendable>(
        _ element: Codec<Element>, _ words: String, maximum: Int = 64, orOne: Bool = false
    ) -> Codec where Value == [Element] {
        var schema: JSONObject = [
            "type": "array", "items": .object(element.form.schema), "uniqueItems": true, "maxItems": JSONValue(maximum),
        ]
        if orOne { schema = ["oneOf": .array([.object(element.form.schema), .object(schema)])] }
        return Codec(
            decode: { node, decoding in
                let elements: [JSONNode]
                if let array = node.array {
                    elements = array
                } else if orOne, node.string != nil {
                    elements = [node]
                } else {
                    decoding.wrongType(node, words, hint: "a list stands in brackets: [ … ]")
                    return nil
                }
                return decodeAll(elements, node, element, maximum, &decoding)
            },
            encode: { .array($0.map(element.encode)) },
            form: ValueForm(
                words: words, schema: schema, text: .list, placeholder: "\(element.form.placeholder),…"))
    }

    private static func decodeAll<Element: Hashable & Sendable>(
        _ nodes: [JSONNode], _ list: JSONNode, _ element: Codec<Element>, _ maximum: Int, _ decoding: inout Decoding
    ) -> [Element]? where Value == [Element] {
        guard nodes.count <= maximum else {
            decoding.report(.outOfRange, at: list.position, "has \(nodes.count) entries, more than \(maximum)")
            return nil
        }
        var values: [Element] = []
        var isComplete = true
        for (index, node) in nodes.enumerated() {
            decoding.inside("[\(index)]") { decoding in
                guard let value = element.decode(node, &decoding) else {
                    isComplete = false
                    return
                }
                if values.contains(value) {
                    decoding.report(.duplicate, at: node.position, "is there already")
                    isComplete = false
                }
                values.append(value)
            }
        }
        return isComplete ? values : nil
    }
}

extension Codec where Value == [String: String] {
    /// Free facts: at most 64, keys up to 63 bytes, values up to 1 KiB, which keeps a directory of many nodes small.
    static var metadata: Codec {
        Codec(
            decode: { node, decoding in
                guard let members = node.members else {
                    decoding.wrongType(node, "an object of strings")
                    return nil
                }
                if members.count > 64 {
                    decoding.report(.outOfRange, at: node.position, "has \(members.count) entries, more than 64")
                    return nil
                }
                var facts: [String: String] = [:]
                var isComplete = true
                for member in members {
                    decoding.inside(member.key) { decoding in
                        if let problem = NameRule.problem(member.key) {
                            decoding.report(.badValue, at: member.keyPosition, problem)
                            isComplete = false
                        } else if let text = fact.decode(member.value, &decoding) {
                            facts[member.key] = text
                        } else {
                            isComplete = false
                        }
                    }
                }
                return isComplete ? facts : nil
            },
            encode: { facts in
                .object(JSONObject(facts.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) }))
            },
            form: ValueForm(
                words: "an object of strings",
                schema: [
                    "type": "object", "maxProperties": 64,
                    "propertyNames": ["pattern": .string(NameRule.pattern)],
                    "additionalProperties": ["type": "string", "maxLength": 1024],
                ],
                text: .json5, placeholder: "JSON5"))
    }

    private static var fact: Codec<String> { .string("a string", "TEXT", maximumLength: 1024) }
}
