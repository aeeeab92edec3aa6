import Agent
import Arguments
import JSON

/// `mesh version`
enum VersionCommand {
    /// The version; programs of one build share it.
    static let version = Agent.version

    static let entry = CommandEntry(
        CommandSpec("version", "Print the version.", flags: [.json])
    ) { (context) throws(CommandFailure) in
        context.print(["program": "mesh", "version": .string(version)]) { Output.line("mesh \(version)") }
        return .ok
    }
}
