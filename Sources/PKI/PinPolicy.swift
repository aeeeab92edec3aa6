/// Which certificates peers must show besides being vouched for by a trusted CA.
///
/// A rule is met when one of its pins matches one certificate of the *verified* chain, the CAs' included: pinning an
/// issuer survives renewals that pinning a leaf does not. Every rule that concerns a peer must be met.
public struct PinPolicy: Sendable, Equatable {
    /// What an unmet rule does.
    public enum Mode: String, Sendable, CaseIterable {
        /// The handshake fails.
        case enforce
        /// The connection goes on; the owner of the session learns of it.
        case report
    }

    /// Pins, and whom they concern.
    public struct Rule: Sendable, Equatable {
        /// The node, whichever end dials; nil for everybody who dials.
        public var node: String?
        /// One of them must match.
        public var pins: [CertificatePin]
        /// What happens otherwise.
        public var mode: Mode
        /// Without a node the rule concerns servers that are dialled, too: where all of them are one and the same.
        public var holdsForServers: Bool

        /// A rule from its parts.
        public init(
            node: String? = nil, pins: [CertificatePin], mode: Mode = .enforce, holdsForServers: Bool = false
        ) {
            self.node = node
            self.pins = pins
            self.mode = mode
            self.holdsForServers = holdsForServers
        }
    }

    /// What the check of a verified peer came to.
    public enum Outcome: Sendable, Equatable {
        /// No rule concerns the peer.
        case unpinned
        /// Every rule is met.
        case matched
        /// A rule that only reports is not met.
        case mismatch(CertificateError)

        /// The outcome as metrics and JSON have it; nil without a pin.
        public var code: String? {
            switch self {
            case .unpinned: nil
            case .matched: "matched"
            case .mismatch: "mismatch"
            }
        }
    }

    /// The rules.
    public var rules: [Rule]

    /// A policy; without rules nobody is pinned.
    public init(rules: [Rule] = []) { self.rules = rules }

    /// Checks a verified chain.
    ///
    /// - Parameter node: The name of the node that the leaf proves, where it is one's.
    /// - Throws: `pin_mismatch` when a rule that is enforced is not met.
    public func check(
        node: String?, role: PeerVerification.Role, chain: [Certificate]
    ) throws(CertificateError) -> Outcome {
        var outcome = Outcome.unpinned
        for rule in rules where Self.concerns(rule, node, role) {
            if rule.pins.contains(where: { pin in chain.contains { pin.matches($0) } }) {
                if outcome == .unpinned { outcome = .matched }
                continue
            }
            let error = Self.mismatch(rule, node, chain)
            guard rule.mode == .report else { throw error }
            outcome = .mismatch(error)
        }
        return outcome
    }

    private static func concerns(_ rule: Rule, _ node: String?, _ role: PeerVerification.Role) -> Bool {
        // Bytes, not characters: names that only look alike are different names.
        guard let wanted = rule.node else { return role == .clientOfLink || rule.holdsForServers }
        return node.map { $0.utf8.elementsEqual(wanted.utf8) } ?? false
    }

    private static func mismatch(_ rule: Rule, _ node: String?, _ chain: [Certificate]) -> CertificateError {
        let leaf = chain.first
        let shown = leaf.map { CertificatePin(of: $0.publicKey).description } ?? "no certificate"
        let whose =
            rule.node.map { "node \($0)" } ?? (rule.holdsForServers ? "this target" : "whoever dials this listener")
        return CertificateError(
            .pinMismatch,
            "the certificate of \(node ?? leaf?.subject ?? "the peer") (\(shown)) matches none of the "
                + "\(rule.pins.count) pins of \(whose)",
            hint:
                "if its key was changed on purpose, add the new pin to the configuration (mesh cert pin FILE prints it); "
                + "otherwise somebody else may have a certificate of its name")
    }
}
