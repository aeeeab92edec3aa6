import JSON
import Testing

/// Texts that are refused, each with the code of the refusal and its place.
@Suite struct InvalidDocumentTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let bytes: [UInt8]
        let code: JSONError.Code
        let place: String
        var dialect = JSONDialect.strict

        init(_ text: String, _ code: JSONError.Code, _ place: String, _ dialect: JSONDialect = .strict) {
            self.init(bytes: Array(text.utf8), code, place, dialect)
        }

        init(bytes: [UInt8], _ code: JSONError.Code, _ place: String, _ dialect: JSONDialect = .strict) {
            self.bytes = bytes
            self.code = code
            self.place = place
            self.dialect = dialect
        }

        var testDescription: String { String(decoding: bytes.prefix(60), as: UTF8.self).debugDescription }
    }

    static let cases: [Case] = [
        // Nothing there, or half
        Case("", .emptyDocument, "1:1"), Case("  \n ", .emptyDocument, "2:2"),
        Case("// a", .emptyDocument, "1:5", .json5),
        Case("[", .unexpectedEnd, "1:2"), Case("{", .unexpectedEnd, "1:2"), Case("[1", .unexpectedEnd, "1:3"),
        Case("[1,", .unexpectedEnd, "1:4"), Case("[\"a\",\n", .unexpectedEnd, "2:1"),
        Case("{\"a\"", .unexpectedEnd, "1:5"),
        Case("{\"a\":", .unexpectedEnd, "1:6"), Case("{\"a\":1", .unexpectedEnd, "1:7"),
        Case("{\"a\":1,", .unexpectedEnd, "1:8"),
        Case("tru", .unexpectedEnd, "1:4"), Case("n", .unexpectedEnd, "1:2"), Case("[fals", .unexpectedEnd, "1:6"),
        Case("[[[", .unexpectedEnd, "1:4"), Case("[{}", .unexpectedEnd, "1:4"),
        // Structure
        Case("]", .unexpectedCharacter, "1:1"), Case("}", .unexpectedCharacter, "1:1"),
        Case("[}", .unexpectedCharacter, "1:2"),
        Case("{]", .unexpectedCharacter, "1:2"), Case("[1}", .unexpectedCharacter, "1:3"),
        Case("{\"a\":1]", .unexpectedCharacter, "1:7"),
        Case("[1 2]", .unexpectedCharacter, "1:4"), Case("[1\n2]", .unexpectedCharacter, "2:1"),
        Case("[,1]", .unexpectedCharacter, "1:2"),
        Case("[1,,2]", .unexpectedCharacter, "1:4"), Case("[,]", .unexpectedCharacter, "1:2"),
        Case(",", .unexpectedCharacter, "1:1"),
        Case("[1:2]", .unexpectedCharacter, "1:3"), Case("{\"a\",1}", .unexpectedCharacter, "1:5"),
        Case("{\"a\" 1}", .unexpectedCharacter, "1:6"),
        Case("{\"a\":1 \"b\":2}", .unexpectedCharacter, "1:8"), Case("{1:1}", .onlyJSON5, "1:2"),
        Case("{[]:1}", .unexpectedCharacter, "1:2"),
        Case("{,}", .unexpectedCharacter, "1:2"), Case("{\"a\":,}", .unexpectedCharacter, "1:6"),
        Case("{:1}", .unexpectedCharacter, "1:2"),
        Case("{\"a\"::1}", .unexpectedCharacter, "1:6"), Case("{null}", .onlyJSON5, "1:2"),
        Case("[a]", .unexpectedCharacter, "1:2"),
        Case("[1,,]", .unexpectedCharacter, "1:4", .json5), Case("[,]", .unexpectedCharacter, "1:2", .json5),
        Case("{,}", .unexpectedCharacter, "1:2", .json5), Case("{a b:1}", .unexpectedCharacter, "1:4", .json5),
        Case("{1a:1}", .unexpectedCharacter, "1:2", .json5), Case("{a-b:1}", .unexpectedCharacter, "1:3", .json5),
        Case("{\\u0061:1}", .unexpectedCharacter, "1:2", .json5), Case("\u{A0}1", .unexpectedCharacter, "1:1"),
        Case("\u{0C}1", .unexpectedCharacter, "1:1"), Case("[\u{2028}]", .unexpectedCharacter, "1:2"),
        Case("<x/>", .unexpectedCharacter, "1:1"),
        Case("[*]", .unexpectedCharacter, "1:2"), Case("#1", .unexpectedCharacter, "1:1", .json5),
        Case("[\0]", .unexpectedCharacter, "1:2"),
        // Words
        Case("True", .unexpectedCharacter, "1:1"), Case("nul1", .unexpectedCharacter, "1:1"),
        Case("truefalse", .unexpectedCharacter, "1:1"),
        Case("undefined", .unexpectedCharacter, "1:1"), Case("NaN", .numberOutOfRange, "1:1"),
        Case("Infinity", .numberOutOfRange, "1:1", .json5),
        Case("-Infinity", .badNumber, "1:1", .json5), Case("+NaN", .badNumber, "1:1", .json5),
        Case("nil", .unexpectedCharacter, "1:1"),
        // Trailing data
        Case("1 2", .trailingData, "1:3"), Case("[][]", .trailingData, "1:3"), Case("{}}", .trailingData, "1:3"),
        Case("[]]", .trailingData, "1:3"),
        Case("{} \"\"", .trailingData, "1:4"), Case("\"a\"b", .trailingData, "1:4"), Case("[1],", .trailingData, "1:4"),
        Case("1\n\n x", .trailingData, "3:2"), Case("null#", .trailingData, "1:5"), Case("1 \0", .trailingData, "1:3"),
        // Duplicate keys
        Case("{\"a\":1,\"a\":2}", .duplicateKey, "1:8"), Case("{\"a\":1,\n\"b\":1,\n \"a\":1}", .duplicateKey, "3:2"),
        Case("{\"a\":1,\"\\u0061\":2}", .duplicateKey, "1:8"), Case("{\"\\u0061\":1,\"a\":2}", .duplicateKey, "1:13"),
        Case("{a:1,'a':2}", .duplicateKey, "1:6", .json5), Case("[{\"x\":{\"\":0,\"\":0}}]", .duplicateKey, "1:13"),
        Case("{\"é\":1,\"e\u{301}\":2}", .duplicateKey, "1:8"), Case("{\"\u{212A}\":1,\"K\":2}", .duplicateKey, "1:8"),
        // Numbers
        Case("01", .badNumber, "1:1"), Case("-01", .badNumber, "1:1"), Case("00", .badNumber, "1:1"),
        Case("-", .badNumber, "1:2"),
        Case("[-]", .badNumber, "1:3"), Case("- 1", .badNumber, "1:2"), Case("--1", .badNumber, "1:2"),
        Case("+1", .badNumber, "1:1"),
        Case(".5", .badNumber, "1:1"), Case("-.5", .badNumber, "1:2"), Case("5.", .badNumber, "1:3"),
        Case("1.e1", .badNumber, "1:3"),
        Case("1e", .badNumber, "1:3"), Case("1e+", .badNumber, "1:4"), Case("[1E]", .badNumber, "1:4"),
        Case("1e1.5", .badNumber, "1:4"),
        Case("1.2.3", .badNumber, "1:4"), Case("1a", .badNumber, "1:2"), Case("0x10", .badNumber, "1:2"),
        Case("1_000", .badNumber, "1:2"),
        Case("1e400", .numberOutOfRange, "1:1"), Case("[-1e400]", .numberOutOfRange, "1:2"),
        Case("1.8e308", .numberOutOfRange, "1:1"),
        Case("1e99999999999999999999", .numberOutOfRange, "1:1"), Case("0x", .badNumber, "1:3", .json5),
        Case("0xg", .badNumber, "1:3", .json5),
        Case("0x1.8", .badNumber, "1:4", .json5), Case("0x10000000000000000", .numberOutOfRange, "1:1", .json5),
        Case(".", .badNumber, "1:2", .json5), Case("+", .badNumber, "1:2", .json5),
        Case("+-1", .badNumber, "1:2", .json5),
        Case("010", .badNumber, "1:1", .json5), Case("0b1", .badNumber, "1:2", .json5),
        Case("\u{FF11}", .unexpectedCharacter, "1:1"),
        Case("-\u{0661}", .badNumber, "1:2"), Case("1e\u{FF11}", .badNumber, "1:3"),
        Case("- .5", .badNumber, "1:2", .json5),
        // Strings
        Case("\"", .unterminatedString, "1:1"), Case("[\"a", .unterminatedString, "1:2"),
        Case("\"a\\\"", .unterminatedString, "1:1"),
        Case("\"0123456789abcdef", .unterminatedString, "1:1"), Case("'a\"", .unterminatedString, "1:1", .json5),
        Case("\"\\", .badEscape, "1:2"), Case("\"\\q\"", .badEscape, "1:2"), Case("\"a\\x41\"", .badEscape, "1:3"),
        Case("\"\\'\"", .badEscape, "1:2"),
        Case("\"\\u12\"", .badEscape, "1:2"), Case("\"\\uZZZZ\"", .badEscape, "1:2"),
        Case("\"\\u+123\"", .badEscape, "1:2"), Case("\"\\u", .badEscape, "1:2"),
        Case("\"\\U0041\"", .badEscape, "1:2"), Case("\"\\ \"", .badEscape, "1:2"), Case("\"\\\n\"", .badEscape, "1:2"),
        Case("\"\\0\"", .badEscape, "1:2"),
        Case("'\\01'", .badEscape, "1:2", .json5), Case("'\\1'", .badEscape, "1:2", .json5),
        Case("'\\x4'", .badEscape, "1:2", .json5),
        Case("\"\\uD800\"", .loneSurrogate, "1:2"), Case("\"\\uDC00\"", .loneSurrogate, "1:2"),
        Case("\"a\\uD83Dx\"", .loneSurrogate, "1:3"),
        Case("\"\\uD83D\\u0041\"", .loneSurrogate, "1:2"), Case("\"\\uD83D\\uD83D\"", .loneSurrogate, "1:2"),
        Case("\"\\uDE00\\uD83D\"", .loneSurrogate, "1:2"),
        Case("\"\\uD83D\\n\"", .loneSurrogate, "1:2"), Case("\"\\uD83D", .loneSurrogate, "1:2"),
        Case("\"\\uD83D\\u12\"", .badEscape, "1:8"),
        Case("\"a\nb\"", .controlCharacter, "1:3"), Case("\"\t\"", .controlCharacter, "1:2"),
        Case("\"\0\"", .controlCharacter, "1:2"),
        Case("\"01234567\u{1F}\"", .controlCharacter, "1:10"), Case("\"\u{1}\"", .controlCharacter, "1:2", .json5),
        Case("'a\nb'", .controlCharacter, "1:3", .json5), Case("'\\\u{1}'", .controlCharacter, "1:3", .json5),
        Case("{\"a\n\":1}", .controlCharacter, "1:4"),
        Case("\"é\\n\r\"", .controlCharacter, "1:5"),
        // UTF-8
        Case(bytes: [0x22, 0xFF, 0x22], .invalidUTF8, "1:2"), Case(bytes: [0x22, 0x80, 0x22], .invalidUTF8, "1:2"),
        Case(bytes: [0x22, 0x61, 0xC3, 0x22], .invalidUTF8, "1:3"),
        Case(bytes: [0x22, 0xC0, 0x80, 0x22], .invalidUTF8, "1:2"),
        Case(bytes: [0x22, 0xED, 0xA0, 0x80, 0x22], .invalidUTF8, "1:2"),
        Case(bytes: [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], .invalidUTF8, "1:2"),
        Case(bytes: [0x22, 0xC3, 0xA9, 0xE2, 0x82, 0x22], .invalidUTF8, "1:3"),
        Case(bytes: [0x5B, 0xFF, 0x5D], .invalidUTF8, "1:2"),
        Case(bytes: [0xE9, 0x31], .invalidUTF8, "1:1"), Case(bytes: [0x22, 0x5C, 0xE9, 0x22], .badEscape, "1:2"),
        Case(bytes: [0x27, 0x5C, 0xE9, 0x27], .invalidUTF8, "1:3", .json5),
        Case(bytes: [0x2F, 0x2F, 0xE9, 0x0A, 0x31], .invalidUTF8, "1:3", .json5),
        Case(bytes: [0x7B, 0xFF, 0x3A, 0x31, 0x7D], .invalidUTF8, "1:2", .json5),
        // Byte order marks and other encodings
        Case("\u{FEFF}{}", .byteOrderMark, "1:1"), Case(bytes: [0xFF, 0xFE, 0x31, 0x00], .byteOrderMark, "1:1"),
        Case(bytes: [0xFE, 0xFF, 0x00, 0x31], .byteOrderMark, "1:1"), Case(bytes: [0x31, 0x00], .byteOrderMark, "1:1"),
        Case(bytes: [0x00, 0x5B, 0x00, 0x5D], .byteOrderMark, "1:1"), Case("\u{FEFF}{}", .byteOrderMark, "1:1", .json5),
        // JSON5 where strict is asked for
        Case("// a\n1", .onlyJSON5, "1:1"), Case("[1 /* a */]", .onlyJSON5, "1:4"), Case("[1,]", .onlyJSON5, "1:3"),
        Case("{\"a\":1, }", .onlyJSON5, "1:7"),
        Case("{a:1}", .onlyJSON5, "1:2"), Case("{'a':1}", .onlyJSON5, "1:2"), Case("'a'", .onlyJSON5, "1:1"),
        Case("[1]//", .onlyJSON5, "1:4"),
        // Comments
        Case("/* a", .unterminatedComment, "1:1", .json5), Case("[1, /* * ]", .unterminatedComment, "1:5", .json5),
        Case("/", .unexpectedCharacter, "1:1", .json5),
        Case("/1", .unexpectedCharacter, "1:1", .json5), Case("1 /*/", .unterminatedComment, "1:3", .json5),
        Case("1 */", .trailingData, "1:3", .json5),
    ]

    @Test(arguments: cases) func isRefused(_ test: Case) throws {
        let error = try #require(throws: JSONError.self) { try JSONReader.parse(test.bytes, dialect: test.dialect) }
        #expect(error.code == test.code, "\(error)")
        #expect(error.position.description == test.place, "\(error)")
        #expect(!error.message.isEmpty)
        let second = try #require(throws: JSONError.self) {
            try JSONReader.parseDocument(test.bytes, dialect: test.dialect)
        }
        #expect(second == error)
    }

    @Test func theTableIsLargeEnough() {
        #expect(Self.cases.count + ValidDocumentTests.strict.count + ValidDocumentTests.json5.count >= 150)
    }

    /// Strings are looked at eight bytes at a time: no byte is special at one place and missed at another.
    @Test(arguments: 0..<20) func bytesOfStringsAreSeenAtEveryOffset(offset: Int) throws {
        for byte in UInt8(0)...0x7F {
            var bytes = Array("\"abcdefghijklmnopqrst\"".utf8)
            bytes[1 + offset] = byte
            let result = Result { try JSONReader.parse(bytes).string }
            switch byte {
            case 0..<0x20:
                #expect(throws: JSONError.self) { try result.get() }
                if case .failure(let error as JSONError) = result {
                    #expect(error.code == .controlCharacter)
                    #expect(error.column == 2 + offset)
                }
            case UInt8(ascii: "\""):
                #expect(throws: JSONError.self) { try result.get() }
            case UInt8(ascii: "\\"):
                // Some of the letters that follow make an escape.
                let isEscape = "bfnrt".utf8.contains(bytes[2 + offset])
                #expect((try? result.get() != nil) == (isEscape ? true : nil))
            default:
                #expect(try result.get().map { Array($0.utf8) } == Array(bytes[1..<21]))
            }
        }
    }

    /// Every beginning of a valid text is refused, without a crash.
    @Test func everyPrefixIsRefused() throws {
        let text = #"{"a":[1,-2.5e3,"x\u00e9\n€"],"b":{"c":null,"d":true}}"#
        let bytes = Array(text.utf8)
        _ = try JSONReader.parse(bytes)
        for length in 0..<bytes.count {
            for dialect in [JSONDialect.strict, .json5] {
                #expect(throws: JSONError.self) { try JSONReader.parse(Array(bytes[..<length]), dialect: dialect) }
            }
        }
    }

    @Test(arguments: [
        ("[1 2]", "1:4: expected ',' or ']', found '2'"),
        ("{\"a\" 1}", "1:6: expected ':' after the key, found '1'"),
        ("[1", "1:3: expected ',' or ']', found the end of the text"),
        ("[\n\t}", "2:2: expected a value, found '}'"),
        ("[yes]", "1:2: expected a value, found \"yes\"; strings stand in quotation marks"),
        ("[1,]", "1:3: trailing commas are JSON5; this text must be strict JSON"),
        ("{\"a\":1,\"b\":2,\"a\":3}", "1:14: the key \"a\" appears twice (first at 1:2)"),
        ("{} x", "1:4: expected the end of the text after its one value, found 'x'"),
        ("1e400", "1:1: 1e400 is beyond the range of numbers, which ends at ±1.8e308"),
        ("\u{FEFF}{}", "1:1: the text starts with a byte order mark; save it as UTF-8 without one"),
        ("[\u{200B}1]", "1:2: expected a value, found the character U+200B"),
        ("\"a\tb\"", "1:3: a control character inside of a string; write \\t"),
    ])
    func messagesSayWhatWasExpected(text: String, message: String) throws {
        let error = try #require(throws: JSONError.self) { try JSONReader.parse(text) }
        #expect(error.description == message)
    }

    @Test func aDuplicateKeyNamesBothPlaces() throws {
        let text = "{\n  \"name\": 1,\n  \"é\": 2, \"name\": 3\n}"
        let error = try #require(throws: JSONError.self) { try JSONReader.parse(text) }
        #expect(error.position == JSONPosition(line: 3, column: 11))
        #expect(error.related == JSONPosition(line: 2, column: 3))
    }

    /// The filter reads keys eight bytes at a time: keys of every length, and such that differ in their last byte only.
    @Test func keysAreToldApartAtEveryLength() throws {
        for length in 0...40 {
            let key = String(repeating: "k", count: length)
            let others = length == 0 ? ["k"] : [key + "k", key.dropLast() + "l", "l" + key.dropFirst()]
            for other in others where other != key {
                #expect(try JSONReader.parse("{\"\(key)\":1,\"\(other)\":2}").object?.keys == [key, other])
            }
            for second in ["\"\(key)\"", "'\(key)'"] {
                #expect(throws: JSONError.self) {
                    try JSONReader.parse("{\"\(key)\":1,\"x\":0,\(second):2}", dialect: .json5)
                }
            }
        }
    }

    /// Beyond the searched members a dictionary finds duplicates; before them a filter does.
    @Test(arguments: [2, 15, 16, 17, 18, 40, 300]) func duplicatesAreFoundAtEverySize(count: Int) throws {
        for first in Set([0, 1, count / 2, count - 2]) {
            var keys = (0..<count).map { "key\($0)" }
            keys[count - 1] = keys[min(first, count - 2)]
            let text = "{" + keys.map { "\"\($0)\":0" }.joined(separator: ",") + "}"
            let error = try #require(throws: JSONError.self) { try JSONReader.parse(text) }
            #expect(error.code == .duplicateKey)
            #expect(error.related != nil)
        }
        let distinct = "{" + (0..<count).map { "\"key\($0)\":\($0)" }.joined(separator: ",") + "}"
        let object = try #require(try JSONReader.parse(distinct).object)
        #expect((0..<count).allSatisfy { object["key\($0)"] == JSONValue($0) })
    }
}
