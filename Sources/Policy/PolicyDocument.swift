import JSON

/// A policy: identity mappings, groups, permissions and rules, compiled for fast decisions. Immutable.
///
/// Default deny: what no rule allows is denied, and a deny wins over every allow. `docs/policy.md` describes the text.
public final class PolicyDocument: Sendable {
    /// The file as it was named to the parser; it stands in every explanation.
    public let file: String
    /// The document's own number, where it has one.
    public let version: Int64?
    /// A short digest of the text, to tell documents apart; no protection against forgery.
    public let fingerprint: String
    /// The trust domains whose `/node/NAME` URIs name nodes by themselves. Empty: every domain that the TLS
    /// configuration accepts.
    public let trustDomains: Set<String>
    /// What is legal and surely not meant, in the order of the text.
    public let warnings: [PolicyWarning]

    let rules: [Rule]
    let mappings: [IdentityMapping]
    let groupMembers: [GroupMembership]
    let index: RuleIndex

    /// A listed member of a group.
    struct GroupMembership: Sendable {
        let group: String
        let selector: Selector
        let line: Int
    }

    /// Reads and compiles a policy.
    ///
    /// - Parameters:
    ///   - bytes: The text: JSON with comments and trailing commas (JSON5).
    ///   - file: Its name for messages, as in `policy.json:12:5`.
    /// - Throws: ``PolicyError`` with the place and what to write instead.
    public static func parse(_ bytes: [UInt8], file: String) throws(PolicyError) -> PolicyDocument {
        var reader = PolicyReader(file: file)
        try reader.read(bytes)
        var index = RuleIndex()
        for (number, rule) in reader.rules.enumerated() {
            guard index.add(rule, number: Int32(number)) else {
                throw PolicyError(
                    code: .tooLarge, file: file, position: rule.position,
                    message: "more than \(RuleIndex.maximumEntries) combinations of principal, verb and target; "
                        + "use groups and patterns")
            }
        }
        return PolicyDocument(reader, index: index, fingerprint: Fingerprint.of(bytes))
    }

    /// Reads and compiles a policy from a string.
    public static func parse(_ text: String, file: String) throws(PolicyError) -> PolicyDocument {
        try parse(Array(text.utf8), file: file)
    }

    /// The policy of somebody who has none: everything is denied.
    public static let empty = PolicyDocument(
        PolicyReader(file: "(no policy)"), index: RuleIndex(), fingerprint: Fingerprint.of([]))

    private init(_ reader: PolicyReader, index: RuleIndex, fingerprint: String) {
        file = reader.file
        version = reader.version
        self.fingerprint = fingerprint
        trustDomains = reader.trustDomains
        rules = reader.rules
        mappings = reader.mappings
        groupMembers = reader.groups.flatMap { group in
            group.members.map {
                GroupMembership(group: group.name, selector: $0.selector, line: $0.position.line)
            }
        }
        self.index = index
        warnings = PolicyReview(reader).warnings
    }

    /// How many rules the document has, grants of permissions aside.
    public var ruleCount: Int { rules.count { $0.origin == .rules } }

    /// How many identity mappings the document has.
    public var mappingCount: Int { mappings.count }
}

/// FNV-1a in 64 bits: tells texts apart, protects nothing.
enum Fingerprint {
    static func of(_ bytes: [UInt8]) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
