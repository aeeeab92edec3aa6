/// What nobody can do any more under a policy, and a mesh cannot do without. Legal, since a policy for a lone agent needs
/// none of it; a mistake nearly always where it is put in force on every node of a mesh.
public enum PolicyLockout: String, Sendable, CaseIterable {
    /// No node may hold a link, so that this is the last document that reaches anybody.
    case nobodyLinks = "nobody_links"
    /// No node may be the directory.
    case nobodyServesDirectory = "nobody_serves_directory"
    /// Nobody may administer any node.
    case nobodyAdministers = "nobody_administers"

    /// For people: `no node may link with another`.
    public var text: String {
        switch self {
        case .nobodyLinks: "no node may link with another, so that no later document could reach them"
        case .nobodyServesDirectory: "no node may provide \(Name.directoryService)"
        case .nobodyAdministers: "nobody may administer a node"
        }
    }
}

extension PolicyDocument {
    /// What nobody may do under this policy. Says nothing about whether those who may exist.
    public var lockouts: [PolicyLockout] {
        PolicyLockout.allCases.filter { lockout in
            switch lockout {
            case .nobodyLinks: !somebodyMay(.link) { _ in true }
            case .nobodyServesDirectory: !somebodyMay(.provide, to: Self.isDirectory)
            case .nobodyAdministers: !somebodyMay(.administer) { _ in true }
            }
        }
    }

    private func somebodyMay(_ verb: Verb, to reaches: (Target) -> Bool) -> Bool {
        rules.contains { rule in
            rule.effect == .allow && rule.verbs.contains(verb) && rule.to.contains(where: reaches)
                && rule.from.contains(where: isSomebody)
        }
    }

    /// Whether anybody can be what the selector asks for.
    private func isSomebody(_ selector: Selector) -> Bool {
        switch selector {
        case .principal, .pattern: true
        case .group(let name):
            groupMembers.contains { $0.group == name }
                || mappings.contains { $0.groups.contains(name) || $0.groupsFrom != nil }
        case .permission(let name):
            mappings.contains { $0.permissions.contains(name) || $0.permissionsFrom != nil }
        }
    }

    private static func isDirectory(_ target: Target) -> Bool {
        switch target {
        case .exact(let name): name == Name.directoryService
        // Built-in services are reached only where their first segment is spelled out.
        case .pattern(let pattern): pattern.text.hasPrefix("mesh.") && pattern.matches(Name.directoryService)
        case .principals, .everyNode: false
        }
    }
}
