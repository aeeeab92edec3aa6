import Foundation
import JSON
import PKI
import TestLogs
import Testing

@Suite struct CertCheckTests {
    private let workspace: Workspace
    private static let now = Int64(Date().timeIntervalSince1970)
    private static let day: Int64 = 86_400

    init() throws { workspace = try Workspace() }

    private func authority(at time: Int64 = now) throws -> CertificateAuthority {
        try CertificateAuthority.createRoot(name: "check CA", trustDomain: "mesh.test", now: time)
    }

    private func check(_ arguments: [String]) throws -> (status: Int32, json: JSONValue) {
        let result = try mesh(["cert", "check", "--json"] + arguments, in: workspace)
        return (result.status, try JSONReader.parse(result.text))
    }

    /// Every verdict: what JSON says, the reason, and the exit code that says the same.
    @Test func verdictAndExitCodeAgree() throws {
        let ca = try authority(at: Self.now - 300 * Self.day), past = Self.now - 400 * Self.day
        let good = try ca.issueCredentials(IssueRequest(node: "a", dnsNames: ["a.example"]), now: Self.now)
        let other = try ca.issueCredentials(IssueRequest(node: "b"), now: Self.now)
        let expired = try authority(at: past).issueCredentials(IssueRequest(node: "a"), now: past)
        let brief = try ca.issueCredentials(IssueRequest(node: "a", validity: 7200), now: Self.now - 6000)
        // A minute ago: so many whole days are left, however quick or slow this test is.
        let start = Self.now - 60
        let long = try ca.issueCredentials(IssueRequest(node: "a", validity: 200 * Self.day), now: start)
        let late = try ca.issueCredentials(
            IssueRequest(node: "a", validity: 200 * Self.day), now: start - 171 * Self.day)
        try workspace.write(ca.certificate.pem, to: "ca.crt")
        try workspace.write(try authority().certificate.pem, to: "foreign.crt")
        for (name, credentials) in [
            ("good", good), ("other", other), ("expired", expired), ("brief", brief), ("long", long), ("late", late),
        ] {
            try workspace.write(credentials.certificatePEM, to: "\(name).crt")
            try workspace.write(Data(credentials.key.pem()), to: "\(name).key", mode: 0o600)
        }
        try workspace.write(Data(good.key.pem()), to: "open.key", mode: 0o640)
        try workspace.write(ca.certificate.pem + good.certificatePEM, to: "swapped.crt")
        let cases: [([String], reason: String?, soon: Bool, status: Int32)] = [
            (["long.crt"], nil, false, 0),
            (["good.crt", "--key", "good.key", "--ca", "ca.crt"], nil, false, 0),
            (["good.crt", "--name", "a.example"], nil, false, 0),
            (["good.crt", "--name", "b.example"], "wrong_name", false, 6),
            (["good.crt", "--name", "192.0.2.1"], "wrong_name", false, 6),
            (["brief.crt"], nil, true, 7), (["late.crt"], nil, true, 7),
            (["expired.crt"], "expired", false, 6),
            (["good.crt", "--key", "other.key"], "key_mismatch", false, 6),
            (["good.crt", "--key", "open.key"], "key_readable_by_others", false, 6),
            (["good.crt", "--ca", "foreign.crt"], "unknown_ca", false, 6),
            (["swapped.crt"], "wrong_order", false, 6), (["absent.crt"], "unreadable_file", false, 6),
            (["good.key"], "missing_certificate", false, 6), (["long.crt", "late.crt"], nil, true, 7),
            (["long.crt", "expired.crt"], "expired", false, 6),
        ]
        for (arguments, reason, soon, status) in cases {
            let (found, json) = try check(arguments)
            #expect(json["reason"]?.string == reason, "\(arguments)")
            #expect(json["valid"]?.bool == (reason == nil), "\(arguments)")
            #expect((json["error"]?.string == nil) == (reason == nil), "\(arguments)")
            #expect(json["expiring_soon"]?.bool == soon, "\(arguments)")
            #expect(found == status, "\(arguments)")
        }
        #expect(try check(["long.crt"]).json["days_remaining"]?.integer == 199)
        #expect(try check(["late.crt"]).json["days_remaining"]?.integer == 28)
        #expect(try check(["late.crt", "expired.crt"]).json["days_remaining"]?.integer ?? 0 < 0)
    }

