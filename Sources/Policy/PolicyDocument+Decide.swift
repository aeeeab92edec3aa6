extension PolicyDocument {
    /// Decides about one right of one principal: rules alone, without what doors ask besides (see `authorize…`).
    public func decide(_ principal: Principal, _ verb: Verb, _ target: String) -> Decision {
        decide(current(principal), verb, target, peer: nil)
    }

    /// Decides for a principal of this document.
    func decide(_ principal: Principal, _ verb: Verb, _ target: String, peer: Principal?) -> Decision {
        if let problem = principal.storage.problem {
            return decision(problem, principal, verb, target, peer: peer)
        }
        guard verb.targetKind == .principal || Name.isLegal(target) else {
            return decision(.invalidName, principal, verb, target, peer: peer)
        }
        let match = index.match(principal.storage.roles, verb, target)
        if match.deny >= 0 {
            return decision(.deniedByRule, principal, verb, target, peer: peer, rule: match.deny)
        }
        if match.allow >= 0 {
            return decision(.allowed, principal, verb, target, peer: peer, rule: match.allow)
        }
        return decision(.noRule, principal, verb, target, peer: peer)
    }

    func decision(
        _ reason: PolicyReason, _ principal: Principal, _ verb: Verb, _ target: String, peer: Principal? = nil,
        rule: Int32 = -1, step: Decision.Step = .asked
    ) -> Decision {
        Decision(
            allowed: reason == .allowed, reason: reason, principal: principal, peer: peer, verb: verb, target: target,
            document: self, ruleNumber: rule, step: step)
    }
}
