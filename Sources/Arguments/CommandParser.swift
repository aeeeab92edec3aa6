/// What a command line asks for.
public enum ParseOutcome: Sendable, Equatable {
    /// To run a command.
    case run(Invocation)
    /// The help of the command at that path (`--help`, `-h`, `help COMMAND`).
    case help(path: [String])
    /// The version.
    case version
}

extension CommandSpec {
    /// Reads a command line, without the program's name.
    ///
    /// Flags may stand before and behind the subcommand that inherits them, and between positional arguments; `--` ends
    /// flags. `--flag value` and `--flag=value` are the same, so are `-f value`, `-fvalue` and `-f=value`; switches of one
    /// letter may be joined. `--help` anywhere wins over every error. A flag that is not given takes its variable out of
    /// `environment` (lists divided by commas, switches as 1/0, true/false, yes/no, on/off; empty is unset), then its
    /// default.
    public func parse(
        _ arguments: [String], environment: [String: String] = [:]
    ) throws(UsageError) -> ParseOutcome {
        if let path = helpPath(arguments) { return .help(path: path) }
        var parser = CommandParser(self)
        return try parser.run(arguments, environment)
    }

    /// The path that `--help` is asked for; nil where it is not asked for. Reads over everything that is wrong.
    private func helpPath(_ arguments: [String]) -> [String]? {
        var chain = [self]
        var wanted = false
        var skip = false
        for argument in arguments.prefix(while: { $0 != "--" }) {
            if argument == "--help"
                || argument == "-h" && !chain.contains(where: { $0.flags.contains { $0.short == "h" } })
            {
                wanted = true
            } else if skip {
                skip = false
            } else if argument.hasPrefix("-") {
                let flag = chain.flatMap(\.flags).first {
                    argument == "--\($0.name)" || $0.short.map { argument == "-\($0)" } == true
                }
                skip = flag?.value != nil
            } else if let next = chain[chain.count - 1].subcommands.first(where: { $0.name == argument }) {
                chain.append(next)
            }
        }
        return wanted ? chain.dropFirst().map(\.name) : nil
    }
}

/// One run over a command line.
struct CommandParser {
    private var chain: [CommandSpec]
    private var entries: [String: Invocation.Entry] = [:]
    /// How a flag was written, for messages.
    private var spellings: [String: String] = [:]
    private var words: [String] = []

    init(_ root: CommandSpec) { chain = [root] }

    private var command: CommandSpec { chain[chain.count - 1] }
    private var path: [String] { chain.dropFirst().map(\.name) }
    private var flags: [FlagSpec] { chain.reversed().flatMap(\.flags) }

    mutating func run(
        _ arguments: [String], _ environment: [String: String]
    ) throws(UsageError) -> ParseOutcome {
        var rest = arguments[...]
        var flagsEnded = false
        while let argument = rest.popFirst() {
            if flagsEnded || !argument.hasPrefix("-") || argument == "-" {
                if !flagsEnded, words.isEmpty, argument == "help", isHelpCommand {
                    return .help(path: try helpPath(rest))
                }
                try word(argument, flagsEnded)
            } else if argument == "--" {
                flagsEnded = true
            } else if argument == "--version", !flags.contains(where: { $0.name == "version" }) {
                return .version
            } else if argument.hasPrefix("--") {
                try long(argument, &rest)
            } else {
                try short(argument, &rest)
            }
        }
        if !command.subcommands.isEmpty, !command.runsItself {
            let names = command.visibleSubcommands.map(\.name).joined(separator: ", ")
            throw error(.missingCommand, "a command is missing", "choose one of: \(names)")
        }
        for flag in flags where entries[flag.name] == nil { try fromEnvironment(flag, environment) }
        try checkConflicts()
        for flag in flags where entries[flag.name] == nil { try fromDefault(flag) }
        let arguments = try positionals()
        return .run(
            Invocation(path: path, entries: entries, arguments: arguments, known: Set(flags.map(\.name))))
    }
}

// MARK: - Words

extension CommandParser {
    private var isHelpCommand: Bool {
        !command.subcommands.isEmpty && !command.subcommands.contains { $0.name == "help" }
    }

    private func helpPath(_ words: ArraySlice<String>) throws(UsageError) -> [String] {
        var copy = self
        for word in words where !word.hasPrefix("-") {
            if copy.command.subcommands.isEmpty { break }
            try copy.descend(word)
        }
        return copy.path
    }

    private mutating func word(_ word: String, _ literal: Bool) throws(UsageError) {
        let takesCommand = words.isEmpty && !literal && !command.subcommands.isEmpty
        if takesCommand, command.subcommands.contains(where: { $0.name == word }) || !command.runsItself {
            try descend(word)
        } else {
            words.append(word)
        }
    }

