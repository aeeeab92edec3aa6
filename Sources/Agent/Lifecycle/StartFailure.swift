/// Why the agent did not start: what a person reads, and the exit code.
public struct StartFailure: Error, Sendable, CustomStringConvertible {
    /// The exit code: 78 for configuration, 6 for certificates, 1 otherwise.
    public let exitCode: Int32
    /// What happened, a line each.
    public let lines: [String]
    /// What to do about it.
    public let hint: String?

    /// A failure from its parts.
    public init(exitCode: Int32, lines: [String], hint: String? = nil) {
        self.exitCode = exitCode
        self.lines = lines
        self.hint = hint
    }

    /// All lines, and the hint.
    public var description: String {
        (lines + (hint.map { ["hint: \($0)"] } ?? [])).joined(separator: "\n")
    }
}
