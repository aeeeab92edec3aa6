import Arguments
import JSON

/// Reads objects by their table of fields.
enum FieldReader {
    /// Reads an object's members into `root`. `prefix` is the part of the fields' names that leads to this object.
    static func read<Root>(
        _ node: JSONNode, _ fields: [Field<Root>], prefix: String = "", _ decoding: inout Decoding, _ root: inout Root
    ) {
        guard let members = node.members else {
            decoding.wrongType(node, "an object")
            return
        }
        for member in members {
            let name = prefix + member.key
            decoding.inside(member.key) { decoding in
                if member.key.utf8.contains(UInt8(ascii: ".")) {
                    reportUnknown(member, fields.map(\.name), prefix, &decoding)
                } else if let field = fields.first(where: { $0.name == name }) {
                    field.read(member.value, &decoding, &root)
                } else if fields.contains(where: { $0.name.hasPrefix("\(name).") }) {
                    read(member.value, fields, prefix: "\(name).", &decoding, &root)
                } else if !(name == "$schema" && decoding.key == name) {
                    reportUnknown(member, fields.map(\.name), prefix, &decoding)
                }
            }
        }
    }

    /// Reads a list of objects; elements with problems are kept as far as they were read, for later checks.
    static func elements<Element>(
        _ node: JSONNode, _ fields: [Field<Element>], _ make: () -> Element, maximum: Int, _ decoding: inout Decoding
    ) -> [Element] {
        guard let nodes = node.array else {
            decoding.wrongType(node, "a list of objects", hint: "a list stands in brackets: [ {…}, {…} ]")
            return []
        }
        guard nodes.count <= maximum else {
            decoding.report(.outOfRange, at: node.position, "has \(nodes.count) entries, more than \(maximum)")
            return []
        }
        return nodes.enumerated().map { index, node in
            decoding.inside("[\(index)]") { decoding in
                var element = make()
                decoding.origins[decoding.key] = decoding.source.origin(node.position)
                read(node, fields, &decoding, &element)
                for field in fields where field.isRequired && node.members != nil {
                    let key = "\(decoding.key).\(field.name)"
                    if decoding.origins[key] != nil { continue }
                    decoding.report(
                        .missingKey, at: node.position, "\"\(field.name)\" is missing",
                        hint: "\(field.name): \(field.summary)")
                }
                return element
            }
        }
    }

    private static func reportUnknown(
        _ member: JSONMember, _ names: [String], _ prefix: String, _ decoding: inout Decoding
    ) {
        let here = Set(
            names.filter { $0.hasPrefix(prefix) }.compactMap { name in
                name.dropFirst(prefix.count).split(separator: ".").first.map(String.init)
            })
        let elsewhere = names.filter {
            $0 == member.key || $0.split(separator: ".").last.map(String.init) == member.key
        }
        let hint: String
        if member.key.utf8.contains(UInt8(ascii: ".")), let name = elsewhere.first {
            let steps = name.split(separator: ".")
            hint =
                "write it as nested objects: " + steps.map { "{\"\($0)\": " }.joined() + "…"
                + String(repeating: "}", count: steps.count)
        } else if let nearest = Suggestion.closest(to: member.key, among: here.sorted()) {
            hint = "did you mean \"\(nearest)\"?"
        } else if let name = elsewhere.first {
            hint = "did you mean \"\(name)\"?"
        } else {
            hint = "known here: \(here.sorted().joined(separator: ", "))"
        }
        decoding.report(.unknownKey, at: member.keyPosition, "unknown key \"\(member.key)\"", hint: hint)
    }

    /// The object that a configuration file has for `root`.
    static func object<Root>(_ root: Root, _ fields: [Field<Root>]) -> JSONValue {
        var object = JSONObject()
        for field in fields {
            put(field.value(root), field.name.split(separator: ".").map(String.init)[...], in: &object)
        }
        return .object(object)
    }

    private static func put(_ value: JSONValue, _ steps: ArraySlice<String>, in object: inout JSONObject) {
        guard let first = steps.first else { return }
        guard steps.count > 1 else {
            object[first] = value
            return
        }
        var group = object[first]?.object ?? JSONObject()
        put(value, steps.dropFirst(), in: &group)
        object[first] = .object(group)
    }

    /// What differs between two lists whose elements are told apart by `identity`.
    static func changes<Element: Equatable>(
        _ name: String, _ old: [Element], _ new: [Element], _ fields: [Field<Element>],
        _ identity: (Element) -> String
    ) -> [ConfigurationChange] {
        let before = Dictionary(old.map { (identity($0), $0) }, uniquingKeysWith: { first, _ in first })
        let after = Dictionary(new.map { (identity($0), $0) }, uniquingKeysWith: { first, _ in first })
        var changes: [ConfigurationChange] = []
        for element in old where after[identity(element)] == nil {
            changes.append(.init(key: "\(name)[\(identity(element))]", old: "present", new: nil, effect: .reload))
        }
        for element in new {
            let key = "\(name)[\(identity(element))]"
            guard let previous = before[identity(element)] else {
                changes.append(.init(key: key, old: nil, new: "present", effect: .reload))
                continue
            }
            changes += fields.flatMap { $0.changes(previous, element) }.map { change in
                .init(key: "\(key).\(change.key)", old: change.old, new: change.new, effect: change.effect)
            }
        }
        return changes
    }
}

/// Values as people read them.
enum ValueText {
    /// Strings plain, lists with commas, nothing as `none`, objects as JSON.
    static func text(_ value: JSONValue) -> String {
        switch value {
        case .null: "none"
        case .string(let text): text
        case .array(let elements):
            elements.isEmpty ? "none" : elements.map(text).joined(separator: ", ")
        case .object(let object) where object.isEmpty: "none"
        default: value.text()
        }
    }
}
