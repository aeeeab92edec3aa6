import JSON

/// One mapping: which verified identities it is for and what it gives them.
struct IdentityMapping: Sendable {
    /// Conditions; those that are there must all hold.
    struct Match: Sendable, Hashable {
        /// The user's number, or any.
        enum UserNumber: Sendable, Hashable {
            case exactly(UInt32)
            case any
        }

        var spiffe: NamePattern?
        var commonName: NamePattern?
        var node: NamePattern?
        var uid: UserNumber?
        var gid: UInt32?
        var user: NamePattern?

        var isForNodes: Bool { spiffe != nil || commonName != nil || node != nil }
        var isForUsers: Bool { uid != nil || gid != nil || user != nil }

        /// Whether no wildcard is in it.
        var isExact: Bool {
            let patterns = [spiffe, commonName, node, user].compactMap { $0 }
            return uid != .any && patterns.allSatisfy(\.isExact)
        }

        var text: String {
            var parts: [String] = []
            if let spiffe { parts.append("spiffe \(spiffe)") }
            if let commonName { parts.append("cn \(commonName)") }
            if let node { parts.append("node \(node)") }
            switch uid {
            case .exactly(let number)?: parts.append("uid \(number)")
            case .any?: parts.append("uid *")
            case nil: break
            }
            if let gid { parts.append("gid \(gid)") }
            if let user { parts.append("user \(user)") }
            return parts.joined(separator: " and ")
        }
    }

    let index: Int
    let position: JSONPosition
    let match: Match
    /// The node's name, where the certificate's own is not it.
    let node: String?
    let services: [String]
    let groups: [String]
    let permissions: [String]
    let note: String?

    /// `map cn ACL to service:acl, group:backends`
    var text: String {
        var gives: [String] = []
        if let node { gives.append("node:\(node)") }
        gives += services.map { "service:\($0)" }
        gives += groups.map { "group:\($0)" }
        gives += permissions.map { "permission \($0)" }
        return "map \(match.text)" + (gives.isEmpty ? "" : " to \(gives.joined(separator: ", "))")
    }

    func reference(file: String) -> RuleReference {
        RuleReference(index: index, file: file, line: position.line, text: text, note: note)
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
