import Foundation
import PKI
import Testing

/// Below an intermediate with these constraints on DNS names, a leaf with that name.
private func constrained(
    permitted: [String] = [], excluded: [String] = [], _ name: String, below: Int = 0
) -> @Sendable (Fixture) throws -> [Certificate] {
    { fixture in
        var chain: [Certificate] = []
        var signer = fixture.ca.signer
        for level in 0...below {
            var builder = CertificateBuilder(
                subject: [.commonName("Constrained \(level)")], publicKey: fixture.key.publicKey,
                notBefore: noon - day, notAfter: noon + day)
            builder.basicConstraints = BasicConstraints(isCA: true)
            builder.keyUsage = .keyCertSign
            builder.extendedKeyUsage = nil
            if level == 0 { builder.extraExtensions = [constraintsExtension(permitted, excluded)] }
            let ca = try builder.build(signedBy: signer)
            signer = .issuer(ca, fixture.key)
            chain.insert(ca, at: 0)
        }
        var leaf = fixture.builder()
        leaf.alternativeNames.append(.dns(name))
        return [try leaf.build(signedBy: signer)] + chain
    }
}

/// NameConstraints (RFC 5280, section 4.2.1.10) in DER; all of it shorter than 128 bytes.
private func constraintsExtension(_ permitted: [String], _ excluded: [String]) -> RawExtension {
    func value(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] { [tag, UInt8(content.count)] + content }
    func list(_ tag: UInt8, _ names: [String]) -> [UInt8] {
        names.isEmpty ? [] : value(tag, names.flatMap { value(0x30, value(0x82, Array($0.utf8))) })
    }
    return RawExtension(
        oid: "2.5.29.30", isCritical: true, value: value(0x30, list(0xA0, permitted) + list(0xA1, excluded)))
}

private let secret = "secret.example.com"

let goodConstraintCases: [VerificationCase] = [
    VerificationCase(
        "wildcard beside an excluded name", nil, expectation(host: "db.example.net"),
        chain: constrained(excluded: [secret], "*.example.net")),
    VerificationCase(
        "wildcard above an excluded name two labels down", nil, expectation(host: "db.example.com"),
        chain: constrained(excluded: ["a.b.example.com"], "*.example.com")),
    VerificationCase(
        "wildcard within permitted names", nil, expectation(host: "db.example.com"),
        chain: constrained(permitted: ["example.net", "example.com"], "*.example.com")),
    VerificationCase(
        "name beside an excluded one", nil, expectation(host: "db.example.com"),
        chain: constrained(excluded: [secret], "db.example.com")),
]

let badConstraintCases: [VerificationCase] = [
    VerificationCase(
        "wildcard over an excluded name", .wildcardConstraint, expectation(host: secret),
        chain: constrained(excluded: [secret], "*.example.com")),
    VerificationCase(
        "wildcard over an excluded name, another host asked for", .wildcardConstraint,
        expectation(host: "db.example.com"), chain: constrained(excluded: [secret], "*.EXAMPLE.com")),
    VerificationCase(
        "wildcard over an excluded name two CAs up", .wildcardConstraint, expectation(host: secret),
        chain: constrained(excluded: [secret], "*.example.com", below: 2)),
    VerificationCase(
        "name that an excluded wildcard covers", .nameConstraint, expectation(host: secret),
        chain: constrained(excluded: ["*.example.com"], secret)),
    VerificationCase(
        "wildcard inside of a label over an excluded name", .wildcardConstraint,
        chain: constrained(excluded: [secret], "s*.example.com")),
    VerificationCase(
        "wildcard beyond permitted names", .nameConstraint, expectation(host: "db.example.com"),
        chain: constrained(permitted: ["db.example.com"], "*.example.com")),
    VerificationCase(
        "excluded name with a full stop at its end", .nameConstraint, expectation(host: secret),
        chain: constrained(excluded: [secret], secret + ".")),
    VerificationCase(
        "excluded name", .nameConstraint, expectation(host: secret), chain: constrained(excluded: [secret], secret)),
]

