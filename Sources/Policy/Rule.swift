import JSON

/// What a rule does with what it matches.
enum Effect: String, Sendable, Hashable {
    case allow, deny
}

/// A rule, or a grant of a permission.
struct Rule: Sendable {
    /// What the rule belongs to.
    enum Origin: Sendable, Hashable {
        /// The document's `rules`.
        case rules
        /// A permission of the document.
        case permission
        /// A built-in permission.
        case builtIn
    }

    let index: Int
    let origin: Origin
    let position: JSONPosition
    let effect: Effect
    let verbs: [Verb]
    let from: [Selector]
    let to: [Target]
    let note: String?

    /// `allow connect from service:web to db`
    var text: String {
        let verbs = verbs.map(\.rawValue).joined(separator: ", ")
        let to = to.map(\.description).joined(separator: ", ")
        if case .permission(let name)? = from.first { return "permission \(name): \(effect) \(verbs) to \(to)" }
        return "\(effect) \(verbs) from \(from.map(\.description).joined(separator: ", ")) to \(to)"
    }

    func reference(file: String) -> RuleReference {
        RuleReference(
            index: index, file: origin == .builtIn ? "built-in" : file, line: origin == .builtIn ? 0 : position.line,
            text: text, note: note)
    }

    /// Whether it names one of these principals for somebody whom it names too, both without a wildcard.
    func spellsOut(_ principals: Selector) -> Bool {
        from.contains(where: \.isExact)
            && to.contains { target in
                guard case .exact(let name) = target, let id = PrincipalID(name) else { return false }
                return principals.names(id)
            }
    }

    /// Whether one of the targets covers `target`.
    func covers(_ target: String, kind: Verb.TargetKind) -> Bool {
        to.contains { $0.matches(target, kind: kind, effect: effect) }
    }
}
