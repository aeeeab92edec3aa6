import PKI
import Testing

/// One certificate (or chain) and the reason why it is refused; nil for one that is accepted.
struct VerificationCase: Sendable, CustomTestStringConvertible {
    let name: String
    let reason: CertificateReason?
    let expected: PeerVerification.Expectation
    let make: @Sendable (Fixture) throws -> [Certificate]

    var testDescription: String { name }

    init(
        _ name: String, _ reason: CertificateReason?, _ expected: PeerVerification.Expectation = expectation(),
        chain make: @escaping @Sendable (Fixture) throws -> [Certificate]
    ) {
        self.name = name
        self.reason = reason
        self.expected = expected
        self.make = make
    }

    /// A leaf made by the test CA, changed by the closure.
    init(
        _ name: String, _ reason: CertificateReason?, _ expected: PeerVerification.Expectation = expectation(),
        _ change: @escaping @Sendable (inout CertificateBuilder) throws -> Void
    ) {
        self.init(name, reason, expected, chain: { [try $0.leaf(change)] })
    }
}

let goodCases: [VerificationCase] = [
    VerificationCase("good leaf, server", nil) { _ in },
    VerificationCase("good leaf, client", nil, expectation(.clientOfLink)) { _ in },
    VerificationCase("meant node", nil, expectation(node: "ACL")) { _ in },
    VerificationCase("with intermediate", nil) { fixture in
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        return issued.chain
    },
    VerificationCase("with root at the end", nil) { [try $0.leaf(), $0.ca.certificate] },
    VerificationCase("CN only, with EKU", nil) { $0.alternativeNames = [] },
    VerificationCase("URI only, no CN", nil) { $0.subject = [] },
    VerificationCase("no EKU, permitted", nil, expectation(legacy: true)) { $0.extendedKeyUsage = nil },
    VerificationCase("openssl recipe: version 1, CN only", nil, expectation(legacy: true)) {
        $0.version = 1
    },
    VerificationCase("no key usage", nil) { $0.keyUsage = nil },
    VerificationCase("no BasicConstraints", nil) { $0.basicConstraints = nil },
    VerificationCase("no key identifiers", nil) { $0.hasKeyIdentifiers = false },
    VerificationCase("host by DNS name", nil, expectation(host: "db.example.org")) {
        $0.alternativeNames.append(.dns("db.example.org"))
    },
    VerificationCase("host by wildcard", nil, expectation(host: "db.example.org")) {
        $0.alternativeNames.append(.dns("*.example.org"))
    },
    VerificationCase("host by IPv6 address", nil, expectation(host: "2001:db8:0::1")) {
        $0.alternativeNames.append(try .ip("2001:db8::1"))
    },
    VerificationCase("SPIRE: other path, CN is a DNS name", nil) {
        $0.subject = [.commonName("web.internal")]
        $0.alternativeNames = [.uri("spiffe://\(domain)/ns/prod/sa/web"), .dns("web.internal")]
    },
    VerificationCase("another URI beside", nil) { $0.alternativeNames.append(.uri("https://\(domain)/ACL")) },
    VerificationCase("first second", nil) { $0.notBefore = noon },
    VerificationCase("last second", nil) { $0.notAfter = noon + 1 },
    VerificationCase("cross-signed CA beside", nil) { fixture in
        var cross = CertificateBuilder(
            subject: [.commonName("Test intermediate")], publicKey: fixture.intermediate.certificate.publicKey,
            notBefore: noon - day, notAfter: noon + day)
        cross.basicConstraints = BasicConstraints(isCA: true)
        cross.keyUsage = .keyCertSign
        cross.extendedKeyUsage = nil
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        return issued.chain + [try cross.build(signedBy: fixture.foreign.signer)]
    },
    VerificationCase("BMPString CN that is ASCII", nil) {
        $0.subject = [NameAttribute(.commonName, .bmp, bytes: Array("ACL".utf8).flatMap { [0, $0] })]
    },
]

