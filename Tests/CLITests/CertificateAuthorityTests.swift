import Foundation
import JSON
import PKI
import Testing

@Suite struct CertificateAuthorityTests {
    private let workspace: Workspace

    init() throws { workspace = try Workspace() }

    @Test func initWritesAnEncryptedKey() throws {
        try workspace.write("secret\n", to: "pass", mode: 0o600)
        let result = try mesh(
            ["ca", "init", "--trust-domain", "mesh.test", "--passphrase-file", "pass"], in: workspace)
        #expect(result.status == 0, "\(result.errors)")
        #expect(result.text.contains("then there: mesh ca token create --node NODE\n"))
        #expect(try workspace.mode("certs/ca.key") == 0o600)
        #expect(try workspace.read("certs/ca.key").hasPrefix("-----BEGIN ENCRYPTED PRIVATE KEY-----"))
        _ = try CertificateAuthority.load(
            certificateFile: workspace.path("certs/ca.crt"), keyFile: workspace.path("certs/ca.key"),
            passphrase: Passphrase("secret"))
    }

    @Test func withoutTerminalAndOptionsNothingIsMade() throws {
        let result = try mesh(["ca", "init"], in: workspace)
        #expect(result.status == 2)
        #expect(result.errors.contains("--passphrase-file FILE, or --no-passphrase for development"))
        #expect(!workspace.has("certs"))
    }

    @Test func aTerminalIsAskedTwiceWithoutEcho() throws {
        let terminal = try TerminalSession(["ca", "init"], in: workspace)
        #expect(terminal.wait(for: "Passphrase for the CA's key: "))
        terminal.type("geheim")
        #expect(terminal.wait(for: "Once more: "))
        terminal.type("anders")
        #expect(terminal.wait(for: "They differ."))
        #expect(terminal.wait(for: "Passphrase for the CA's key: "))
        terminal.type("geheim")
        #expect(terminal.wait(for: "Once more: "))
        terminal.type("geheim")
        #expect(terminal.finish() == 0)
        #expect(!terminal.screen.contains("geheim") && !terminal.screen.contains("anders"))

        let issue = try TerminalSession(["ca", "issue", "a"], in: workspace)
        #expect(issue.wait(for: "certs/ca.key: "))
        issue.type("falsch")
        #expect(issue.wait(for: "not its passphrase."))
        #expect(issue.wait(for: "certs/ca.key: "))
        issue.type("geheim")
        #expect(issue.finish() == 0)
        #expect(workspace.has("certs/a.crt"))
    }

    @Test func nothingIsOverwrittenUnlessForced() throws {
        #expect(try mesh(["ca", "init", "--no-passphrase"], in: workspace).errors.contains("warning: "))
        #expect(try mesh(["ca", "issue", "a"], in: workspace).status == 0)
        let (root, leaf) = (try workspace.read("certs/ca.crt"), try workspace.read("certs/a.crt"))
        for arguments in [["ca", "init", "--no-passphrase"], ["ca", "issue", "a"]] {
            let result = try mesh(arguments, in: workspace)
            #expect(result.status == 1)
            #expect(result.errors.contains("nothing was written"))
        }
        #expect(try workspace.read("certs/ca.crt") == root)
        #expect(try mesh(["ca", "issue", "a", "--force"], in: workspace).status == 0)
        #expect(try workspace.read("certs/a.crt") != leaf)
        #expect(try mesh(["ca", "init", "--no-passphrase", "--force"], in: workspace).status == 0)
        #expect(try workspace.read("certs/ca.crt") != root)
    }

