import JSON
import Testing

@Suite struct PositionTests {
    @Test func everyKeyAndValueKnowsItsPlace() throws {
        let text = "{\n  // é\n  name: 'x', list: [1,\r\n\t2,\r3],\n  \"é\": {a: null} }"
        let document = try JSONReader.parseDocument(text, dialect: .json5)
        #expect(document.root.position.description == "1:1")
        #expect(document.keyPosition(of: ["name"])?.description == "3:3")
        #expect(document.position(of: ["name"])?.description == "3:9")
        #expect(document.keyPosition(of: ["list"])?.description == "3:14")
        #expect(document.position(of: ["list"])?.description == "3:20")
        #expect(document.position(of: ["list", 0])?.description == "3:21")
        #expect(document.position(of: ["list", 1])?.description == "4:2")
        #expect(document.position(of: ["list", 2])?.description == "5:1")
        #expect(document.position(of: ["é"])?.description == "6:8")
        #expect(document.keyPosition(of: ["é", "a"])?.description == "6:9")
        #expect(document.position(of: ["é", "a"])?.description == "6:12")
        #expect(document.position(of: ["list", 3]) == nil)
        #expect(document.position(of: ["name", "x"]) == nil)
        #expect(document.keyPosition(of: ["list", 0]) == nil)
        #expect(document.keyPosition(of: []) == nil)
    }

    /// Columns count characters, not bytes and not UTF-16 units.
    @Test func columnsAreCharacters() throws {
        let document = try JSONReader.parseDocument("[\"😀é€\", 1]")
        #expect(document.position(of: [1])?.description == "1:9")
    }

    @Test func rangesAreTheBytesOfTheValue() throws {
        let text = "  {\"é\": [1, \"x\\n\"], \"b\": true, \"c\": -1.5e3 , \"d\":null}\n"
        let bytes = Array(text.utf8)
        let root = try JSONReader.parseDocument(bytes).root
        func source(_ node: JSONNode?) -> String? { node.map { String(decoding: bytes[$0.range], as: UTF8.self) } }
        #expect(source(root) == text.trimmingSpaces)
        #expect(source(root["é"]) == "[1, \"x\\n\"]")
        #expect(source(root["é"]?[1]) == "\"x\\n\"")
        #expect(source(root["b"]) == "true")
        #expect(source(root["c"]) == "-1.5e3")
        #expect(source(root["d"]) == "null")
    }

    @Test func nodesSayWhatTheyAreNot() throws {
        let root = try JSONReader.parseDocument("{\"a\": 5,\n \"b\": [\"x\", 1], \"c\": 1.5}").root
        #expect(try root.require("a").requireInteger() == 5)
        #expect(try root.require("a").requireInteger(in: 1...5) == 5)
        let range = try #require(throws: JSONError.self) { try root.require("a").requireInteger(in: 6...9) }
        #expect(range.description == "1:7: expected an integer from 6 to 9, found 5")
        let type = try #require(throws: JSONError.self) { try root.require("a").requireString() }
        #expect(type.description == "1:7: expected a string, found an integer")
        let element = try #require(throws: JSONError.self) { try root.require("b").requireStrings() }
        #expect(element.description == "2:13: expected a string, found an integer")
        let missing = try #require(throws: JSONError.self) { try root.require("z") }
        #expect(missing.code == .missingMember)
        let fraction = try #require(throws: JSONError.self) { try root.require("c").requireInteger() }
        #expect(fraction.description == "2:22: expected an integer, found a number with fraction or exponent")
        #expect(throws: JSONError.self) { try root.requireArray() }
        #expect(throws: JSONError.self) { try root.require("a").requireBool() }
        #expect(throws: JSONError.self) { try root.require("a").require("b") }
    }
}

extension String {
    fileprivate var trimmingSpaces: String {
        String(drop { $0 == " " }).split(separator: "\n").joined()
    }
}