let badLeafCases: [VerificationCase] = [
    VerificationCase("expired", .expired) { $0.notAfter = noon - 1 },
    VerificationCase("expires this second", .expired) { $0.notAfter = noon },
    VerificationCase("not yet valid", .notYetValid) { $0.notBefore = noon + 1 },
    VerificationCase("no EKU", .wrongUsage) { $0.extendedKeyUsage = nil },
    VerificationCase("version 1, not permitted", .wrongUsage) { $0.version = 1 },
    VerificationCase("client EKU for a server", .wrongUsage) { $0.extendedKeyUsage = [.clientAuth] },
    VerificationCase("server EKU for a client", .wrongUsage, expectation(.clientOfLink)) {
        $0.extendedKeyUsage = [.serverAuth]
    },
    VerificationCase("wrong EKU even when legacy", .wrongUsage, expectation(legacy: true)) {
        $0.extendedKeyUsage = [.clientAuth]
    },
    VerificationCase("any EKU", .wrongUsage) { $0.extendedKeyUsage = [.any] },
    VerificationCase("code signing", .wrongUsage) { $0.extendedKeyUsage = [.codeSigning] },
    VerificationCase("key usage without digitalSignature", .wrongUsage) { $0.keyUsage = .keyEncipherment },
    VerificationCase("CA as leaf", .caAsLeaf) {
        $0.basicConstraints = BasicConstraints(isCA: true)
        $0.keyUsage = [.digitalSignature, .keyCertSign]
    },
    VerificationCase("signing leaf without the CA flag", .caAsLeaf) {
        $0.keyUsage = [.digitalSignature, .keyCertSign]
    },
    VerificationCase("CA as leaf even when legacy", .caAsLeaf, expectation(legacy: true)) {
        $0.basicConstraints = BasicConstraints(isCA: true)
    },
    VerificationCase("serial 0", .badSerial) { $0.serial = .number(0) },
    VerificationCase("negative serial", .badSerial) { $0.serial = .number(-5) },
    VerificationCase("serial of 21 octets", .badSerial) { $0.serial = .bytes([UInt8](repeating: 0x7F, count: 21)) },
    VerificationCase("two SPIFFE URIs", .multipleSPIFFEURIs) {
        $0.alternativeNames.append(.uri("spiffe://\(domain)/node/Directory"))
    },
    VerificationCase("SPIFFE URI twice", .multipleSPIFFEURIs) { $0.alternativeNames += $0.alternativeNames },
    VerificationCase("second SPIFFE URI in upper case", .multipleSPIFFEURIs) {
        $0.alternativeNames.append(.uri("SPIFFE://\(domain)/node/ACL"))
    },
    VerificationCase("SPIFFE URI with a query", .badSPIFFEID) {
        $0.alternativeNames = [.uri("spiffe://\(domain)/node/ACL?x")]
    },
    VerificationCase("SPIFFE URI with an escape", .badSPIFFEID) {
        $0.alternativeNames = [.uri("spiffe://\(domain)/node/AC%4C")]
    },
    VerificationCase("SPIFFE URI with dots", .badSPIFFEID) {
        $0.alternativeNames = [.uri("spiffe://\(domain)/node/../node/ACL")]
    },
    VerificationCase("SPIFFE ID of the whole domain", .badSPIFFEID) {
        $0.alternativeNames = [.uri("spiffe://\(domain)")]
    },
    VerificationCase("trust domain not allowed", .untrustedDomain, expectation(domains: ["other.test"])) { _ in },
    VerificationCase("no trust domain allowed", .untrustedDomain, expectation(domains: [])) { _ in },
    VerificationCase("URI outside the root's constraint", .nameConstraint, expectation(domains: nil)) {
        $0.alternativeNames = [.uri("spiffe://other.test/node/ACL")]
    },
    VerificationCase("CN contradicts URI", .cnContradictsURI) { $0.subject = [.commonName("Directory")] },
    VerificationCase("CN differs in case", .cnContradictsURI) { $0.subject = [.commonName("acl")] },
    VerificationCase("CN contradicts other path", .cnContradictsURI) {
        $0.alternativeNames = [.uri("spiffe://\(domain)/ns/prod/sa/web")]
    },
    VerificationCase("CN that is only equivalent to the path (KELVIN SIGN)", .cnContradictsURI) {
        $0.subject = [.commonName("\u{212A}")]
        $0.alternativeNames = [.uri("spiffe://\(domain)/sa/K")]
    },
    VerificationCase("two CNs", .ambiguousName) { $0.subject.append(.commonName("Directory")) },
    VerificationCase("the same CN twice", .ambiguousName) { $0.subject.append(.commonName("ACL")) },
    VerificationCase("NUL in CN", .ambiguousName) { $0.subject = [.commonName("ACL\0.evil")] },
    VerificationCase("newline in CN", .ambiguousName) { $0.subject = [.commonName("ACL\nadmin")] },
    VerificationCase("TeletexString beyond ASCII", .ambiguousName) {
        $0.subject = [NameAttribute(.commonName, .teletex, bytes: [0x41, 0xE9])]
        $0.alternativeNames = []
    },
    VerificationCase("CN alone beyond ASCII", .ambiguousName) {
        $0.subject = [.commonName("Zürich")]
        $0.alternativeNames = []
    },
    VerificationCase("NUL in URI", .ambiguousName) {
        $0.alternativeNames = [.uri("spiffe://\(domain)/node/ACL\0x")]
    },
    VerificationCase("NUL in DNS name", .ambiguousName, expectation(host: "db.test")) {
        $0.alternativeNames.append(.dns("db.test\0.evil"))
    },
    VerificationCase("space in DNS name", .ambiguousName) { $0.alternativeNames.append(.dns("db test")) },
    VerificationCase("IP address of 5 bytes", .ambiguousName) {
        $0.alternativeNames.append(AlternativeName(tag: 7, bytes: [1, 2, 3, 4, 5]))
    },
    VerificationCase("nobody", .noIdentity) {
        $0.subject = [.organization("Example")]
        $0.alternativeNames = []
    },
    VerificationCase("another node", .wrongName, expectation(node: "Directory")) { _ in },
    VerificationCase("node in other case", .wrongName, expectation(node: "acl")) { _ in },
    VerificationCase("CN-only other node", .wrongName, expectation(node: "Directory")) { $0.alternativeNames = [] },
    VerificationCase("host only in CN", .wrongName, expectation(host: "db.example.org")) {
        $0.subject = [.commonName("db.example.org")]
        $0.alternativeNames = []
    },
    VerificationCase("wildcard over two labels", .wrongName, expectation(host: "a.b.example.org")) {
        $0.alternativeNames.append(.dns("*.example.org"))
    },
    VerificationCase("IP address as DNS name", .wrongName, expectation(host: "127.0.0.1")) {
        $0.alternativeNames.append(.dns("127.0.0.1"))
    },
    VerificationCase("unknown critical extension", .badExtension) {
        $0.extraExtensions = [RawExtension(oid: "1.3.6.1.4.1.99999.1", isCritical: true, value: [5, 0])]
    },
    VerificationCase("doubled key usage", .badExtension) {
        $0.extraExtensions = [RawExtension(oid: "2.5.29.15", isCritical: true, value: [3, 2, 7, 0x80])]
    },
    VerificationCase("doubled SubjectAltName", .ambiguousName) {
        $0.extraExtensions = [RawExtension(oid: "2.5.29.17", isCritical: false, value: [0x30, 3, 0x82, 1, 0x61])]
    },
    VerificationCase("forged signature", .badSignature) { $0.spoilsSignature = true },
    VerificationCase("SHA-1", .weakKey) { $0.digest = .sha1 },
]

