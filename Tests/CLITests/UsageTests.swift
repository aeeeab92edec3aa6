import Foundation
import JSON
import Testing

@Suite struct UsageTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    /// Every command, with arguments that it needs.
    static let commands = [
        "status", "services", "lookup", "nodes", "links", "watch", "register", "deregister", "connect", "why",
        "authorize", "whoami", "reload", "policy check", "ca init", "ca issue", "ca inspect", "token init",
        "token issue", "token inspect", "token dpop", "token revoke", "token jwks", "apikey create", "apikey list",
        "apikey revoke", "completion", "man", "version",
    ]

    @Test func aloneItPrintsHelpAndFails() throws {
        let result = try mesh([], in: workspace)
        #expect(result.status == 2)
        #expect(result.text == "")
        #expect(result.errors.contains("usage: mesh [flags] COMMAND"))
    }

    @Test(arguments: commands)
    func helpOfEveryCommandFits(_ command: String) throws {
        for words in [
            command.split(separator: " ").map(String.init) + ["--help"],
            ["help"] + command.split(separator: " ").map(String.init),
        ] {
            let result = try mesh(words, in: workspace)
            #expect(result.status == 0)
            #expect(result.text.hasPrefix("mesh \(command) - "))
            #expect(result.lines.allSatisfy { $0.count <= 80 }, "\(result.text)")
        }
    }

    @Test func helpListsEveryCommandAndExitCode() throws {
        let text = try mesh(["--help"], in: workspace).text
        for command in Self.commands {
            #expect(text.contains("\n  \(command.split(separator: " ")[0]) "), "\(command)")
        }
        let words = text.replacingOccurrences(of: "\n", with: " ")
        for code in ["0 done", "1 failed", "2 wrong", "3 denied", "4 not found", "6 key", "78 configuration"] {
            #expect(words.contains(code), "\(code)")
        }
    }

    @Test(arguments: [
        (["servces"], "did you mean services?"), (["services", "--jsn"], "did you mean --json?"),
        (["ca"], "choose one of: init, issue, inspect"), (["lookup"], "NAME"),
        (["lookup", "a", "b"], "takes only NAME"),
        (["register", "web"], "give --target ADDRESS"), (["register", "a b", "--target", "1"], "letters, digits"),
        (["register", "web", "--target", "1", "--meta", "x"], "--meta zone=eu-1"),
        (["register", "web", "--target", "1", "--weight", "0"], "1 to 65535"),
        (["register", "web", "--target", "1", "--protocol", "https"], "give tcp, which carries its TLS through"),
        (["register", "web", "--target", "1", "--protocol", "tls"], "target: \"tls://HOST:PORT\""),
        (["register", "web", "--target", "1", "--protocol", "htp"], "did you mean http?"),
        (["why", "--from", "node:a", "--to", "b", "--verb", "conect"], "did you mean connect?"),
        (["why", "--from", "a", "--to", "b", "--policy", "p", "--at", "c"], "leave one of the two out"),
        (["completion", "fish"], "bash, zsh"),
        (["ca", "init", "--no-passphrase", "--passphrase-file", "x"], "leave one of the two out"),
        (["ca", "issue", "a/b"], "letters, digits"), (["ca", "issue", "ca"], "another name"),
        (["ca", "issue", "n", "--ca", "x"], "--ca-dir"),
        (["cert", "check", "x", "--ocsp-responder", "127.0.0.1:2560"], "write http://"),
    ])
    func mistakesAreExplained(_ arguments: [String], _ hint: String) throws {
        let result = try mesh(arguments, in: workspace)
        #expect(result.status == 2, "\(result.errors)")
        #expect(result.text == "")
        #expect(result.errors.contains("\nhint: ") && result.errors.contains(hint), "\(result.errors)")
    }

    @Test func versionIsTheSameEverywhere() throws {
        let version = try mesh(["version"], in: workspace).text
        #expect(version.hasPrefix("mesh "))
        #expect(try mesh(["--version"], in: workspace).text == version)
        let json = try JSONReader.parse(mesh(["version", "--json"], in: workspace).text)
        #expect("mesh \(json["version"]?.string ?? "")\n" == version)
    }

    @Test func bashCompletesWithTheScript() throws {
        let script = try mesh(["completion", "bash"], in: workspace)
        #expect(script.status == 0)
        try workspace.write(script.output, to: "completion.bash")
        let bash = Process()
        bash.executableURL = URL(fileURLWithPath: "/bin/bash")
        bash.arguments = [
            "-c",
            "source completion.bash; COMP_WORDS=(mesh ca i); COMP_CWORD=2; COMP_LINE='mesh ca i'; COMP_POINT=9; "
                + "$(complete -p mesh | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' \"${COMPREPLY[@]}\"",
        ]
        bash.currentDirectoryURL = workspace.url
        let pipe = Pipe()
        bash.standardOutput = pipe
        try bash.run()
        let reply = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        bash.waitUntilExit()
        #expect(reply.split(whereSeparator: \.isWhitespace).sorted() == ["init", "inspect", "issue"])
    }

    @Test func zshScriptAndManualAreComplete() throws {
        #expect(try mesh(["completion", "zsh"], in: workspace).text.hasPrefix("#compdef mesh\n"))
        let manual = try mesh(["man"], in: workspace).text
        #expect(manual.hasPrefix(".TH \"MESH\" 1"))
        for section in ["ENVIRONMENT", "EXIT STATUS", "FILES"] { #expect(manual.contains(".SH \"\(section)\"")) }
    }
}
