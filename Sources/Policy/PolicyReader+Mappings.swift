import JSON

extension PolicyReader {
    private static let mappingKeys = [
        "match", "node", "services", "groups", "permissions", "groupsFrom", "permissionsFrom", "note",
    ]
    private static let matchKeys = IdentityMapping.Match.Kind.allCases.flatMap(\.conditions) + ["attributes"]

    mutating func readMappings(_ node: JSONNode) throws(PolicyError) {
        for element in try array(node) {
            mappings.append(try readMapping(element))
        }
    }

    private func readMapping(_ node: JSONNode) throws(PolicyError) -> IdentityMapping {
        _ = try members(node, known: Self.mappingKeys)
        let match = try readMatch(try require(node, "match", "which identities are meant"))
        var nodeName: String?
        if let name = node["node"] {
            nodeName = try nameText(name, "node")
            guard match.isForNodes, match.isExact else {
                throw error(
                    .badMapping, name.position,
                    match.isForNodes
                        ? "`node` needs a match without wildcards, or many certificates would be one node"
                        : "`node` is for certificates; this match is for \(Self.kinds(of: match)[0].rawValue)")
            }
        }
        let groupsFrom = try readAttributeName(node["groupsFrom"], "groupsFrom", match)
        let permissionsFrom = try readAttributeName(node["permissionsFrom"], "permissionsFrom", match)
        let services = try names(node["services"], "service")
        if let reserved = services.first(where: { Name.isReserved($0.text) }) {
            throw error(.reservedName, reserved.position, "\"\(reserved.text)\" is built in and nobody's identity")
        }
        return IdentityMapping(
            index: mappings.count, position: node.position, match: match, node: nodeName,
            services: services.map(\.text), groups: try names(node["groups"], "group").map(\.text),
            permissions: try names(node["permissions"], "permission").map(\.text), groupsFrom: groupsFrom,
            permissionsFrom: permissionsFrom,
            note: try node["note"].map { (note) throws(PolicyError) in try string(note) })
    }

    private func readMatch(_ node: JSONNode) throws(PolicyError) -> IdentityMapping.Match {
        var match = IdentityMapping.Match()
        for member in try members(node, known: Self.matchKeys) {
            let value = member.value
            switch member.key {
            case "spiffe": match.spiffe = try readSPIFFE(value)
            case "cn":
                match.commonName = try readPattern(
                    try string(value), value.position, separator: UInt8(ascii: "."), nameBytes: false)
            case "node":
                match.node = try readPattern(
                    try string(value), value.position, separator: UInt8(ascii: "."), nameBytes: true)
            case "uid":
                if value.string == "*" {
                    match.uid = .any
                } else {
                    match.uid = .exactly(UInt32(truncatingIfNeeded: try integer(value, 0...Int64(UInt32.max))))
                }
            case "gid": match.gid = UInt32(truncatingIfNeeded: try integer(value, 0...Int64(UInt32.max)))
            case "user":
                match.user = try readPattern(
                    try string(value), value.position, separator: UInt8(ascii: "."), nameBytes: false)
            case "issuer": match.issuer = try readIssuer(value)
            case "subject":
                match.subject = try readPattern(
                    try string(value), value.position, separator: UInt8(ascii: "/"), nameBytes: false)
            case "key":
                match.key = try readPattern(
                    try string(value), value.position, separator: UInt8(ascii: "."), nameBytes: false)
            case "attributes": match.attributes = try readAttributes(value)
            default: break
            }
        }
        try check(match, at: node.position)
        return match
    }

    /// A match is for one kind of callers.
    private func check(_ match: IdentityMapping.Match, at position: JSONPosition) throws(PolicyError) {
        let kinds = Self.kinds(of: match)
        if kinds.count > 1 {
            let whose = kinds.map { kind in
                let names = kind.conditions
                let text = names.count > 1 ? names.dropLast().joined(separator: ", ") + " and " : ""
                return "\(text)\(names[names.count - 1]) of \(kind.rawValue)"
            }
            let verb = kinds[0].conditions.count > 1 ? " are of " : " is of "
            let first = whose[0].replacing(" of ", with: verb)
            throw error(
                .badMapping, position,
                "\(([first] + whose.dropFirst()).joined(separator: ", ")): no caller has both")
        }
        guard kinds.isEmpty else {
            if match.subject != nil, match.issuer == nil {
                throw error(.badMapping, position, "a `subject` says nothing without the `issuer` that gave it")
            }
            guard match.attributes.isEmpty || kinds == [.token] || kinds == [.key] else {
                throw error(
                    .badMapping, position,
                    "attributes are told by tokens and API keys; this match is for \(kinds[0].rawValue)")
            }
            return
        }
        throw error(
            .badMapping, position,
            match.attributes.isEmpty
                ? "a match needs at least one of \(Self.matchKeys.joined(separator: ", "))"
                : "attributes are told by tokens and API keys: say by whose, with `issuer` or `key`")
    }

