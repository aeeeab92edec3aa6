import Arguments
import HTTP
import JSON

/// Suggestions for names of the command line that the directory does not know.
enum NearestName {
    /// The failure of a command that asked for a service, with the one that was probably meant.
    static func service(
        _ failure: CommandFailure, _ name: String, _ context: CommandContext
    ) -> CommandFailure {
        guard failure.reason == "unknown_service", let names = services(context) else {
            return failure
        }
        return suggesting(name, names, failure)
    }

    /// The services that the caller may discover; nil where no agent answers.
    static func services(_ context: CommandContext) -> [String]? { names("services", "name", context) }

    /// The failure of a command that asked for a node.
    static func node(_ failure: CommandFailure, _ name: String, _ context: CommandContext) -> CommandFailure {
        guard failure.reason == "unknown_node", let names = names("nodes", "node", context) else { return failure }
        return suggesting(name, names, failure)
    }

    /// The failure of a command that had a node asked: where that is registered, its name is not what is wrong.
    static func asked(_ failure: CommandFailure, at name: String?, _ context: CommandContext) -> CommandFailure {
        guard let name, failure.exit == .unreachable, failure.hint == nil,
            let names = names("nodes", "node", context), !names.contains(name)
        else { return failure }
        var failure = suggesting(name, names, failure)
        failure.hint = (failure.hint.map { "\($0) " } ?? "") + "mesh nodes lists all"
        return failure
    }

    private static func suggesting(
        _ name: String, _ names: [String], _ failure: CommandFailure
    ) -> CommandFailure {
        var failure = failure
        if let nearest = Suggestion.closest(to: name, among: names.sorted()) {
            failure.hint = "did you mean \(nearest)?"
        }
        return failure
    }

    /// What the directory has; nil where the caller may not look, or it does not answer.
    private static func names(_ list: String, _ member: String, _ context: CommandContext) -> [String]? {
        guard let answer = try? ControlClient(context).call(.get, "/v1/directory/\(list)") else { return nil }
        return answer.elements(of: list).map { $0.text(of: member) }
    }
}
