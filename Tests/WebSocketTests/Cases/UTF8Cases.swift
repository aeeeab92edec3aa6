/// Valid and invalid UTF-8 (RFC 3629), in the categories that test suites for it use.
struct UTF8Sample: Sendable {
    let name: String
    let bytes: [UInt8]
    /// Index of the first byte after which no continuation can be valid; nil if the text is valid, `bytes.count` if it is
    /// only incomplete.
    let failsAt: Int?

    static func valid(_ name: String, _ bytes: [UInt8]) -> UTF8Sample { .init(name: name, bytes: bytes, failsAt: nil) }

    static func invalid(_ name: String, _ bytes: [UInt8], at index: Int) -> UTF8Sample {
        .init(name: name, bytes: bytes, failsAt: index)
    }

    static func incomplete(_ name: String, _ bytes: [UInt8]) -> UTF8Sample {
        .init(name: name, bytes: bytes, failsAt: bytes.count)
    }

    /// "κόσμε", which the classical stress test is built around.
    static let kosme: [UInt8] = [0xCE, 0xBA, 0xE1, 0xBD, 0xB9, 0xCF, 0x83, 0xCE, 0xBC, 0xCE, 0xB5]
    private static let edited = Array("edited".utf8)

    static let all: [UTF8Sample] = validSamples + invalidSamples + incompleteSamples

    static let validSamples: [UTF8Sample] = [
        .valid("empty", []),
        .valid("ASCII", Array("Hello-World".utf8)),
        .valid("ASCII of 8 bytes", Array("01234567".utf8)),
        .valid("mixed", Array("Hello-µ@ßöäüàá-UTF-8!!".utf8)),
        .valid("kosme", kosme),
        .valid("NUL", [0x00]), .valid("DEL", [0x7F]),
        .valid("first of two bytes", [0xC2, 0x80]), .valid("last of two bytes", [0xDF, 0xBF]),
        .valid("first of three bytes", [0xE0, 0xA0, 0x80]), .valid("last of three bytes", [0xEF, 0xBF, 0xBF]),
        .valid("first of four bytes", [0xF0, 0x90, 0x80, 0x80]), .valid("U+10FFFF", [0xF4, 0x8F, 0xBF, 0xBF]),
        .valid("before the surrogates", [0xED, 0x9F, 0xBF]), .valid("after the surrogates", [0xEE, 0x80, 0x80]),
        .valid("replacement character", [0xEF, 0xBF, 0xBD]), .valid("byte order mark", [0xEF, 0xBB, 0xBF]),
        .valid("not a character U+FFFE", [0xEF, 0xBF, 0xBE]),
        .valid("not a character U+1FFFF", [0xF0, 0x9F, 0xBF, 0xBF]),
        .valid("not a character U+FDD0", [0xEF, 0xB7, 0x90]), .valid("U+40000", [0xF1, 0x80, 0x80, 0x80]),
        .valid("emoji", Array("🚀👩‍👩‍👧".utf8)), .valid("long words", Array("Ångström 12345678 äöü 87654321 €".utf8)),
        .valid("seven, then two", Array("1234567é".utf8)), .valid("Chinese", Array("你好世界".utf8)),
    ]

    static let invalidSamples: [UTF8Sample] =
        [
            .invalid("kosme, surrogate, ASCII", kosme + [0xED, 0xA0, 0x80] + edited, at: kosme.count + 1),
            .invalid("above U+10FFFF", [0xF4, 0x90, 0x80, 0x80], at: 1),
            .invalid("kosme, above U+10FFFF, ASCII", kosme + [0xF4, 0x90, 0x80, 0x80] + edited, at: kosme.count + 1),
            .invalid("five bytes", [0xF8, 0x88, 0x80, 0x80, 0x80], at: 0),
            .invalid("six bytes", [0xFC, 0x84, 0x80, 0x80, 0x80, 0x80], at: 0),
            .invalid("FE", [0xFE], at: 0), .invalid("FF", [0xFF], at: 0),
            .invalid("FE FE FF FF", [0xFE, 0xFE, 0xFF, 0xFF], at: 0),
            .invalid("continuation alone", [0x80], at: 0), .invalid("last continuation alone", [0xBF], at: 0),
            .invalid("continuations", [0x80, 0xBF, 0x80, 0xBF], at: 0),
            .invalid("continuation after ASCII", Array("abc".utf8) + [0x80], at: 3),
            .invalid("all lead bytes of two, each before a space", [0xC2, 0x20, 0xC3, 0x20], at: 1),
            .invalid("lead of three before a space", [0xE1, 0x20], at: 1),
            .invalid("lead of four before a space", [0xF1, 0x20], at: 1),
            .invalid("third byte missing", [0xE2, 0x82, 0x41], at: 2),
            .invalid("fourth byte missing", [0xF0, 0x9F, 0x98, 0x41], at: 3),
            .invalid("a lead within a character", [0xE2, 0xE2, 0x82, 0xAC], at: 1),
            .invalid("one continuation too many", [0xC3, 0xA4, 0x80], at: 2),
            .invalid("overlong NUL in two", [0xC0, 0x80], at: 0),
            .invalid("overlong slash in two", [0xC0, 0xAF], at: 0),
            .invalid("overlong DEL in two", [0xC1, 0xBF], at: 0),
            .invalid("overlong slash in three", [0xE0, 0x80, 0xAF], at: 1),
            .invalid("overlong U+7FF in three", [0xE0, 0x9F, 0xBF], at: 1),
            .invalid("overlong slash in four", [0xF0, 0x80, 0x80, 0xAF], at: 1),
            .invalid("overlong U+FFFF in four", [0xF0, 0x8F, 0xBF, 0xBF], at: 1),
            .invalid("overlong in five", [0xF8, 0x80, 0x80, 0x80, 0xAF], at: 0),
            .invalid("first high surrogate", [0xED, 0xA0, 0x80], at: 1),
            .invalid("last high surrogate", [0xED, 0xAF, 0xBF], at: 1),
            .invalid("first low surrogate", [0xED, 0xB0, 0x80], at: 1),
            .invalid("last low surrogate", [0xED, 0xBF, 0xBF], at: 1),
            .invalid("surrogate pair", [0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80], at: 1),
            .invalid("Latin-1", [0x68, 0xE9, 0x6C, 0x6C, 0x6F], at: 2),
            .invalid("bad byte behind eight of ASCII", Array("01234567".utf8) + [0xFF], at: 8),
            .invalid("bad byte within a word of ASCII", Array("0123456789abc".utf8) + [0xC0, 0x41, 0x42], at: 13),
        ] + [UInt8(0xF5), 0xF6, 0xF7].map { .invalid("lead \(String($0, radix: 16))", [$0, 0x80, 0x80, 0x80], at: 0) }

    static let incompleteSamples: [UTF8Sample] = [
        .incomplete("lead of two", [0xC2]), .incomplete("lead of three", [0xE1]), .incomplete("lead of four", [0xF1]),
        .incomplete("two of three", [0xE2, 0x82]), .incomplete("two of four", [0xF0, 0x9F]),
        .incomplete("three of four", [0xF0, 0x9F, 0x98]),
        .incomplete("kosme without its last byte", Array(kosme.dropLast())),
        .incomplete("ASCII, then a lead", Array("12345678".utf8) + [0xC3]),
    ]
}
