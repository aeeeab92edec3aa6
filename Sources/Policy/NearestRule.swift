/// The rule or mapping that comes closest to allowing what was denied.
public struct NearestRule: Sendable, Hashable {
    /// The rule.
    public let rule: RuleReference
    /// What is missing for it to apply, in words.
    public let missing: String

    /// A nearest rule from its parts.
    public init(rule: RuleReference, missing: String) {
        self.rule = rule
        self.missing = missing
    }
}

/// Searches for the nearest rule. Reads every rule; only explanations ask.
struct NearestRuleSearch {
    let document: PolicyDocument
    let principal: Principal
    let verb: Verb
    let target: String

    /// Rules that miss by a typing error come first, then rules for the target, rules for the principal, rules with
    /// another verb; among equals the one with the most similar names, then the first.
    func find() -> NearestRule? {
        var best: (rank: Int, distance: Int, found: NearestRule)?
        for rule in document.rules where rule.effect == .allow && rule.verbs[0].targetKind == verb.targetKind {
            guard let (rank, distance, missing) = compare(rule) else { continue }
            if let best, (best.rank, best.distance) <= (rank, distance) { continue }
            let reference = rule.reference(file: document.file)
            best = (rank, distance, NearestRule(rule: reference, missing: missing))
        }
        return best?.found
    }

    private func compare(_ rule: Rule) -> (rank: Int, distance: Int, missing: String)? {
        let hasVerb = rule.verbs.contains(verb)
        let covers = rule.covers(target, kind: verb.targetKind)
        let holds = rule.from.contains(where: isHeld)
        switch (hasVerb, covers, holds) {
        case (true, true, true):
            return (0, 0, "it would apply, but what is denied elsewhere stays denied")
        case (true, true, false):
            let distance = rule.from.map(distance).min() ?? .max
            return (rank(2, distance, principal.id.name), distance, missing(rule.from))
        case (true, false, true):
            let names = rule.to.map(\.description)
            let distance = names.map { Suggestion.distance($0, target) }.min() ?? .max
            return (rank(3, distance, target), distance, "it covers \(names.joined(separator: ", ")), not \(target)")
        case (false, true, true):
            let verbs = rule.verbs.map(\.rawValue).joined(separator: ", ")
            return (4, 0, "it allows \(verbs), not \(verb)")
        default:
            return nil
        }
    }

    /// Something that is wrong by a letter or two is most likely what was meant.
    private func rank(_ rank: Int, _ distance: Int, _ name: String) -> Int {
        distance <= max(1, name.utf8.count / 4) ? 1 : rank
    }

    /// Whether the selector is one of the principal's roles, counting for this verb.
    private func isHeld(_ selector: Selector) -> Bool {
        guard let role = document.index.roles[selector] else { return false }
        return principal.storage.roles.contains { $0.role == role && (verb != .administer || $0.byName) }
    }

    private func distance(_ selector: Selector) -> Int {
        switch selector {
        case .group, .permission: 1000
        case .principal(let id) where id.namespace == principal.id.namespace:
            Suggestion.distance(id.name, principal.id.name)
        case .pattern(let namespace, let pattern) where namespace == principal.id.namespace:
            Suggestion.distance(pattern.text, principal.id.name)
        case .principal, .pattern: 2000
        }
    }

    private func missing(_ from: [Selector]) -> String {
        if from.count == 1, case .group(let group) = from[0] {
            if verb == .administer, principal.groups.contains(group) {
                return "\(principal.id) is in group \(group) through a wildcard, which does not count for administer"
            }
            return "\(principal.id) is not in group \(group)" + whyNot(from[0])
        }
        if from.count == 1, case .permission(let permission) = from[0] {
            if verb == .administer, principal.permissions.contains(permission) {
                return "\(principal.id) has permission \(permission) through a wildcard, which does not count for "
                    + "administer"
            }
            return "\(principal.id) does not have permission \(permission)" + whyNot(from[0])
        }
        return "\(principal.id) is not \(from.map(\.description).joined(separator: " or "))"
    }

    private func whyNot(_ selector: Selector) -> String {
        let search = NearestMappingSearch(document: document, subject: principal.subject)
        return search.whyNot(in: selector).map { "; \($0)" } ?? ""
    }
}
