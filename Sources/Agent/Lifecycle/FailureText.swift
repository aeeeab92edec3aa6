/// What `Agent.lines(of:)` gives, for places with less room: a line of the log, a field, a problem with a hint of its own.
struct FailureText {
    private let lines: [String]

    init(_ lines: [String]) { self.lines = lines }

    /// On one line: faults are parted by "; ", a hint by " - ".
    var line: String {
        let (faults, hint) = parts
        return faults.map(Self.joined).joined(separator: "; ") + (hint.map { " - \($0)" } ?? "")
    }

    /// What is wrong, a line each; with its hint where there are several, as each has another one.
    var faults: String { parts.faults.map(Self.joined).joined(separator: "\n") }

    /// How to mend it, where one thing is wrong.
    var hint: String? { parts.hint }

    private var parts: (faults: [String], hint: String?) {
        let label = "hint: "
        if lines.count > 1, let last = lines.last, last.hasPrefix(label) {
            return (Array(lines.dropLast()), Self.joined(String(last.dropFirst(label.count))))
        }
        guard lines.count == 1, let end = lines[0].firstIndex(of: "\n") else { return (lines, nil) }
        return ([String(lines[0][..<end])], Self.joined(String(lines[0][end...])))
    }

    /// A text of several lines on one.
    private static func joined(_ text: String) -> String {
        text.split(separator: "\n").map { $0.drop { $0 == " " } }.joined(separator: " - ")
    }
}
