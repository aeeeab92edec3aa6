/// A command of a program: its flags, positional arguments and subcommands, as a table.
///
/// Parsing, help, completion scripts and the man page are all made from it, so they cannot disagree.
public struct CommandSpec: Sendable, Hashable {
    /// The word on the command line; for the root, the program's name.
    public var name: String
    /// One line: what it does.
    public var summary: String
    /// Further paragraphs, for help and man page; separated by empty lines.
    public var discussion: String
    /// Its flags. Subcommands understand them too.
    public var flags: [FlagSpec]
    /// Its positional arguments, in order. Only the last may be repeated, and none required may follow an optional one.
    public var positionals: [PositionalSpec]
    /// Its subcommands. A command that has some cannot be run itself unless `runsItself`.
    public var subcommands: [CommandSpec]
    /// Command lines that show how it is used.
    public var examples: [Example]
    /// Left out of help and completion.
    public var isHidden: Bool
    /// Whether it can be run without a subcommand although it has some.
    public var runsItself: Bool

    /// A command line and what it does.
    public struct Example: Sendable, Hashable {
        /// The whole command line, with the program's name.
        public let line: String
        /// What it does.
        public let text: String

        /// An example.
        public init(_ line: String, _ text: String) {
            self.line = line
            self.text = text
        }
    }

    /// A command.
    public init(
        _ name: String, _ summary: String, discussion: String = "", flags: [FlagSpec] = [],
        positionals: [PositionalSpec] = [], subcommands: [CommandSpec] = [], examples: [Example] = [],
        isHidden: Bool = false, runsItself: Bool = false
    ) {
        self.name = name
        self.summary = summary
        self.discussion = discussion
        self.flags = flags
        self.positionals = positionals
        self.subcommands = subcommands
        self.examples = examples
        self.isHidden = isHidden
        self.runsItself = runsItself
    }
}

/// What a value must look like.
public enum ValueKind: Sendable, Hashable {
    /// Any text.
    case string
    /// A whole number in a range.
    case integer(ClosedRange<Int>)
    /// A span of time such as `30s`, `5m`, `24h`, `90d`, `1h30m`.
    case duration
    /// A file; completed as such.
    case path
    /// One of these words. `instead` has hints for words that somebody may expect among them, by word.
    case choice([String], instead: [String: String] = [:])

    /// Any whole number.
    public static let integer = ValueKind.integer(Int.min...Int.max)
}

/// A flag: `--name`, with a value or as a switch.
public struct FlagSpec: Sendable, Hashable {
    /// The long name without dashes.
    public var name: String
    /// A letter for `-x`.
    public var short: Character?
    /// What its value looks like; nil for a switch.
    public var value: ValueKind?
    /// How help names the value: `FILE`, `DURATION`.
    public var placeholder: String
    /// What it does, in a phrase.
    public var help: String
    /// Text of the value that holds without it. Parsed like any other.
    public var defaultValue: String?
    /// Environment variable that stands for it where it is not given.
    public var environment: String?
    /// Whether it must be given (or its variable set).
    public var isRequired: Bool
    /// Whether it may be given several times, each adding a value.
    public var isRepeated: Bool
    /// Switches only: whether `--no-name` exists.
    public var isNegatable: Bool
    /// Left out of help and completion.
    public var isHidden: Bool
    /// Names of flags that cannot be given together with it.
    public var conflicts: [String]

    /// A flag with a value.
    public init(
        _ name: String, short: Character? = nil, _ value: ValueKind, placeholder: String? = nil, _ help: String,
        default defaultValue: String? = nil, environment: String? = nil, isRequired: Bool = false,
        isRepeated: Bool = false, isHidden: Bool = false, conflicts: [String] = []
    ) {
        self.name = name
        self.short = short
        self.value = value
        self.placeholder = placeholder ?? value.placeholder
        self.help = help
        self.defaultValue = defaultValue
        self.environment = environment
        self.isRequired = isRequired
        self.isRepeated = isRepeated
        self.isNegatable = false
        self.isHidden = isHidden
        self.conflicts = conflicts
    }

    /// A switch: off unless given.
    public init(
        switch name: String, short: Character? = nil, _ help: String, environment: String? = nil,
        isNegatable: Bool = false, isHidden: Bool = false, conflicts: [String] = []
    ) {
        self.name = name
        self.short = short
        self.value = nil
        self.placeholder = ""
        self.help = help
        self.defaultValue = nil
        self.environment = environment
        self.isRequired = false
        self.isRepeated = false
        self.isNegatable = isNegatable
        self.isHidden = isHidden
        self.conflicts = conflicts
    }
}

/// A positional argument.
public struct PositionalSpec: Sendable, Hashable {
    /// How help names it, in capitals: `NODE`. Also the key of its values.
    public var name: String
    /// What it is, in a phrase.
    public var help: String
    /// What it looks like.
    public var value: ValueKind
    /// Whether it may be left out.
    public var isOptional: Bool
    /// Whether it takes all that are left.
    public var isRepeated: Bool

    /// A positional argument.
    public init(
        _ name: String, _ help: String, _ value: ValueKind = .string, isOptional: Bool = false, isRepeated: Bool = false
    ) {
        self.name = name
        self.help = help
        self.value = value
        self.isOptional = isOptional
        self.isRepeated = isRepeated
    }

    /// As in a usage line: `NODE`, `[NODE]`, `NODE…`.
    var usage: String {
        let text = isRepeated ? "\(name)..." : name
        return isOptional ? "[\(text)]" : text
    }
}

extension ValueKind {
    /// How help names a value of this kind where nothing better is given.
    public var placeholder: String {
        switch self {
        case .string: "TEXT"
        case .integer: "N"
        case .duration: "DURATION"
        case .path: "FILE"
        case .choice(let words, _): words.joined(separator: "|")
        }
    }
}

extension CommandSpec {
    /// The command that these words lead to from here, with itself and all in between.
    func chain(_ path: some Sequence<String>) -> [CommandSpec] {
        var chain = [self]
        for name in path {
            guard let next = chain[chain.count - 1].subcommands.first(where: { $0.name == name }) else { break }
            chain.append(next)
        }
        return chain
    }

    /// Subcommands that are shown.
    var visibleSubcommands: [CommandSpec] { subcommands.filter { !$0.isHidden } }

    /// Flags that are shown.
    var visibleFlags: [FlagSpec] { flags.filter { !$0.isHidden } }
}