    private mutating func descend(_ word: String) throws(UsageError) {
        guard let next = command.subcommands.first(where: { $0.name == word }) else {
            let names = command.visibleSubcommands.map(\.name)
            let hint =
                Suggestion.closest(to: word, among: names).map { "did you mean \($0)?" }
                ?? "choose one of: \(names.joined(separator: ", "))"
            throw error(.unknownCommand, "unknown command \(word)", hint)
        }
        chain.append(next)
    }

    private func positionals() throws(UsageError) -> [String: [ArgumentValue]] {
        var values: [String: [ArgumentValue]] = [:]
        var rest = words[...]
        for positional in command.positionals {
            let mine = positional.isRepeated ? rest : rest.prefix(1)
            rest = rest.dropFirst(mine.count)
            if mine.isEmpty, !positional.isOptional {
                throw error(
                    .missingPositional, "\(positional.name) is missing", "give \(positional.name): \(positional.help)")
            }
            for word in mine {
                switch ArgumentValue.parse(word, positional.value) {
                case .success(let value): values[positional.name, default: []].append(value)
                case .failure(let fault): throw error(.badValue, "\(positional.name) \(fault.what)", fault.hint)
                }
            }
        }
        if let extra = rest.first {
            let hint =
                command.positionals.isEmpty
                ? "\(commandName) takes no arguments; leave it out"
                : "\(commandName) takes only \(command.positionals.map(\.usage).joined(separator: " "))"
            throw error(.unexpectedPositional, "unexpected argument \(extra)", hint)
        }
        return values
    }
}

// MARK: - Flags

extension CommandParser {
    private mutating func long(_ argument: String, _ rest: inout ArraySlice<String>) throws(UsageError) {
        let equals = argument.firstIndex(of: "=") ?? argument.endIndex
        let name = String(argument[..<equals].dropFirst(2))
        let value = equals == argument.endIndex ? nil : String(argument[argument.index(after: equals)...])
        if let flag = flags.first(where: { $0.name == name }) {
            try set(flag, "--\(name)", value, &rest)
            return
        }
        if name.hasPrefix("no-"), let flag = flags.first(where: { $0.name == name.dropFirst(3) && $0.isNegatable }) {
            if value != nil { throw noValue("--\(name)") }
            store(flag, .bool(false), "--\(name)")
            return
        }
        throw unknown("--\(name)", before: rest)
    }

    private mutating func short(_ argument: String, _ rest: inout ArraySlice<String>) throws(UsageError) {
        var letters = argument.dropFirst()
        while let letter = letters.popFirst() {
            guard let flag = flags.first(where: { $0.short == letter }) else {
                throw unknown("-\(letter)", before: rest)
            }
            let value = letters.first == "=" ? String(letters.dropFirst()) : String(letters)
            if flag.value == nil, letters.first != "=" {
                store(flag, .bool(true), "-\(letter)")
            } else {
                try set(flag, "-\(letter)", letters.isEmpty ? nil : value, &rest)
                return
            }
        }
    }

    private mutating func set(
        _ flag: FlagSpec, _ spelling: String, _ given: String?, _ rest: inout ArraySlice<String>
    ) throws(UsageError) {
        guard let kind = flag.value else {
            if given != nil { throw noValue(spelling) }
            store(flag, .bool(true), spelling)
            return
        }
        if !flag.isRepeated, let earlier = spellings[flag.name] {
            throw error(
                .repeatedFlag, "\(spelling) is given twice", "leave one \(earlier) out; it takes one value only")
        }
        let text: String
        if let given {
            text = given
        } else if let next = rest.first, !next.hasPrefix("-") || next == "-" || Self.isNegative(next, kind) {
            text = next
            rest = rest.dropFirst()
        } else {
            let form = rest.isEmpty ? "\(spelling) \(flag.placeholder)" : "\(spelling)=\(flag.placeholder)"
            throw error(.missingValue, "\(spelling) needs a value", "write \(form)")
        }
        switch ArgumentValue.parse(text, kind) {
        case .success(let value): store(flag, value, spelling)
        case .failure(let fault): throw error(.badValue, "\(spelling) \(fault.what)", fault.hint)
        }
    }

    private static func isNegative(_ text: String, _ kind: ValueKind) -> Bool {
        if case .integer = kind { Int(text) != nil } else { false }
    }

    private mutating func store(_ flag: FlagSpec, _ value: ArgumentValue, _ spelling: String) {
        spellings[flag.name] = spelling
        if flag.isRepeated, entries[flag.name] != nil {
            entries[flag.name]?.values.append(value)
        } else {
            entries[flag.name] = Invocation.Entry(values: [value], origin: .commandLine)
        }
    }

