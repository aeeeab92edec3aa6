import JSON
import Testing

/// Texts that are accepted, each with its value. Categories follow the JSONTestSuite's.
@Suite struct ValidDocumentTests {
    static let strict: [(String, JSONValue)] = [
        // Structure
        ("[]", []), ("{}", [:]), (" [] ", []), ("\t\r\n{ }\n", [:]), ("[[]]", [[]]), ("[{}]", [[:]]),
        ("[[],[[]],[]]", [[], [[]], []]), ("null", nil), ("true", true), ("false", false), ("0", 0), ("\"\"", ""),
        ("\"a\"", "a"), (" 42\n", 42), ("[null, 1, \"1\", {}]", [nil, 1, "1", [:]]), ("[1\n,2]", [1, 2]),
        ("[1\n]", [1]), ("[ 1]", [1]), ("[1,null,null,null,2]", [1, nil, nil, nil, 2]),
        ("[true,false]", [true, false]),
        ("[2] ", [2]), ("[1,\r\n2]", [1, 2]), ("[\"a\",[\"b\",[\"c\"]]]", ["a", ["b", ["c"]]]),
        // Objects
        (#"{"a":1}"#, ["a": 1]), (#"{"a":1,"b":2}"#, ["a": 1, "b": 2]), (#"{"":0}"#, ["": 0]),
        (#"{"a":{"b":{"c":[]}}}"#, ["a": ["b": ["c": []]]]), ("{\n\"a\" : \"b\"\n}", ["a": "b"]),
        (#"{"a":[1,{"a":2}]}"#, ["a": [1, ["a": 2]]]), (#"{"a\u0000b":1}"#, ["a\0b": 1]),
        (#"{"a":"b","A":"B"}"#, ["a": "b", "A": "B"]),
        (#"{"a":null,"aa":null,"aaa":null}"#, ["a": nil, "aa": nil, "aaa": nil]),
        (#"{"\"":1,"\\":2}"#, ["\"": 1, "\\": 2]), (#"{"title":"\u041f\u043e\u043b"}"#, ["title": "Пол"]),
        // Strings
        (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{08}\u{0C}\n\r\t"), (#""\u0041\u00e9\u20AC""#, "Aé€"),
        (#""\uD83D\uDE00""#, "😀"), (#""\ud83d\ude00x""#, "😀x"), (#""\uDBFF\uDFFF""#, "\u{10FFFF}"),
        (#""\uD800\uDC00""#, "\u{10000}"), ("\"😀\"", "😀"), ("\"é\"", "é"), ("\"\u{7F}\"", "\u{7F}"),
        ("\"\u{2028}\u{2029}\"", "\u{2028}\u{2029}"), (#""\u0000""#, "\0"), (#""\u001f""#, "\u{1F}"),
        (#""\u007F""#, "\u{7F}"),
        ("\"\u{FFFF}\u{FFFE}\"", "\u{FFFF}\u{FFFE}"), (#""\uFFFF""#, "\u{FFFF}"), (#""\uFDCF""#, "\u{FDCF}"),
        (#""\u200B""#, "\u{200B}"),
        (#""/* no comment */ // neither""#, "/* no comment */ // neither"), (#""'""#, "'"), (#"" ""#, " "),
        (#""0123456""#, "0123456"), (#""01234567""#, "01234567"), (#""012345678""#, "012345678"),
        (#""0123456789abcdef\n""#, "0123456789abcdef\n"),
        (#""1234567\"8""#, "1234567\"8"), (#""\\u0041""#, "\\u0041"), (#""\\\\""#, "\\\\"), (#""a\\""#, "a\\"),
        ("\"e\u{301}\"", "e\u{301}"), (#""\uFEFF""#, "\u{FEFF}"), ("\"\u{FEFF}\"", "\u{FEFF}"),
        ("\"\u{80}\"", "\u{80}"),
        // Integers
        ("-1", -1), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)), ("10", 10),
        ("9223372036854775808", .number(9223372036854775808)), ("-9223372036854775809", .number(-9223372036854775808)),
        ("18446744073709551615", .number(18_446_744_073_709_551_616)),
        ("18446744073709551616", .number(18446744073709551616)),
        ("100000000000000000000000", .number(1e23)), ("123456789", 123456789), ("-0", .number(-0.0)),
        // Other numbers
        ("0.0", .number(0)), ("-0.0", .number(-0.0)), ("1.0", .number(1)), ("1e0", .number(1)), ("1E1", .number(10)),
        ("1e+2", .number(100)), ("1e-2", .number(0.01)), ("0e1", .number(0)), ("0e+1", .number(0)),
        ("0E-1", .number(0)),
        ("123.456", .number(123.456)), ("-1.5e3", .number(-1500)),
        ("1.7976931348623157e308", .number(1.7976931348623157e308)),
        ("4.9e-324", .number(.leastNonzeroMagnitude)), ("2.2250738585072014e-308", .number(.leastNormalMagnitude)),
        ("1e-400", .number(0)), ("-1e-400", .number(-0.0)),
        ("0.1", .number(0.1)), ("0.3", .number(0.3)), ("1e22", .number(1e22)), ("1e23", .number(1e23)),
        ("9007199254740993.0", .number(9007199254740992)), ("0.1000000000000000055511151231257827", .number(0.1)),
        ("123456789012345678901234567890e-10", .number(12345678901234567890.123456789)),
        ("1e00000000000000000001", .number(10)),
        ("0.000000000000000000000000000000000000000000000000000001", .number(1e-54)),
        ("0e99999999999999999999", .number(0)),
        ("1e-99999999999999999999", .number(0)),
    ]

    @Test(arguments: strict.indices) func strictTextsHaveTheirValues(index: Int) throws {
        let (text, value) = Self.strict[index]
        let parsed = try JSONReader.parse(text)
        #expect(parsed == value, "\(text)")
        if case (.number(let read), .number(let expected)) = (parsed, value) {
            #expect(read.bitPattern == expected.bitPattern, "\(text)")
        }
        #expect(try JSONReader.parseDocument(text).value == value, "\(text)")
    }

    /// Strict JSON is JSON5 as well.
    @Test(arguments: strict.indices) func strictTextsAreJSON5(index: Int) throws {
        let (text, value) = Self.strict[index]
        #expect(try JSONReader.parse(text, dialect: .json5) == value, "\(text)")
    }

    static let json5: [(String, JSONValue)] = [
        // Comments
        ("// a\n1", 1), ("1 // a", 1), ("/* a */ 1 /* b */", 1), ("[1, /* , */ 2]", [1, 2]), ("{/**/}", [:]),
        ("[1 /*/ */]", [1]), ("/***/1", 1), ("1//", 1), ("// é 😀\r[]", []), ("// a\u{2028}1", 1), ("/*\n*\n*/\n1", 1),
        ("{a: 1, // b: 2\n c: 3}", ["a": 1, "c": 3]),
        // Commas
        ("[1,]", [1]), ("[1, 2, ]", [1, 2]), ("{a:1,}", ["a": 1]), ("[[],]", [[]]), ("{\"a\":1 , }", ["a": 1]),
        // Keys
        ("{a: 1}", ["a": 1]), ("{$a_1: 1}", ["$a_1": 1]), ("{_: 1}", ["_": 1]),
        ("{null: 1, true: 2}", ["null": 1, "true": 2]),
        ("{'a b': 1}", ["a b": 1]), ("{größe: 1}", ["größe": 1]), ("{a:{b:{c:1}}}", ["a": ["b": ["c": 1]]]),
        // Strings
        ("'a'", "a"), ("'\"'", "\""), (#"'\''"#, "'"), (#""\'""#, "'"), (#"'\x41\v\0'"#, "A\u{0B}\0"),
        ("'a\\\nb'", "ab"), ("'a\\\r\nb'", "ab"), ("'a\\\rb'", "ab"), ("'a\\\u{2028}b'", "ab"), (#"'\q\é'"#, "qé"),
        ("'0123456789abcdef'", "0123456789abcdef"), (#"'\uD83D\uDE00'"#, "😀"),
        // Numbers
        ("+1", 1), ("+0", 0), (".5", .number(0.5)), ("-.5", .number(-0.5)), ("5.", .number(5)), ("+.5e1", .number(5)),
        ("0x0", 0), ("0xFF", 255), ("-0xff", -255), ("+0X10", 16), ("0x7fffffffffffffff", .integer(.max)),
        ("0xffffffffffffffff", .number(18_446_744_073_709_551_616)), ("5.e1", .number(50)),
        (".12345678901234567890123", .number(0.12345678901234567890123)),
        ("12345678901234567890123.", .number(1.2345678901234567890123e22)),
        ("-.00000000000000000000000000001e-5", .number(-1e-34)),
        ("+12345678901234567890", .number(12_345_678_901_234_567_168)),
        // White space
        ("\u{0B}\u{0C}\u{A0}\u{2028}\u{2029}\u{3000}1", 1), ("[\u{FEFF}1]", [1]),
    ]

    @Test(arguments: json5.indices) func json5TextsHaveTheirValues(index: Int) throws {
        let (text, value) = Self.json5[index]
        let parsed = try JSONReader.parse(text, dialect: .json5)
        #expect(parsed == value, "\(text)")
        if case (.number(let read), .number(let expected)) = (parsed, value) {
            #expect(read.bitPattern == expected.bitPattern, "\(text)")
        }
    }

    /// None of JSON5's liberties is taken in strict texts.
    @Test(arguments: json5.indices) func json5TextsAreRefusedWhenStrict(index: Int) {
        #expect(throws: JSONError.self) { try JSONReader.parse(Self.json5[index].0) }
    }
}
