import Arguments
import JSON

/// Reads a configuration: flag before environment before file before default.
public enum ConfigurationLoader {
    /// Variables that begin with `MESH_` and are not keys: the programs' own.
    public static let otherVariables: Set<String> = [
        "MESH_CONFIG", "MESH_SOCKET", "MESH_TIMEOUT", "MESH_JSON", "MESH_WRITE_DOCS",
    ]

    /// The most bytes of a configuration file: far more than the longest lists need.
    static let maximumFileSize = 16 << 20

    /// Reads a file (nil: none), flags and environment.
    ///
    /// - Parameters:
    ///   - file: The file's path; relative paths in it start at its directory.
    ///   - flags: The text of each flag by its name without dashes (`listen-mesh`).
    ///   - environment: All variables of the process.
    /// - Throws: ``ConfigurationError`` with everything that is wrong.
    public static func load(
        file: String?, flags: [String: String] = [:], environment: [String: String] = [:]
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        guard let file else { return try load(nil, name: nil, flags: flags, environment: environment) }
        let bytes: [UInt8]
        do {
            bytes = try SmallFile.read(file, limit: maximumFileSize)
        } catch {
            let issue = ConfigurationIssue(
                .unreadableFile, nil, "", "\(file): \(error.message)",
                hint: "say with --config where the configuration is")
            throw ConfigurationError(issues: [issue])
        }
        return try load(bytes, name: file, flags: flags, environment: environment)
    }

    /// Reads a file's content (nil: none) under the name `name`, flags and environment.
    ///
    /// - Throws: ``ConfigurationError`` with everything that is wrong.
    public static func load(
        _ bytes: [UInt8]?, name: String?, flags: [String: String] = [:], environment: [String: String] = [:]
    ) throws(ConfigurationError) -> EffectiveConfiguration {
        var decoding = Decoding(source: .file(name ?? "configuration"))
        var configuration = Configuration()
        if let bytes {
            readFile(bytes, &decoding, &configuration)
        }
        readEnvironment(environment, &decoding, &configuration)
        readFlags(flags, &decoding, &configuration)

        let hasSyntaxError = decoding.issues.contains { $0.code == .badSyntax }
        var checks = ConfigurationChecks(configuration, decoding, file: name)
        checks.run()
        var issues = decoding.issues
        // Where the file could not be read at all, what it seems to lack would only distract.
        if !hasSyntaxError { issues += checks.issues }
        guard issues.isEmpty else { throw ConfigurationError(issues: inOrder(issues)) }
        return EffectiveConfiguration(
            configuration: checks.configuration, origins: checks.origins,
            warnings: inOrder(decoding.warnings + checks.warnings), file: name)
    }

    private static func readFile(_ bytes: [UInt8], _ decoding: inout Decoding, _ configuration: inout Configuration) {
        let limits = JSONLimits(maximumBytes: maximumFileSize, maximumDepth: 32, maximumValues: 500_000)
        decoding.text = bytes
        do {
            let document = try JSONReader.parseDocument(bytes, dialect: .json5, limits: limits)
            FieldReader.read(document.root, ConfigurationTable.root, &decoding, &configuration)
        } catch {
            decoding.report(.badSyntax, at: error.position, error.message)
        }
    }

    private static func readEnvironment(
        _ environment: [String: String], _ decoding: inout Decoding, _ configuration: inout Configuration
    ) {
        var known = otherVariables
        #if MESH_FAULTS
            known.insert(PlantedFault.variable)
        #endif
        for (key, field) in ConfigurationTable.rootKeys {
            let variable = key.environment
            known.insert(variable)
            guard let text = environment[variable], !text.isEmpty else { continue }
            decoding.source = .environment(variable)
            read(text, field, &decoding, &configuration)
        }
        for variable in environment.keys.sorted() where variable.hasPrefix("MESH_") && !known.contains(variable) {
            let nearest = Suggestion.closest(to: variable, among: known.sorted())
            decoding.warnings.append(
                ConfigurationIssue(
                    .unknownVariable, .environment(variable), "", "this variable belongs to no key and is ignored",
                    hint: nearest.map { "did you mean \($0)?" }))
        }
    }

    private static func readFlags(
        _ flags: [String: String], _ decoding: inout Decoding, _ configuration: inout Configuration
    ) {
        var known: Set<String> = []
        for (key, field) in ConfigurationTable.rootKeys {
            let flag = key.flag
            known.insert(flag)
            guard let text = flags[flag] else { continue }
            decoding.source = .flag("--\(flag)")
            read(text, field, &decoding, &configuration)
        }
        for flag in flags.keys.sorted() where !known.contains(flag) {
            let nearest = Suggestion.closest(to: flag, among: known.sorted())
            decoding.issues.append(
                ConfigurationIssue(
                    .unknownKey, .flag("--\(flag)"), "", "unknown flag",
                    hint: nearest.map { "did you mean --\($0)?" }))
        }
    }

    /// Reads a flag's or variable's text; it replaces what the file has, with everything inside of it.
    private static func read(
        _ text: String, _ field: Field<Configuration>, _ decoding: inout Decoding,
        _ configuration: inout Configuration
    ) {
        decoding.origins = decoding.origins.filter { !$0.key.hasPrefix("\(field.name)[") }
        decoding.inside(field.name) { decoding in
            decoding.origins[field.name] = decoding.source.origin(JSONPosition(line: 1, column: 1))
            guard let node = field.form.node(text, &decoding) else { return }
            field.read(node, &decoding, &configuration)
        }
    }

    /// Problems in the order of the file, those of variables and flags after them.
    static func inOrder(_ issues: [ConfigurationIssue]) -> [ConfigurationIssue] {
        func rank(_ issue: ConfigurationIssue) -> (Int, Int, Int) {
            switch issue.origin {
            case .file(_, let line, let column): (0, line, column)
            case nil, .default: (1, 0, 0)
            case .environment: (2, 0, 0)
            case .flag: (3, 0, 0)
            }
        }
        let sorted = issues.enumerated().sorted { left, right in
            let (first, second) = (rank(left.element), rank(right.element))
            return first == second ? left.offset < right.offset : first < second
        }
        return sorted.map(\.element)
    }
}