    @Test func theIntermediateIssuesAndTheChainVerifies() throws {
        #expect(try mesh(["ca", "init", "--no-passphrase", "--intermediate"], in: workspace).status == 0)
        let result = try mesh(
            [
                "ca", "issue", "db-1", "--dns", "db-1.internal", "--ip", "10.0.0.7", "--ip", "::1", "--days", "3",
                "--json",
            ],
            in: workspace)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try JSONReader.parse(result.text)["spiffe"]?.string == "spiffe://mesh.local/node/db-1")
        #expect(try workspace.mode("certs/db-1.key") == 0o600)
        let chain = try Certificate.load(file: workspace.path("certs/db-1.crt"))
        #expect(chain.map(\.commonName) == ["db-1", "mesh.local CA intermediate"])
        #expect(chain[0].dnsNames == ["db-1.internal"] && chain[0].ipAddresses == ["10.0.0.7", "::1"])
        let inspected = try mesh(
            ["ca", "inspect", "certs/db-1.crt", "--ca", "certs/ca.crt", "--key", "certs/db-1.key", "--json"],
            in: workspace)
        #expect(inspected.status == 0, "\(inspected.text)")
        let files = try #require(try JSONReader.parse(inspected.text)["files"]?.array)
        #expect(
            files[0]["certificates"]?[0]?["daysRemaining"]?.integer == 3
                || files[0]["certificates"]?[0]?["daysRemaining"]?.integer == 2)
        #expect(files[0]["faults"]?.array?.isEmpty == true)
    }

    @Test func aPFXHoldsTheSameChain() throws {
        try workspace.write("letter", to: "pass", mode: 0o600)
        #expect(try mesh(["ca", "init", "--no-passphrase"], in: workspace).status == 0)
        #expect(try mesh(["ca", "issue", "a", "--pfx"], in: workspace).status == 2)
        #expect(!workspace.has("certs/a.crt"))
        let result = try mesh(["ca", "issue", "a", "--pfx", "--pfx-passphrase-file", "pass"], in: workspace)
        #expect(result.status == 0, "\(result.errors)")
        #expect(try workspace.mode("certs/a.pfx") == 0o600)
        let credentials = try Credentials.load(
            pkcs12File: workspace.path("certs/a.pfx"), passphrase: Passphrase("letter"))
        #expect(credentials.leaf == (try Certificate.load(file: workspace.path("certs/a.crt"))[0]))
        let inspected = try mesh(["ca", "inspect", "certs/a.pfx", "--passphrase-file", "pass"], in: workspace)
        #expect(inspected.status == 0 && inspected.text.contains("CN=a\n"))
    }

    @Test func faultsOfIssuingHaveTheirExitCodes() throws {
        let absent = try mesh(["ca", "issue", "a"], in: workspace)
        #expect(absent.status == 6 && absent.errors.contains("there is no CA in certs"))
        try workspace.write("secret", to: "pass", mode: 0o600)
        try workspace.write("wrong", to: "wrong", mode: 0o600)
        try workspace.write("secret", to: "open", mode: 0o644)
        #expect(try mesh(["ca", "init", "--passphrase-file", "pass"], in: workspace).status == 0)
        let cases: [([String], Int32, String)] = [
            ([], 6, "there is no terminal to ask"), (["--passphrase-file", "wrong"], 6, "bad_passphrase"),
            (["--passphrase-file", "open"], 6, "key_readable_by_others"),
            (["--passphrase-file", "pass", "--dns", "10.0.0.1"], 2, "DNS name"),
            (["--passphrase-file", "pass", "--ip", "nowhere"], 2, "nowhere"),
            (["--passphrase-file", "pass", "--trust-domain", "other"], 6, "untrusted_domain"),
        ]
        for (arguments, status, text) in cases {
            let result = try mesh(["ca", "issue", "a"] + arguments, in: workspace)
            #expect(result.status == status && result.errors.contains(text), "\(arguments): \(result.errors)")
            #expect(result.errors.contains("\nhint: "))
        }
        #expect(!workspace.has("certs/a.crt") && !workspace.has("certs/a.key"))
        let domain = try mesh(["ca", "init", "--no-passphrase", "--out", "x", "--trust-domain", "A B"], in: workspace)
        #expect(domain.status == 2 && domain.errors.contains("trust domain"))
    }
}