@Suite struct NameConstraintsTests {
    /// Name, permitted, excluded, and what is wrong with it.
    @Test(
        arguments: [
            ("*.example.com", [], ["secret.example.com"], "excluded: secret.example.com"),
            ("*.example.com", [], ["example.com"], "excluded: example.com"),
            ("*.example.com", [], [".example.com"], "excluded: .example.com"),
            ("*.example.com", [], ["com"], "excluded: com"), ("*.example.com", [], [""], "excluded: "),
            ("*.example.com", [], ["a.secret.example.com"], nil), ("*.example.com", [], [".secret.example.com"], nil),
            ("*.example.com", [], ["ample.com"], nil), ("*.example.com", [], ["example.net"], nil),
            ("*.Example.COM.", [], ["SECRET.example.com"], "excluded: SECRET.example.com"),
            ("*.*.example.com", [], ["a.b.example.com"], "excluded: a.b.example.com"),
            ("*.example.com", ["example.com"], [], nil), ("*.example.com", [".example.com"], [], nil),
            ("*.example.com", ["com"], [], nil), ("*.example.com", [""], [], nil),
            ("*.example.com", ["db.example.com"], [], "permitted: db.example.com"),
            ("*.example.com", ["*.example.com"], [], "permitted: *.example.com"),
            ("*.example.com", ["a.example.com", "b.example.com"], [], "permitted: a.example.com, b.example.com"),
            ("*.example.com", ["example.com"], ["secret.example.com"], "excluded: secret.example.com"),
            ("example.com", [".example.com"], [], "permitted: .example.com"), ("example.com", ["example.com"], [], nil),
            ("example.com", [], [".example.com"], nil),
            ("a.example.com", [], [".example.com"], "excluded: .example.com"),
            ("a.example.com.", ["example.com"], [], nil),
        ] as [(String, [String], [String], String?)])
    func namesStandForWhatTheyCover(
        _ name: String, _ permitted: [String], _ excluded: [String], _ expected: String?
    ) {
        let constraints = NameConstraints(permitted: permitted, excluded: excluded)
        #expect(constraints.violation(of: name)?.description == expected)
    }

    /// Our own check finds what OpenSSL finds too, where it is asked alone.
    @Test func wildcardsMustLieWithinPermittedNames() throws {
        let fixture = try Fixture.shared.get()
        let chain = try constrained(permitted: ["db.example.com"], "*.example.com")(fixture)
        #expect(reason { try PeerVerification.checkNameConstraints(of: chain) } == .wildcardConstraint)
        // What a CA says of itself binds only those below it.
        #expect(reason { try PeerVerification.checkNameConstraints(of: Array(chain.dropFirst())) } == nil)
    }

    /// Made by `openssl`, which sees nothing wrong with it.
    @Test func aChainThatOpenSSLLetsPass() throws {
        let scratch = try Scratch()
        _ = try scratch.write("empty.cnf", "[req]\ndistinguished_name = dn\n[dn]\n")
        func make(_ name: String, _ signer: [String], _ extensions: [String]) throws {
            try scratch.openssl(
                "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".key")
            _ = try scratch.run(
                ["req", "-x509", "-new", "-config", "empty.cnf", "-key", name + ".key", "-subj", "/CN=" + name]
                    + ["-days", "30", "-out", name + ".crt"] + signer + extensions.flatMap { ["-addext", $0] })
        }
        let ca = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign", "subjectKeyIdentifier=hash"]
        try make("root", [], ca)
        try make(
            "middle", ["-CA", "root.crt", "-CAkey", "root.key"],
            ca + ["nameConstraints=critical,excluded;DNS:secret.example.com"])
        try make(
            "leaf", ["-CA", "middle.crt", "-CAkey", "middle.key"],
            [
                "basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature",
                "extendedKeyUsage=serverAuth,clientAuth", "subjectAltName=DNS:*.example.com",
            ])
        let output = try scratch.openssl(
            "verify", "-CAfile", "root.crt", "-untrusted", "middle.crt", "-verify_hostname", "secret.example.com",
            "leaf.crt")
        #expect(output == "leaf.crt: OK\n", "openssl has learnt it: our check may go")
        let chain = try ["leaf", "middle"].flatMap { try Certificate.load(file: scratch.file($0 + ".crt")) }
        let verifier = ChainVerifier(trust: try TrustBundle.load(file: scratch.file("root.crt")))
        for role in [PeerVerification.Role.serverOfLink, .clientOfLink] {
            let expected = expectation(role, domains: nil, now: Int64(Date().timeIntervalSince1970) + 2)
            let error = #expect(throws: CertificateError.self) { try verifier.verify(chain, expecting: expected) }
            #expect(error?.reason == .wildcardConstraint)
            #expect(error?.message.contains("CN=middle may not vouch (excluded: secret.example.com)") == true)
        }
    }
}
