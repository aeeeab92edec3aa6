import Foundation
import PKI
import Testing

/// Our files read by the `openssl` program, and its files read by us.
@Suite struct InteropTests {
    private var now: Int64 { Int64(Date().timeIntervalSince1970) }

    @Test func opensslReadsOurKeys() throws {
        let scratch = try Scratch()
        for algorithm in [KeyAlgorithm.p256, .ed25519, .rsa2048] {
            let key = try PrivateKey.generate(algorithm)
            try key.write(to: scratch.file("plain.key"))
            try key.write(to: scratch.file("sealed.key"), encryptedWith: Passphrase("pä ss"))
            let plain = try scratch.openssl("pkey", "-in", "plain.key", "-pubout")
            let sealed = try scratch.openssl("pkey", "-in", "sealed.key", "-passin", "pass:pä ss", "-pubout")
            #expect(plain == sealed && plain.contains("BEGIN PUBLIC KEY"))
        }
        let parameters = try scratch.openssl("asn1parse", "-in", "sealed.key")
        #expect(parameters.contains("scrypt") && parameters.contains("aes-256-cbc"))
        try scratch.openssl("pkey", "-in", "sealed.key", "-passin", "pass:wrong", expecting: 1)
    }

    @Test(arguments: [
        ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ["genpkey", "-algorithm", "ED25519"],
        ["genrsa", "-traditional", "2048"], ["genrsa", "-traditional", "-aes256", "-passout", "pass:x", "2048"],
        ["ecparam", "-name", "prime256v1", "-genkey"],
        ["genpkey", "-algorithm", "RSA", "-aes-128-cbc", "-pass", "pass:x"],
    ])
    func weReadTheKeysOfOpenssl(_ recipe: [String]) throws {
        let scratch = try Scratch()
        let text = try scratch.run(recipe)
        let pem = Array(text[text.range(of: "-----BEGIN")!.lowerBound...].utf8)
        let key = try PrivateKey(pem: pem, passphrase: Passphrase("x"))
        #expect(key.kind.family != .unsupported)
        if recipe.contains(where: { $0.hasPrefix("-aes") }) {
            #expect(reason { try PrivateKey(pem: pem, passphrase: Passphrase("y")) } == .badPassphrase)
            #expect(reason { try PrivateKey(pem: pem) } == .badPassphrase)
        }
    }

    @Test func strangeKeysAreNamed() throws {
        let scratch = try Scratch()
        try scratch.openssl("ecparam", "-name", "secp256k1", "-genkey", "-out", "k.key")
        #expect(reason { try PrivateKey.load(file: scratch.file("k.key"), permissions: .ignored) } == .unsupportedKey)
        try scratch.openssl("genpkey", "-algorithm", "X25519", "-out", "x.key")
        #expect(reason { try PrivateKey.load(file: scratch.file("x.key"), permissions: .ignored) } == .unsupportedKey)
        try scratch.openssl("genpkey", "-algorithm", "ED25519", "-outform", "DER", "-out", "d.key")
        let path = scratch.file("d.key")
        #expect(reason { try PrivateKey.load(file: path, permissions: .ignored) } == .derInsteadOfPEM)
    }

    @Test func opensslVerifiesOurChains() throws {
        let scratch = try Scratch()
        let root = try CertificateAuthority.createRoot(name: "Root", trustDomain: domain, now: now)
        let middle = try root.createIntermediate(name: "Middle", now: now)
        let leaf = try middle.issueCredentials(IssueRequest(node: "ACL", dnsNames: ["acl.test"]), now: now).leaf
        _ = try scratch.write("root.crt", root.certificate.pem)
        _ = try scratch.write("middle.crt", middle.certificate.pem)
        _ = try scratch.write("leaf.crt", leaf.pem)
        for purpose in ["sslserver", "sslclient"] {
            let output = try scratch.openssl(
                "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "root.crt", "-untrusted", "middle.crt",
                "leaf.crt")
            #expect(output == "leaf.crt: OK\n")
        }
        let text = try scratch.openssl("x509", "-in", "leaf.crt", "-noout", "-fingerprint", "-sha256", "-serial")
        let hex = text.replacingOccurrences(of: ":", with: "").lowercased()
        #expect(hex.contains(leaf.fingerprintSHA256) && hex.contains(leaf.serialHex))
        let constraints = try scratch.openssl("x509", "-in", "root.crt", "-noout", "-ext", "nameConstraints")
        #expect(constraints.contains("critical") && constraints.contains("URI:mesh.test"))
    }

