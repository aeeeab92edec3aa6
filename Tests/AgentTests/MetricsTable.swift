import Foundation

/// The table of metrics in docs/operations.md, as tests read it.
struct MetricsTable: Sendable {
    /// What the table says of a metric.
    struct Row: Sendable {
        let name: String
        /// `counter`, `gauge` or `histogram`.
        let type: String
        /// Labels that every sample has.
        let labels: Set<String>
        /// Labels that only some samples have; in brackets in the table.
        let optionalLabels: Set<String>
        let unit: String
        /// Begins with the text of the metric's HELP.
        let meaning: String
    }

    /// In the table's order.
    let rows: [Row]
    private let byName: [String: Row]

    /// The table as it is published.
    static let published = Result {
        try MetricsTable(
            String(
                contentsOf: ConfigurationDocumentationTests.root.appendingPathComponent("docs/operations.md"),
                encoding: .utf8))
    }

    /// Reads the rows whose first column is a metric's name, of five columns each.
    init(_ document: String) throws {
        let lines = document.split(separator: "\n").filter { $0.hasPrefix("| `mesh_") || $0.hasPrefix("| `process_") }
        rows = try lines.map { line in
            let columns = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard columns.count == 5 else { throw Malformed(line: String(line)) }
            let labels = columns[2].matches(of: /(\(?)`([a-z_]+)`/)
            return Row(
                name: columns[0].trimmingCharacters(in: ["`"]), type: columns[1],
                labels: Set(labels.filter { $0.output.1.isEmpty }.map { String($0.output.2) }),
                optionalLabels: Set(labels.filter { !$0.output.1.isEmpty }.map { String($0.output.2) }),
                unit: columns[3], meaning: columns[4])
        }
        byName = Dictionary(rows.map { ($0.name, $0) }) { first, _ in first }
    }

    /// What the table says of a metric; nil where it has none of this name.
    subscript(_ name: String) -> Row? { byName[name] }

    /// Where an exposition (text format 0.0.4) and the table differ: names, types, help and labels.
    func problems(in exposition: String) -> [String] {
        var problems: [String] = []
        for line in exposition.split(separator: "\n") {
            let words = line.split(separator: " ", maxSplits: 3)
            switch (words.first, words.count > 1 ? words[1] : "") {
            case ("#", "HELP"):
                let isMeant = self[String(words[2])]?.meaning.hasPrefix(words[3]) ?? false
                if !isMeant { problems.append("the table does not say so: \(line)") }
            case ("#", "TYPE"):
                if self[String(words[2])]?.type != String(words[3]) {
                    problems.append("the table does not say so: \(line)")
                }
            default:
                if let problem = sampleProblem(line) { problems.append(problem) }
            }
        }
        return problems
    }

    private func sampleProblem(_ line: Substring) -> String? {
        let name = String(line.prefix { $0 != "{" && $0 != " " })
        var found = Self.labels(line.dropFirst(name.count))
        var row = self[name]
        if row == nil, let family = ["_bucket", "_sum", "_count"].first(where: name.hasSuffix) {
            row = self[String(name.dropLast(family.count))].flatMap { $0.type == "histogram" ? $0 : nil }
            found.remove("le")
        }
        guard let row else { return "not in the table: \(line)" }
        return found.isSuperset(of: row.labels) && found.isSubset(of: row.labels.union(row.optionalLabels))
            ? nil : "the table has other labels: \(line)"
    }

    /// The names of a sample's labels. By hand: this runs for every line that is fetched, in debug builds, too.
    private static func labels(_ text: Substring) -> Set<String> {
        var labels: Set<String> = []
        var name = ""
        var isQuoted = false
        var isEscaped = false
        for character in text.unicodeScalars {
            if isQuoted {
                if !isEscaped, character == "\"" { isQuoted = false }
                isEscaped = !isEscaped && character == "\\"
                continue
            }
            switch character {
            case "{", ",": name = ""
            case "=": labels.insert(name)
            case "\"": isQuoted = true
            case "}": return labels
            default: name.unicodeScalars.append(character)
            }
        }
        return labels
    }

    /// A row that does not have five columns.
    struct Malformed: Error { let line: String }
}
