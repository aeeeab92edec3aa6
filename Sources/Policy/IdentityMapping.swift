import JSON

/// One mapping: which verified identities it is for and what it gives them.
struct IdentityMapping: Sendable {
    let index: Int
    let position: JSONPosition
    let match: Match
    /// The node's name, where the certificate's own is not it.
    let node: String?
    let services: [String]
    let groups: [String]
    let permissions: [String]
    /// The attribute of a token or key whose values are groups as well.
    let groupsFrom: String?
    /// The attribute of a token or key whose values are permissions as well.
    let permissionsFrom: String?
    let note: String?

    /// `map cn ACL to service:acl, group:backends`
    var text: String {
        var gives: [String] = []
        if let node { gives.append("node:\(node)") }
        gives += services.map { "service:\($0)" }
        gives += groups.map { "group:\($0)" }
        gives += permissions.map { "permission \($0)" }
        if let groupsFrom { gives.append("the groups in its \(groupsFrom)") }
        if let permissionsFrom { gives.append("the permissions in its \(permissionsFrom)") }
        return "map \(match.text)" + (gives.isEmpty ? "" : " to \(gives.joined(separator: ", "))")
    }

    func reference(file: String) -> RuleReference {
        RuleReference(index: index, file: file, line: position.line, text: text, note: note)
    }

    /// Whether a group or permission is among what it always gives.
    func gives(_ selector: Selector) -> Bool {
        switch selector {
        case .group(let name): groups.contains(name)
        case .permission(let name): permissions.contains(name)
        case .principal, .pattern: false
        }
    }

    /// Whether it is for a peer with these facts. `commonName` is nil where it does not identify.
    func matches(commonName: String?, spiffe: String?, ownNodeName: String?) -> Bool {
        guard match.isForNodes else { return false }
        if let pattern = match.spiffe {
            guard let spiffe, pattern.matches(spiffe) else { return false }
        }
        if let pattern = match.commonName {
            guard let commonName, pattern.matches(commonName) else { return false }
        }
        if let pattern = match.node {
            guard let ownNodeName, pattern.matches(ownNodeName) else { return false }
        }
        return true
    }

    /// Whether it is for a token with these facts.
    func matches(issuer: String, subject: String, attributes: Subject.Attributes) -> Bool {
        guard let wanted = match.issuer, wanted.utf8.elementsEqual(issuer.utf8) else { return false }
        if let pattern = match.subject, !pattern.matches(subject) { return false }
        return match.attributes.allSatisfy { $0.holds(attributes) }
    }

    /// Whether it is for an API key with these facts.
    func matches(key: String, attributes: Subject.Attributes) -> Bool {
        guard let pattern = match.key, pattern.matches(key) else { return false }
        return match.attributes.allSatisfy { $0.holds(attributes) }
    }

    /// The groups that it gives to somebody with these attributes, and whether by name: what attributes say never is.
    func groups(_ attributes: Subject.Attributes) -> [(name: String, byName: Bool)] {
        let told = groupsFrom.flatMap { attributes[$0] } ?? []
        return groups.map { ($0, match.isExact) } + told.filter(Name.isLegal).map { ($0, false) }
    }

    /// The permissions that it gives to somebody with these attributes. Built-in ones are for nodes and nothing that
    /// a token can say.
    func permissions(_ attributes: Subject.Attributes) -> [(name: String, byName: Bool)] {
        let told = permissionsFrom.flatMap { attributes[$0] } ?? []
        return permissions.map { ($0, match.isExact) }
            + told.filter { Name.isLegal($0) && BuiltInPermission(rawValue: $0) == nil }.map { ($0, false) }
    }

    /// Whether it is for a local user with these facts.
    func matches(uid: UInt32, name: String?, gids: [UInt32]) -> Bool {
        guard match.isForUsers else { return false }
        if case .exactly(let number)? = match.uid, number != uid { return false }
        if let gid = match.gid, !gids.contains(gid) { return false }
        if let pattern = match.user {
            guard let name, pattern.matches(name) else { return false }
        }
        return true
    }
}
