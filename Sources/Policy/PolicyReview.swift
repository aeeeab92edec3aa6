import JSON

/// Looks through a policy for what is legal and surely not meant.
struct PolicyReview {
    private let reader: PolicyReader
    private(set) var warnings: [PolicyWarning] = []

    init(_ reader: PolicyReader) {
        self.reader = reader
        let written = reader.rules.filter { $0.origin != .builtIn }
        reviewPrincipals(written)
        reviewRepetitions(written)
        reviewPermissions()
        reviewExternal(written)
        reviewBuiltIns(written)
        warnings.sort { $0.position < $1.position }
    }

    private mutating func warn(_ code: PolicyWarning.Code, _ position: JSONPosition, _ message: String) {
        warnings.append(PolicyWarning(code: code, file: reader.file, position: position, message: message))
    }

    /// Groups and service identities that nobody has, and verbs that a principal can't use.
    private mutating func reviewPrincipals(_ rules: [Rule]) {
        let groups = Set(reader.groups.filter { !$0.members.isEmpty }.map(\.name) + reader.mappings.flatMap(\.groups))
        let services = Set(reader.mappings.flatMap(\.services))
        let toldGroups = reader.mappings.contains { $0.groupsFrom != nil }
        let acted = reader.rules.contains { $0.verbs == [.actAs] && $0.effect == .allow }
        for rule in rules {
            reviewSelectors(of: rule, groups: toldGroups ? nil : groups, services: acted ? nil : services)
            reviewVerbs(of: rule)
        }
    }

    /// `groups` is nil where attributes may name any, `services` where an `act-as` can make anybody any service.
    private mutating func reviewSelectors(of rule: Rule, groups: Set<String>?, services: Set<String>?) {
        for selector in rule.from {
            switch selector {
            case .group(let name):
                guard let groups, !groups.contains(name) else { continue }
                let hint = Suggestion.text(for: name, among: groups.sorted())
                warn(.unknownGroup, rule.position, "nothing puts anybody into group \(name)\(hint)")
            case .principal(let id) where id.namespace == .service:
                guard let services, !services.contains(id.name) else { continue }
                let hint = Suggestion.text(for: id.name, among: services.sorted())
                warn(.unknownServiceIdentity, rule.position, "no mapping gives the identity \(id)\(hint)")
            default: break
            }
        }
    }

    private mutating func reviewVerbs(of rule: Rule) {
        for verb in rule.verbs where rule.effect == .allow {
            let users = Self.users(of: verb)
            guard !users.isEmpty, rule.from.allSatisfy({ !Self.reaches($0, users) }) else { continue }
            let kinds = users.map(\.rawValue).joined(separator: " or ")
            warn(.neverMatches, rule.position, "only a \(kinds) can \(verb); this rule is for none")
        }
        for target in rule.to where rule.effect == .allow && rule.verbs.contains(.register) {
            guard case .exact(let name) = target, Name.isReserved(name) else { continue }
            warn(.neverMatches, rule.position, "\(name) is built in and can't be registered")
        }
    }

    /// Which kinds of principals a door ever asks about for a verb; empty for all.
    private static func users(of verb: Verb) -> [PrincipalID.Namespace] {
        switch verb {
        case .link, .provide: [.node]
        case .register: [.node, .uid, .jwt, .key]
        case .actAs: [.node, .uid, .jwt, .key]
        case .discover, .connect, .administer: []
        }
    }

    private static func reaches(_ selector: Selector, _ namespaces: [PrincipalID.Namespace]) -> Bool {
        switch selector {
        case .principal(let id): namespaces.contains(id.namespace)
        case .pattern(let namespace, _): namespaces.contains(namespace)
        case .group, .permission: true
        }
    }

    /// Rules that say what another one says, and allows that one deny covers completely.
    private mutating func reviewRepetitions(_ rules: [Rule]) {
        struct Content: Hashable {
            let verbs: Set<Verb>
            let from: Set<Selector>
            let to: Set<Target>
        }
        var first: [Content: (allow: Rule?, deny: Rule?)] = [:]
        for rule in rules {
            let content = Content(verbs: Set(rule.verbs), from: Set(rule.from), to: Set(rule.to))
            let seen = first[content] ?? (nil, nil)
            if let same = rule.effect == .allow ? seen.allow : seen.deny {
                warn(.duplicateRule, rule.position, "line \(same.position.line) says the same")
            } else if rule.effect == .allow {
                first[content] = (rule, seen.deny)
            } else {
                first[content] = (seen.allow, rule)
            }
        }
        for case (let allow?, let deny?) in first.values {
            warn(.alwaysDenied, allow.position, "line \(deny.position.line) denies all of it, and a deny wins")
        }
    }

