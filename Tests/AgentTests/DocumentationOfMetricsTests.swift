import Foundation
import TestPrograms
import Testing

/// The table of metrics in docs/operations.md, the sources, the alert rules and what pages say of metrics agree.
///
/// That what agents really show agrees with it, too, is looked at wherever an end-to-end test reads their metrics
/// (`TestNode.exposition`).
@Suite struct DocumentationOfMetricsTests {
    /// A family that the sources write.
    private struct Family {
        let name: String
        let type: String
        let help: String
    }

    private static let root = ConfigurationDocumentationTests.root

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// The paths below `directory` that end so.
    private static func files(_ directory: String, _ ending: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: root.appendingPathComponent(directory).path)
            .filter { $0.hasSuffix(ending) }.map { directory + "/" + $0 }.sorted()
    }

    /// Every family, and how many calls write one, so that none is written in a way that is not found here.
    private static func families() throws -> (found: [Family], calls: Int) {
        let call = /writer\.(family|histogram)\(\s*"([a-z_]+)",\s*(?:\.(counter|gauge),\s*)?"([^"]+)"/
        var (found, calls): ([Family], Int) = ([], 0)
        for path in try files("Sources/Agent", ".swift") {
            let source = try text(path)
            calls += source.matches(of: /writer\.(?:family|histogram)\(/).count
            found += source.matches(of: call).map {
                Family(name: String($0.2), type: $0.3.map(String.init) ?? "histogram", help: String($0.4))
            }
        }
        return (found, calls)
    }

    @Test func everyMetricIsInTheTableAndTheOtherWayRound() throws {
        let (families, calls) = try Self.families()
        #expect(families.count == calls && families.count > 100, "found \(families.count) of \(calls)")
        let table = try MetricsTable.published.get()
        for family in families {
            let row = try #require(table[family.name], "\(family.name) is not in docs/operations.md")
            #expect(row.type == family.type, "\(family.name)")
            #expect(row.meaning.hasPrefix(family.help), "\(family.name): \(row.meaning) is not \(family.help)")
        }
        let names = Set(families.map(\.name))
        for row in table.rows { #expect(names.contains(row.name), "nothing shows \(row.name)") }
        #expect(table.rows.map(\.name) == Set(table.rows.map(\.name)).sorted(), "in order, each once")
    }

    /// As Prometheus wants names: counters end in `_total`, and units stand in names.
    @Test func namesSayTypesAndUnits() throws {
        for row in try MetricsTable.published.get().rows {
            #expect(row.name.hasSuffix("_total") == (row.type == "counter"), "\(row.name)")
            let stem = row.type == "counter" ? String(row.name.dropLast("_total".count)) : row.name
            let unit =
                stem.hasSuffix("_timestamp_seconds")
                ? "unix time in seconds"
                : stem.hasSuffix("_seconds") ? "seconds" : stem.hasSuffix("_bytes") ? "bytes" : nil
            if let unit {
                #expect(row.unit == unit, "\(row.name)")
            } else {
                #expect(["count", "a number", "0 or 1", "1"].contains(row.unit), "\(row.name)")
            }
        }
    }

    /// Rules speak of metrics and labels that there are, and some page says what to do about each.
    @Test func alertRulesSpeakOfWhatThereIs() throws {
        let rules = try Self.text("deploy/prometheus/alerts.yml")
        let table = try MetricsTable.published.get()
        for rule in rules.components(separatedBy: "- alert: ").dropFirst() {
            let alert = rule.prefix { $0 != "\n" }
            let expression = try #require(rule.firstMatch(of: /expr: (.*)/)).1
            let rows = try expression.matches(of: /mesh_[a-z_]+/).map { name in
                try #require(table[String(name.output)], "\(name.output) of \(alert)")
            }
            #expect(!rows.isEmpty, "\(alert)")
            for match in expression.matches(of: /(mesh_[a-z_]+)\{([a-z_]+)/) {
                let row = try #require(table[String(match.1)])
                #expect(row.labels.contains(String(match.2)), "\(match.0) of \(alert)")
            }
            let labels = Set(rows.flatMap { $0.labels.union($0.optionalLabels) }).union(["instance"])
            for match in rule.matches(of: /\$labels\.([a-z_]+)/) {
                #expect(labels.contains(String(match.1)), "\(match.0) of \(alert)")
            }
        }
        let pages = try Self.files("docs", ".md").map(Self.text).joined()
        let alerts = Set(rules.matches(of: /alert: (\w+)/).map { String($0.1) })
        let explained = Set(pages.matches(of: /\bMesh[A-Z][A-Za-z]+/).map { String($0.output) })
        #expect(explained.subtracting(["MeshProtocols"]) == alerts)
    }

    /// The rules are well formed, and fire when alerts_test.yml says.
    @Test(arguments: [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]])
    func alertRulesDoWhatTheirTestsSay(_ arguments: [String]) throws {
        let checked = try runProgram(
            "promtool", arguments, in: Self.root.appendingPathComponent("deploy/prometheus").path)
        #expect(checked.status == 0, "\(checked.text)")
    }

    /// What pages call a metric is one, or the beginning of several (`mesh_ocsp_…`, `mesh_ocsp_*`).
    @Test func pagesNameOnlyMetricsThatThereAre() throws {
        let table = try MetricsTable.published.get()
        // An event of the log.
        let others: Set<String> = ["mesh_listener_changed"]
        for path in try Self.files("docs", ".md") + ["README.md", "CHANGELOG.md", "ARCHITECTURE.md"] {
            for match in try Self.text(path).matches(of: /\bmesh_[a-z_]*[a-z](_?…|_\*)?/) where match.1 == nil {
                let name = String(match.0)
                #expect(table[name] != nil || others.contains(name), "\(name) in \(path)")
            }
        }
    }
}
