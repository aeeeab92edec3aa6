/// A decision with everything behind it: what `mesh why` prints, on the node itself or from the one that enforces.
public struct Explanation: Sendable, Hashable {
    /// Which policy answered.
    public struct PolicyStamp: Sendable, Hashable {
        /// Its file.
        public let file: String
        /// Its own number, where it has one.
        public let version: Int64?
        /// A digest of its text.
        public let fingerprint: String

        /// A stamp from its parts.
        public init(file: String, version: Int64?, fingerprint: String) {
            self.file = file
            self.version = version
            self.fingerprint = fingerprint
        }
    }

    /// Whether it may be done.
    public let allowed: Bool
    /// Why, as a stable code.
    public let reason: PolicyReason
    /// The answer in one sentence.
    public let summary: String
    /// Who asks: `service:web`; `anonymous` when the identity could not be mapped.
    public let principal: String
    /// Who asks in the principal's name, where somebody does.
    public let peer: String?
    /// What is asked for.
    public let verb: Verb
    /// What it is about.
    public let target: String
    /// How the principal was derived.
    public let identity: [Derivation]
    /// The rule that decided; nil where no rule did.
    public let rule: RuleReference?
    /// Further rules that it needed: the peer's `act-as`.
    public let also: [RuleReference]
    /// For a denial: the rule that comes closest, and what is missing.
    public let nearest: NearestRule?
    /// Which policy answered.
    public let policy: PolicyStamp

    /// An explanation from its parts.
    public init(
        allowed: Bool, reason: PolicyReason, summary: String, principal: String, peer: String?, verb: Verb,
        target: String, identity: [Derivation], rule: RuleReference?, also: [RuleReference], nearest: NearestRule?,
        policy: PolicyStamp
    ) {
        self.allowed = allowed
        self.reason = reason
        self.summary = summary
        self.principal = principal
        self.peer = peer
        self.verb = verb
        self.target = target
        self.identity = identity
        self.rule = rule
        self.also = also
        self.nearest = nearest
        self.policy = policy
    }

    /// Explains a decision under the document that made it.
    init(_ decision: Decision) {
        let document = decision.document
        var also: [RuleReference] = []
        if let peer = decision.peer, decision.step == .asked, decision.principal.storage.holder == nil {
            let permit = document.index.match(peer.storage.roles, .actAs, decision.principal.id.description).allow
            if permit >= 0 { also.append(document.rules[Int(permit)].reference(file: document.file)) }
        }
        self.init(
            allowed: decision.allowed, reason: decision.reason, summary: Self.summary(of: decision),
            principal: decision.principal.id.description, peer: decision.peer?.id.description, verb: decision.verb,
            target: decision.target, identity: Self.identity(of: decision), rule: decision.rule, also: also,
            nearest: Self.nearest(to: decision),
            policy: PolicyStamp(
                file: document.file, version: document.version, fingerprint: document.fingerprint))
    }

    private static func summary(of decision: Decision) -> String {
        let who =
            decision.principal.isIdentified ? decision.principal.id.description : decision.principal.subject.description
        let asked = decision.verb.phrase(Printable.text(decision.target))
        guard !decision.allowed else { return "\(who) may \(asked)" }
        let denied = "\(who) may not \(asked)"
        let peer = decision.peer?.id.description ?? ""
        return switch decision.reason {
        case .allowed: "\(who) may \(asked)"
        case .noRule: denied
        case .deniedByRule:
            switch decision.step {
            case .asked: "\(denied): a rule denies it"
            case .actAs: "\(denied) through \(peer): a rule denies \(peer) to act as \(who)"
            case .peer: "\(denied) through \(peer): a rule denies it to \(peer)"
            }
        case .unmappedIdentity: "\(denied): the policy does not know this identity"
        case .ambiguousIdentity: "\(denied): the policy gives this certificate two node names"
        case .contradictoryIdentity: "\(denied): the certificate contradicts itself"
        case .notAuthenticated: "\(denied): it proved nothing"
        case .actAsMissing: "\(denied) through \(peer): \(peer) may not act as \(who)"
        case .nodeNotAllowed: "\(denied) through \(peer): \(peer) itself may not"
        case .notVouchedFor where decision.principal.id.namespace == .uid:
            "\(denied) through \(peer): a built-in service knows users of its own host only"
        case .notVouchedFor:
            "\(denied) through \(peer): a built-in service needs an act-as of \(peer) for \(who) without a wildcard"
        case .notProvider: "\(who) may not \(asked): it is no provider of it"
        case .reservedName: "\(denied): the name is built in"
        case .invalidName: "\(denied): that is no name"
        }
    }

    /// How both were derived, the peer first; what they share is said once.
    private static func identity(of decision: Decision) -> [Derivation] {
        let own = decision.principal.derivation
        guard let peer = decision.peer?.derivation else { return own }
        return peer + own.filter { !peer.contains($0) }
    }

    private static func nearest(to decision: Decision) -> NearestRule? {
        let document = decision.document
        func search(_ principal: Principal, _ verb: Verb, _ target: String) -> NearestRule? {
            NearestRuleSearch(document: document, principal: principal, verb: verb, target: target).find()
        }
        switch decision.reason {
        case .allowed, .reservedName, .invalidName, .ambiguousIdentity, .contradictoryIdentity:
            return nil
        case .unmappedIdentity, .notAuthenticated:
            return NearestMappingSearch(document: document, subject: decision.principal.subject).find()
        case .deniedByRule:
            guard decision.step == .asked else { return nil }
            return search(decision.principal, decision.verb, decision.target)
        case .noRule, .notProvider:
            return search(decision.principal, decision.verb, decision.target)
        case .actAsMissing:
            let asked = decision.principal.id
            return decision.peer.flatMap { search($0, .actAs, asked.description) }
                ?? NearestMappingSearch(document: document, subject: decision.principal.subject).find(giving: asked)
        case .notVouchedFor:
            guard decision.principal.id.namespace != .uid, let peer = decision.peer else { return nil }
            let permit = document.index.match(peer.storage.roles, .actAs, decision.principal.id.description).allow
            guard permit >= 0 else { return nil }
            return NearestRule(
                rule: document.rules[Int(permit)].reference(file: document.file),
                missing: "it does not name both \(peer.id) and \(decision.principal.id)")
        case .nodeNotAllowed:
            return decision.peer.flatMap { search($0, decision.verb, decision.target) }
        }
    }
}

extension Explanation {
    /// The explanation for people, several lines, the answer first.
    public var text: String {
        var lines = ["\(allowed ? "allowed" : "denied"): \(summary)" + (allowed ? "" : " (\(reason))")]
        func add(_ name: String, _ text: String) {
            lines.append("  " + name + String(repeating: " ", count: max(0, 9 - name.count)) + text)
        }
        add("who", peer.map { "\(principal) through \($0)" } ?? principal)
        for (number, step) in identity.enumerated() {
            add(number == 0 ? "identity" : "", step.description)
        }
        if let rule {
            add("rule", rule.description)
            if let note = rule.note { add("note", note) }
        } else {
            add("rule", allowed ? "none needed" : "none; what no rule allows is denied")
        }
        for rule in also { add("also", rule.description) }
        if let nearest {
            add("nearest", nearest.rule.description)
            add("missing", nearest.missing)
        }
        add("policy", "\(policy.file)" + (policy.version.map { " version \($0)" } ?? "") + " (\(policy.fingerprint))")
        return lines.joined(separator: "\n")
    }
}
