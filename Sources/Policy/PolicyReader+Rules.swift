import JSON

extension PolicyReader {
    private static let ruleKeys = ["allow", "deny", "from", "to", "note"]
    private static let grantKeys = ["allow", "deny", "to", "note"]

    /// Reads a rule, or a grant of a permission, which has no `from`.
    mutating func readRule(_ node: JSONNode, permission: String?) throws(PolicyError) {
        let members = try members(node, known: permission == nil ? Self.ruleKeys : Self.grantKeys)
        let effect: Effect
        let verbs: [Verb]
        switch (node["allow"], node["deny"]) {
        case (let allow?, nil): (effect, verbs) = (.allow, try readVerbs(allow))
        case (nil, let deny?): (effect, verbs) = (.deny, try readVerbs(deny))
        case (_?, _?):
            throw error(.badRule, node.position, "a rule either allows or denies; write two rules")
        case (nil, nil):
            throw error(.missingKey, node.position, "a rule needs `allow` or `deny` with its verbs")
        }
        let from: [Selector]
        if let permission {
            from = [.permission(permission)]
        } else {
            from = try readFrom(try require(node, "from", "whom the rule is for"), effect, verbs)
        }
        let to = try readTargets(try require(node, "to", "what the rule is about"), effect, verbs)
        let note = try members.first { $0.key == "note" }.map { (member) throws(PolicyError) in
            try string(member.value)
        }
        rules.append(
            Rule(
                index: rules.count, origin: permission == nil ? .rules : .permission, position: node.position,
                effect: effect, verbs: verbs, from: from, to: to, note: note))
    }

    private func readVerbs(_ node: JSONNode) throws(PolicyError) -> [Verb] {
        var verbs: [Verb] = []
        for element in try strings(node) {
            guard let verb = Verb(rawValue: element.text) else {
                let names = Verb.allCases.map(\.rawValue)
                let hint = Suggestion.text(for: element.text, among: names)
                let message =
                    element.text == "*"
                    ? "there is no wildcard for verbs; name them: \(names.joined(separator: ", "))"
                    : "unknown verb \"\(element.text)\"\(hint.isEmpty ? "; verbs are \(names.joined(separator: ", "))" : hint)"
                throw error(.unknownVerb, element.position, message)
            }
            guard verb.targetKind == verbs.first?.targetKind ?? verb.targetKind else {
                throw error(
                    .mixedTargets, element.position,
                    "`\(verb)` is about \(verb.targetKind)s and `\(verbs[0])` about \(verbs[0].targetKind)s; "
                        + "write two rules")
            }
            if !verbs.contains(verb) { verbs.append(verb) }
        }
        return verbs
    }

    private func readFrom(
        _ node: JSONNode, _ effect: Effect, _ verbs: [Verb]
    ) throws(PolicyError) -> [Selector] {
        var selectors: [Selector] = []
        for element in try strings(node) {
            let selector = try readSelector(element)
            guard selector.isExact || effect == .deny || !verbs.contains(.administer) else {
                throw error(
                    .administerWildcard, element.position,
                    "`administer` is never given by a wildcard; name the principals or a group of them")
            }
            if !selectors.contains(selector) { selectors.append(selector) }
        }
        return selectors
    }

    /// Reads `node:db-*`, `group:admins` and the like.
    func readSelector(_ element: Text) throws(PolicyError) -> Selector {
        let text = element.text
        if text.hasPrefix("group:") {
            let name = String(text.dropFirst("group:".count))
            guard Name.isLegal(name) else {
                throw error(.badName, element.position, "\"\(name)\" is no name for a group: \(Name.rule)")
            }
            return .group(name)
        }
        guard let (namespace, name) = PrincipalID.split(text) else {
            throw error(.badPrincipal, element.position, Self.notAPrincipal(text))
        }
        if name.contains("*") {
            return .pattern(namespace, try readPattern(name, namespace, element.position))
        }
        guard let id = PrincipalID(namespace: namespace, name: name) else {
            throw error(.badPrincipal, element.position, "\"\(name)\" is no name for a \(namespace.rawValue)")
        }
        return .principal(id)
    }