    /// The kinds of callers that the conditions are of.
    private static func kinds(of match: IdentityMapping.Match) -> [IdentityMapping.Match.Kind] {
        IdentityMapping.Match.Kind.allCases.filter { kind in
            switch kind {
            case .certificate: match.isForNodes
            case .user: match.isForUsers
            case .token: match.isForTokens || match.subject != nil
            case .key: match.isForKeys
            }
        }
    }

    private func readIssuer(_ node: JSONNode) throws(PolicyError) -> String {
        let issuer = try string(node)
        guard !issuer.isEmpty, !issuer.contains("*") else {
            throw error(
                .badPattern, node.position,
                "an issuer is spelled out, without wildcards, exactly as in its tokens' `iss`")
        }
        return issuer
    }

    private func readAttributes(_ node: JSONNode) throws(PolicyError) -> [IdentityMapping.AttributeCondition] {
        var conditions: [IdentityMapping.AttributeCondition] = []
        for member in try members(node, known: nil) {
            guard IdentityMapping.AttributeCondition.isLegal(member.key) else {
                throw error(.badName, member.keyPosition, "\"\(member.key)\" \(Self.noAttribute)")
            }
            var values: [NamePattern] = []
            for element in try strings(member.value) {
                values.append(
                    try readPattern(
                        element.text, element.position, separator: UInt8(ascii: "/"), nameBytes: false))
            }
            conditions.append(IdentityMapping.AttributeCondition(name: member.key, values: values))
        }
        guard !conditions.isEmpty else {
            throw error(.emptyList, node.position, "no attribute is named; leave `attributes` out to ask for none")
        }
        return conditions
    }

    private func readAttributeName(
        _ node: JSONNode?, _ key: String, _ match: IdentityMapping.Match
    ) throws(PolicyError) -> String? {
        guard let node else { return nil }
        let name = try string(node)
        guard match.isForTokens || match.isForKeys else {
            throw error(
                .badMapping, node.position,
                "`\(key)` is for tokens and API keys; this match is for \(Self.kinds(of: match)[0].rawValue)")
        }
        guard IdentityMapping.AttributeCondition.isLegal(name) else {
            throw error(.badName, node.position, "\"\(name)\" \(Self.noAttribute)")
        }
        return name
    }

    private static let noAttribute = "is no name of an attribute: visible ASCII, at most 64 characters"

    private func readSPIFFE(_ node: JSONNode) throws(PolicyError) -> NamePattern {
        let text = try string(node)
        let prefix = "spiffe://"
        guard text.hasPrefix(prefix) else {
            throw error(.badPattern, node.position, "a SPIFFE URI starts with `spiffe://`, its trust domain follows")
        }
        let domain = text.dropFirst(prefix.count).prefix { $0 != "/" }
        guard Name.isLegal(String(domain)), domain.lowercased() == domain else {
            throw error(
                .badPattern, node.position,
                "a trust domain is spelled out, in lower case, without wildcards: `spiffe://mesh.example/node/*`")
        }
        return try readPattern(text, node.position, separator: UInt8(ascii: "/"), nameBytes: false)
    }

    private func names(_ node: JSONNode?, _ what: String) throws(PolicyError) -> [Text] {
        guard let node else { return [] }
        var names: [Text] = []
        for element in try strings(node, orEmpty: true) {
            guard Name.isLegal(element.text) else {
                throw error(.badName, element.position, "\"\(element.text)\" is no name for a \(what): \(Name.rule)")
            }
            names.append(element)
        }
        return names
    }

    private func nameText(_ node: JSONNode, _ what: String) throws(PolicyError) -> String {
        let name = try string(node)
        guard Name.isLegal(name) else {
            throw error(.badName, node.position, "\"\(name)\" is no name for a \(what): \(Name.rule)")
        }
        return name
    }
}
