public import JSON

extension Explanation {
    /// The explanation as `mesh why --json` prints it and `GET /v1/why` answers.
    public var json: JSONValue {
        var object: JSONObject = [
            "decision": .string(allowed ? "allowed" : "denied"),
            "allowed": .bool(allowed),
            "reason": .string(reason.rawValue),
            "summary": .string(summary),
            "principal": .string(principal),
        ]
        if let peer { object["peer"] = .string(peer) }
        object["verb"] = .string(verb.rawValue)
        object["target"] = .string(target)
        object["identity"] = .array(identity.map(Self.json))
        object["rule"] = rule.map { .object(Self.json($0)) } ?? .null
        object["also"] = .array(also.map { .object(Self.json($0)) })
        if let nearest {
            var rule = Self.json(nearest.rule)
            rule["missing"] = .string(nearest.missing)
            object["nearest"] = .object(rule)
        } else {
            object["nearest"] = .null
        }
        object["policy"] = [
            "file": .string(policy.file), "version": policy.version.map { .integer($0) } ?? .null,
            "fingerprint": .string(policy.fingerprint),
        ]
        return .object(object)
    }

    /// Reads an explanation that another agent gave; nil when it is none. There `version` is that of the mesh's document, and
    /// `ownVersion` the policy's own.
    public init?(json: JSONValue) {
        guard let allowed = json["allowed"]?.bool, let summary = json["summary"]?.string,
            let reason = json["reason"]?.string.flatMap(PolicyReason.init(rawValue:)),
            let principal = json["principal"]?.string, let target = json["target"]?.string,
            let verb = json["verb"]?.string.flatMap(Verb.init(rawValue:)), let identity = json["identity"]?.array,
            let also = json["also"]?.array, let file = json["policy"]?["file"]?.string,
            let fingerprint = json["policy"]?["fingerprint"]?.string
        else { return nil }
        let nearest = json["nearest"].flatMap(Self.reference).flatMap { rule in
            json["nearest"]?["missing"]?.string.map { NearestRule(rule: rule, missing: $0) }
        }
        self.init(
            allowed: allowed, reason: reason, summary: summary, principal: principal, peer: json["peer"]?.string,
            verb: verb, target: target,
            identity: identity.compactMap { step in
                step["text"]?.string.map { Derivation($0, Self.reference(step)) }
            },
            rule: json["rule"].flatMap(Self.reference), also: also.compactMap(Self.reference), nearest: nearest,
            policy: PolicyStamp(
                file: file, version: (json["policy"]?["ownVersion"] ?? json["policy"]?["version"])?.integer,
                fingerprint: fingerprint))
    }

    private static func json(_ step: Derivation) -> JSONValue {
        guard let reference = step.reference else { return ["text": .string(step.text)] }
        var object: JSONObject = ["text": .string(step.text)]
        for member in json(reference) where member.key != "text" { object[member.key] = member.value }
        object["rule"] = .string(reference.text)
        return .object(object)
    }

    private static func json(_ rule: RuleReference) -> JSONObject {
        var object: JSONObject = [
            "index": .init(rule.index), "file": .string(rule.file), "line": .init(rule.line),
            "text": .string(rule.text),
        ]
        if let note = rule.note { object["note"] = .string(note) }
        return object
    }

    private static func reference(_ json: JSONValue) -> RuleReference? {
        guard let index = json["index"]?.integer, let file = json["file"]?.string, let line = json["line"]?.integer,
            let text = json["rule"]?.string ?? json["text"]?.string
        else { return nil }
        return RuleReference(
            index: Int(index), file: file, line: Int(line), text: text, note: json["note"]?.string)
    }
}
