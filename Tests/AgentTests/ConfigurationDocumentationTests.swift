import Agent
import Foundation
import JSON
import Testing

/// The published texts follow the table of keys, and the table follows its own rules.
@Suite struct ConfigurationDocumentationTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// `MESH_WRITE_DOCS=1 swift test --filter ConfigurationDocumentationTests` writes the files anew.
    private func expectCurrent(_ path: String, _ text: String) throws {
        let file = Self.root.appendingPathComponent(path)
        if ProcessInfo.processInfo.environment["MESH_WRITE_DOCS"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOf: file, encoding: .utf8) == text, "\(path) is not current")
    }

    @Test func theDocumentationIsCurrent() throws {
        try expectCurrent("docs/configuration.md", ConfigurationDocumentation.markdown)
    }

    @Test func theSchemaIsCurrent() throws {
        try expectCurrent("docs/mesh.schema.json", ConfigurationSchema.text)
    }

    @Test(arguments: ["mesh.json", "node-2.json"]) func theSampleConfigurationIsValid(_ name: String) throws {
        let path = Self.root.appendingPathComponent(name).path
        let loaded = try ConfigurationLoader.load(file: path)
        #expect(loaded.warnings.isEmpty)
        let isFirst = name == "mesh.json"
        #expect(loaded.configuration.node.name == (isFirst ? "node-1" : "node-2"))
        // No key is copied: one node serves the CA, the other joins with a token.
        #expect(loaded.configuration.ca.isServed == isFirst)
        #expect((loaded.configuration.identity.join.tokenFile == nil) == isFirst)
        let policy = try #require(loaded.configuration.policy.file)
        _ = try JSONReader.parseDocument([UInt8](Data(contentsOf: URL(fileURLWithPath: policy))), dialect: .json5)
    }

    /// The sample and a file with every key, held against the published schema.
    @Test func theSchemaDescribesTheSample() throws {
        for name in ["mesh.json", "node-2.json"] {
            let sample = try Data(contentsOf: Self.root.appendingPathComponent(name))
            let value = try JSONReader.parse([UInt8](sample), dialect: .json5)
            #expect(SchemaCheck.problems(value, ConfigurationSchema.document) == [], "\(name)")
        }
        #expect(SchemaCheck.problems(["nod": [:]], ConfigurationSchema.document) == ["nod: not allowed"])
        #expect(
            SchemaCheck.problems(["services": [["name": "a", "weight": 0]]], ConfigurationSchema.document)
                == ["services[0].weight: below the minimum", "services[0].target: missing"])
    }

    @Test func flagsAndVariablesAreUnique() {
        let keys = ConfigurationTable.keys.filter { !$0.isElement }
        #expect(Set(keys.map(\.flag)).count == keys.count)
        #expect(Set(keys.map(\.environment)).count == keys.count)
        let names = Dictionary(uniqueKeysWithValues: keys.map { ($0.name, $0) })
        #expect(names["node.stateDirectory"]?.flag == "node-state-directory")
        #expect(names["node.stateDirectory"]?.environment == "MESH_NODE_STATE_DIRECTORY")
        #expect(names["limits.maxConnectionsPerUpstream"]?.flag == "limits-max-connections-per-upstream")
        #expect(names["identity.pkcs12"]?.environment == "MESH_IDENTITY_PKCS12")
        #expect(names["directory.serve"]?.isBoolean == true)
    }

    /// Every default that is written as a value can be given as that value.
    @Test func defaultsAreLegalValues() throws {
        for key in ConfigurationTable.keys where !key.isElement && !key.isRequired {
            guard key.defaultText != "none", !key.defaultText.contains(" "), !key.defaultText.contains("`") else {
                continue
            }
            let loaded = try ConfigurationFixture.load(
                ConfigurationFixture.text(""), flags: [key.flag: key.defaultText])
            #expect(loaded.entries.first { $0.key == key.name }?.text == key.defaultText)
        }
    }

    @Test func everyKeyIsDescribed() {
        for key in ConfigurationTable.keys {
            #expect(key.summary.count > 10)
            #expect(key.summary.hasSuffix("."), "\(key.name)")
            #expect(!key.type.isEmpty)
            #expect(!key.defaultText.isEmpty)
        }
    }
}

/// As much of JSON Schema as the published schema uses, patterns aside.
enum SchemaCheck {
    static func problems(_ value: JSONValue, _ schema: JSONValue, _ path: String = "") -> [String] {
        if let any = schema["anyOf"]?.array ?? schema["oneOf"]?.array {
            let results = any.map { problems(value, $0, path) }
            return results.contains([]) ? [] : results[0]
        }
        var found: [String] = []
        if let type = schema["type"]?.string, type != name(value) { return ["\(path): not \(type)"] }
        if let words = schema["enum"]?.array, !words.contains(value) { found.append("\(path): not in enum") }
        if let minimum = schema["minimum"]?.integer, let integer = value.integer, integer < minimum {
            found.append("\(path): below the minimum")
        }
        if let maximum = schema["maximum"]?.integer, let integer = value.integer, integer > maximum {
            found.append("\(path): above the maximum")
        }
        for (index, element) in (value.array ?? []).enumerated() {
            found += problems(element, schema["items"] ?? [:], "\(path)[\(index)]")
        }
        for member in value.object ?? [:] {
            let inner = path.isEmpty ? member.key : "\(path).\(member.key)"
            if let property = schema["properties"]?[member.key] {
                found += problems(member.value, property, inner)
            } else if schema["additionalProperties"] == false {
                found.append("\(inner): not allowed")
            }
        }
        for key in schema["required"]?.array ?? [] where value[key.string ?? ""] == nil {
            found.append("\(path).\(key.string ?? ""): missing")
        }
        return found
    }

    private static func name(_ value: JSONValue) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }
}
