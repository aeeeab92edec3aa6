extension CommandSpec {
    /// The help of the command at `path`, in lines of at most `width` columns (40 at least), with a line break at the end.
    public func help(path: [String] = [], width: Int = 80) -> String {
        HelpText(chain: chain(path), width: max(width, 40)).text
    }

    /// The usage line of the command at `path`.
    public func usage(path: [String] = []) -> String { HelpText.usage(chain(path)) }
}

/// Lays help out.
struct HelpText {
    let chain: [CommandSpec]
    let width: Int

    private var command: CommandSpec { chain[chain.count - 1] }
    private var name: String { chain.map(\.name).joined(separator: " ") }

    /// Below this width descriptions stand under what they describe, not beside it.
    private static let narrow = 64

    var text: String {
        var blocks = [DisplayWidth.wrapped("\(name) - \(command.summary)", to: width)]
        blocks.append(hanging("usage: ", Self.usage(chain)))
        for paragraph in Self.paragraphs(command.discussion) {
            blocks.append(DisplayWidth.wrapped(paragraph, to: width))
        }
        blocks.append(section("arguments", command.positionals.map { ($0.name, Self.describe($0)) }))
        blocks.append(section("commands", command.visibleSubcommands.map { ($0.name, $0.summary) }))
        let inherited = chain.dropLast().flatMap(\.visibleFlags)
        blocks.append(section("flags", command.visibleFlags.map(Self.row) + Self.standard(isRoot: chain.count == 1)))
        blocks.append(section("flags of \(chain[0].name)", inherited.map(Self.row)))
        blocks.append(examples)
        if !command.visibleSubcommands.isEmpty {
            blocks.append(DisplayWidth.wrapped("More on a command: \(name) COMMAND --help", to: width))
        }
        return blocks.filter { !$0.isEmpty }.map { $0.joined(separator: "\n") }.joined(separator: "\n\n") + "\n"
    }

    static func usage(_ chain: [CommandSpec]) -> String {
        let command = chain[chain.count - 1]
        var parts = [chain.map(\.name).joined(separator: " ")]
        parts += chain.flatMap(\.flags).filter { $0.isRequired && !$0.isHidden }.map {
            "--\($0.name) \($0.placeholder)"
        }
        parts.append("[flags]")
        if !command.visibleSubcommands.isEmpty { parts.append(command.runsItself ? "[COMMAND]" : "COMMAND") }
        parts += command.positionals.map(\.usage)
        return parts.joined(separator: " ")
    }

    static func paragraphs(_ text: String) -> [String] {
        var paragraphs: [String] = []
        var lines: [Substring] = []
        let all: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false) + [""]
        for line in all {
            if !line.isEmpty {
                lines.append(line)
            } else if !lines.isEmpty {
                paragraphs.append(lines.joined(separator: " "))
                lines = []
            }
        }
        return paragraphs
    }

    static func standard(isRoot: Bool) -> [(String, String)] {
        [("-h, --help", "show this help")] + (isRoot ? [("    --version", "show the version")] : [])
    }

    /// How a flag is written, and what it does.
    static func row(_ flag: FlagSpec) -> (String, String) {
        let short = flag.short.map { "-\($0), " } ?? "    "
        let long = flag.isNegatable ? "--[no-]\(flag.name)" : "--\(flag.name)"
        let label = flag.value == nil ? "\(short)\(long)" : "\(short)\(long) \(flag.placeholder)"
        return (label, describe(flag))
    }

    static func describe(_ flag: FlagSpec) -> String {
        var notes: [String] = []
        if flag.isRequired { notes.append("required") }
        if let text = flag.defaultValue { notes.append("default: \(text)") }
        if let variable = flag.environment { notes.append("environment: \(variable)") }
        if flag.isRepeated { notes.append("may be repeated") }
        return notes.isEmpty ? flag.help : "\(flag.help) (\(notes.joined(separator: "; ")))"
    }

    static func describe(_ positional: PositionalSpec) -> String {
        var notes: [String] = []
        if case .choice(let words, _) = positional.value { notes.append("one of: \(words.joined(separator: ", "))") }
        if positional.isOptional { notes.append("optional") }
        if positional.isRepeated { notes.append("may be repeated") }
        return notes.isEmpty ? positional.help : "\(positional.help) (\(notes.joined(separator: "; ")))"
    }

    private var examples: [String] {
        if command.examples.isEmpty { return [] }
        var lines = ["examples:"]
        for example in command.examples {
            // A command line is not broken: it is there to be copied.
            lines.append("  \(example.line)")
            lines += DisplayWidth.wrapped(example.text, to: width - 6).map { "      \($0)" }
        }
        return lines
    }

    private func section(_ title: String, _ rows: [(label: String, text: String)]) -> [String] {
        if rows.isEmpty { return [] }
        let longest = rows.map { DisplayWidth.of($0.label) }.max() ?? 0
        // Beyond two fifths of the width a label gets a line of its own.
        let column = min(longest, width * 2 / 5) + 4
        var lines = ["\(title):"]
        for row in rows {
            if width >= Self.narrow, DisplayWidth.of(row.label) + 4 <= column {
                let first = "  " + row.label
                let padding = String(repeating: " ", count: column - DisplayWidth.of(first))
                let text = DisplayWidth.wrapped(row.text, to: width - column)
                lines.append(first + padding + text[0])
                lines += text.dropFirst().map { String(repeating: " ", count: column) + $0 }
            } else {
                let indent = width >= Self.narrow ? column : 6
                lines += Self.wrapLabel(row.label, to: width - 2).map { "  \($0)" }
                lines += DisplayWidth.wrapped(row.text, to: width - indent).map {
                    String(repeating: " ", count: indent) + $0
                }
            }
        }
        return lines
    }

    /// A label keeps its leading blanks; wrapped ones hang.
    private static func wrapLabel(_ label: String, to width: Int) -> [String] {
        if DisplayWidth.of(label) <= width { return [label] }
        let indent = label.prefix { $0 == " " }
        let lines = DisplayWidth.wrapped(String(label.dropFirst(indent.count)), to: width - 4)
        return lines.enumerated().map { ($0 == 0 ? indent : "    ") + $1 }
    }

    private func hanging(_ title: String, _ text: String) -> [String] {
        DisplayWidth.wrapped(text, to: width - title.count).enumerated().map { index, line in
            (index == 0 ? title : String(repeating: " ", count: title.count)) + line
        }
    }
}