    /// A server of the web has neither SPIFFE URI nor clientAuth; a node must have both.
    @Test func usesAreToldApart() throws {
        let made = try DevelopmentCertificate.make(
            name: "shop.example", dnsNames: ["shop.example"], ipAddresses: [], now: Self.now)
        try made.write(DevelopmentCertificate.Files(directory: workspace.url.path, name: "shop"))
        let arguments = ["shop.crt", "--key", "shop.key", "--ca", "shop-ca.crt"]
        #expect(try check(arguments + ["--for", "server", "--name", "shop.example"]).status == 0)
        #expect(try check(arguments + ["--for", "node"]).json["reason"]?.string == "wrong_usage")
        #expect(try check(arguments + ["--for", "client"]).json["reason"]?.string == "wrong_usage")
    }

    /// A wildcard over a name that an intermediate excludes: `openssl verify` lets it pass.
    @Test func aWildcardOverAnExcludedName() throws {
        let ca = try authority()
        let (middleKey, key) = (try PrivateKey.generate(), try PrivateKey.generate())
        func builder(_ name: String, _ key: PrivateKey) -> CertificateBuilder {
            CertificateBuilder(
                subject: [.commonName(name)], publicKey: key.publicKey, notBefore: Self.now - 60,
                notAfter: Self.now + 300 * Self.day)
        }
        var middle = builder("middle", middleKey)
        middle.basicConstraints = BasicConstraints(isCA: true)
        middle.keyUsage = .keyCertSign
        middle.extendedKeyUsage = nil
        // NameConstraints: excludedSubtrees, the DNS name secret.example.com.
        middle.extraExtensions = [
            RawExtension(
                oid: "2.5.29.30", isCritical: true,
                value: [0x30, 24, 0xA1, 22, 0x30, 20, 0x82, 18] + Array("secret.example.com".utf8))
        ]
        let branch = try middle.build(signedBy: ca.signer)
        func write(_ file: String, _ name: String) throws {
            var leaf = builder("shop", key)
            leaf.alternativeNames = [.dns(name)]
            let made = try leaf.build(signedBy: .issuer(branch, middleKey))
            try workspace.write(made.pem + branch.pem, to: file)
        }
        try workspace.write(ca.certificate.pem, to: "ca.crt")
        try write("wild.crt", "*.example.com")
        try write("other.crt", "*.example.net")
        let named = ["wild.crt", "--name", "secret.example.com", "--for", "server"]
        for arguments in [named, named + ["--ca", "ca.crt"], ["wild.crt", "--ca", "ca.crt", "--for", "client"]] {
            let (status, json) = try check(arguments)
            #expect(json["reason"]?.string == "wildcard_constraint", "\(arguments)")
            #expect(status == 6 && json["valid"]?.bool == false, "\(arguments)")
        }
        let other = ["other.crt", "--ca", "ca.crt", "--for", "server", "--name", "shop.example.net"]
        #expect(try check(other).status == 0)
    }

    /// SCTs in a certificate are shown, and judged where the logs are given.
    @Test func embeddedTimestamps() throws {
        let ca = try authority()
        let (log, other) = (try TestLog("Own log"), try TestLog())
        let key = try PrivateKey.generate()
        var builder = CertificateBuilder(
            subject: [.commonName("shop")], publicKey: key.publicKey, notBefore: Self.now - 60,
            notAfter: Self.now + 300 * Self.day)
        builder.alternativeNames = [.dns("shop.example")]
        let leaf = try TestLog.issue(builder, by: ca.signer) { [try log.timestamp($0, at: Self.now * 1000)] }
        let bare = try builder.build(signedBy: ca.signer)
        try workspace.write(leaf.pem, to: "leaf.crt")
        try workspace.write(leaf.pem + ca.certificate.pem, to: "chain.crt")
        try workspace.write(bare.pem, to: "bare.crt")
        try workspace.write(ca.certificate.pem, to: "ca.crt")
        try workspace.write(try TestLog.list(log), to: "logs.json")
        try workspace.write(try TestLog.list(other), to: "others.json")
        try workspace.write("{}", to: "none.json")
        let cases: [([String], state: String?, reason: String?)] = [
            (["leaf.crt"], nil, nil), (["chain.crt", "--ct-logs", "logs.json"], "good", nil),
            (["leaf.crt", "--ct-logs", "logs.json", "--ca", "ca.crt", "--for", "server"], "good", nil),
            (["leaf.crt", "--ct-logs", "logs.json"], "no_issuer", "ct_unproven"),
            (["chain.crt", "--ct-logs", "others.json"], "unknown_log", "ct_unproven"),
        ]
        for (arguments, state, reason) in cases {
            let (_, json) = try check(arguments)
            let timestamp = json["files"]?[0]?["scts"]?[0]
            #expect(timestamp?["state"]?.string == state, "\(arguments)")
            #expect(timestamp?["log"]?.string == (state == nil || state == "unknown_log" ? nil : "Own log"))
            #expect(json["reason"]?.string == reason, "\(arguments)")
        }
        #expect(try check(["bare.crt"]).json["files"]?[0]?["scts"] == [])
        #expect(try check(["bare.crt", "--ct-logs", "logs.json"]).json["reason"]?.string == "ct_missing")
        #expect(try mesh(["cert", "check", "leaf.crt", "--ct-logs", "none.json"], in: workspace).status == 6)
        let text = try mesh(["cert", "check", "chain.crt", "--ct-logs", "logs.json"], in: workspace).text
        #expect(text.contains("Own log, good"))
    }

