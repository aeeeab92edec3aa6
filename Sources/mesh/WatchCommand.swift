import Arguments
import Glibc
import HTTP
import JSON

/// `mesh watch`
enum WatchCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "watch", "Show changes of the directory as they happen, until Ctrl-C.",
            discussion: """
                With --json the lines are passed on as the agent sends them: {"revision":N,"events":[…]}, and \
                {"startOver":…} when the list has to be read anew.
                """,
            flags: [FlagSpec(switch: "json", "Print JSON, one object a line.")])
    ) { (context) throws(CommandFailure) in
        // Stopping a watch is how it ends well. Nothing is buffered, so that the handler may end the process.
        signal(SIGINT) { _ in _exit(0) }
        signal(SIGTERM) { _ in _exit(0) }
        // Whoever started us may have had them blocked, as threads of a pool have.
        var ends = sigset_t()
        sigemptyset(&ends)
        sigaddset(&ends, SIGINT)
        sigaddset(&ends, SIGTERM)
        sigprocmask(SIG_UNBLOCK, &ends, nil)
        let client = try ControlClient(context)
        let head = try client.start(.get, "/v1/directory/watch")
        guard head.status == 200 else { throw ControlProblem.failure(head.status, try client.readBody()) }
        var lines = LineSplitter()
        while let piece = try client.piece() {
            for line in lines.add(piece) {
                if context.json { Output.line(String(decoding: line, as: UTF8.self)) } else { try show(line) }
            }
        }
        throw CommandFailure(
            .unreachable, "watch_ended", "the agent ended the watch", hint: "was it stopped? Look at its log")
    }

    private static func show(_ line: [UInt8]) throws(CommandFailure) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.parse(line)
        } catch {
            throw CommandFailure(.failure, "bad_answer", "the agent sent a line that is not JSON: \(error)")
        }
        if value["startOver"] != nil {
            return Output.line("the list changed as a whole; see mesh services and mesh nodes")
        }
        let revision = value.number(of: "revision")
        guard let events = value["events"]?.array else {
            return Output.note("watching from revision \(revision)")
        }
        for event in events {
            Output.line(DisplayWidth.sanitized("\(revision)  \(describe(event))"))
        }
    }

    /// An event in words.
    static func describe(_ event: JSONValue) -> String {
        switch event["type"]?.string {
        case "node":
            let node = event["node"] ?? .null
            return "node \(node.text(of: "node")): \(node.text(of: "state")), \(Format.list(node["addresses"]))"
        case "node_removed": return "node \(event.text(of: "node")): removed"
        case "instance":
            let instance = event["instance"] ?? .null
            return "service \(instance.text(of: "service")) on \(instance.text(of: "node")): "
                + instance.text(of: "health")
        case "instance_removed":
            return "service \(event.text(of: "service")) on \(event.text(of: "node")): removed"
        default: return event.text()
        }
    }
}

/// Cuts a stream of bytes into lines.
struct LineSplitter {
    private var rest: [UInt8] = []

    /// The lines that are complete with `bytes`, without their ends.
    mutating func add(_ bytes: [UInt8]) -> [[UInt8]] {
        rest += bytes
        var lines: [[UInt8]] = []
        var start = 0
        while let end = rest[start...].firstIndex(of: 0x0A) {
            if end > start { lines.append(Array(rest[start..<end])) }
            start = end + 1
        }
        rest.removeFirst(start)
        return lines
    }
}
