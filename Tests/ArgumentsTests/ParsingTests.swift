import Arguments
import Testing

@Suite struct ParsingTests {
    @Test func flagsAndPositionals() throws {
        let all = try invocation([
            "--timeout=5m", "ca", "-s", "/tmp/x", "issue", "--dns", "a", "ACL", "--json", "--out", "certs", "--dns=b",
            "-d30", "-pf",
        ])
        #expect(all.path == ["ca", "issue"])
        #expect(all.string("socket") == "/tmp/x" && all.duration("timeout") == .seconds(300))
        #expect(all.isOn("json") && all.isOn("pfx") && all.bool("force") == true && !all.isOn("pem-only"))
        #expect(all.strings("dns") == ["a", "b"] && all.string("out") == "certs")
        #expect(all.integer("days") == 30 && all.string("key") == "p256")
        #expect(all.positional("NODE") == "ACL")
        #expect(
            all.origin("days") == .commandLine && all.origin("key") == .defaultValue && all.origin("pem-only") == nil)
    }

    @Test func spellings() throws {
        func days(_ arguments: String...) throws -> Int? {
            try invocation(["ca", "issue", "A", "-o", "x"] + arguments).integer("days")
        }
        #expect(try days("-d", "7") == 7)
        #expect(try days("-d7") == 7)
        #expect(try days("-d=7") == 7)
        #expect(try days("-pd7") == 7)
        #expect(try days("--days", "7") == 7)
        #expect(try days("--days=7") == 7)
        #expect(try invocation(["ca", "issue", "A", "-o", "x", "--no-force"]).bool("force") == false)
        #expect(try invocation(["ca", "issue", "A", "-o", "x", "--force", "--no-force"]).bool("force") == false)
    }

    @Test func endOfFlags() throws {
        #expect(try invocation(["lookup", "--", "--help"]).positional("NAME") == "--help")
        #expect(try invocation(["lookup", "-"]).positional("NAME") == "-")
        #expect(
            try invocation(["ca", "inspect", "a", "--", "-b", "--json"]).positionals("FILE") == ["a", "-b", "--json"])
        #expect(try invocation(["lookup", "--json", "--", "ca"]).positional("NAME") == "ca")
    }

    @Test func runsItself() throws {
        #expect(try invocation(["links"]).path == ["links"])
        #expect(try invocation(["links", "ACL"]).positional("NODE") == "ACL")
        #expect(try invocation(["links", "reset"]).path == ["links", "reset"])
        #expect(try invocation(["links", "--", "reset"]).positional("NODE") == "reset")
        #expect(try invocation(["lookup", "db", "5"]).positionalValues("LIMIT") == [.integer(5)])
    }

    @Test func help() throws {
        func path(_ arguments: String...) throws -> [String]? {
            if case .help(let path) = try sample.parse(arguments) { path } else { nil }
        }
        #expect(try path("--help") == [])
        #expect(try path("-h") == [])
        #expect(try path("ca", "issue", "--bogus", "-h") == ["ca", "issue"])
        #expect(try path("--socket", "ca", "lookup", "--help") == ["lookup"], "the value of a flag is no command")
        #expect(try path("ca", "--out", "--help") == ["ca"])
        #expect(try path("help") == [])
        #expect(try path("help", "ca", "issue") == ["ca", "issue"])
        #expect(try path("ca", "help", "issue") == ["ca", "issue"])
        #expect(try path("help", "lookup", "x") == ["lookup"])
        #expect(try path("lookup", "help") == nil, "a service may be called help")
        #expect(try sample.parse(["--version"]) == .version)
        #expect(throws: UsageError.self) { try sample.parse(["help", "luukup"]) }
    }

    @Test func environment() throws {
        let values = ["MESH_SOCKET": "/env", "MESH_TIMEOUT": "2h", "MESH_JSON": "Yes"]
        let set = try invocation(["lookup", "a"], values)
        #expect(set.string("socket") == "/env" && set.origin("socket") == .environment("MESH_SOCKET"))
        #expect(set.duration("timeout") == .seconds(7200) && set.isOn("json"))
        #expect(try invocation(["lookup", "a", "-s", "/flag"], values).string("socket") == "/flag")
        #expect(try invocation(["lookup", "a"], ["MESH_SOCKET": ""]).string("socket") == "/run/mesh.sock")
        #expect(try !invocation(["lookup", "a"], ["MESH_JSON": "0"]).isOn("json"))
    }

    @Test func conflictsAndEnvironment() throws {
        let spec = CommandSpec(
            "x", "x",
            flags: [
                FlagSpec("a", .string, "a", environment: "A", conflicts: ["b"]),
                FlagSpec("b", .string, "b", environment: "B"),
                FlagSpec("list", .integer, "l", environment: "L", isRepeated: true),
            ])
        guard case .run(let run) = try spec.parse(["--b", "1"], environment: ["A": "2", "L": "1,2,3"]) else {
            throw Unexpected()
        }
        #expect(run.string("b") == "1" && run.string("a") == nil, "the command line wins over the environment")
        guard case .run(let other) = try spec.parse(["--a", "1"], environment: ["B": "2"]) else { throw Unexpected() }
        #expect(other.string("a") == "1" && other.string("b") == nil, "whichever of the two names the conflict")
        #expect(run.values("list") == [.integer(1), .integer(2), .integer(3)])
        #expect(throws: UsageError.self) { try spec.parse([], environment: ["A": "1", "B": "2"]) }
        guard case .run(let negative) = try spec.parse(["--list", "-5", "--list=-6"]) else { throw Unexpected() }
        #expect(negative.values("list") == [.integer(-5), .integer(-6)])
    }

    /// A flag before its command: the hint names the command that was given, not the first one that has such a flag.
    @Test(arguments: [
        ("--json nodes", "mesh nodes"), ("--json=1 nodes", "mesh nodes"),
        ("--json ca token list", "mesh ca token list"),
        ("ca --json token list", "mesh ca token list"), ("--json --socket s nodes", "mesh nodes"),
        ("--json drain", "mesh status"), ("--json", "mesh status"),
    ]) func aFlagBelongsToTheCommandThatWasGiven(_ line: String, _ owner: String) {
        let json = FlagSpec(switch: "json", "print JSON")
        let program = CommandSpec(
            "mesh", "A program", flags: [FlagSpec("socket", .path, "socket")],
            subcommands: [
                CommandSpec("status", "Status", flags: [json]), CommandSpec("nodes", "Nodes", flags: [json]),
                CommandSpec("drain", "Drain"),
                CommandSpec(
                    "ca", "CA",
                    subcommands: [
                        CommandSpec("inspect", "Inspect", flags: [json]),
                        CommandSpec("token", "Tokens", subcommands: [CommandSpec("list", "List", flags: [json])]),
                    ]),
            ])
        let error = #expect(throws: UsageError.self) {
            try program.parse(line.split(separator: " ").map(String.init))
        }
        #expect(error?.hint == "it belongs to a command: write it behind \(owner)")
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        let line: String
        let code: UsageError.Code
        let what: String
        let hint: String
        var testDescription: String { line }

        init(_ line: String, _ code: UsageError.Code, _ what: String, _ hint: String) {
            self.line = line
            self.code = code
            self.what = what
            self.hint = hint
        }
    }

    static let mistakes = [
        Mistake("lookup --jsn db", .unknownFlag, "unknown flag --jsn", "did you mean --json?"),
        Mistake("lookup --josn=1 db", .unknownFlag, "unknown flag --josn", "did you mean --json?"),
        Mistake(
            "lookup --dns x", .unknownFlag, "unknown flag --dns",
            "see all flags with mesh lookup --help; write -- before an argument that begins with -"),
        Mistake(
            "ca --dns x issue", .unknownFlag, "unknown flag --dns",
            "it belongs to a command: write it behind mesh ca issue"),
        Mistake(
            "--pfx ca issue", .unknownFlag, "unknown flag --pfx",
            "it belongs to a command: write it behind mesh ca issue"),
        Mistake("lookup --no-json db", .unknownFlag, "unknown flag --no-json", "did you mean --json?"),
        Mistake("ca issue --no-forse", .unknownFlag, "unknown flag --no-forse", "did you mean --no-force?"),
        Mistake(
            "lookup -x", .unknownFlag, "unknown flag -x",
            "see all flags with mesh lookup --help; write -- before an argument that begins with -"),
        Mistake(
            "lookup --debgu", .unknownFlag, "unknown flag --debgu",
            "see all flags with mesh lookup --help; write -- before an argument that begins with -"),
        Mistake("lokup db", .unknownCommand, "unknown command lokup", "did you mean lookup?"),
        Mistake("ca isue", .unknownCommand, "unknown command isue", "did you mean issue?"),
        Mistake(
            "frobnicate", .unknownCommand, "unknown command frobnicate", "choose one of: ca, lookup, links, completion"),
        Mistake("", .missingCommand, "a command is missing", "choose one of: ca, lookup, links, completion"),
        Mistake("ca", .missingCommand, "a command is missing", "choose one of: init, issue, inspect"),
        Mistake("ca issue A --out", .missingValue, "--out needs a value", "write --out DIR"),
        Mistake("ca issue A --out --pfx", .missingValue, "--out needs a value", "write --out=DIR"),
        Mistake("ca issue A -o", .missingValue, "-o needs a value", "write -o DIR"),
        Mistake("lookup a --json=1", .unexpectedValue, "--json takes no value", "write --json alone"),
        Mistake("ca issue A -o x -p=1", .unexpectedValue, "-p takes no value", "write -p alone"),
        Mistake(
            "ca issue A -o x --no-force=1", .unexpectedValue, "--no-force takes no value", "write --no-force alone"),
        Mistake(
            "ca issue A -o x --days many", .badValue, "--days is not a whole number: many",
            "give a number from 1 to 398"),
        Mistake("ca issue A -o x --days 0", .badValue, "--days is out of range: 0", "give a number from 1 to 398"),
        Mistake("ca issue A -o x --days -1", .badValue, "--days is out of range: -1", "give a number from 1 to 398"),
        Mistake(
            "ca issue A -o x --key p265", .badValue, "--key is not one of p256, p384, ed25519: p265",
            "did you mean p256?"),
        Mistake(
            "ca issue A -o x --key rsa", .badValue, "--key is not one of p256, p384, ed25519: rsa",
            "choose one of: p256, p384, ed25519"),
        Mistake(
            "lookup a --timeout 30", .badValue, "--timeout is not a duration: 30",
            "give a number with a unit: 500ms, 30s, 5m, 24h, 90d"),
        Mistake("ca issue A --out=", .badValue, "--out is an empty path", "give the path of a file"),
        Mistake(
            "ca issue A -o x -o y", .repeatedFlag, "-o is given twice", "leave one -o out; it takes one value only"),
        Mistake("ca issue A", .missingFlag, "--out is missing", "give --out DIR"),
        Mistake(
            "ca issue A -o x -p --pem-only", .conflictingFlags, "-p and --pem-only cannot be used together",
            "leave one of the two out"),
        Mistake("ca issue -o x", .missingPositional, "NODE is missing", "give NODE: the node's name"),
        Mistake("ca inspect", .missingPositional, "FILE is missing", "give FILE: PEM or PKCS#12"),
        Mistake("ca issue A B -o x", .unexpectedPositional, "unexpected argument B", "mesh ca issue takes only NODE"),
        Mistake(
            "ca init x", .unexpectedPositional, "unexpected argument x", "mesh ca init takes no arguments; leave it out"
        ),
        Mistake("lookup a b", .badValue, "LIMIT is not a whole number: b", "give a number from 1 to 100"),
        Mistake("completion fish", .badValue, "SHELL is not one of bash, zsh: fish", "choose one of: bash, zsh"),
    ]

    @Test(arguments: mistakes)
    func isExplained(_ mistake: Mistake) {
        let line = mistake.line.split(separator: " ").map(String.init)
        let error = #expect(throws: UsageError.self) { try sample.parse(line) }
        #expect(error?.code == mistake.code)
        #expect(error?.what == mistake.what)
        #expect(error?.hint == mistake.hint)
        let lines = error?.description.split(separator: "\n", omittingEmptySubsequences: false) ?? []
        #expect(lines.count == 3 && lines[1] == "hint: \(mistake.hint)" && lines.last?.hasPrefix("usage: mesh") == true)
    }

    @Test func everyCodeHasACase() {
        #expect(Set(Self.mistakes.map(\.code)) == Set(UsageError.Code.allCases))
        #expect(UsageError.exitCode == 2)
    }

    @Test func mistakesInTheEnvironment() {
        let error = #expect(throws: UsageError.self) {
            try sample.parse(["lookup", "a"], environment: ["MESH_TIMEOUT": "soon"])
        }
        #expect(error?.what == "the environment variable MESH_TIMEOUT is not a duration: soon")
        let word = #expect(throws: UsageError.self) {
            try sample.parse(["lookup", "a"], environment: ["MESH_JSON": "maybe"])
        }
        #expect(word?.hint == "set it to true or false")
    }

    @Test func tableFaults() {
        #expect(sample.faults == [])
        let bad = CommandSpec(
            "x", "x",
            flags: [
                FlagSpec("a", short: "a", .integer(1...2), "a", default: "3"),
                FlagSpec(switch: "b", short: "a", "b", conflicts: ["z"]),
                FlagSpec("r", .string, "r", default: "x", isRequired: true), FlagSpec(switch: "help", "h"),
            ],
            positionals: [
                PositionalSpec("O", "o", isOptional: true), PositionalSpec("P", "p", isRepeated: true),
                PositionalSpec("Q", "q"),
            ],
            subcommands: [CommandSpec("s", "s", flags: [FlagSpec(switch: "b", "again")]), CommandSpec("s", "s")])
        #expect(bad.faults.count == 10)
    }
}
