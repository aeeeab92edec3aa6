/// One thing that is wrong with a configuration, or that deserves a warning.
public struct ConfigurationIssue: Sendable, Hashable, CustomStringConvertible {
    /// The stable name of a problem.
    public enum Code: String, Sendable, CaseIterable {
        /// The file cannot be read.
        case unreadableFile = "unreadable_file"
        /// The file is no JSON5.
        case badSyntax = "bad_syntax"
        /// A key that does not exist.
        case unknownKey = "unknown_key"
        /// An environment variable that looks like ours but belongs to no key.
        case unknownVariable = "unknown_variable"
        /// A key that must be given.
        case missingKey = "missing_key"
        /// A value of another type.
        case wrongType = "wrong_type"
        /// A number, size or duration outside of its range.
        case outOfRange = "out_of_range"
        /// A value that is not among the possible ones or not written as it must be.
        case badValue = "bad_value"
        /// A name, listener or node that appears twice.
        case duplicate = "duplicate"
        /// Two settings that exclude each other or need each other.
        case conflict = "conflict"
        /// An address that other hosts can reach, where that must be allowed explicitly.
        case notLoopback = "not_loopback"
        /// A setting that gives protection up.
        case insecure
    }

    /// The stable name.
    public let code: Code
    /// Where the mistake is; nil where nothing was written at all.
    public let origin: ConfigurationOrigin?
    /// The key it is about: `services[0].weight`; empty for the file as a whole.
    public let key: String
    /// What is wrong.
    public let message: String
    /// How to mend it.
    public let hint: String?

    init(_ code: Code, _ origin: ConfigurationOrigin?, _ key: String, _ message: String, hint: String? = nil) {
        self.code = code
        self.origin = origin
        self.key = key
        self.message = message
        self.hint = hint
    }

    /// `mesh.json:12:5: services[0].weight: expected …` and, on a second line, the hint.
    public var description: String {
        var text = ""
        if let origin { text += "\(origin): " }
        if !key.isEmpty { text += "\(key): " }
        text += message
        if let hint { text += "\n    \(hint)" }
        return text
    }
}

/// Everything that is wrong with a configuration, in the order of the file.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    /// The problems, at least one.
    public let issues: [ConfigurationIssue]

    /// Every problem on its own line or two.
    public var description: String {
        issues.map(\.description).joined(separator: "\n")
    }
}