    @Test func peopleAreToldWhatToDo() throws {
        let ca = try authority(at: Self.now - Self.day)
        let good = try ca.issueCredentials(IssueRequest(node: "a", validity: 7200), now: Self.now - 6000)
        try workspace.write(good.certificatePEM, to: "a.crt")
        let text = try mesh(["cert", "check", "a.crt"], in: workspace).text
        #expect(text.hasPrefix("a.crt: valid, but only for "))
        #expect(text.contains("spiffe://mesh.test/node/a"))
        #expect(text.contains("hint"))
        try workspace.write(Data(good.key.pem()), to: "a.key", mode: 0o644)
        let wrong = try mesh(["cert", "check", "a.crt", "--key", "a.key"], in: workspace).text
        #expect(wrong.hasPrefix("a.crt: NOT VALID") && wrong.contains("chmod 600 a.key"))
    }

    @Test func anEncryptedKeyNamesTheFlagForItsPassphrase() throws {
        let ca = try authority(at: Self.now - 3600)
        let good = try ca.issueCredentials(IssueRequest(node: "a"), now: Self.now)
        try workspace.write(good.certificatePEM, to: "a.crt")
        try good.key.write(to: workspace.path("a.key"), encryptedWith: Passphrase("correct horse"))
        let check = ["cert", "check", "a.crt", "--key", "a.key"]
        let bare = try mesh(check, in: workspace)
        #expect(bare.status == 6, "\(bare.errors)")
        #expect(
            bare.errors.contains("\nhint: give its passphrase: --passphrase-file FILE (mode 0600)\n"), "\(bare.errors)")
        try workspace.write("correct horse\n", to: "secret", mode: 0o600)
        #expect(try mesh(check + ["--passphrase-file", "secret"], in: workspace).status == 0)
    }

    /// The same hashes as the `openssl` program computes.
    @Test func pinsAreThoseOfOpenSSL() throws {
        let ca = try authority()
        let good = try ca.issueCredentials(IssueRequest(node: "a"), now: Self.now)
        try workspace.write(good.certificatePEM, to: "a.crt")
        try workspace.write(Data(good.key.pem()), to: "a.key", mode: 0o600)
        let spki = try shell(
            "openssl x509 -in a.crt -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary "
                + "| base64")
        let whole = try shell("openssl x509 -in a.crt -outform DER | sha256sum | cut -d' ' -f1")
        let lines = try mesh(["cert", "pin", "a.crt"], in: workspace).lines.map(String.init)
        #expect(lines == ["spki-sha256:\(spki)", "cert-sha256:\(whole)"])
        #expect(try mesh(["cert", "pin", "a.key"], in: workspace).lines == ["spki-sha256:\(spki)"])
        let json = try JSONReader.parse(try mesh(["cert", "pin", "a.crt", "--json"], in: workspace).text)
        #expect(json["pins"]?.array?.first?["spki-sha256"]?.string == "spki-sha256:\(spki)")
        #expect(try mesh(["cert", "pin", "absent.crt"], in: workspace).status == 4)
    }

    private func shell(_ command: String) throws -> String {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-ec", command]
        process.currentDirectoryURL = workspace.url
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
