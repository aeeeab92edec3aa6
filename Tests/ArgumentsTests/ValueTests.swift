import Arguments
import Testing

@Suite struct ValueTests {
    @Test(arguments: [
        ("0s", 0), ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("24h", 86_400_000), ("90d", 7_776_000_000),
        ("2w", 1_209_600_000), ("1h30m", 5_400_000), ("1d2h3m4s5ms", 93_784_005), ("007s", 7000),
        ("36500d", 3_153_600_000_000),
    ])
    func durations(_ text: String, _ milliseconds: Int) {
        #expect(DurationText.parse(text) == .milliseconds(milliseconds))
    }

    @Test(arguments: [
        "", "30", "s", "-5s", "+5s", "1.5h", "5 s", " 5s", "5s ", "5S", "5min", "1m1h", "1s1s", "1h30", "5µs", "٥s",
        "1y", "36501d",
        "9223372036854775807d", "99999999999999999999s", "5s\n",
    ])
    func noDurations(_ text: String) { #expect(DurationText.parse(text) == nil) }

    @Test func durationsAreWrittenAsTheyAreRead() {
        for text in ["0s", "1ms", "30s", "5m", "1d", "90d", "1h30m", "1d2h3m4s5ms"] {
            #expect(DurationText.parse(text).map(DurationText.format) == text)
        }
        #expect(DurationText.format(.seconds(-1)) == "0s" && DurationText.format(.nanoseconds(1)) == "0s")
        #expect(DurationText.format(.seconds(86_400 * 14)) == "14d")
    }

    @Test(arguments: [
        ("jsn", "json"), ("josn", "json"), ("jsno", "json"), ("jsoon", "json"), ("JSON", "json"), ("serv", "services"),
        ("sevices", "services"), ("registre", "register"), ("deregster", "deregister"), ("lin", "links"),
    ])
    func suggestions(_ typed: String, _ meant: String) {
        #expect(
            Suggestion.closest(to: typed, among: ["json", "services", "register", "deregister", "links", "ca"]) == meant
        )
    }

    @Test(arguments: ["", "x", "frobnicate", "xyz", "cb7", String(repeating: "json", count: 1000)])
    func noSuggestions(_ typed: String) {
        #expect(Suggestion.closest(to: typed, among: ["json", "services", "register", "links", "a"]) == nil)
    }

    @Test func closestWins() {
        #expect(Suggestion.closest(to: "regster", among: ["deregister", "register"]) == "register")
        #expect(Suggestion.closest(to: "json", among: ["jsonl", "json"]) == "json")
    }

    @Test(arguments: [
        ("", 0), ("abc", 3), ("ä", 1), ("a\u{308}", 1), ("日本", 4), ("한", 2), ("👍", 2), ("👨‍👩‍👧", 2), ("🇩🇪", 2), ("❤️", 2),
        ("…", 1), ("✓", 1),
        ("\u{200B}", 0), ("\u{1B}", 0), ("ｆ", 2),
    ])
    func widths(_ text: String, _ width: Int) { #expect(DisplayWidth.of(text) == width) }

    @Test func cutting() {
        #expect(DisplayWidth.truncated("abcdef", to: 6) == "abcdef")
        #expect(DisplayWidth.truncated("abcdef", to: 5) == "abcd…")
        #expect(DisplayWidth.truncated("日本語", to: 5) == "日本…")
        #expect(DisplayWidth.truncated("日本語", to: 4) == "日…")
        #expect(DisplayWidth.truncated("abc", to: 1) == "…" && DisplayWidth.truncated("abc", to: 0) == "")
        #expect(DisplayWidth.wrapped("the quick brown fox", to: 10) == ["the quick", "brown fox"])
        #expect(DisplayWidth.wrapped("abcdefghijkl mn", to: 5) == ["abcde", "fghij", "kl mn"])
        #expect(DisplayWidth.wrapped("a\n\nb", to: 5) == ["a", "", "b"] && DisplayWidth.wrapped("", to: 5) == [""])
        #expect(DisplayWidth.wrapped("日本語日本語", to: 5) == ["日本", "語日", "本語"])
        #expect(DisplayWidth.sanitized("a\u{1B}[31mb\nc\u{202E}") == "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD}")
    }
}

@Suite struct TextTableTests {
    @Test func theLeastWidthIsWhatCannotBeShortened() {
        var table = TextTable([.init("NODE", minimumWidth: 8), .init("N", isRightAligned: true, minimumWidth: 3)])
        table.append(["a-long-name-of-a-node", "7"])
        #expect(table.leastWidth == 8 + 2 + 1)
        let widest = table.text(width: table.leastWidth).split(separator: "\n").map(\.count).max()
        #expect(widest == table.leastWidth)
    }

    private var table: TextTable {
        var table = TextTable([.init("NODE"), .init("STREAMS", isRightAligned: true), .init("STATE")])
        table.append(["ACL", "5", "up"])
        table.append(["UserService", "12345", "draining until noon"])
        table.append(["日本", "", ""])
        return table
    }

    @Test func aligned() {
        #expect(
            table.text() == """
                NODE         STREAMS  STATE
                ACL                5  up
                UserService    12345  draining until noon
                日本

                """)
        #expect(table.count == 3)
    }

    @Test func fitted() {
        #expect(
            table.text(width: 30) == """
                NODE        STREAMS  STATE
                ACL               5  up
                UserServi…    12345  draining…
                日本

                """)
        for width in 16...60 {
            let lines = table.text(width: width).split(separator: "\n")
            #expect(lines.allSatisfy { DisplayWidth.of($0) <= width && $0.last != " " }, "\(width)")
        }
    }

    @Test func oddRows() {
        var table = TextTable("A", "B")
        table.append(["only"])
        table.append(["x\ny", "z", "too many"])
        #expect(table.text() == "A     B\nonly\nx\u{FFFD}y   z\n")
        var bare = TextTable("", "")
        bare.append(["k", "v"])
        #expect(bare.text() == "k  v\n")
        #expect(TextTable([]).text() == "")
    }
}

@Suite struct IdentifierPrefixTests {
    private static let ids = ["abcd1234", "abcd9999", "ffff0000", "abc"]

    @Test(arguments: [
        ("abcd1234", IdentifierPrefix.Match.one("abcd1234")), ("abcd1", .one("abcd1234")), ("ffff", .one("ffff0000")),
        ("abc", .one("abc")), ("abcd", .several(["abcd1234", "abcd9999"])), ("fff", .none), ("", .none),
        ("zzzz", .none),
        ("abcd12345", .none), ("ABCD1", .none),
    ])
    func resolved(_ text: String, _ expected: IdentifierPrefix.Match) {
        #expect(IdentifierPrefix.resolve(text, among: Self.ids) == expected)
    }
}

@Suite struct ShellWordTests {
    @Test(arguments: [
        ("certs/ca", "certs/ca"), ("/a/b-c_d.e:1@x", "/a/b-c_d.e:1@x"), ("", "''"), ("my ca", "'my ca'"),
        ("it's", "'it'\\''s'"), ("$HOME", "'$HOME'"), ("a;b", "'a;b'"), ("~/x", "'~/x'"), ("ä", "'ä'"),
        ("a\nb", "'a\nb'"),
    ])
    func quoted(_ text: String, _ expected: String) { #expect(ShellWord.quoted(text) == expected) }
}