    private mutating func reviewPermissions() {
        let names = reader.permissions.map(\.name)
        let known = Set(names + BuiltInPermission.allCases.map(\.rawValue))
        let administering = Set(
            reader.rules.filter { $0.effect == .allow && $0.verbs.contains(.administer) }.flatMap(\.from))
        for mapping in reader.mappings {
            for permission in mapping.permissions where !known.contains(permission) {
                let hint = Suggestion.text(for: permission, among: known.sorted())
                warn(.unknownPermission, mapping.position, "there is no permission \(permission)\(hint)")
            }
            let given =
                mapping.permissions.map { Selector.permission($0) } + mapping.groups.map { Selector.group($0) }
            guard !mapping.match.isExact else { continue }
            for selector in given where administering.contains(selector) {
                warn(
                    .administerThroughWildcard, mapping.position,
                    "\(selector) gives `administer`, which does not count through a wildcard; name who is meant")
            }
        }
        for group in reader.groups {
            guard administering.contains(.group(group.name)) else { continue }
            for member in group.members where !member.selector.isExact {
                warn(
                    .administerThroughWildcard, member.position,
                    "group \(group.name) gives `administer`, which does not count through a wildcard; name who is "
                        + "meant")
            }
        }
        let told = reader.mappings.first { $0.permissionsFrom != nil }
        if let told, reader.permissions.isEmpty {
            warn(
                .unknownPermission, told.position,
                "`permissionsFrom` gives permissions of this policy, and it defines none; built-in ones are for nodes")
        }
        guard told == nil else { return }
        let used = Set(reader.mappings.flatMap(\.permissions))
        for permission in reader.permissions where !used.contains(permission.name) {
            warn(.unusedPermission, permission.position, "no mapping gives permission \(permission.name)")
        }
    }

    /// Tokens and keys that are mapped or have rules, and no node that could bring them in.
    private mutating func reviewExternal(_ rules: [Rule]) {
        for (namespace, what) in [(PrincipalID.Namespace.jwt, "tokens"), (.key, "API keys")] {
            let permits = reader.rules.contains { rule in
                rule.effect == .allow && rule.verbs.contains(.actAs) && rule.to.contains { $0.reaches(namespace) }
            }
            guard !permits else { continue }
            let mapped = reader.mappings.first { namespace == .jwt ? $0.match.isForTokens : $0.match.isForKeys }
            let ruled = rules.first { rule in
                rule.effect == .allow && rule.verbs.contains(.connect)
                    && rule.from.contains { Self.reachesByName($0, namespace) }
            }
            guard let position = [mapped?.position, ruled?.position].compactMap({ $0 }).min() else { continue }
            warn(
                .nobodyActsAs, position,
                "no node may act as \(what), so none gets in; give it to the edge's node: "
                    + "{ allow: \"act-as\", from: \"node:EDGE\", to: \"\(namespace.rawValue):…\" }")
        }
    }

    /// Rights to built-in services for tokens and keys that a node may act as by a wildcard only, which does not count there.
    private mutating func reviewBuiltIns(_ rules: [Rule]) {
        let permits = reader.rules.filter { $0.effect == .allow && $0.verbs.contains(.actAs) }
        for rule in rules where rule.effect == .allow && rule.verbs.contains(.connect) {
            guard let service = rule.to.first(where: \.isReserved) else { continue }
            for selector in rule.from {
                guard
                    let namespace = [PrincipalID.Namespace.jwt, .key].first(where: { Self.reachesByName(selector, $0) }
                    ),
                    permits.contains(where: { $0.to.contains { $0.reaches(namespace) } }),
                    !permits.contains(where: { $0.spellsOut(selector) })
                else { continue }
                warn(
                    .neverMatches, rule.position,
                    "\(selector) does not get to \(service): for a built-in service the `act-as` must name node and principal "
                        + "without a wildcard")
            }
        }
    }

    private static func reachesByName(_ selector: Selector, _ namespace: PrincipalID.Namespace) -> Bool {
        switch selector {
        case .principal(let id): id.namespace == namespace
        case .pattern(let own, _): own == namespace
        case .group, .permission: false
        }
    }
}
