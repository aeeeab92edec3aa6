import Agent
import Foundation
import Testing

/// Where a page names a key's value in passing, `links.pingInterval` (10 s), it is the default of the table.
@Suite struct DocumentationOfDefaultsTests {
    /// A quantity in its smallest unit: "10 s", "10s", "1h30m", "512 MiB", "100,000"; nil for other words.
    private static func amount(_ text: some StringProtocol) -> Int? {
        let units: [String: Int] = [
            "": 1, "ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "day": 86_400_000,
            "days": 86_400_000, "w": 604_800_000, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
        ]
        var rest = Substring(text.filter { $0 != "," })
        var sum = 0
        repeat {
            guard let part = rest.prefixMatch(of: /(\d+) ?([A-Za-z]*)/), let number = Int(part.1),
                let unit = units[String(part.2)]
            else { return nil }
            sum += number * unit
            rest = rest[part.range.upperBound...]
        } while !rest.isEmpty
        return sum
    }

    @Test func amountsAreRead() {
        #expect(Self.amount("24 h") == Self.amount("1d"))
        #expect(Self.amount("1h30m") == 5_400_000)
        #expect(Self.amount("100,000") == 100_000)
        #expect(Self.amount("512 MiB") == Self.amount("512MiB"))
        #expect(Self.amount("docs/tls.md") == nil && Self.amount("") == nil && Self.amount("3 or 4") == nil)
    }

    @Test func theyAreThoseOfTheTable() throws {
        let root = ConfigurationDocumentationTests.root
        let defaults = Dictionary(ConfigurationTable.keys.map { ($0.name, $0.defaultText) }) { first, _ in first }
        let pages = try FileManager.default.contentsOfDirectory(atPath: root.appendingPathComponent("docs").path)
            .filter { $0.hasSuffix(".md") && $0 != "configuration.md" }.map { "docs/" + $0 }
        var found = 0
        for page in pages + ["README.md"] {
            let text = try String(contentsOf: root.appendingPathComponent(page), encoding: .utf8)
            for match in text.matches(of: /`([a-zA-Z.\[\]]+)` \(([^)`]+)\)/) {
                guard let said = Self.amount(match.2), let text = defaults[String(match.1)] else { continue }
                #expect(said == Self.amount(text), "\(match.0) in \(page): the default is \(text)")
                found += 1
            }
        }
        #expect(found >= 10, "found \(found)")
    }
}
