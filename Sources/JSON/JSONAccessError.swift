/// A value that was read well but is not what the program needs: a wrong type, a missing or an unknown member.
///
/// For bodies and records without positions; files are read as ``JSONDocument``.
public struct JSONAccessError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The stable name of a refusal.
    public enum Code: String, Sendable, CaseIterable {
        /// A member that is needed is not there.
        case missingMember = "missing_member"
        /// A member that nobody knows; misspelled, perhaps.
        case unknownMember = "unknown_member"
        /// A value of another type.
        case wrongType = "wrong_type"
        /// An integer outside of its range.
        case outOfRange = "out_of_range"
        /// A value of the right type that means nothing here.
        case badValue = "bad_value"
    }

    /// The stable name of the refusal.
    public let code: Code
    /// Where in the value: `services[2].weight`; empty for the value itself.
    public let path: String
    /// What was expected and what was found, without the path.
    public let message: String

    /// An error at a path.
    public init(code: Code, path: String, message: String) {
        self.code = code
        self.path = path
        self.message = message
    }

    /// `services[2].weight: expected an integer, found a string`
    public var description: String {
        path.isEmpty ? message : "\(path): \(message)"
    }

    /// The same error seen from one level above, whose member `key` has it.
    public func inside(_ key: String) -> JSONAccessError {
        let path = path.isEmpty ? key : path.first == "[" ? key + path : "\(key).\(path)"
        return JSONAccessError(code: code, path: path, message: message)
    }

    /// The same error seen from one level above, whose element `index` has it.
    public func inside(_ index: Int) -> JSONAccessError {
        inside("[\(index)]")
    }
}