    private static func notAPrincipal(_ text: String) -> String {
        if text.hasPrefix("*") {
            return "`*` never crosses namespaces; say which principals: node:**, service:**, uid:*"
        }
        let kinds = PrincipalID.Namespace.allCases.map(\.rawValue) + ["group"]
        if let colon = text.firstIndex(of: ":") {
            let hint = Suggestion.text(for: String(text[..<colon]), among: kinds)
            return "unknown kind of principal in \"\(text)\"\(hint)"
        }
        return "\"\(text)\" needs its kind: node:\(text), service:\(text) or group:\(text)"
    }

    private func readPattern(
        _ text: String, _ namespace: PrincipalID.Namespace, _ position: JSONPosition
    ) throws(PolicyError) -> NamePattern {
        if namespace == .uid, text != "*" {
            throw error(.badPattern, position, "a uid is a number or `*`")
        }
        let legal = namespace == .jwt || namespace == .key ? nil : "."
        return try readPattern(text, position, separator: namespace.separator, nameBytes: legal != nil)
    }

    private func readTargets(
        _ node: JSONNode, _ effect: Effect, _ verbs: [Verb]
    ) throws(PolicyError) -> [Target] {
        var targets: [Target] = []
        for element in try strings(node) {
            let target: Target =
                switch verbs[0].targetKind {
                case .principal: try readPrincipalTarget(element)
                case .node, .service: try readNameTarget(element, verbs[0].targetKind, effect, verbs)
                }
            if !targets.contains(target) { targets.append(target) }
        }
        return targets
    }

    private func readPrincipalTarget(_ element: Text) throws(PolicyError) -> Target {
        switch try readSelector(element) {
        case .principal(let id):
            return .exact(id.description)
        case .pattern(let namespace, let pattern):
            return .principals(namespace, pattern)
        case .group, .permission:
            throw error(.badPrincipal, element.position, "`act-as` is given for principals, not for groups")
        }
    }

    private func readNameTarget(
        _ element: Text, _ kind: Verb.TargetKind, _ effect: Effect, _ verbs: [Verb]
    ) throws(PolicyError) -> Target {
        var name = element.text
        if name == Target.everyNodeText {
            guard verbs == [.administer] else {
                throw error(.badPattern, element.position, "`\(name)` is for `administer` alone; write `**`")
            }
            return .everyNode
        }
        if let colon = name.firstIndex(of: ":") {
            guard name[..<colon] == kind.rawValue else {
                throw error(
                    .badName, element.position,
                    "`\(verbs[0])` is about \(kind)s; \"\(name)\" is none")
            }
            name = String(name[colon...].dropFirst())
        }
        guard name.contains("*") else {
            guard Name.isLegal(name) else {
                throw error(.badName, element.position, "\"\(name)\" is no name for a \(kind): \(Name.rule)")
            }
            return .exact(name)
        }
        guard effect == .deny || !verbs.contains(.administer) else {
            throw error(
                .administerWildcard, element.position,
                "`administer` is never given by a wildcard; name the nodes, or write `\(Target.everyNodeText)`")
        }
        return .pattern(try readPattern(name, element.position, separator: UInt8(ascii: "."), nameBytes: true))
    }

    /// Reads a pattern; with `nameBytes` only what names are made of may stand beside the wildcards.
    func readPattern(
        _ text: String, _ position: JSONPosition, separator: UInt8, nameBytes: Bool
    ) throws(PolicyError) -> NamePattern {
        if nameBytes {
            for scalar in text.unicodeScalars {
                let byte = scalar.isASCII ? UInt8(scalar.value) : 0
                guard Name.isNameByte(byte) || byte == UInt8(ascii: "*") || byte == separator else {
                    throw error(.badPattern, position, "\"\(scalar)\" can't stand in a pattern; only `*` is special")
                }
            }
        }
        do {
            return try NamePattern(text, separator: separator, emptySegments: !nameBytes)
        } catch {
            throw self.error(.badPattern, position, "\"\(text)\": \(error.message)")
        }
    }
}
