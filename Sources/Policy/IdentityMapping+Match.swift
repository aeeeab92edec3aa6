extension IdentityMapping {
    /// Conditions; those that are there must all hold.
    struct Match: Sendable, Hashable {
        /// The kinds of callers that a match can be for.
        enum Kind: String, CaseIterable {
            case certificate = "certificates"
            case user = "local users"
            case token = "tokens"
            case key = "API keys"

            /// The conditions that only this kind has.
            var conditions: [String] {
                switch self {
                case .certificate: ["spiffe", "cn", "node"]
                case .user: ["uid", "gid", "user"]
                case .token: ["issuer", "subject"]
                case .key: ["key"]
                }
            }
        }

        /// The user's number, or any.
        enum UserNumber: Sendable, Hashable {
            case exactly(UInt32)
            case any
        }

        var spiffe: NamePattern?
        var commonName: NamePattern?
        var node: NamePattern?
        var uid: UserNumber?
        var gid: UInt32?
        var user: NamePattern?
        var issuer: String?
        var subject: NamePattern?
        var key: NamePattern?
        var attributes: [AttributeCondition] = []

        var isForNodes: Bool { spiffe != nil || commonName != nil || node != nil }
        var isForUsers: Bool { uid != nil || gid != nil || user != nil }
        var isForTokens: Bool { issuer != nil }
        var isForKeys: Bool { key != nil }

        /// Whether everything that it is for is spelled out: no wildcard, and more than an issuer.
        var isExact: Bool {
            let patterns = [spiffe, commonName, node, user, subject, key].compactMap { $0 }
            let isSpelledOut = patterns.allSatisfy(\.isExact) && attributes.allSatisfy(\.isExact)
            if isForTokens, subject == nil, attributes.isEmpty { return false }
            return uid != .any && isSpelledOut
        }

        var text: String {
            var parts: [String] = []
            if let spiffe { parts.append("spiffe \(spiffe)") }
            if let commonName { parts.append("cn \(commonName)") }
            if let node { parts.append("node \(node)") }
            switch uid {
            case .exactly(let number)?: parts.append("uid \(number)")
            case .any?: parts.append("uid *")
            case nil: break
            }
            if let gid { parts.append("gid \(gid)") }
            if let user { parts.append("user \(user)") }
            if let issuer { parts.append("issuer \(Printable.text(issuer))") }
            if let subject { parts.append("subject \(Printable.text(subject.text))") }
            if let key { parts.append("key \(key)") }
            parts += attributes.map(\.text)
            return parts.joined(separator: " and ")
        }
    }

    /// A condition about one attribute of a token or key: one of its values matches one of the patterns.
    struct AttributeCondition: Sendable, Hashable {
        /// The most bytes of an attribute's name.
        static let maximumName = 64

        let name: String
        let values: [NamePattern]

        var isExact: Bool { values.allSatisfy(\.isExact) }

        /// `groups admins or ops`
        var text: String { "\(name) \(values.map { Printable.text($0.text) }.joined(separator: " or "))" }

        func holds(_ attributes: Subject.Attributes) -> Bool {
            attributes[name]?.contains(where: matches) == true
        }

        /// Whether one of the patterns matches a value.
        func matches(_ value: String) -> Bool { values.contains { $0.matches(value) } }

        /// Whether an attribute can have this name: visible ASCII.
        static func isLegal(_ name: String) -> Bool {
            (1...maximumName).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }
        }
    }
}