let badChainCases: [VerificationCase] = [
    VerificationCase("no certificate", .missingClientCertificate, chain: { _ in [] }),
    VerificationCase("self-signed", .selfSigned) { [try $0.builder().build(signedBy: .own($0.key))] },
    VerificationCase("self-signed, copying the CA's name as issuer", .badSignature) { fixture in
        var builder = fixture.builder()
        builder.issuer = [.commonName("Test root")]
        builder.hasKeyIdentifiers = false
        return [try builder.build(signedBy: .own(fixture.key))]
    },
    VerificationCase("foreign CA of the same name", .unknownCA) {
        [try $0.builder().build(signedBy: $0.foreign.signer)]
    },
    VerificationCase("foreign CA of the same name, sent along", .unknownCA) {
        [try $0.builder().build(signedBy: $0.foreign.signer), $0.foreign.certificate]
    },
    VerificationCase("foreign CA with another name", .unknownCA) { fixture in
        let other = try CertificateAuthority.createRoot(name: "Elsewhere", trustDomain: domain, now: noon)
        return [try fixture.builder().build(signedBy: other.signer), other.certificate]
    },
    VerificationCase("foreign leaf, our CA sent along", .unknownCA) {
        [try $0.builder().build(signedBy: $0.foreign.signer), $0.ca.certificate]
    },
    VerificationCase("intermediate left out", .unknownCA) { fixture in
        [try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon).leaf]
    },
    VerificationCase("forged certificate added", .badSignature) { fixture in
        var forged = fixture.builder("Directory")
        forged.issuer = [.commonName("Test root")]
        return [try fixture.leaf(), try forged.build(signedBy: fixture.foreign.signer)]
    },
    VerificationCase("unrelated certificate added", .unrelatedCertificate) { fixture in
        let other = try CertificateAuthority.createRoot(name: "Elsewhere", trustDomain: domain, now: noon)
        return [try fixture.leaf(), other.certificate]
    },
    VerificationCase("signed by a leaf", .notACA) { fixture in
        let signing = try fixture.leaf()
        let leaf = try fixture.builder("Directory").build(signedBy: .issuer(signing, fixture.key))
        return [leaf, signing]
    },
    VerificationCase("intermediate below path length 0", .chainTooLong) { fixture in
        var deep = CertificateBuilder(
            subject: [.commonName("Deep")], publicKey: fixture.key.publicKey, notBefore: noon - day,
            notAfter: noon + day)
        deep.basicConstraints = BasicConstraints(isCA: true)
        deep.keyUsage = .keyCertSign
        deep.extendedKeyUsage = nil
        let ca = try deep.build(signedBy: fixture.intermediate.signer)
        let leaf = try fixture.builder().build(signedBy: .issuer(ca, fixture.key))
        return [leaf, ca, fixture.intermediate.certificate]
    },
    VerificationCase("six intermediates", .chainTooLong) { fixture in
        var chain: [Certificate] = []
        var signer = fixture.ca.signer
        for number in 1...6 {
            var builder = CertificateBuilder(
                subject: [.commonName("Level \(number)")], publicKey: fixture.key.publicKey, notBefore: noon - day,
                notAfter: noon + day)
            builder.basicConstraints = BasicConstraints(isCA: true)
            builder.keyUsage = .keyCertSign
            builder.extendedKeyUsage = nil
            let ca = try builder.build(signedBy: signer)
            signer = .issuer(ca, fixture.key)
            chain.insert(ca, at: 0)
        }
        return [try fixture.builder().build(signedBy: signer)] + chain
    },
    VerificationCase("eleven certificates", .chainTooLong) {
        [Certificate](repeating: try $0.leaf(), count: 11)
    },
    VerificationCase("expired intermediate", .expired) { fixture in
        var old = CertificateBuilder(
            subject: [.commonName("Old")], publicKey: fixture.key.publicKey, notBefore: noon - day, notAfter: noon - 1)
        old.basicConstraints = BasicConstraints(isCA: true)
        old.keyUsage = .keyCertSign
        old.extendedKeyUsage = nil
        let ca = try old.build(signedBy: fixture.ca.signer)
        return [try fixture.builder().build(signedBy: .issuer(ca, fixture.key)), ca]
    },
    VerificationCase("weak RSA key", .weakKey) { fixture in
        [try fixture.leaf { $0.publicKey = try PrivateKey.generateRSA(bits: 1024).publicKey }]
    },
    VerificationCase("expired root", .expired, expectation(now: noon + 4000 * day)) { fixture in
        [try fixture.leaf { $0.notAfter = noon + 5000 * day }]
    },
]