    private mutating func fromEnvironment(
        _ flag: FlagSpec, _ environment: [String: String]
    ) throws(UsageError) {
        guard let variable = flag.environment, let text = environment[variable], !text.isEmpty else { return }
        let values = try parse(text, flag, "the environment variable \(variable)")
        entries[flag.name] = Invocation.Entry(values: values, origin: .environment(variable))
        spellings[flag.name] = variable
    }

    private mutating func fromDefault(_ flag: FlagSpec) throws(UsageError) {
        if let text = flag.defaultValue {
            let values = try parse(text, flag, "the default of --\(flag.name)")
            entries[flag.name] = Invocation.Entry(values: values, origin: .defaultValue)
        } else if flag.isRequired {
            let form = "--\(flag.name) \(flag.placeholder)"
            let hint = flag.environment.map { "give \(form), or set \($0)" } ?? "give \(form)"
            throw error(.missingFlag, "--\(flag.name) is missing", hint)
        }
    }

    private func parse(_ text: String, _ flag: FlagSpec, _ source: String) throws(UsageError) -> [ArgumentValue] {
        guard let kind = flag.value else {
            switch text.lowercased() {
            case "1", "true", "yes", "on": return [.bool(true)]
            case "0", "false", "no", "off": return [.bool(false)]
            default: throw error(.badValue, "\(source) is neither true nor false: \(text)", "set it to true or false")
            }
        }
        var values: [ArgumentValue] = []
        for part in flag.isRepeated ? text.split(separator: ",").map(String.init) : [text] {
            switch ArgumentValue.parse(part, kind) {
            case .success(let value): values.append(value)
            case .failure(let fault): throw error(.badValue, "\(source) \(fault.what)", fault.hint)
            }
        }
        return values
    }

    /// Of two flags that exclude each other, one from the command line wins over one from the environment.
    private mutating func checkConflicts() throws(UsageError) {
        for flag in flags {
            for other in flag.conflicts {
                guard let mine = entries[flag.name], let theirs = entries[other] else { continue }
                switch (mine.origin == .commandLine, theirs.origin == .commandLine) {
                case (true, false): entries[other] = nil
                case (false, true): entries[flag.name] = nil
                default:
                    let (a, b) = (spellings[flag.name] ?? flag.name, spellings[other] ?? other)
                    throw error(.conflictingFlags, "\(a) and \(b) cannot be used together", "leave one of the two out")
                }
            }
        }
    }
}

// MARK: - Errors

extension CommandParser {
    private var commandName: String { chain.map(\.name).joined(separator: " ") }

    private func error(_ code: UsageError.Code, _ what: String, _ hint: String) -> UsageError {
        UsageError(code: code, command: commandName, what: what, hint: hint, usage: HelpText.usage(chain))
    }

    private func noValue(_ spelling: String) -> UsageError {
        error(.unexpectedValue, "\(spelling) takes no value", "write \(spelling) alone")
    }

    /// - Parameter rest: what stands behind it, perhaps the command that it belongs to.
    private func unknown(_ spelling: String, before rest: ArraySlice<String>) -> UsageError {
        let visible = flags.filter { !$0.isHidden }
        let names =
            visible.map { "--\($0.name)" } + visible.filter(\.isNegatable).map { "--no-\($0.name)" } + ["--help"]
        let hint =
            if let owner = command.owner(of: spelling, named: rest) ?? command.owner(of: spelling) {
                "it belongs to a command: write it behind \(commandName) \(owner)"
            } else if spelling.hasPrefix("--"), let close = Suggestion.closest(to: spelling, among: names) {
                "did you mean \(close)?"
            } else {
                "see all flags with \(commandName) --help; write -- before an argument that begins with -"
            }
        return error(.unknownFlag, "unknown flag \(spelling)", hint)
    }
}

extension CommandSpec {
    private func shows(_ spelling: String) -> Bool {
        flags.contains { !$0.isHidden && "--\($0.name)" == spelling }
    }

    /// The path from here, along the commands that the words name, to the first that has the flag.
    fileprivate func owner(of spelling: String, named words: ArraySlice<String>) -> String? {
        var here = self
        var path: [String] = []
        // Words that are no commands are the values of other flags.
        for word in words {
            guard let next = here.visibleSubcommands.first(where: { $0.name == word }) else { continue }
            here = next
            path.append(word)
            if here.shows(spelling) { return path.joined(separator: " ") }
        }
        return nil
    }

    /// The path from here to a command that has the flag.
    fileprivate func owner(of spelling: String) -> String? {
        for command in visibleSubcommands {
            if command.shows(spelling) { return command.name }
            if let deeper = command.owner(of: spelling) { return "\(command.name) \(deeper)" }
        }
        return nil
    }
}
