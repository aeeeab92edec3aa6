import JSON
import Testing

@Suite struct LimitTests {
    @Test(arguments: [JSONDialect.strict, .json5]) func depth64IsAcceptedAnd65Refused(dialect: JSONDialect) throws {
        let deep = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
        _ = try JSONReader.parse(deep, dialect: dialect)
        let error = try #require(throws: JSONError.self) { try JSONReader.parse("[\(deep)]", dialect: dialect) }
        #expect(error.code == .tooDeep)
        #expect(error.column == 65)
        let objects = String(repeating: "{\"a\":", count: 64) + "1" + String(repeating: "}", count: 64)
        _ = try JSONReader.parse(objects, dialect: dialect)
        #expect(throws: JSONError.self) { try JSONReader.parse("[\(objects)]", dialect: dialect) }
    }

    /// Depth is that of nesting, not the number of brackets.
    @Test func siblingsDoNotCount() throws {
        let text = "[" + Array(repeating: "[[]]", count: 1000).joined(separator: ",") + "]"
        _ = try JSONReader.parse(text, limits: JSONLimits(maximumDepth: 3))
        #expect(throws: JSONError.self) { try JSONReader.parse(text, limits: JSONLimits(maximumDepth: 2)) }
    }

    @Test func aMillionBracketsAreRefusedAtOnce() throws {
        let error = try #require(throws: JSONError.self) {
            try JSONReader.parse([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000))
        }
        #expect(error.code == .tooDeep)
    }

    @Test func bytesAreLimited() throws {
        let limits = JSONLimits(maximumBytes: 5)
        #expect(try JSONReader.parse("[1,2]", limits: limits) == [1, 2])
        let error = try #require(throws: JSONError.self) { try JSONReader.parse("[1,23]", limits: limits) }
        #expect(error.code == .tooLarge)
    }

    @Test func valuesAreLimited() throws {
        let limits = JSONLimits(maximumValues: 3)
        #expect(try JSONReader.parse("[1,2]", limits: limits) == [1, 2])
        let error = try #require(throws: JSONError.self) { try JSONReader.parse("[1,2,3]", limits: limits) }
        #expect(error.code == .tooManyValues)
    }
}
