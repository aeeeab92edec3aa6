import Arguments
import JSON

/// Reads a front's settings from the `[server]` section of an INI file, as the Itential MCP server has it.
enum FrontImport {
    /// The section that is read; others are the server's own.
    static let section = "server"
    private static let keys: [(key: String, name: FrontSettings.Name)] = [
        ("transport", .transport), ("host", .host), ("port", .port), ("certificate_file", .certificateFile),
        ("private_key_file", .privateKeyFile),
    ]

    /// Reads the file's content, named `file`.
    static func read(
        _ bytes: [UInt8], file: String, into settings: inout FrontSettings, _ decoding: inout Decoding
    ) {
        decoding.source = .file(file)
        let ini: INIFile
        do throws(INIFile.ParseError) {
            ini = try INIFile(parsing: bytes)
        } catch {
            return decoding.report(.badSyntax, at: JSONPosition(line: error.line, column: 1), error.message)
        }
        let entries = ini.entries.filter { $0.section == section }
        if entries.isEmpty {
            let sections = ini.entries.map(\.section).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
            decoding.report(
                .missingKey, at: JSONPosition(line: 1, column: 1), "there is nothing in a section [\(section)]",
                hint: sections.isEmpty
                    ? "write [\(section)] and below it certificate_file = …"
                    : "there is only [\(sections.joined(separator: "], ["))]")
            return
        }
        for entry in entries {
            let position = JSONPosition(line: entry.line, column: entry.column)
            guard let name = keys.first(where: { $0.key == entry.key })?.name else {
                warnAbout(entry, position, &decoding)
                continue
            }
            if entry.value.contains("\n") {
                decoding.inside(entry.key) { $0.report(.badValue, at: position, "has several lines") }
                continue
            }
            if entry.value.isEmpty { continue }
            settings.set(name, .init(text: entry.value, source: .file(file), position: position, rank: .file))
        }
    }

    /// Other keys are the server's own; one that almost is ours is probably a slip.
    private static func warnAbout(_ entry: INIFile.Entry, _ position: JSONPosition, _ decoding: inout Decoding) {
        guard let nearest = Suggestion.closest(to: entry.key, among: keys.map(\.key)) else { return }
        decoding.warnings.append(
            ConfigurationIssue(
                .unknownKey, decoding.source.origin(position), entry.key, "this key is not read",
                hint: "did you mean \(nearest)?"))
    }
}
