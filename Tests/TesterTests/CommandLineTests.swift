import Foundation
import PKI
import Testing

/// The command line, files that are wrong, and the text of the report.
struct CommandLineTests {
    private static let nobody = "wss://127.0.3.1:1/mesh"

    @Test(arguments: [
        (["--ca", "ca.crt"], "URL"), ([nobody], "--ca"), ([nobody, "--ca", "ca.crt", "--jsn"], "--json"),
        (["ws://127.0.3.1:1/mesh", "--ca", "ca.crt"], "not encrypted"), (["127.0.3.1", "--ca", "ca.crt"], "port"),
        ([nobody, "--ca", "ca.crt", "--cert", "Tester.crt"], "--key"),
        ([nobody, "--ca", "ca.crt", "--expect", "denied"], "--cert"),
        ([nobody, "--ca", "ca.crt", "--timeout", "soon"], "500ms"),
        ([nobody, "--ca", "ca.crt", "--timeout", "0s"], "1ms"),
    ])
    func mistakes(_ arguments: [String], _ word: String) throws {
        let run = try TesterRun(arguments)
        #expect(run.code == 2)
        #expect(run.errors.contains(word), "\(run.errors)")
        #expect(run.output.isEmpty)
    }

    @Test(arguments: [
        (["--ca", "nope.crt"], "unreadable_file"), (["--ca", "ca.key"], "missing_certificate"),
        (["--ca", "Tester.crt"], "not_a_ca"),
        (["--ca", "ca.crt", "--cert", "Tester.crt", "--key", "Worker.key"], "key_mismatch"),
        (["--ca", "ca.crt", "--cert", "Tester.key", "--key", "Tester.key"], "missing_certificate"),
        (["--ca", "ca.crt", "--ca-key", "Worker.key"], "key_mismatch"),
    ])
    func wrongFiles(_ arguments: [String], _ reason: String) throws {
        let run = try TesterRun([Self.nobody] + arguments)
        #expect(run.code == 6)
        #expect(run.errors.contains(reason), "\(run.errors)")
    }

    @Test func anOwnCertificateThatHasExpiredIsNamed() throws {
        let home = try TestAuthority.shared.get()
        let key = try PrivateKey.generate()
        let now = Int64(Date().timeIntervalSince1970)
        let builder = CertificateBuilder(
            subject: [.commonName("Old")], publicKey: key.publicKey, notBefore: now - 7200, notAfter: now - 3600)
        let certificate = try builder.build(signedBy: home.authority.signer)
        try Credentials(chain: [certificate], key: key).write(
            certificateFile: home.path("Old.crt"), keyFile: home.path("Old.key"))
        let run = try TesterRun([Self.nobody, "--ca", "ca.crt", "--cert", "Old.crt", "--key", "Old.key"])
        #expect(run.code == 6)
        #expect(run.errors.contains("expired"))
        #expect(run.errors.contains("mesh ca issue"))
    }

    @Test func keysThatOthersMayReadAreRefused() throws {
        let home = try TestAuthority.shared.get()
        try FileManager.default.copyItem(atPath: home.path("Tester.key"), toPath: home.path("open.key"))
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: home.path("open.key"))
        let run = try TesterRun([Self.nobody, "--ca", "ca.crt", "--cert", "Tester.crt", "--key", "open.key"])
        #expect(run.code == 6)
        #expect(run.errors.contains("chmod 600"))
    }

    @Test func pkcs12AndEncryptedKeys() throws {
        let home = try TestAuthority.shared.get()
        let secret = Passphrase("correct horse")
        try SafeFile.write(Array("correct horse\n".utf8), to: home.path("secret"), mode: 0o600)
        try SafeFile.write(Array("wrong\n".utf8), to: home.path("wrong"), mode: 0o600)
        try Credentials.load(certificateFile: home.path("Tester.crt"), keyFile: home.path("Tester.key"))
            .writePKCS12(to: home.path("Tester.pfx"), passphrase: secret)
        try PrivateKey.load(file: home.path("ca.key")).write(to: home.path("sealed.key"), encryptedWith: secret)
        let files = ["--ca", "ca.crt", "--pfx", "Tester.pfx"]
        // With good files it gets as far as the network, where nothing listens.
        let good = try TesterRun(
            [Self.nobody] + files + [
                "--passphrase-file", "secret", "--ca-key", "sealed.key", "--ca-passphrase-file", "secret",
            ])
        #expect(good.code == 5, "\(good.errors)")
        let bad = try TesterRun([Self.nobody] + files + ["--passphrase-file", "wrong"])
        #expect(bad.code == 6)
        #expect(bad.errors.contains("bad_passphrase"))
        let none = try TesterRun([Self.nobody, "--ca", "ca.crt", "--ca-key", "sealed.key"])
        #expect(none.errors.contains("--ca-passphrase-file"))
        try PrivateKey.load(file: home.path("Tester.key")).write(to: home.path("own.key"), encryptedWith: secret)
        let own = try TesterRun([Self.nobody, "--ca", "ca.crt", "--cert", "Tester.crt", "--key", "own.key"])
        #expect(own.code == 6, "\(own.errors)")
        #expect(own.errors.contains(" --passphrase-file FILE (mode 0600)"), "\(own.errors)")
    }

    @Test func helpFitsNarrowTerminals() throws {
        let run = try TesterRun(["--help"], environment: ["COLUMNS": "60"])
        #expect(run.code == 0)
        for line in run.output.split(separator: "\n") where !line.contains("mtls-tester wss") {
            #expect(line.count <= 60, "\(line)")
        }
        #expect(run.output.contains("--ca-key"))
        #expect(try TesterRun(["--version"]).output.hasPrefix("mtls-tester "))
    }

    @Test func reportFitsNarrowTerminals() throws {
        let node = try TestNode()
        let arguments = [
            node.url, "--ca", "ca.crt", "--cert", "Tester.crt", "--key", "Tester.key", "--node", "Other", "--ca-key",
            "ca.key",
        ]
        for more in [[], ["--verbose"]] {
            let run = try TesterRun(arguments + more, environment: ["COLUMNS": "60"])
            #expect(run.code == 1)
            for line in run.output.split(separator: "\n") { #expect(line.count <= 60, "\(line)") }
            #expect(run.output.contains("FAILED:\n  server_name\n"))
            #expect(!run.output.contains("\u{1B}"), "no colours in a pipe")
            #expect(run.errors.isEmpty)
        }
    }

    /// The documentation lists every check by its id.
    @Test func everyCheckIsDocumented() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/mtls-tester.md")
        let text = try String(contentsOf: file, encoding: .utf8)
        let run = try TesterRun.json("wss://127.0.3.1:1/mesh", as: nil)
        #expect(run.ids.count > 35)
        for id in run.ids { #expect(text.contains("`\(id)`"), "\(id)") }
    }

    /// What switches checks off is in debug builds only; looked at where a release build lies beside this one.
    @Test func releaseBuildsKnowNoFaults() throws {
        let release = Programs.directory.deletingLastPathComponent().appendingPathComponent("release/mesh-agent")
        for program in [release, Programs.agent] {
            guard let bytes = try? Data(contentsOf: program) else { continue }
            let isDebug = program == Programs.agent && isDebugBuild
            #expect((bytes.range(of: Data("MESH_FAULT_SKIP_CHECK".utf8)) != nil) == isDebug, "\(program.path)")
        }
    }

    private var isDebugBuild: Bool {
        #if MESH_FAULTS
            true
        #else
            false
        #endif
    }
}
