import Policy

/// The same semantics, written as plainly as possible: every rule read for every question.
struct NaivePolicy {
    struct NaiveRule {
        var allows: Bool
        var verbs: [String]
        var from: [String]
        var to: [String]
    }

    var rules: [NaiveRule] = []
    var groups: [String: [String]] = [:]

    var text: String {
        func list(_ items: [String]) -> String { "[" + items.map { "\"\($0)\"" }.joined(separator: ", ") + "]" }
        let rules = rules.map {
            "{ \($0.allows ? "allow" : "deny"): \(list($0.verbs)), from: \(list($0.from)), to: \(list($0.to)) }"
        }
        let groups = groups.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \(list($0.value))" }
        return "{ groups: { \(groups.joined(separator: ", ")) },\nrules: [\n\(rules.joined(separator: ",\n"))\n] }"
    }

    /// The reason and the number of the rule, nil for none.
    func decide(_ who: String, _ verb: Verb, _ target: String) -> (PolicyReason, Int?) {
        func first(allowing: Bool) -> Int? {
            rules.firstIndex { rule in
                rule.allows == allowing && rule.verbs.contains(verb.rawValue)
                    && rule.from.contains { isFor($0, who, verb, allowing) }
                    && rule.to.contains { covers($0, verb, target, allowing) }
            }
        }
        if let deny = first(allowing: false) { return (.deniedByRule, deny) }
        if let allow = first(allowing: true) { return (.allowed, allow) }
        return (.noRule, nil)
    }

    private func isFor(_ selector: String, _ who: String, _ verb: Verb, _ allowing: Bool) -> Bool {
        if selector.hasPrefix("group:") {
            return groups[String(selector.dropFirst(6)), default: []].contains { member in
                matches(member, who) && (!allowing || verb != .administer || !member.contains("*"))
            }
        }
        return matches(selector, who)
    }

    private func covers(_ pattern: String, _ verb: Verb, _ target: String, _ allowing: Bool) -> Bool {
        if pattern == "@every-node" { return true }
        if verb.targetKind == .service, allowing, target.split(separator: ".")[0] == "mesh" {
            let first = pattern.split(separator: ".")[0]
            if first.contains("*") { return false }
        }
        return matches(pattern, target)
    }

    /// Namespace by namespace, then segment by segment.
    func matches(_ pattern: String, _ name: String) -> Bool {
        let (own, pattern) = split(pattern)
        let (other, name) = split(name)
        guard own == other else { return false }
        let segments = pattern.split(separator: ".", omittingEmptySubsequences: false).map { Array($0) }
        let names = name.split(separator: ".", omittingEmptySubsequences: false).map { Array($0) }
        return matches(segments[...], names[...])
    }

    private func split(_ text: String) -> (String, String) {
        guard let colon = text.firstIndex(of: ":") else { return ("", text) }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }

    private func matches(_ pattern: ArraySlice<[Character]>, _ names: ArraySlice<[Character]>) -> Bool {
        guard let first = pattern.first else { return names.isEmpty }
        guard let name = names.first else { return false }
        if first == ["*", "*"] {
            return (1...names.count).contains { matches(pattern.dropFirst(), names.dropFirst($0)) }
        }
        return glob(first[...], name[...]) && (first != ["*"] || !name.isEmpty)
            && matches(pattern.dropFirst(), names.dropFirst())
    }

    private func glob(_ pattern: ArraySlice<Character>, _ name: ArraySlice<Character>) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        if first == "*" {
            return (0...name.count).contains { glob(pattern.dropFirst(), name.dropFirst($0)) }
        }
        return name.first == first && glob(pattern.dropFirst(), name.dropFirst())
    }
}