@Suite struct VerificationTableTests {
    @Test(arguments: goodCases + goodConstraintCases + badLeafCases + badChainCases + badConstraintCases)
    func reasonOfEach(_ entry: VerificationCase) throws {
        let fixture = try Fixture.shared.get()
        let chain = try entry.make(fixture)
        let verifier = ChainVerifier(trust: fixture.trust)
        do {
            let peer = try verifier.verify(chain, expecting: entry.expected)
            #expect(entry.reason == nil, "accepted as \(peer.identity)")
            #expect(peer.chain.last == fixture.ca.certificate)
            #expect(peer.identity.fingerprint == chain[0].fingerprintSHA256)
        } catch {
            #expect(error.reason == entry.reason, "\(error)")
            #expect(!error.message.isEmpty && !error.hint.isEmpty)
            #expect(!error.message.contains("\n"))
        }
    }

    /// Taking a certificate apart costs more than all our checks, so a handshake must not do it twice.
    @Test func aPathIsMadeOfWhatWasPresented() throws {
        let fixture = try Fixture.shared.get()
        let issued = try fixture.intermediate.issueCredentials(IssueRequest(node: "ACL"), now: noon)
        let verifier = ChainVerifier(trust: fixture.trust)
        let peer = try verifier.verify(issued.chain, expecting: expectation())
        try #require(issued.chain.count == 2 && peer.chain.count == 3)
        #expect(peer.chain[0] === issued.chain[0])
        #expect(peer.chain[1] === issued.chain[1])
        #expect(peer.chain[2] === fixture.trust.roots[0])
    }

