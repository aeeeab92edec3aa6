import JSON
import SeededRandom
import Testing

@Suite struct WriterTests {
    @Test(
        arguments: [
            (JSONValue.null, "null"), (true, "true"), (.integer(.min), "-9223372036854775808"), (.number(1), "1.0"),
            (.number(-0.0), "-0.0"), (.number(0.1), "0.1"), (.number(1e23), "1e+23"), (.number(.infinity), "null"),
            (.number(.nan), "null"), (.number(.leastNonzeroMagnitude), "5e-324"),
            ("é\u{7F}\u{1F}\"\\/\u{08}\u{0C}\n\r\t\0", #""é\u007F\u001F\"\\/\b\f\n\r\t\u0000""#),
            ([], "[]"), ([:], "{}"), ([1, "a", nil], "[1,\"a\",null]"), (["b": 1, "a": [2]], "{\"b\":1,\"a\":[2]}"),
        ] as [(JSONValue, String)])
    func compactTexts(value: JSONValue, text: String) {
        #expect(value.text() == text)
        #expect(value.serialized(pretty: false) == Array(text.utf8))
    }

    /// Strings are looked at eight bytes at a time: what needs an escape is found at every place of every word.
    @Test(arguments: ["\"", "\\", "\0", "\u{1F}", "\u{7F}", "\n", " ", "!", "é", "\u{80}"] as [Character])
    func escapesAreFoundAtEveryPlace(character: Character) throws {
        for length in 1...25 {
            for place in 0..<length {
                var characters = [Character](repeating: "a", count: length)
                characters[place] = character
                let alone = JSONValue(String(character)).text().dropFirst().dropLast()
                let expected = characters.map { $0 == character ? String(alone) : String($0) }.joined()
                #expect(JSONValue(String(characters)).text() == "\"\(expected)\"")
                #expect(try JSONReader.parse("\"\(expected)\"") == JSONValue(String(characters)))
            }
        }
    }

    @Test func prettyTexts() {
        let value: JSONValue = ["b": 1, "a": [[], [:], ["c": nil]], "é": []]
        #expect(
            value.text(.pretty) == """
                {
                  "b": 1,
                  "a": [
                    [],
                    {},
                    {
                      "c": null
                    }
                  ],
                  "é": []
                }
                """)
    }

    @Test func canonicalTextsDoNotDependOnTheOrder() {
        let one: JSONValue = ["b": ["y": 1, "x": 2], "a": 0, "é": 0, "B": 0]
        let other: JSONValue = ["é": 0, "a": 0, "B": 0, "b": ["x": 2, "y": 1]]
        #expect(one.text(.canonical) == #"{"B":0,"a":0,"b":{"x":2,"y":1},"é":0}"#)
        #expect(one.text(.canonical) == other.text(.canonical))
        #expect(one.text() != other.text())
    }

    @Test func aWriterIsUsedAgain() {
        var writer = JSONWriter()
        writer.write(1)
        writer.write(raw: "\n")
        #expect(writer.take() == Array("1\n".utf8))
        writer.write([2])
        #expect(writer.take() == Array("[2]".utf8))
    }

    @Test(arguments: 0..<100) func whatIsWrittenIsReadBack(seed: UInt64) throws {
        var random = SeededRandom(seed)
        let value = random.value(depth: 4)
        for layout in [JSONWriter.Layout.compact, .pretty] {
            let bytes = value.serialized(layout)
            #expect(try JSONReader.parse(bytes) == value)
            #expect(try JSONReader.parse(bytes).serialized(layout) == bytes)
            #expect(try JSONReader.parse(bytes, dialect: .json5) == value)
            #expect(try JSONReader.parseDocument(bytes).value.serialized(layout) == bytes)
        }
        let canonical = value.serialized(.canonical)
        #expect(try JSONReader.parse(canonical) == value)
        #expect(try JSONReader.parse(canonical).serialized(.canonical) == canonical)
    }

    /// Random bit patterns and random decimal texts agree with the standard library.
    @Test func numbersAreExact() throws {
        var random = SeededRandom(7)
        for _ in 0..<3000 {
            let value = Double(bitPattern: random.next())
            guard value.isFinite else { continue }
            #expect(try JSONReader.parse(JSONValue.number(value).text()) == .number(value))
        }
        for _ in 0..<3000 {
            let digits = String(random.next() >> (random.next() % 60))
            let point = Int(random.next() % UInt64(digits.count)) + 1
            let whole = digits.prefix(point)
            let text = "\(whole).\(digits.dropFirst(point))0e\(Int(random.next() % 80) - 40)"
            #expect(try JSONReader.parse(text) == .number(try #require(Double(text))), "\(text)")
        }
        for _ in 0..<3000 {
            let integer = Int64(bitPattern: random.next()) >> Int64(random.next() % 64)
            #expect(try JSONReader.parse(String(integer)) == .integer(integer))
        }
    }

    /// Changed bytes never crash the reader, and what it accepts it writes and reads again.
    @Test func spoiltTextsAreHarmless() throws {
        var random = SeededRandom(99)
        let punctuation = Array("{}[],:\"\\'/*0e.-u".utf8)
        for _ in 0..<1000 {
            var bytes = random.value(depth: 3).serialized(random.next() % 2 == 0 ? .compact : .pretty)
            for _ in 0...random.next() % 3 {
                guard !bytes.isEmpty else { break }
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                default: bytes.insert(punctuation[Int(random.next() % UInt64(punctuation.count))], at: place)
                }
            }
            for dialect in [JSONDialect.strict, .json5] {
                guard let value = try? JSONReader.parse(bytes, dialect: dialect) else {
                    #expect(throws: JSONError.self) { try JSONReader.parseDocument(bytes, dialect: dialect) }
                    continue
                }
                #expect(try JSONReader.parse(value.serialized()) == value)
                #expect(try JSONReader.parseDocument(bytes, dialect: dialect).value == value)
            }
        }
    }
}

extension SeededRandom {
    mutating func value(depth: Int) -> JSONValue {
        switch next() % (depth == 0 ? 6 : 8) {
        case 0: return .null
        case 1: return .bool(next() % 2 == 0)
        case 2: return .integer(Int64(bitPattern: next()) >> Int64(next() % 64))
        case 3:
            let number = Double(bitPattern: next())
            return .number(number.isFinite ? number : 0.5)
        case 4, 5: return .string(string())
        case 6:
            return .array((0..<next() % 6).map { _ in value(depth: depth - 1) })
        default:
            return .object(JSONObject((0..<next() % 30).map { _ in (string(), value(depth: depth - 1)) }))
        }
    }

    mutating func string() -> String {
        let alphabet: [Unicode.Scalar] = [
            "a", "b", "z", "0", " ", "\"", "\\", "/", "'", "\n", "\t", "\0", "\u{1F}", "\u{7F}", "é", "€", "😀",
            "\u{301}",
            "\u{2028}", "\u{FEFF}", "\u{10FFFF}", "{", "]", ":", ",", "k", "l", "m", "n", "o", "p", "q",
        ]
        var string = ""
        for _ in 0..<next() % 24 {
            string.unicodeScalars.append(alphabet[Int(next() % UInt64(alphabet.count))])
        }
        return string
    }
}
