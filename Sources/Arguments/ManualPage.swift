extension CommandSpec {
    /// The manual page (man macros, section 1 or 8) of the program with all its commands.
    ///
    /// `date` as YYYY-MM-DD and `version` stand in the footer; exit codes and files are the program's to tell.
    public func manualPage(
        section: Int = 1, date: String, version: String, exitCodes: [(code: Int, meaning: String)] = [],
        environment: [(name: String, meaning: String)] = [], files: [(path: String, meaning: String)] = []
    ) -> String {
        var page = Roff()
        page.line(".TH \(Roff.argument(name.uppercased())) \(section) \(Roff.argument(date)) \(Roff.argument(version))")
        page.section("NAME")
        page.put("\(name) - \(summary)")
        page.section("SYNOPSIS")
        let runnable = visibleChains.filter { chain in
            let command = chain[chain.count - 1]
            return command.visibleSubcommands.isEmpty || command.runsItself
        }
        for (index, chain) in runnable.enumerated() {
            if index > 0 { page.line(".br") }
            page.put(HelpText.usage(chain))
        }
        if !discussion.isEmpty {
            page.section("DESCRIPTION")
            page.paragraphs(discussion)
        }
        if visibleSubcommands.isEmpty { page.entries(positionals.map { ($0.name, HelpText.describe($0)) }) }
        page.section("OPTIONS")
        page.entries(
            (visibleFlags.map(HelpText.row) + HelpText.standard(isRoot: true)).map { (Self.trimmed($0.0), $0.1) })
        let commands = visibleChains.dropFirst()
        if !commands.isEmpty { page.section("COMMANDS") }
        for chain in commands {
            let command = chain[chain.count - 1]
            page.line(".SS \(Roff.argument(HelpText.usage(chain)))")
            page.put(command.summary)
            page.paragraphs(command.discussion, first: false)
            page.entries(command.positionals.map { ($0.name, HelpText.describe($0)) })
            page.entries(command.visibleFlags.map(HelpText.row).map { (Self.trimmed($0.0), $0.1) })
        }
        let variables = Self.variables(visibleChains) + environment
        if !variables.isEmpty { page.section("ENVIRONMENT") }
        page.entries(variables.map { ($0.name, $0.meaning) })
        if !files.isEmpty { page.section("FILES") }
        page.entries(files.map { ($0.path, $0.meaning) })
        if !exitCodes.isEmpty { page.section("EXIT STATUS") }
        page.entries(exitCodes.map { (String($0.code), $0.meaning) })
        let examples = visibleChains.flatMap { $0[$0.count - 1].examples }
        if !examples.isEmpty { page.section("EXAMPLES") }
        page.entries(examples.map { ($0.line, $0.text) })
        return page.text
    }

    private static func trimmed(_ label: String) -> String { String(label.drop { $0 == " " }) }

    /// The variables of all flags, each once.
    private static func variables(_ chains: [[CommandSpec]]) -> [(name: String, meaning: String)] {
        var seen: Set<String> = []
        return chains.flatMap { $0[$0.count - 1].visibleFlags }.compactMap { flag in
            guard let variable = flag.environment, seen.insert(variable).inserted else { return nil }
            return (variable, "Stands for --\(flag.name) where that is not given.")
        }
    }
}

/// Writes roff with the man macros; text can never become a request.
private struct Roff {
    private(set) var text = ""

    mutating func line(_ line: String) { text += line + "\n" }

    mutating func section(_ title: String) { line(".SH \(Self.argument(title))") }

    mutating func put(_ text: String) { line(Self.escaped(text)) }

    mutating func paragraphs(_ text: String, first: Bool = true) {
        for (index, paragraph) in HelpText.paragraphs(text).enumerated() {
            if !first || index > 0 { line(".PP") }
            put(paragraph)
        }
    }

    mutating func entries(_ entries: [(term: String, text: String)]) {
        for entry in entries {
            line(".TP")
            line("\\fB\(Self.escaped(entry.term))\\fR")
            put(entry.text)
        }
    }

    /// A macro's argument in quotes.
    static func argument(_ text: String) -> String {
        "\"" + escaped(text).split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\\(dq") + "\""
    }

    /// Backslashes and hyphens written out, line breaks taken away, and `\&` before what would begin a request.
    static func escaped(_ text: String) -> String {
        var escaped = text.first == "." || text.first == "'" ? "\\&" : ""
        for character in text {
            switch character {
            case "\\": escaped += "\\e"
            case "-": escaped += "\\-"
            case "…": escaped += "..."
            case "\n", "\r\n", "\r": escaped += " "
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
