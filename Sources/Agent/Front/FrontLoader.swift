import JSON

/// Reads a front's configuration: flag before environment before file before default.
public enum FrontLoader {
    /// Reads the files that flags name, flags and environment.
    ///
    /// - Parameters:
    ///   - flags: The text of each flag by its name without dashes: `listen`, `config`, `env-prefix`; see ``FrontFlags``.
    ///   - environment: All variables of the process; only those behind `--env-prefix` are read.
    /// - Throws: ``ConfigurationError`` with everything that is wrong.
    public static func load(
        flags: [String: String], environment: [String: String] = [:]
    ) throws(ConfigurationError) -> EffectiveFront {
        var decoding = Decoding(source: .file(flags["config"] ?? "configuration"))
        var front = FrontConfiguration()
        var settings = FrontSettings()
        if let file = flags["config"], let bytes = contents(file, "--config", &decoding) {
            readFile(bytes, &decoding, &front)
        }
        if let file = flags["import"], let bytes = contents(file, "--import", &decoding) {
            FrontImport.read(bytes, file: file, into: &settings, &decoding)
        }
        if let prefix = flags["env-prefix"] {
            if let problem = FrontEnvironment.problem(prefix) {
                decoding.issues.append(
                    ConfigurationIssue(.badValue, .flag("--env-prefix"), "", problem.message, hint: problem.hint))
            } else {
                FrontEnvironment(prefix: prefix, environment: environment).read(
                    into: &settings, warnings: &decoding.warnings)
            }
        }
        var assembly = FrontAssembly(front, settings, decoding)
        assembly.read(flags: flags)
        assembly.assemble()
        guard assembly.issues.isEmpty else {
            throw ConfigurationError(issues: ConfigurationLoader.inOrder(assembly.issues))
        }
        return EffectiveFront(
            front: assembly.front, origins: assembly.origins,
            warnings: ConfigurationLoader.inOrder(assembly.warnings), file: flags["config"] ?? flags["import"])
    }

    private static func contents(_ file: String, _ flag: String, _ decoding: inout Decoding) -> [UInt8]? {
        do {
            return try SmallFile.read(file, limit: ConfigurationLoader.maximumFileSize)
        } catch {
            decoding.issues.append(
                ConfigurationIssue(
                    .unreadableFile, .flag(flag), "", "\(file): \(error.message)",
                    hint: "look who may read it: namei -l \(file)"))
            return nil
        }
    }

    private static func readFile(_ bytes: [UInt8], _ decoding: inout Decoding, _ front: inout FrontConfiguration) {
        let limits = JSONLimits(
            maximumBytes: ConfigurationLoader.maximumFileSize, maximumDepth: 32, maximumValues: 500_000)
        decoding.text = bytes
        do {
            let document = try JSONReader.parseDocument(bytes, dialect: .json5, limits: limits)
            FieldReader.read(document.root, FrontTable.root, &decoding, &front)
        } catch {
            decoding.report(.badSyntax, at: error.position, error.message)
        }
    }
}
