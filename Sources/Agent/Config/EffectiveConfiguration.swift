public import JSON

/// A configuration together with where each of its values comes from.
public struct EffectiveConfiguration: Sendable {
    /// The resolved and checked configuration.
    public let configuration: Configuration
    /// The origin of every value that was given, by its key: `listen.mesh`, `services[0].weight`.
    public let origins: [String: ConfigurationOrigin]
    /// What is not wrong but probably not meant.
    public let warnings: [ConfigurationIssue]
    /// The configuration file as it was named, nil when there was none.
    public let file: String?

    /// One effective value.
    public struct Entry: Sendable, Hashable {
        /// The key: `listen.mesh`, `services[0].weight`.
        public let key: String
        /// The value as people read it, secrets masked.
        public let text: String
        /// Where it comes from.
        public let origin: ConfigurationOrigin
    }

    /// Where a value comes from.
    public func origin(of key: String) -> ConfigurationOrigin {
        origins[key] ?? .default
    }

    /// Every value in the order of the documentation.
    public var entries: [Entry] {
        values.map { Entry(key: $0.key, text: ValueText.text($0.value), origin: origin(of: $0.key)) }
    }

    /// A line for every value: key, value, origin; then the warnings. For `mesh-agent --check`.
    public func describe() -> String { Self.text(entries, warnings: warnings) }

    /// The same for programs: `{"file", "values": [{"key", "value", "origin"}], "warnings": […]}`.
    public func describeJSON() -> JSONValue {
        Self.json(file: file, values: values.map { ($0.key, $0.value) }, origin: origin, warnings: warnings)
    }

    /// A line for every value, and the warnings.
    static func text(_ entries: [Entry], warnings: [ConfigurationIssue]) -> String {
        // One long value shall not push all origins off the screen.
        let widths = (
            entries.map(\.key.count).max() ?? 0, min(48, entries.map(\.text.count).max() ?? 0)
        )
        var text = ""
        for entry in entries {
            text += "\(entry.key.padded(to: widths.0))  \(entry.text.padded(to: widths.1))  \(entry.origin)\n"
        }
        for warning in warnings {
            text += "\nwarning: \(warning)\n"
        }
        return text
    }

    /// File, values with origins, and warnings.
    static func json(
        file: String?, values: [(key: String, value: JSONValue)], origin: (String) -> ConfigurationOrigin,
        warnings: [ConfigurationIssue]
    ) -> JSONValue {
        let values = values.map { entry -> JSONValue in
            ["key": .string(entry.key), "value": entry.value, "origin": origin(entry.key).json]
        }
        return [
            "file": file.map { .string($0) } ?? .null,
            "values": .array(values),
            "warnings": .array(warnings.map(\.json)),
        ]
    }

    private var values: [Field<Configuration>.Entry] {
        ConfigurationTable.root.flatMap { $0.entries(configuration) }.map { entry in
            .init(key: entry.key, value: Self.masked(entry.value))
        }
    }

    /// Free facts whose names speak of secrets are not shown. (No key of ours holds a secret: those stay in files.)
    private static func masked(_ value: JSONValue) -> JSONValue {
        guard let object = value.object else { return value }
        return .object(
            JSONObject(
                object.map { member in
                    let name = member.key.lowercased()
                    let isSecret = ["password", "passphrase", "secret", "token", "apikey"].contains {
                        name.contains($0)
                    }
                    return (member.key, isSecret && member.value.string != nil ? "********" : member.value)
                }))
    }
}

extension ConfigurationOrigin {
    /// The origin for programs.
    public var json: JSONValue {
        switch self {
        case .flag(let name): ["kind": "flag", "name": .string(name)]
        case .environment(let name): ["kind": "environment", "name": .string(name)]
        case .file(let name, let line, let column):
            ["kind": "file", "file": .string(name), "line": JSONValue(line), "column": JSONValue(column)]
        case .default: ["kind": "default"]
        }
    }
}

extension ConfigurationIssue {
    /// The problem for programs.
    public var json: JSONValue {
        [
            "code": .string(code.rawValue), "key": .string(key), "message": .string(message),
            "hint": hint.map { .string($0) } ?? .null, "origin": origin?.json ?? .null,
        ]
    }
}

extension ConfigurationError {
    /// The problems for programs: `{"errors": […]}`.
    public var json: JSONValue {
        ["errors": .array(issues.map(\.json))]
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
