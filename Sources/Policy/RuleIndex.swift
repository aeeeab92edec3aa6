/// Rules by whom they are for, verb and target, so that a decision costs a few look-ups however many rules there are.
///
/// Every distinct selector is a *role*. Which roles a principal holds is found once, when it is mapped; a decision
/// looks for (role, verb, target) among exact targets, and walks the target once through a tree of the patterns'
/// literal beginnings.
struct RuleIndex: Sendable {
    /// The first allowing and the first denying rule; -1 for none.
    struct Match: Sendable {
        var allow: Int32 = -1
        var deny: Int32 = -1

        mutating func add(_ rule: Int32, _ effect: Effect) {
            switch effect {
            case .allow: if allow < 0 || rule < allow { allow = rule }
            case .deny: if deny < 0 || rule < deny { deny = rule }
            }
        }

        mutating func add(_ other: Match) {
            if other.allow >= 0 { add(other.allow, .allow) }
            if other.deny >= 0 { add(other.deny, .deny) }
        }
    }

    /// The most (role, verb, target) entries: a rule has as many as the product of its three lists.
    static let maximumEntries = 2_000_000

    private struct Key: Hashable {
        let place: Int32
        let target: Int32
    }

    private(set) var roles: [Selector: Int32] = [:]
    /// The roles that a principal holds by pattern, by namespace.
    private(set) var patternRoles: [PrincipalID.Namespace: [(pattern: NamePattern, role: Int32)]] = [:]
    private var targets: [String: Int32] = [:]
    private var exact: [Key: Match] = [:]
    private var patterns: [Int32: PatternTree] = [:]
    private var entries = 0

    /// Takes in a rule; false when there are too many entries.
    mutating func add(_ rule: Rule, number: Int32) -> Bool {
        entries += rule.from.count * rule.verbs.count * rule.to.count
        guard entries <= Self.maximumEntries else { return false }
        for selector in rule.from {
            let role = role(of: selector)
            for verb in rule.verbs {
                for target in rule.to {
                    add(target, at: Self.place(role, verb), Entry(rule: number, effect: rule.effect, verb: verb))
                }
            }
        }
        return true
    }

    /// The role of a selector, made when new.
    mutating func role(of selector: Selector) -> Int32 {
        if let role = roles[selector] { return role }
        let role = Int32(roles.count)
        roles[selector] = role
        if case .pattern(let namespace, let pattern) = selector {
            patternRoles[namespace, default: []].append((pattern, role))
        }
        return role
    }

    /// The first rules that match one of the roles. For `administer` only roles held by name can allow.
    func match(_ holdings: [RoleHolding], _ verb: Verb, _ target: String) -> Match {
        var found = Match()
        let number = targets[target]
        for holding in holdings {
            let place = Self.place(holding.role, verb)
            var match = Match()
            if let number, let rules = exact[Key(place: place, target: number)] { match.add(rules) }
            if !patterns.isEmpty, let tree = patterns[place] { tree.match(target, verb.targetKind, into: &match) }
            if verb == .administer, !holding.byName { match.allow = -1 }
            found.add(match)
        }
        return found
    }

    /// Whether a rule allows it without a wildcard on either side: to this target, for a role that is held by name.
    func isSpelledOut(_ holdings: [RoleHolding], _ verb: Verb, _ target: String) -> Bool {
        guard let number = targets[target] else { return false }
        return holdings.contains { holding in
            guard holding.byName, let rules = exact[Key(place: Self.place(holding.role, verb), target: number)] else {
                return false
            }
            return rules.allow >= 0
        }
    }

    struct Entry: Sendable {
        let rule: Int32
        let effect: Effect
        let verb: Verb
    }

    private mutating func add(_ target: Target, at place: Int32, _ entry: Entry) {
        if case .exact(let name) = target {
            let number = targets[name] ?? Int32(targets.count)
            targets[name] = number
            exact[Key(place: place, target: number), default: Match()].add(entry.rule, entry.effect)
        } else {
            patterns[place, default: PatternTree()].add(target, entry)
        }
    }

    private static func place(_ role: Int32, _ verb: Verb) -> Int32 {
        role * Int32(Verb.count) + Int32(verb.number)
    }
}

/// Target patterns by what their matches start with.
struct PatternTree: Sendable {
    private struct Node {
        var edges: [(byte: UInt8, node: Int32)] = []
        var entries: [(target: Target, entry: RuleIndex.Entry)] = []
    }

    private var nodes = [Node()]

    mutating func add(_ target: Target, _ entry: RuleIndex.Entry) {
        var place = 0
        for byte in target.literalPrefix {
            if let edge = nodes[place].edges.first(where: { $0.byte == byte }) {
                place = Int(edge.node)
            } else {
                nodes.append(Node())
                nodes[place].edges.append((byte, Int32(nodes.count - 1)))
                place = nodes.count - 1
            }
        }
        nodes[place].entries.append((target, entry))
    }

    /// Adds the first rules whose patterns match.
    func match(_ name: String, _ kind: Verb.TargetKind, into match: inout RuleIndex.Match) {
        // Through a pointer, so that no step of the walk counts references.
        nodes.withUnsafeBufferPointer { nodes in
            var place = 0
            if !nodes[0].entries.isEmpty { collect(nodes[0], name, kind, into: &match) }
            for byte in name.utf8 {
                guard let next = Self.next(nodes, place, byte) else { return }
                place = next
                if !nodes[place].entries.isEmpty { collect(nodes[place], name, kind, into: &match) }
            }
        }
    }

    private static func next(_ nodes: UnsafeBufferPointer<Node>, _ place: Int, _ byte: UInt8) -> Int? {
        for number in 0..<nodes[place].edges.count where nodes[place].edges[number].byte == byte {
            return Int(nodes[place].edges[number].node)
        }
        return nil
    }

    private func collect(
        _ node: Node, _ name: String, _ kind: Verb.TargetKind, into match: inout RuleIndex.Match
    ) {
        for (target, entry) in node.entries {
            switch entry.effect {
            case .allow: if match.allow >= 0, match.allow < entry.rule { continue }
            case .deny: if match.deny >= 0, match.deny < entry.rule { continue }
            }
            if target.matches(name, kind: kind, effect: entry.effect) { match.add(entry.rule, entry.effect) }
        }
    }
}
