import PKI

/// Why the agent did not start: what a person reads, and the exit code.
public struct StartFailure: Error, Sendable, CustomStringConvertible {
    /// The exit code: 78 for configuration, 6 for certificates, 1 otherwise.
    public let exitCode: Int32
    /// What happened, a line each.
    public let lines: [String]
    /// What to do about it.
    public let hint: String?
    /// The file that is not there, where that is what happened.
    public let missingFile: String?
    /// Whether the lines are all that is wrong with the configuration's files, each one that is missing among them.
    let isCheck: Bool

    /// A failure from its parts.
    public init(exitCode: Int32, lines: [String], hint: String? = nil, missingFile: String? = nil) {
        self.exitCode = exitCode
        self.lines = lines
        self.hint = hint
        self.missingFile = missingFile
        isCheck = false
    }

    /// A failure for what a check of the configuration found, a line each.
    init(problems: [String]) {
        exitCode = 78
        lines = problems
        hint = nil
        missingFile = nil
        isCheck = true
    }

    /// A failure that an error about a file led to: it goes on saying which one is not there.
    init(exitCode: Int32, lines: [String], hint: String?, of error: CertificateError) {
        self.init(
            exitCode: exitCode, lines: lines, hint: hint, missingFile: error.isMissingFile ? error.file : nil)
    }

    /// All lines, and the hint.
    public var description: String {
        (lines + (hint.map { ["hint: \($0)"] } ?? [])).joined(separator: "\n")
    }
}
