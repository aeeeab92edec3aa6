/// A command line that cannot be run: what is wrong, how to mend it, and the usage line.
public struct UsageError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What was wrong, stable.
    public enum Code: String, Sendable, Hashable, CaseIterable {
        case unknownFlag = "unknown_flag"
        case unknownCommand = "unknown_command"
        case missingCommand = "missing_command"
        case missingValue = "missing_value"
        case unexpectedValue = "unexpected_value"
        case badValue = "bad_value"
        case repeatedFlag = "repeated_flag"
        case missingFlag = "missing_flag"
        case conflictingFlags = "conflicting_flags"
        case missingPositional = "missing_positional"
        case unexpectedPositional = "unexpected_positional"
    }

    /// What was wrong.
    public let code: Code
    /// The command it happened in, with the program's name: `mesh ca issue`.
    public let command: String
    /// One line: what is wrong.
    public let what: String
    /// One line: how to mend it.
    public let hint: String
    /// The usage line of the command.
    public let usage: String

    /// The exit code for a wrong command line.
    public static let exitCode: Int32 = 2

    /// The text for standard error: what, how to mend it, usage; a line each.
    public var description: String { "\(command): \(what)\nhint: \(hint)\nusage: \(usage)" }
}
