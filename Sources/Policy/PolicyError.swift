public import JSON

/// Why a policy was refused, and where.
public struct PolicyError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a refusal.
    public enum Code: String, Sendable, CaseIterable {
        /// Not a JSON5 text.
        case syntax
        /// A value of another type than needed.
        case wrongType = "wrong_type"
        /// A key that has no meaning here.
        case unknownKey = "unknown_key"
        /// A key that must be there.
        case missingKey = "missing_key"
        /// A list that must not be empty.
        case emptyList = "empty_list"
        /// A name with characters that no name has.
        case badName = "bad_name"
        /// A name that is built in.
        case reservedName = "reserved_name"
        /// A pattern that can't be understood.
        case badPattern = "bad_pattern"
        /// Something that is no principal.
        case badPrincipal = "bad_principal"
        /// A verb that does not exist.
        case unknownVerb = "unknown_verb"
        /// Verbs with different kinds of targets in one rule.
        case mixedTargets = "mixed_targets"
        /// A wildcard where `administer` is given.
        case administerWildcard = "administer_wildcard"
        /// A mapping whose conditions can never hold together, or that would give many certificates one node's name.
        case badMapping = "bad_mapping"
        /// A rule that both allows and denies.
        case badRule = "bad_rule"
        /// More rules than the index takes.
        case tooLarge = "too_large"
    }

    /// The stable name of the refusal.
    public let code: Code
    /// The policy's file as it was named to the parser.
    public let file: String
    /// The place that is wrong.
    public let position: JSONPosition
    /// What is wrong and what to write instead.
    public let message: String

    /// An error from its parts.
    public init(code: Code, file: String, position: JSONPosition, message: String) {
        self.code = code
        self.file = file
        self.position = position
        self.message = message
    }

    /// The line, from 1.
    public var line: Int { position.line }

    /// The column in characters, from 1.
    public var column: Int { position.column }

    /// `policy.json:12:5: unknown key "form"; did you mean "from"?`
    public var description: String { "\(file):\(position): \(message)" }
}

/// Something in a policy that is legal and surely not meant: a rule that can never match, a group nobody is in.
public struct PolicyWarning: Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a warning.
    public enum Code: String, Sendable, CaseIterable {
        /// A rule names a group that nothing puts anybody into.
        case unknownGroup = "unknown_group"
        /// A mapping names a permission that is not defined.
        case unknownPermission = "unknown_permission"
        /// A permission that no mapping gives.
        case unusedPermission = "unused_permission"
        /// A rule names a service identity that no mapping gives.
        case unknownServiceIdentity = "unknown_service_identity"
        /// A rule names a service that is none of those that the caller may discover, and is spelt almost like one.
        case unknownService = "unknown_service"
        /// A rule gives a verb to principals that can never use it.
        case neverMatches = "never_matches"
        /// An allow that a deny covers completely.
        case alwaysDenied = "always_denied"
        /// A rule that an earlier one already says.
        case duplicateRule = "duplicate_rule"
        /// Tokens or API keys that no node may act as, so that they never get in.
        case nobodyActsAs = "nobody_acts_as"
        /// `administer` through a wildcard, which does not count.
        case administerThroughWildcard = "administer_through_wildcard"
    }

    /// The stable name of the warning.
    public let code: Code
    /// The policy's file.
    public let file: String
    /// The place.
    public let position: JSONPosition
    /// What is odd and what to do about it.
    public let message: String

    /// A warning from its parts.
    public init(code: Code, file: String, position: JSONPosition, message: String) {
        self.code = code
        self.file = file
        self.position = position
        self.message = message
    }

    /// `policy.json:12:5: warning: no mapping and no group …`
    public var description: String { "\(file):\(position): warning: \(message)" }
}
