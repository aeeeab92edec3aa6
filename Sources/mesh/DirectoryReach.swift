import Arguments
import JSON

/// Whether what the agent shows of the directory is kept up. Without the directory, that is what it said last.
struct DirectoryReach {
    /// Whether the agent has the directory's changes as they come.
    let isReached: Bool
    private let node: String
    /// Milliseconds since 1970.
    private let unreachedSince: Int64?

    /// What stands beside an answer; an agent that says nothing of it is believed.
    init(_ answer: JSONValue) {
        let directory = answer["directory"] ?? .null
        isReached = directory["reached"]?.bool != false
        node = directory.text(of: "node")
        unreachedSince = directory["unreachedSince"]?.integer
    }

    /// For how long the directory has been away, as it follows "not reached"; empty where the agent does not know.
    var span: String { unreachedSince.map { " for " + Format.age(sinceMilliseconds: $0) } ?? "" }

    /// Says on standard error that the directory is away, where it is.
    func tell() {
        guard !isReached else { return }
        let state = span.isEmpty ? "is not reached" : "has not been reached\(span)"
        let shown = "what is shown is what it said last; mesh links says why"
        let text = DisplayWidth.sanitized("the directory on \(node) \(state): \(shown)")
        guard let width = Terminal.outputWidth else { return Output.note(text) }
        Output.note(DisplayWidth.wrapped(text, to: width).joined(separator: "\n"))
    }
}
