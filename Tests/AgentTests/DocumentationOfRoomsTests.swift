import Foundation
import Testing

/// What ARCHITECTURE.md and the decisions name is there, and rooms import what the table of rooms says.
@Suite struct DocumentationOfRoomsTests {
    private static let root = ConfigurationDocumentationTests.root

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }

    /// Files below a directory with these endings: path → text.
    private static func files(_ directory: String, _ endings: [String]) throws -> [String: String] {
        let paths = try FileManager.default.subpathsOfDirectory(atPath: root.appendingPathComponent(directory).path)
        var texts: [String: String] = [:]
        for path in paths where endings.contains(where: path.hasSuffix) {
            texts[path] = try text(directory + "/" + path)
        }
        return texts
    }

    private static func isDirectory(_ path: String) -> Bool {
        var isDirectory: ObjCBool = false
        let isThere = FileManager.default.fileExists(
            atPath: root.appendingPathComponent(path).path, isDirectory: &isDirectory)
        return isThere && isDirectory.boolValue
    }

    /// The table of rooms: name → what the room imports.
    private static func rooms() throws -> [String: Set<String>] {
        var rooms: [String: Set<String>] = [:]
        for line in try text("ARCHITECTURE.md").split(separator: "\n") where line.hasPrefix("| `") {
            let columns = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard columns.count == 3 || columns.count == 2 else { continue }
            let imports = columns.count == 3 ? columns[2] : ""
            for name in columns[0].matches(of: /`([A-Za-z-]+)`/) {
                rooms[String(name.1)] = Set(imports.matches(of: /[A-Za-z]+/).map { String($0.output) })
            }
        }
        return rooms
    }

    @Test func theTableOfRoomsIsTrue() throws {
        let rooms = try Self.rooms()
        let directories = try FileManager.default.contentsOfDirectory(
            atPath: Self.root.appendingPathComponent("Sources").path)
        #expect(Set(rooms.keys) == Set(directories))
        let system: Set<String> = ["Foundation", "Glibc", "Dispatch", "Synchronization"]
        for (name, said) in rooms where !name.hasPrefix("C") && name.first?.isUppercase == true {
            let sources = try Self.files("Sources/\(name)", [".swift"]).values
            let imports = Set(
                sources.flatMap { $0.matches(of: /(?m)^(?:public |internal |@preconcurrency )*import ([A-Za-z]+)$/) }
                    .map { String($0.1) })
            if said == ["all"] {
                let others = rooms.keys.filter { $0.first?.isUppercase == true && !$0.hasPrefix("C") && $0 != name }
                #expect(imports.isSuperset(of: others), "\(name)")
            } else {
                #expect(imports.subtracting(system) == said, "\(name)")
            }
        }
    }

    /// Types, files and directories that stand in backquotes.
    @Test func whatIsNamedIsThere() throws {
        let sources = try Self.files("Sources", [".swift", ".c", ".h"])
        let names = Set(sources.keys.map { ($0 as NSString).lastPathComponent.split(separator: ".")[0] })
        var types: Set<Substring> = []
        for text in sources.values {
            for match in text.matches(of: /\b(?:struct|class|enum|protocol|actor|typealias) ([A-Z]\w*)/) {
                types.insert(match.1)
            }
        }
        var found = 0
        for match in try Self.text("ARCHITECTURE.md").matches(of: /`([^`\n]+)`/) {
            let word = match.1
            if let directory = try /([A-Z]\w+)\//.wholeMatch(in: word)?.1 {
                #expect(Self.isDirectory("Sources/Agent/\(directory)"), "\(word)")
            } else if word.hasPrefix("+") {
                #expect(names.contains { $0.hasSuffix(word) }, "\(word)")
            } else if try /[A-Z]\w+\+\w+/.wholeMatch(in: word) != nil {
                #expect(names.contains(word), "\(word)")
            } else if let type = try /([A-Z]\w+)(?:\.[A-Za-z]+)?/.wholeMatch(in: word)?.1 {
                #expect(types.contains(type) || Self.isDirectory("Sources/\(type)"), "\(word)")
            } else {
                continue
            }
            found += 1
        }
        #expect(found > 150, "found \(found)")
    }
}
