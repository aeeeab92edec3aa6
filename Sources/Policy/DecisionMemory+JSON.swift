public import JSON

extension DecisionMemory.Entry {
    /// As the control API tells it.
    public var json: JSONValue {
        var attributes = JSONObject()
        for (name, values) in question.attributes.sorted(by: { $0.key < $1.key }) {
            attributes[name] = JSONValue(values)
        }
        return [
            "verb": .string(question.verb.rawValue), "commonName": question.commonName.map { .string($0) } ?? .null,
            "spiffe": question.spiffe.map { .string($0) } ?? .null,
            "as": question.acting.map { .string($0.description) } ?? .null, "attributes": .object(attributes),
            "target": .string(question.target), "allowed": .bool(isAllowed), "reason": .string(reason.rawValue),
            "count": JSONValue(count), "last": .integer(last),
        ]
    }

    /// Reads the same.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        guard let verb = Verb(rawValue: try object.string("verb")), verb == .link || verb == .connect else {
            throw JSONAccessError(code: .badValue, path: "verb", message: "is neither link nor connect")
        }
        guard let reason = PolicyReason(rawValue: try object.string("reason")) else {
            throw JSONAccessError(code: .badValue, path: "reason", message: "is none that this version knows")
        }
        var acting: PrincipalID?
        if let text = try object.optionalString("as") {
            guard let id = PrincipalID(text) else {
                throw JSONAccessError(code: .badValue, path: "as", message: "is no principal")
            }
            acting = id
        }
        var attributes: Subject.Attributes = [:]
        for member in try object.object("attributes") { attributes[member.key] = try member.value.requireStrings() }
        self.init(
            question: DecisionMemory.Question(
                verb, commonName: try object.optionalString("commonName"), spiffe: try object.optionalString("spiffe"),
                acting: acting, attributes: attributes, target: try object.string("target")),
            isAllowed: try object.bool("allowed"), reason: reason,
            count: UInt64(try object.integer("count", in: 1...Int64.max)), last: try object.integer("last"))
    }
}
