import JSON

extension PolicyReader {
    private static let mappingKeys = ["match", "node", "services", "groups", "permissions", "note"]
    private static let matchKeys = ["spiffe", "cn", "node", "uid", "gid", "user"]

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
                        : "`node` is for certificates; this match is for users")
            }
        }
        let services = try names(node["services"], "service")
        if let reserved = services.first(where: { Name.isReserved($0.text) }) {
            throw error(.reservedName, reserved.position, "\"\(reserved.text)\" is built in and nobody's identity")
        }
        return IdentityMapping(
            index: mappings.count, position: node.position, match: match, node: nodeName,
            services: services.map(\.text), groups: try names(node["groups"], "group").map(\.text),
            permissions: try names(node["permissions"], "permission").map(\.text),
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
            default: break
            }
        }
        if match.isForNodes == match.isForUsers {
            throw error(
                .badMapping, node.position,
                match.isForNodes
                    ? "spiffe, cn and node are of certificates, uid, gid and user of local users: no caller has both"
                    : "a match needs at least one of \(Self.matchKeys.joined(separator: ", "))")
        }
        return match
    }

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
