import Arguments
import JSON
import Policy

/// What a command runs with: its part of the command line.
struct CommandContext {
    /// The command line, checked against the table.
    let invocation: Invocation

    /// Whether data is to be printed as JSON.
    var json: Bool { invocation.isOn("json") }

    /// A positional argument that the table requires.
    func argument(_ name: String) -> String { invocation.positional(name) ?? "" }

    /// A positional argument that must be a service's name; it can stand in a path as it is.
    func serviceName(_ argument: String) throws(CommandFailure) -> String {
        let name = self.argument(argument)
        guard Name.isLegal(name) else {
            throw .usage("\"\(name)\" cannot be the name of a service", hint: "a name has \(Name.rule)")
        }
        return name
    }

    /// Prints the value as JSON where that is wanted, else calls `text`.
    func print(_ value: @autoclosure () -> JSONValue, text: () -> Void) {
        if json { Output.json(value()) } else { text() }
    }
}

/// A command: its line in the table and what it does.
struct CommandEntry: Sendable {
    /// Flags, arguments, help.
    let spec: CommandSpec
    /// Does it.
    let run: @Sendable (CommandContext) throws(CommandFailure) -> ExitCode

    /// A command.
    init(_ spec: CommandSpec, _ run: @escaping @Sendable (CommandContext) throws(CommandFailure) -> ExitCode) {
        self.spec = spec
        self.run = run
    }
}

extension FlagSpec {
    /// `--json`, of all commands that print data.
    static let json = FlagSpec(switch: "json", "Print JSON; errors become one JSON object on standard error.")
}
