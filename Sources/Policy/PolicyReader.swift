import JSON

/// Reads a policy's text into its parts.
struct PolicyReader {
    /// The most bytes of a policy; some hundred thousand rules.
    static let maximumBytes = 16 << 20

    let file: String
    var version: Int64?
    var trustDomains: Set<String> = []
    var mappings: [IdentityMapping] = []
    /// Groups in the order of the text, with their listed members.
    var groups: [(name: String, position: JSONPosition, members: [GroupMember])] = []
    var permissions: [(name: String, position: JSONPosition)] = []
    var rules: [Rule] = []

    /// A listed member of a group.
    struct GroupMember: Sendable {
        let selector: Selector
        let position: JSONPosition
    }

    private static let topKeys = ["$schema", "version", "trustDomains", "identities", "groups", "permissions", "rules"]

    init(file: String) {
        self.file = file
    }

    /// Reads everything; the built-in permissions' grants stand last.
    mutating func read(_ bytes: [UInt8]) throws(PolicyError) {
        let root: JSONNode
        do {
            let limits = JSONLimits(maximumBytes: Self.maximumBytes)
            root = try JSONReader.parseDocument(bytes, dialect: .json5, limits: limits).root
        } catch {
            throw PolicyError(code: .syntax, file: file, position: error.position, message: error.message)
        }
        for member in try members(root, known: Self.topKeys) {
            switch member.key {
            case "version": version = try integer(member.value, 0...Int64.max)
            case "trustDomains": trustDomains = try readTrustDomains(member.value)
            case "identities": try readMappings(member.value)
            case "groups": try readGroups(member.value)
            case "rules": for node in try array(member.value) { try readRule(node, permission: nil) }
            default: break
            }
        }
        if let node = root["permissions"] { try readPermissions(node) }
        rules += BuiltInPermission.grants(from: rules.count)
    }

    private func readTrustDomains(_ node: JSONNode) throws(PolicyError) -> Set<String> {
        var domains: Set<String> = []
        for element in try strings(node) {
            guard Name.isLegal(element.text), element.text == element.text.lowercased() else {
                throw error(
                    .badName, element.position,
                    "\"\(element.text)\" is no trust domain: lower-case letters, "
                        + "digits, `_`, `-` and dots, as in `mesh.example`")
            }
            domains.insert(element.text)
        }
        return domains
    }

    private mutating func readGroups(_ node: JSONNode) throws(PolicyError) {
        for member in try members(node, known: nil) {
            try checkName(member.key, "group", member.keyPosition)
            var listed: [GroupMember] = []
            for element in try strings(member.value, orEmpty: true) {
                let selector = try readSelector(element)
                if case .group = selector {
                    throw error(.badPrincipal, element.position, "a group can't contain a group; list its members")
                }
                listed.append(GroupMember(selector: selector, position: element.position))
            }
            groups.append((member.key, member.keyPosition, listed))
        }
    }

    private mutating func readPermissions(_ node: JSONNode) throws(PolicyError) {
        for member in try members(node, known: nil) {
            try checkName(member.key, "permission", member.keyPosition)
            guard BuiltInPermission(rawValue: member.key) == nil else {
                throw error(
                    .reservedName, member.keyPosition,
                    "the permission \"\(member.key)\" is built in; give "
                        + "yours another name")
            }
            permissions.append((member.key, member.keyPosition))
            for grant in try array(member.value) { try readRule(grant, permission: member.key) }
        }
    }

    private func checkName(_ name: String, _ what: String, _ position: JSONPosition) throws(PolicyError) {
        guard Name.isLegal(name) else {
            throw error(.badName, position, "\"\(name)\" is no name for a \(what): \(Name.rule)")
        }
    }
}
