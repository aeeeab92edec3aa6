/// Whom a rule is for.
enum Selector: Hashable, Sendable, CustomStringConvertible {
    /// One principal by name.
    case principal(PrincipalID)
    /// Principals of one namespace whose names match.
    case pattern(PrincipalID.Namespace, NamePattern)
    /// Everybody in a group.
    case group(String)
    /// Everybody whom a mapping gives the permission that the rule belongs to.
    case permission(String)

    var description: String {
        switch self {
        case .principal(let id): id.description
        case .pattern(let namespace, let pattern): "\(namespace.rawValue):\(pattern)"
        case .group(let name): "group:\(name)"
        case .permission(let name): "permission \(name)"
        }
    }

    /// Whether no wildcard is in it.
    var isExact: Bool {
        if case .pattern = self { false } else { true }
    }

    /// Whether it names this principal, by name or pattern.
    func names(_ id: PrincipalID) -> Bool {
        switch self {
        case .principal(let own): own == id
        case .pattern(let namespace, let pattern): namespace == id.namespace && pattern.matches(id.name)
        case .group, .permission: false
        }
    }
}

/// What a rule is about.
enum Target: Hashable, Sendable, CustomStringConvertible {
    /// One name: of a node, a service, or a principal in full (`service:web`).
    case exact(String)
    /// Names of nodes or services that match.
    case pattern(NamePattern)
    /// Principals of one namespace whose names match.
    case principals(PrincipalID.Namespace, NamePattern)
    /// Every node, spelled `@every-node`: how `administer` is given on all agents without a wildcard.
    case everyNode

    /// How ``everyNode`` is written; no name has an `@`.
    static let everyNodeText = "@every-node"

    var description: String {
        switch self {
        case .exact(let name): name
        case .pattern(let pattern): pattern.text
        case .principals(let namespace, let pattern): "\(namespace.rawValue):\(pattern)"
        case .everyNode: Self.everyNodeText
        }
    }

    /// Whether it covers a target of a verb. An allow reaches built-in services only where their first segment is
    /// spelled out; a deny with a wildcard covers them as well.
    func matches(_ target: String, kind: Verb.TargetKind, effect: Effect) -> Bool {
        switch self {
        case .exact(let name): return name == target
        case .pattern(let pattern):
            return pattern.matches(target, sparingReserved: kind == .service && effect == .allow)
        case .principals(let namespace, let pattern):
            let prefix = "\(namespace.rawValue):"
            guard target.hasPrefix(prefix) else { return false }
            return pattern.matches(String(target.dropFirst(prefix.count)))
        case .everyNode: return true
        }
    }

    /// Whether it is about principals of a namespace.
    func reaches(_ namespace: PrincipalID.Namespace) -> Bool {
        switch self {
        case .exact(let name): name.hasPrefix("\(namespace.rawValue):")
        case .principals(let own, _): own == namespace
        case .pattern, .everyNode: false
        }
    }

    /// Whether an allow for it reaches built-in services.
    var isReserved: Bool {
        switch self {
        case .exact(let name): Name.isReserved(name)
        case .pattern(let pattern): Name.isReserved(String(decoding: pattern.literalPrefix, as: UTF8.self))
        case .principals, .everyNode: false
        }
    }

    /// What every match starts with.
    var literalPrefix: [UInt8] {
        switch self {
        case .exact(let name): Array(name.utf8)
        case .pattern(let pattern): pattern.literalPrefix
        case .principals(let namespace, let pattern): Array("\(namespace.rawValue):".utf8) + pattern.literalPrefix
        case .everyNode: []
        }
    }
}
