/// The last decisions of a policy that differ from each other, so that a draft can be asked the same questions.
///
/// Bounded: a new question takes the place of the one that was asked first. Not for audits: equal questions count as one.
public struct DecisionMemory: Sendable {
    /// What was asked, as it was proven: nothing of the policy that answered.
    public struct Question: Sendable, Hashable {
        /// Link or connect.
        public let verb: Verb
        /// Common name of the peer's certificate.
        public let commonName: String?
        /// SPIFFE ID of the peer's certificate.
        public let spiffe: String?
        /// In whose name; nil for the peer's own.
        public let acting: PrincipalID?
        /// What the token or key of `acting` told.
        public let attributes: Subject.Attributes
        /// The service, or for a link the node.
        public let target: String

        /// A question from its parts.
        public init(
            _ verb: Verb, commonName: String?, spiffe: String?, acting: PrincipalID? = nil,
            attributes: Subject.Attributes = [:], target: String
        ) {
            self.verb = verb
            self.commonName = commonName
            self.spiffe = spiffe
            self.acting = acting
            self.attributes = attributes
            self.target = target
        }

        /// The answer of a policy.
        public func answer(of policy: PolicyDocument) -> Decision {
            let peer = policy.principal(for: .node(commonName: commonName, spiffe: spiffe))
            return verb == .link
                ? policy.authorizeLink(peer: peer, with: target)
                : policy.authorizeOpen(peer: peer, actingAs: acting, attributes: attributes, service: target)
        }
    }

    /// A question, and what the policy in force said when it was asked last.
    public struct Entry: Sendable {
        /// What was asked.
        public let question: Question
        /// Whether it was allowed.
        public var isAllowed: Bool
        /// Why.
        public var reason: PolicyReason
        /// How often it was asked.
        public var count: UInt64
        /// When it was asked last, unix seconds.
        public var last: Int64
    }

    /// The most questions that are kept.
    public let limit: Int
    private var entries: [Question: Entry] = [:]
    /// The questions in the order in which they were asked first, from `oldest` on.
    private var order: [Question] = []
    private var oldest = 0

    /// A memory of so many questions.
    public init(limit: Int = 1_024) { self.limit = limit }

    /// Remembers a decision.
    public mutating func note(_ question: Question, _ decision: Decision, at time: Int64) {
        if entries[question] != nil {
            entries[question]?.isAllowed = decision.allowed
            entries[question]?.reason = decision.reason
            entries[question]?.count += 1
            entries[question]?.last = time
            return
        }
        if entries.count >= limit {
            entries[order[oldest]] = nil
            order[oldest] = question
            oldest = (oldest + 1) % limit
        } else {
            order.append(question)
        }
        entries[question] = Entry(
            question: question, isAllowed: decision.allowed, reason: decision.reason, count: 1, last: time)
    }

    /// What is remembered, the first question first.
    public var all: [Entry] { (order[oldest...] + order[..<oldest]).compactMap { entries[$0] } }
}