    /// Our own checks do not lean on OpenSSL having made the same ones before.
    @Test(arguments: badLeafCases)
    func ownChecksStandAlone(_ entry: VerificationCase) throws {
        let openSSLOnly = ["URI outside the root's constraint", "unknown critical extension", "forged signature"]
        guard !openSSLOnly.contains(entry.name) else { return }
        let fixture = try Fixture.shared.get()
        let chain = try entry.make(fixture) + [fixture.ca.certificate]
        #expect(reason { try PeerVerification.check(chain: chain, expecting: entry.expected) } == entry.reason)
    }

    @Test func tableIsLargeEnough() {
        let bad = badLeafCases + badChainCases + badConstraintCases
        #expect(bad.count >= 78)
        #expect(bad.allSatisfy { $0.reason != nil })
        let names = (goodCases + goodConstraintCases + bad).map(\.name)
        #expect(Set(names).count == names.count)
    }

    /// Leaving one check out lets exactly that fault pass: what the fault builds of the end-to-end tests rest on.
    @Test(arguments: [
        ("no EKU", StrictChecks.usage), ("client EKU for a server", .usage), ("CA as leaf", .leafIsNotCA),
        ("negative serial", .serial), ("two SPIFFE URIs", .singleSPIFFE), ("expired", .validity),
        ("SPIFFE URI with a query", .spiffeSyntax), ("CN contradicts URI", .nameAgreement),
        ("trust domain not allowed", .trustDomain), ("two CNs", .unambiguousNames), ("another node", .expectedName),
        ("SHA-1", .strength), ("self-signed", .chain), ("forged certificate added", .presentedChain),
        ("foreign CA of the same name", .chain), ("weak RSA key", .strength), ("not yet valid", .validity),
    ])
    func eachCheckCanBeLeftOut(_ name: String, _ check: StrictChecks) throws {
        let fixture = try Fixture.shared.get()
        let entry = try #require((badLeafCases + badChainCases).first { $0.name == name })
        let chain = try entry.make(fixture)
        let verifier = ChainVerifier(trust: fixture.trust, checks: StrictChecks.all.subtracting(check))
        #expect(throws: Never.self) { try verifier.verify(chain, expecting: entry.expected) }
    }

    @Test func everyCheckHasAName() {
        let union = StrictChecks.named.reduce(into: StrictChecks()) { $0.formUnion($1.check) }
        #expect(union == .all)
        #expect(Set(StrictChecks.named.map(\.name)).count == StrictChecks.named.count)
    }

    @Test func timeReasonsSayBothTimes() throws {
        let fixture = try Fixture.shared.get()
        let verifier = ChainVerifier(trust: fixture.trust)
        let old = try fixture.leaf { $0.notAfter = noon - 3 * day }
        let early = try fixture.leaf { $0.notBefore = noon + 7200 }
        let expired = #expect(throws: CertificateError.self) { try verifier.verify([old], expecting: expectation()) }
        #expect(expired?.message.contains("2027-01-12T08:00:00Z") == true)
        #expect(expired?.message.contains("now 2027-01-15T08:00:00Z") == true)
        #expect(expired?.message.contains("3 days ago") == true)
        #expect(expired?.hint.contains("mesh ca issue ACL") == true)
        let future = #expect(throws: CertificateError.self) { try verifier.verify([early], expecting: expectation()) }
        #expect(future?.message.contains("valid from 2027-01-15T10:00:00Z, now 2027-01-15T08:00:00Z") == true)
    }

