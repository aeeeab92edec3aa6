import JSON

extension PolicyReader {
    /// A string with its place.
    struct Text {
        let text: String
        let position: JSONPosition
    }

    func error(_ code: PolicyError.Code, _ position: JSONPosition, _ message: String) -> PolicyError {
        PolicyError(code: code, file: file, position: position, message: message)
    }

    /// An object's members; with `known`, any other key is refused.
    func members(_ node: JSONNode, known: [String]?) throws(PolicyError) -> [JSONMember] {
        guard let members = node.members else { throw wrongType(node, "an object") }
        if let known {
            for member in members where !known.contains(member.key) {
                let hint = Suggestion.text(for: member.key, among: known.filter { $0 != "$schema" })
                throw error(.unknownKey, member.keyPosition, "unknown key \"\(member.key)\"\(hint)")
            }
        }
        return members
    }

    func require(_ node: JSONNode, _ key: String, _ meaning: String) throws(PolicyError) -> JSONNode {
        guard let value = node[key] else {
            throw error(.missingKey, node.position, "`\(key)` is missing: \(meaning)")
        }
        return value
    }

    func array(_ node: JSONNode) throws(PolicyError) -> [JSONNode] {
        guard let array = node.array else { throw wrongType(node, "an array") }
        return array
    }

    func string(_ node: JSONNode) throws(PolicyError) -> String {
        guard let string = node.string else { throw wrongType(node, "a string") }
        return string
    }

    func integer(_ node: JSONNode, _ range: ClosedRange<Int64>) throws(PolicyError) -> Int64 {
        guard let integer = node.integer, range.contains(integer) else {
            throw wrongType(node, "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return integer
    }

    /// A string, or an array of strings that is not empty (unless `orEmpty`).
    func strings(_ node: JSONNode, orEmpty: Bool = false) throws(PolicyError) -> [Text] {
        if let string = node.string { return [Text(text: string, position: node.position)] }
        guard let elements = node.array else { throw wrongType(node, "a string or an array of strings") }
        guard orEmpty || !elements.isEmpty else {
            throw error(.emptyList, node.position, "the list is empty, so that this could never match")
        }
        var texts: [Text] = []
        for element in elements {
            texts.append(Text(text: try string(element), position: element.position))
        }
        return texts
    }

    private func wrongType(_ node: JSONNode, _ expected: String) -> PolicyError {
        error(.wrongType, node.position, "expected \(expected), found \(node.typeName)")
    }
}
