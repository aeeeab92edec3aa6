import Policy
import SeededRandom
import Testing

@Suite struct PolicyPropertyTests {
    @Test func decidesLikeAScanOfAllRules() throws {
        var reasons: [PolicyReason: Int] = [:]
        for seed in 0..<60 { try compare(seed: UInt64(seed), &reasons) }
        for reason in [PolicyReason.allowed, .deniedByRule, .noRule] {
            #expect(reasons[reason, default: 0] > 200, "\(reasons)")
        }
    }

    private func compare(seed: UInt64, _ reasons: inout [PolicyReason: Int]) throws {
        var random = SeededRandom(seed)
        let naive = Self.policy(&random)
        let policy = try PolicyDocument.parse(naive.text, file: "p")
        for _ in 0..<150 {
            let who = Self.principal(&random)
            let verb = Verb.allCases.randomElement(using: &random) ?? .connect
            let target = verb == .actAs ? Self.principal(&random) : Self.name(&random)
            guard let subject = policy.subject(who, trustDomain: "m") else {
                Issue.record("\(who)")
                continue
            }
            let principal = policy.principal(for: subject)
            guard principal.isIdentified else {
                // A uid that nothing names: no rule could have been for it.
                let named = (naive.rules.flatMap(\.from) + naive.groups.values.flatMap { $0 })
                    .contains { naive.matches($0, who) }
                #expect(!named, "\(who) in seed \(seed):\n\(naive.text)")
                continue
            }
            let decision = policy.decide(principal, verb, target)
            let expected = naive.decide(who, verb, target)
            #expect(decision.reason == expected.0, "\(who) \(verb) \(target) in seed \(seed):\n\(naive.text)")
            #expect(decision.rule?.index == expected.1, "\(who) \(verb) \(target) in seed \(seed):\n\(naive.text)")
            // Every answer can be explained, and survives its way over JSON.
            let explanation = decision.explanation
            #expect(Explanation(json: explanation.json) == explanation)
            reasons[decision.reason, default: 0] += 1
        }
    }

    private static func policy(_ random: inout SeededRandom) -> NaivePolicy {
        var policy = NaivePolicy()
        for group in ["g1", "g2", "g3"] {
            policy.groups[group] = (0..<Int.random(in: 0...3, using: &random)).map { _ in selector(&random) }
        }
        for _ in 0..<Int.random(in: 20...60, using: &random) {
            let kind = [Verb.link, .connect, .actAs].randomElement(using: &random) ?? .link
            var verbs = Verb.allCases.filter { $0.targetKind == kind.targetKind }.shuffled(using: &random)
            verbs = Array(verbs.prefix(Int.random(in: 1...2, using: &random)))
            let allows = Int.random(in: 0..<4, using: &random) > 0
            let exact = allows && verbs.contains(.administer)
            let count = 1...2
            var from: [String] = []
            for _ in 0..<Int.random(in: count, using: &random) {
                let group = "group:g\(Int.random(in: 1...3, using: &random))"
                let plain = exact ? principal(&random) : selector(&random)
                from.append(Bool.random(using: &random) ? group : plain)
            }
            var to: [String] = []
            for _ in 0..<Int.random(in: count, using: &random) {
                if kind == .actAs {
                    to.append(selector(&random))
                } else if exact {
                    to.append(verbs == [.administer] && Bool.random(using: &random) ? "@every-node" : name(&random))
                } else {
                    to.append(pattern(&random))
                }
            }
            policy.rules.append(
                .init(allows: allows, verbs: verbs.map(\.rawValue), from: from, to: to))
        }
        return policy
    }

    private static func name(_ random: inout SeededRandom) -> String {
        let segments = ["a", "b", "ab", "aba", "mesh", "c"]
        let count = [1, 1, 2, 3].randomElement(using: &random) ?? 1
        return (0..<count).map { _ in segments.randomElement(using: &random) ?? "a" }.joined(separator: ".")
    }

    private static func pattern(_ random: inout SeededRandom) -> String {
        if Bool.random(using: &random) { return name(&random) }
        let segments = ["a", "*", "a*", "*b", "a*a", "*b*", "mesh", "ab"]
        var pattern = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            segments.randomElement(using: &random) ?? "*"
        }
        if Int.random(in: 0..<3, using: &random) == 0 {
            pattern[Int.random(in: 0..<pattern.count, using: &random)] = "**"
        }
        return pattern.joined(separator: ".")
    }

    private static func principal(_ random: inout SeededRandom) -> String {
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1: "node:" + name(&random)
        case 2, 3: "service:" + name(&random)
        default: "uid:\(Int.random(in: 0...3, using: &random))"
        }
    }

    private static func selector(_ random: inout SeededRandom) -> String {
        switch Int.random(in: 0..<5, using: &random) {
        case 0, 1: "node:" + pattern(&random)
        case 2, 3: "service:" + pattern(&random)
        default: ["uid:*", "uid:1", "uid:2"].randomElement(using: &random) ?? "uid:*"
        }
    }
}