    @Test func wrongNameSaysBothNames() throws {
        let fixture = try Fixture.shared.get()
        let leaf = try fixture.leaf()
        let error = #expect(throws: CertificateError.self) {
            try ChainVerifier(trust: fixture.trust).verify([leaf], expecting: expectation(node: "Directory"))
        }
        #expect(error?.message == "dialled the node \"Directory\", but the peer is \"ACL\"")
    }

    @Test func identitySaysWhatItRestsOn() throws {
        let fixture = try Fixture.shared.get()
        let verifier = ChainVerifier(trust: fixture.trust)
        let good = try verifier.verify([fixture.leaf()], expecting: expectation()).identity
        #expect(good.nodeName == "ACL" && !good.isLegacy && good.allowances.isEmpty)
        #expect(good.description == "spiffe://mesh.test/node/ACL")

        let bare = try fixture.leaf { $0.version = 1 }
        let legacy = try verifier.verify([bare], expecting: expectation(legacy: true)).identity
        #expect(legacy.nodeName == "ACL" && legacy.isLegacy)
        #expect(legacy.allowances == [.noExtendedKeyUsage, .noSPIFFEURI])

        // A SPIFFE ID that is not a node's does not fall back to the CN.
        let other = try fixture.leaf {
            $0.subject = [.commonName("web")]
            $0.alternativeNames = [.uri("spiffe://\(domain)/ns/prod/sa/web")]
        }
        #expect(try verifier.verify([other], expecting: expectation()).identity.nodeName == nil)
    }

    /// Where a domain is reserved for our roots, another one that says nothing of itself vouches for every domain but that.
    @Test func noOtherRootVouchesForAReservedDomain() throws {
        let fixture = try Fixture.shared.get()
        let key = try PrivateKey.generate()
        var builder = CertificateBuilder(
            subject: [.commonName("Partner CA")], publicKey: key.publicKey, notBefore: noon - day, notAfter: noon + day)
        builder.basicConstraints = BasicConstraints(isCA: true)
        builder.keyUsage = .keyCertSign
        builder.extendedKeyUsage = nil
        let partner = CertificateBuilder.Signer.issuer(try builder.build(signedBy: .own(key)), key)
        guard case .issuer(let root, _) = partner else { return }
        let verifier = ChainVerifier(trust: try TrustBundle(roots: [fixture.ca.certificate, root]))
        var expected = expectation(domains: nil)
        expected.reserved = ReservedTrustDomain(domain, for: [fixture.ca.certificate])
        func spiffe(_ leaf: Certificate) throws -> String? {
            try verifier.verify([leaf], expecting: expected).identity.spiffe?.description
        }
        #expect(try spiffe(fixture.leaf { _ in }) == "spiffe://\(domain)/node/ACL")
        let forged = try fixture.builder().build(signedBy: partner)
        #expect(reason { try spiffe(forged) } == .untrustedDomain)
        var own = fixture.builder()
        own.alternativeNames = [.uri("spiffe://partner.test/node/ACL")]
        #expect(try spiffe(own.build(signedBy: partner)) == "spiffe://partner.test/node/ACL")
        // Without the reservation the forged one would pass.
        expected.reserved = nil
        #expect(try spiffe(forged) == "spiffe://\(domain)/node/ACL")
    }

    /// A root without name constraint still binds by its own SPIFFE ID.
    @Test func rootVouchesForItsTrustDomainOnly() throws {
        let fixture = try Fixture.shared.get()
        let root = try CertificateAuthority.createRoot(name: "Odd", trustDomain: "odd_domain", now: noon)
        let verifier = ChainVerifier(trust: try TrustBundle(roots: [root.certificate]))
        let leaf = try fixture.builder().build(signedBy: root.signer)
        #expect(reason { try verifier.verify([leaf], expecting: expectation(domains: nil)) } == .untrustedDomain)
    }
}
