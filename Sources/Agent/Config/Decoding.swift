import JSON

/// Where a value that is being read was written.
enum ConfigurationSource: Sendable {
    case file(String)
    case flag(String)
    case environment(String)

    func origin(_ position: JSONPosition) -> ConfigurationOrigin {
        switch self {
        case .file(let name): .file(name, line: position.line, column: position.column)
        case .flag(let name): .flag(name)
        case .environment(let name): .environment(name)
        }
    }

    /// The name by which a policy that is written here reports its mistakes.
    var name: String {
        switch self {
        case .file(let name), .flag(let name), .environment(let name): name
        }
    }
}

/// What reading collects: problems and origins. Reading goes on after a problem, so that all are reported at once.
struct Decoding {
    /// Where the values that are being read now were written.
    var source: ConfigurationSource
    /// The text that the values that are being read now stand in.
    var text: [UInt8] = []
    /// The key of the value that is being read now: `services[0].weight`.
    var key = ""
    var issues: [ConfigurationIssue] = []
    var warnings: [ConfigurationIssue] = []
    /// Recorded for refused values too, so that a later check does not call them missing.
    var origins: [String: ConfigurationOrigin] = [:]

    init(source: ConfigurationSource) {
        self.source = source
    }

    mutating func report(
        _ code: ConfigurationIssue.Code, at position: JSONPosition, _ message: String, hint: String? = nil
    ) {
        issues.append(ConfigurationIssue(code, source.origin(position), key, message, hint: hint))
    }

    mutating func wrongType(_ node: JSONNode, _ expected: String, hint: String? = nil) {
        report(.wrongType, at: node.position, "expected \(expected), found \(node.typeName)", hint: hint)
    }

    /// Reads something inside of the current value under its own key.
    mutating func inside<Result>(_ step: String, _ body: (inout Decoding) -> Result) -> Result {
        let outer = key
        key = step.hasPrefix("[") || key.isEmpty ? outer + step : "\(outer).\(step)"
        defer { key = outer }
        return body(&self)
    }

    /// A path as it is used: relative ones in a file start at the file's directory, others at the working directory.
    func resolved(_ path: String) -> String {
        guard case .file(let file) = source else { return path }
        return FilePath.join(FilePath.directory(of: file), path)
    }
}

/// Paths as text, without looking at the file system.
enum FilePath {
    /// Everything before the last slash; empty for a bare name.
    static func directory(of file: String) -> String {
        guard let slash = file.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "" }
        return slash == file.startIndex ? "/" : String(file[..<slash])
    }

    /// `path` seen from `directory`; leading `./` are dropped.
    static func join(_ directory: String, _ path: String) -> String {
        if path.hasPrefix("/") { return path }
        var path = Substring(path)
        while path.hasPrefix("./"), path.utf8.count > 2 { path = path.dropFirst(2) }
        if directory.isEmpty { return String(path) }
        return directory.hasSuffix("/") ? directory + path : "\(directory)/\(path)"
    }
}
