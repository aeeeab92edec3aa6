public import JSON

/// A front's configuration together with where each of its values comes from.
public struct EffectiveFront: Sendable {
    /// The resolved and checked configuration.
    public let front: FrontConfiguration
    /// The origin of every value that was given, by its key: `edge.listeners[0].address`, `targets[0].url`.
    public let origins: [String: ConfigurationOrigin]
    /// What is not wrong but probably not meant.
    public let warnings: [ConfigurationIssue]
    /// The configuration file as it was named, nil when there was none.
    public let file: String?

    /// Where a value comes from.
    public func origin(of key: String) -> ConfigurationOrigin { origins[key] ?? .default }

    /// Every value in the order of the documentation.
    public var entries: [EffectiveConfiguration.Entry] {
        values.map { .init(key: $0.key, text: ValueText.text($0.value), origin: origin(of: $0.key)) }
    }

    /// A line for every value: key, value, origin; then the warnings. For `mesh-agent front --check`.
    public func describe() -> String { EffectiveConfiguration.text(entries, warnings: warnings) }

    /// The same for programs: `{"file", "values": [{"key", "value", "origin"}], "warnings": […]}`.
    public func describeJSON() -> JSONValue {
        EffectiveConfiguration.json(
            file: file, values: values.map { ($0.key, $0.value) }, origin: origin, warnings: warnings)
    }

    private var values: [Field<FrontConfiguration>.Entry] { FrontTable.root.flatMap { $0.entries(front) } }
}
