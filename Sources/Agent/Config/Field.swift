import JSON

/// One key of an object: of the whole configuration or of an element of a list. The name has dots for nested objects.
struct Field<Root>: Sendable {
    let name: String
    let summary: String
    let form: ValueForm
    /// The default in words, where it depends on something else.
    let defaultText: String?
    let isRequired: Bool
    let effect: ConfigurationChange.Effect
    /// Reads the value into the root.
    let read: @Sendable (JSONNode, inout Decoding, inout Root) -> Void
    /// The value as it stands in a configuration file.
    let value: @Sendable (Root) -> JSONValue
    /// The value, or those of all elements, with keys and columns for people.
    let entries: @Sendable (Root) -> [Entry]
    /// What differs between two roots.
    let changes: @Sendable (Root, Root) -> [ConfigurationChange]
    /// For a value that takes effect at a start only: puts that of the first root, which runs, into the second.
    var keep: @Sendable (_ running: Root, _ next: inout Root) -> Void = { _, _ in }
    /// The keys of an element, for a list of objects.
    var elementKeys: [ConfigurationKey] = []
    var elementSchema: JSONObject?

    /// One effective value.
    struct Entry: Sendable {
        let key: String
        let value: JSONValue
    }

    /// A field with a simple value.
    static func value<Value: Equatable & Sendable>(
        _ name: String, _ path: any WritableKeyPath<Root, Value> & Sendable, _ codec: Codec<Value>, _ summary: String,
        default defaultText: String? = nil, required: Bool = false, effect: ConfigurationChange.Effect = .reload
    ) -> Field {
        Field(
            name: name, summary: summary, form: codec.form, defaultText: defaultText, isRequired: required,
            effect: effect,
            read: { node, decoding, root in
                decoding.origins[decoding.key] = decoding.source.origin(node.position)
                if node.isNull, !codec.form.isNullable {
                    decoding.wrongType(node, codec.form.words, hint: "leave the key out for the default")
                } else if let value = codec.decode(node, &decoding) {
                    root[keyPath: path] = value
                }
            },
            value: { codec.encode($0[keyPath: path]) },
            entries: { [Entry(key: name, value: codec.encode($0[keyPath: path]))] },
            changes: { old, new in
                let (old, new) = (old[keyPath: path], new[keyPath: path])
                if old == new { return [] }
                return [
                    ConfigurationChange(
                        key: name, old: ValueText.text(codec.encode(old)), new: ValueText.text(codec.encode(new)),
                        effect: effect)
                ]
            },
            keep: { running, next in
                if effect == .restart { next[keyPath: path] = running[keyPath: path] }
            })
    }

    /// A list of objects; elements are told apart by `identity`.
    static func elements<Element: Equatable & Sendable>(
        _ name: String, _ path: any WritableKeyPath<Root, [Element]> & Sendable, of fields: [Field<Element>],
        make: @escaping @Sendable () -> Element, identity: @escaping @Sendable (Element) -> String, maximum: Int,
        _ summary: String
    ) -> Field {
        let keys = fields.flatMap { field in
            [field.key(in: "\(name)[].", defaults: make())] + field.elementKeys.map { $0.inside("\(name)[].") }
        }
        let schema = SchemaWriter.object(fields, defaults: make())
        let encode: @Sendable ([Element]) -> JSONValue = { .array($0.map { FieldReader.object($0, fields) }) }
        return Field(
            name: name, summary: summary,
            form: ValueForm(
                words: "a list of objects",
                schema: ["type": "array", "maxItems": JSONValue(maximum), "items": .object(schema)],
                text: .json5, placeholder: "JSON5"),
            defaultText: "none", isRequired: false, effect: .reload,
            read: { node, decoding, root in
                decoding.origins[decoding.key] = decoding.source.origin(node.position)
                root[keyPath: path] = FieldReader.elements(node, fields, make, maximum: maximum, &decoding)
            },
            value: { encode($0[keyPath: path]) },
            entries: { root in
                let elements = root[keyPath: path]
                if elements.isEmpty { return [Entry(key: name, value: [])] }
                return elements.enumerated().flatMap { index, element in
                    fields.flatMap { $0.entries(element) }.map {
                        Entry(key: "\(name)[\(index)].\($0.key)", value: $0.value)
                    }
                }
            },
            changes: { old, new in
                FieldReader.changes(name, old[keyPath: path], new[keyPath: path], fields, identity)
            },
            elementKeys: keys, elementSchema: schema)
    }

    /// The key as it is published.
    func key(in prefix: String, defaults: Root) -> ConfigurationKey {
        ConfigurationKey(
            name: prefix + name, summary: summary, type: form.words, placeholder: form.placeholder,
            defaultText: defaultText ?? (isRequired ? "must be given" : ValueText.text(value(defaults))),
            isRequired: isRequired, isBoolean: form.isBoolean, isElement: !prefix.isEmpty, effect: effect)
    }
}
