/// A command line that was understood.
public struct Invocation: Sendable, Equatable {
    /// Where a value came from.
    public enum Origin: Sendable, Hashable {
        /// The command line.
        case commandLine
        /// That environment variable.
        case environment(String)
        /// The table.
        case defaultValue
    }

    struct Entry: Sendable, Equatable {
        var values: [ArgumentValue]
        var origin: Origin
    }

    /// The subcommands' names from the outermost in; empty for the program itself.
    public internal(set) var path: [String]
    /// Values by flag name.
    var entries: [String: Entry]
    /// Values by the name of the positional argument.
    var arguments: [String: [ArgumentValue]]
    /// Names that the command knows, so that asking for another is a mistake that shows at once.
    var known: Set<String>

    /// Where the flag's value came from; nil where it has none.
    public func origin(_ flag: String) -> Origin? { entry(flag)?.origin }

    /// Whether a switch is on.
    public func isOn(_ flag: String) -> Bool { entry(flag)?.values.last == .bool(true) }

    /// The setting of a negatable switch; nil where neither form was given.
    public func bool(_ flag: String) -> Bool? {
        if case .bool(let flag)? = entry(flag)?.values.last { flag } else { nil }
    }

    /// The text of a flag, path and choice included; nil where it was not given and has no default.
    public func string(_ flag: String) -> String? { strings(flag).last }

    /// The texts of a repeated flag.
    public func strings(_ flag: String) -> [String] { entry(flag)?.values.compactMap(\.string) ?? [] }

    /// The number of a flag.
    public func integer(_ flag: String) -> Int? {
        if case .integer(let number)? = entry(flag)?.values.last { number } else { nil }
    }

    /// The span of time of a flag.
    public func duration(_ flag: String) -> Duration? {
        if case .duration(let duration)? = entry(flag)?.values.last { duration } else { nil }
    }

    /// All values of a flag.
    public func values(_ flag: String) -> [ArgumentValue] { entry(flag)?.values ?? [] }

    /// The text of a positional argument; nil where an optional one was left out.
    public func positional(_ name: String) -> String? { positionals(name).first }

    /// The texts of a repeated positional argument.
    public func positionals(_ name: String) -> [String] { arguments[name]?.compactMap(\.text) ?? [] }

    /// The values of a positional argument.
    public func positionalValues(_ name: String) -> [ArgumentValue] { arguments[name] ?? [] }

    private func entry(_ flag: String) -> Entry? {
        assert(known.contains(flag), "the command has no flag --\(flag)")
        return entries[flag]
    }
}

extension ArgumentValue {
    var string: String? { if case .string(let text) = self { text } else { nil } }

    /// Any value as text.
    public var text: String? {
        switch self {
        case .string(let text): text
        case .integer(let number): String(number)
        case .duration(let duration): DurationText.format(duration)
        case .bool(let flag): flag ? "true" : "false"
        }
    }
}
