import Arguments
import Enrolment
import EventLoop
import Glibc

/// The program: command line in, exit code out.
enum MeshProgram {
    /// Runs the command line, without the program's name.
    static func run(_ arguments: [String]) -> ExitCode {
        // Keys and passphrases come through here; where the kernel does not let us, the command still has to work.
        try? ProcessMemory.protect()
        let table = MeshCommand.root
        if arguments.isEmpty {
            Output.prompt(table.help(width: Terminal.helpWidth(STDERR_FILENO)))
            return .usage
        }
        if arguments.contains(where: isToken) {
            Output.failure(exposedToken, command: "mesh", json: arguments.contains("--json"))
            return exposedToken.exit
        }
        let outcome: ParseOutcome
        do throws(UsageError) {
            outcome = try table.parse(arguments, environment: environment(of: table))
        } catch {
            Output.note("\(error)")
            return .usage
        }
        switch outcome {
        case .help(let path):
            Output.text(table.help(path: path, width: Terminal.helpWidth(STDOUT_FILENO)))
            return .ok
        case .version:
            Output.line("mesh \(VersionCommand.version)")
            return .ok
        case .run(let invocation): return run(invocation)
        }
    }

    /// Whether an argument is a join token, or a flag with one.
    private static func isToken(_ argument: String) -> Bool {
        argument.hasPrefix(JoinToken.prefix) || argument.contains("=" + JoinToken.prefix)
    }

    /// What a token in the command line means. It is not repeated: logs of terminals and of CI have it once too often already.
    private static let exposedToken = CommandFailure.usage(
        "a join token stands in the command line, where every user of this host and the shell's history can read it",
        hint: "withdraw it (mesh ca token list, mesh ca token withdraw ID, on the CA's node), and give another one by "
            + "--token-file FILE or --token-file - and standard input")

    private static func run(_ invocation: Invocation) -> ExitCode {
        guard let command = MeshCommand.entry(at: invocation.path) else { return .usage }
        let context = CommandContext(invocation: invocation)
        do throws(CommandFailure) {
            return try command.run(context)
        } catch {
            let takesJSON = command.spec.flags.contains { $0.name == "json" }
            let name = (["mesh"] + invocation.path).joined(separator: " ")
            Output.failure(error, command: name, json: takesJSON && context.json)
            return error.exit
        }
    }

    /// The variables that the table names, and nothing else of the environment.
    private static func environment(of table: CommandSpec) -> [String: String] {
        var found: [String: String] = [:]
        for name in table.flags.compactMap(\.environment) {
            if let value = getenv(name) { found[name] = String(cString: value) }
        }
        return found
    }
}