    /// The recipe of many guides: no subjectAltName, no extended key usage, version 1 leaf, RSA.
    @Test func plainRecipesAreLegacy() throws {
        let scratch = try Scratch()
        try scratch.openssl(
            "req", "-x509", "-nodes", "-days", "365", "-newkey", "rsa:2048", "-keyout", "conduit-ca.key", "-out",
            "conduit-ca.crt", "-subj", "/CN=ConduitCA")
        try scratch.openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "node.key", "-out", "node.csr", "-subj",
            "/O=Example/CN=UserService")
        try scratch.openssl(
            "x509", "-req", "-in", "node.csr", "-CA", "conduit-ca.crt", "-CAkey", "conduit-ca.key", "-CAcreateserial",
            "-out", "node.crt")
        let trust = try TrustBundle.load(file: scratch.file("conduit-ca.crt"))
        let credentials = try Credentials.load(
            certificateFile: scratch.file("node.crt"), keyFile: scratch.file("node.key"), permissions: .ignored)
        let verifier = ChainVerifier(trust: trust)
        let later = now + 5
        #expect(reason { try verifier.verify(credentials.chain, expecting: expectation(now: later)) } == .wrongUsage)
        let peer = try verifier.verify(
            credentials.chain, expecting: expectation(.clientOfLink, node: "UserService", legacy: true, now: later))
        #expect(peer.identity.isLegacy && peer.identity.nodeName == "UserService")
        #expect(peer.identity.allowances.contains(.noExtendedKeyUsage))
        // Not even then for a host name.
        let host = expectation(host: "UserService", legacy: true, now: later)
        #expect(reason { try verifier.verify(credentials.chain, expecting: host) } == .wrongName)
        // A certificate that signed itself is nobody's.
        let own = try Certificate.load(file: scratch.file("conduit-ca.crt"))
        let other = ChainVerifier(trust: try Fixture.shared.get().trust)
        #expect(reason { try other.verify(own, expecting: expectation(legacy: true, now: later)) } == .selfSigned)
    }

    @Test func opensslReadsOurPKCS12() throws {
        let scratch = try Scratch()
        let fixture = try Fixture.shared.get()
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        try issued.writePKCS12(to: scratch.file("a.pfx"), passphrase: Passphrase("secret"))
        let info = try scratch.openssl("pkcs12", "-info", "-in", "a.pfx", "-passin", "pass:secret", "-nodes")
        #expect(info.contains("MAC: sha256") && info.contains("AES-256-CBC") && info.contains("friendlyName: ACL"))
        #expect(info.components(separatedBy: "BEGIN CERTIFICATE").count == 3)
        try scratch.openssl("pkcs12", "-in", "a.pfx", "-passin", "pass:wrong", "-nodes", expecting: 1)

        let back = try Credentials.load(pkcs12File: scratch.file("a.pfx"), passphrase: Passphrase("secret"))
        #expect(back.chain == issued.chain && back.key.publicKey == issued.key.publicKey)
        #expect(
            reason { try Credentials.load(pkcs12File: scratch.file("a.pfx"), passphrase: Passphrase("no")) }
                == .badPassphrase)
        #expect(reason { try Credentials.load(pkcs12File: scratch.file("a.pfx")) } == .badPassphrase)
    }

    @Test(arguments: [[], ["-legacy"], ["-nomac"], ["-keypbe", "NONE", "-certpbe", "NONE"], ["-macalg", "sha1"]])
    func weReadThePKCS12OfOpenssl(_ options: [String]) throws {
        let scratch = try Scratch()
        let fixture = try Fixture.shared.get()
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        try issued.write(certificateFile: scratch.file("a.crt"), keyFile: scratch.file("a.key"))
        _ = try scratch.run(
            ["pkcs12", "-export", "-in", "a.crt", "-inkey", "a.key", "-out", "a.pfx", "-passout", "pass:secret"]
                + options)
        let back = try Credentials.load(
            pkcs12File: scratch.file("a.pfx"), passphrase: Passphrase("secret"), permissions: .ignored)
        #expect(back.chain == issued.chain && back.key.publicKey == issued.key.publicKey)
        if options != ["-nomac"], options.first != "-keypbe" {
            let file = scratch.file("a.pfx")
            #expect(
                reason { try Credentials.load(pkcs12File: file, passphrase: Passphrase("x"), permissions: .ignored) }
                    == .badPassphrase)
        }
    }

    @Test func otherPKCS12AreNamed() throws {
        let scratch = try Scratch()
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.leaf()
        _ = try scratch.write("a.crt", leaf.pem)
        try scratch.openssl("pkcs12", "-export", "-nokeys", "-in", "a.crt", "-out", "a.pfx", "-passout", "pass:x")
        let file = scratch.file("a.pfx")
        func load(_ file: String) -> CertificateReason? {
            reason { try Credentials.load(pkcs12File: file, passphrase: Passphrase("x"), permissions: .ignored) }
        }
        #expect(load(file) == .missingKey)
        #expect(load(scratch.file("a.crt")) == .malformed)
        #expect(reason { try Credentials(pkcs12: [], passphrase: nil) } == .malformed)
        let good = try Credentials(chain: [leaf], key: fixture.key).pkcs12(passphrase: Passphrase("x"))
        #expect(reason { try Credentials(pkcs12: good + [0], passphrase: Passphrase("x")) } == .malformed)
        let open = try scratch.write("open.pfx", good, mode: 0o644)
        #expect(reason { try Credentials.load(pkcs12File: open, passphrase: Passphrase("x")) } == .keyReadableByOthers)
    }
}
