/// An answer of the policy: allowed or denied, why, and by which rule. Cheap to make and to copy; explaining it costs.
public struct Decision: Sendable, CustomStringConvertible {
    /// Which of the rights that a question needs decided it.
    enum Step: Sendable {
        /// The right that was asked for.
        case asked
        /// The right of the peer to act as the principal.
        case actAs
        /// The same right for the peer itself.
        case peer
    }

    /// Whether it may be done.
    public let allowed: Bool
    /// Why, as a stable code.
    public let reason: PolicyReason
    /// Who asks.
    public let principal: Principal
    /// Who asked in the principal's name; nil when nobody stands between.
    public let peer: Principal?
    /// What is asked for.
    public let verb: Verb
    /// What it is about.
    public let target: String

    let document: PolicyDocument
    let ruleNumber: Int32
    let step: Step

    /// The rule that decided; nil where no rule did.
    public var rule: RuleReference? {
        ruleNumber < 0 ? nil : document.rules[Int(ruleNumber)].reference(file: document.file)
    }

    /// The whole story, for oneself and for administrators.
    public var explanation: Explanation { Explanation(self) }

    /// `allowed` or the reason's code.
    public var description: String { reason.rawValue }
}
