import Arguments
import Glibc
import HTTP
import JSON

/// `mesh drain`
enum DrainCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "drain", "Take this node out of service, or back, while its agent goes on.",
            discussion: """
                The node is not ready any more, offers no service in the directory, and takes no new streams, neither from \
                peers (they try another instance) nor from applications here. Streams under way go on. With --wait the \
                command ends when the last of them has ended. A restart of the agent ends the drain, too.
                """,
            flags: [
                FlagSpec(switch: "undo", "Serve again."),
                FlagSpec(switch: "wait", "Wait until no stream is left."), .json,
            ],
            examples: [
                .init("mesh drain --wait && systemctl restart mesh-agent", "Restart without breaking a connection."),
                .init("mesh drain --undo", "The node serves again."),
            ])
    ) { (context) throws(CommandFailure) in
        let isUndone = context.invocation.isOn("undo")
        guard !isUndone || !context.invocation.isOn("wait") else {
            throw CommandFailure(
                .usage, "bad_arguments", "--undo and --wait do not go together",
                hint: "after --undo there is nothing to wait for")
        }
        var answer = try ControlClient(context).call(isUndone ? .delete : .post, "/v1/drain")
        var shown: Int64?
        while context.invocation.isOn("wait"), answer["state"]?.string == "draining" {
            let streams = answer["streams"]?.integer
            if streams != shown, !context.json { Output.note(text(answer)) }
            shown = streams
            usleep(pollInterval)
            answer = try ControlClient(context).call(.get, "/v1/drain")
            if answer["state"]?.string == "serving" {
                throw CommandFailure(
                    .failure, "undone", "the drain was undone meanwhile", hint: "mesh drain starts another one")
            }
        }
        context.print(answer) { Output.line(text(answer)) }
        return .ok
    }

    /// How often the number of streams is asked for while waiting, in microseconds.
    private static let pollInterval: UInt32 = 200_000

    private static func text(_ answer: JSONValue) -> String {
        let node = answer.text(of: "node")
        switch answer["state"]?.string {
        case "draining":
            let streams = answer["streams"]?.integer == 1 ? "stream is" : "streams are"
            return "node \(node) drains: \(answer.number(of: "streams")) \(streams) under way"
        case "drained": return "node \(node) is drained: no stream is left"
        default: return "node \(node) serves"
        }
    }
}
