import Arguments
import Foundation
import Testing

@Suite struct HelpTests {
    @Test func root() {
        #expect(
            sample.help(width: 80) == """
                mesh - Operate a conduit mesh

                usage: mesh [flags] COMMAND

                Talks to the agent on this host through its control socket.

                See the manual for more.

                commands:
                  ca          Manage the certificate authority
                  lookup      Find the instances of a service
                  links       Show links
                  completion  Print a completion script

                flags:
                  -s, --socket FILE       control socket of the agent (default: /run/mesh.sock;
                                          environment: MESH_SOCKET)
                      --timeout DURATION  how long to wait (default: 30s; environment:
                                          MESH_TIMEOUT)
                      --json              print JSON (environment: MESH_JSON)
                  -h, --help              show this help
                      --version           show the version

                More on a command: mesh COMMAND --help

                """)
    }

    @Test func narrow() {
        #expect(
            sample.help(path: ["ca", "issue"], width: 40) == """
                mesh ca issue - Issue a certificate for
                a node

                usage: mesh ca issue --out DIR [flags]
                       NODE

                arguments:
                  NODE
                      the node's name

                flags:
                  -o, --out DIR
                      where to write it (required)
                      --dns NAME
                      further DNS name (may be repeated)
                      --key p256|p384|ed25519
                      key algorithm (default: p256)
                  -d, --days N
                      days until it expires (default:
                      90)
                  -p, --pfx
                      write PKCS#12 too
                      --pem-only
                      write PEM only
                  -f, --[no-]force
                      overwrite
                  -h, --help
                      show this help

                flags of mesh:
                  -s, --socket FILE
                      control socket of the agent
                      (default: /run/mesh.sock;
                      environment: MESH_SOCKET)
                      --timeout DURATION
                      how long to wait (default: 30s;
                      environment: MESH_TIMEOUT)
                      --json
                      print JSON (environment:
                      MESH_JSON)

                examples:
                  mesh ca issue ACL --out certs --dns acl.internal
                      Issue a certificate that is also
                      good for a DNS name.

                """)
    }

    /// Nothing but command lines that are there to be copied is ever wider than the terminal.
    @Test func everyWidth() {
        for width in 40...130 {
            for path in [[], ["ca"], ["ca", "issue"], ["lookup"], ["links"]] {
                for line in sample.help(path: path, width: width).split(separator: "\n") {
                    #expect(DisplayWidth.of(line) <= width || line.hasPrefix("  mesh "), "\(width): \(line)")
                    #expect(line.last != " ")
                }
            }
        }
    }

    @Test func hiddenThingsStayHidden() {
        for text in [
            sample.help(), sample.completion(.bash), sample.completion(.zsh),
            sample.manualPage(date: "2025-01-01", version: "1"),
        ] {
            #expect(!text.contains("debug") && !text.contains("secret"))
        }
    }
}

@Suite struct DocumentTests {
    /// Runs a program over a text; what it prints, on both outputs.
    private func run(_ program: String, _ arguments: [String], input: String) throws -> (status: Int32, output: String)
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = stdout
        try process.run()
        stdin.fileHandleForWriting.write(Data(input.utf8))
        try stdin.fileHandleForWriting.close()
        let output = stdout.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private func complete(_ words: [String]) throws -> [String] {
        let quoted = words.map { "'\($0)'" }.joined(separator: " ")
        let script =
            sample.completion(.bash)
            + "COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count - 1); _mesh_complete; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
        let result = try run("/bin/bash", ["--norc"], input: script)
        #expect(result.status == 0)
        return result.output.split(separator: "\n").map(String.init)
    }

    @Test func bash() throws {
        #expect(try complete(["mesh", ""]) == ["ca", "lookup", "links", "completion"])
        #expect(try complete(["mesh", "l"]) == ["lookup", "links"])
        #expect(try complete(["mesh", "ca", "i"]) == ["init", "issue", "inspect"])
        #expect(
            try complete(["mesh", "--socket", "ca", "c"]) == ["ca", "completion"], "the value of a flag is no command")
        #expect(try complete(["mesh", "--socket", "=", "x", "ca", "i"]) == ["init", "issue", "inspect"])
        #expect(try complete(["mesh", "--js"]) == ["--json"])
        #expect(try complete(["mesh", "ca", "issue", "--p"]) == ["--pfx", "--pem-only"])
        #expect(try complete(["mesh", "ca", "issue", "--no"]) == ["--no-force"])
        #expect(try complete(["mesh", "ca", "issue", "--key", "p"]) == ["p256", "p384"])
        #expect(try complete(["mesh", "ca", "issue", "--key", "=", "e"]) == ["ed25519"])
        #expect(try complete(["mesh", "ca", "issue", "--key", "="]) == ["p256", "p384", "ed25519"])
        #expect(try complete(["mesh", "completion", "z"]) == ["zsh"])
        #expect(try complete(["mesh", "ca", "inspect", "/etc/host"]).contains("/etc/hostname"))
        #expect(try complete(["mesh", "ca", "issue", "--out", "/etc/pass"]).contains("/etc/passwd"))
        #expect(try complete(["mesh", "lookup", ""]) == [])
    }

    @Test func zshIsWellFormed() {
        let script = sample.completion(.zsh)
        #expect(script.hasPrefix("#compdef mesh\n"))
        #expect(script.contains("'--key=[key algorithm]:p256|p384|ed25519:(p256 p384 ed25519)'"))
        #expect(script.contains("'(--out -o)-o+[where to write it]:DIR:_files'"))
        #expect(script.contains("'issue:Issue a certificate for a node'"))
        #expect(script.filter { $0 == "'" }.count.isMultiple(of: 2))
    }

    @Test func manualPage() throws {
        let page = sample.manualPage(
            date: "2025-01-31", version: "conduit-mesh 1.0", exitCodes: [(0, "success"), (2, "usage")],
            environment: [(".HOME", "'quoted' \\n \"x\"")], files: [("/run/mesh.sock", "the socket")])
        #expect(page.hasPrefix(".TH \"MESH\" 1 \"2025\\-01\\-31\" \"conduit\\-mesh 1.0\"\n"))
        for section in [
            "NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "COMMANDS", "ENVIRONMENT", "FILES", "EXIT STATUS", "EXAMPLES",
        ] {
            #expect(page.contains(".SH \"\(section)\"\n"), "\(section)")
        }
        #expect(page.contains("\\fB\\&.HOME\\fR\n\\&'quoted' \\en \"x\"\n"))
        // Where groff is there, it must find nothing to complain about.
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/groff") else { return }
        let result = try run("/usr/bin/groff", ["-man", "-Tutf8", "-ww", "-z"], input: page)
        #expect(result.status == 0 && result.output == "")
        let text = try run("/usr/bin/groff", ["-man", "-Tascii", "-P-cbou"], input: page).output
        #expect(text.contains("mesh ca issue --out DIR [flags] NODE"))
        #expect(text.contains("'quoted' \\n \"x\""))
    }
}
