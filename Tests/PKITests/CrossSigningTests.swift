import PKI
import Testing

/// Two roots that have signed each other, and peers that know one of them.
@Suite struct CrossSigningTests {
    private let old: CertificateAuthority
    private let new: CertificateAuthority
    private let newByOld: Certificate
    private let oldByNew: Certificate
    private let leaf: [Certificate]

    init() throws {
        old = try CertificateAuthority.createRoot(name: "Old", trustDomain: domain, now: noon)
        new = try CertificateAuthority.createRoot(name: "New", trustDomain: domain, now: noon)
        newByOld = try old.crossSign(new.root, now: noon)
        oldByNew = try new.crossSign(old.root, now: noon)
        let issuing = try new.createIntermediate(name: "New intermediate", now: noon)
        leaf = try issuing.issueCredentials(
            IssueRequest(node: "db-1", dnsNames: [], ipAddresses: [], validity: day), now: noon
        ).chain
    }

    private func verify(_ presented: [Certificate], _ roots: [CertificateAuthority], now: Int64 = noon) throws
        -> [String]
    {
        let verifier = ChainVerifier(trust: try TrustBundle(roots: roots.map(\.root)))
        return try verifier.verify(presented, expecting: expectation(now: now)).chain.map(\.issuer)
    }

    @Test func whoKnowsOneRootVerifiesTheOther() throws {
        let path = ["CN=New intermediate", "CN=New", "CN=Old", "CN=Old"]
        #expect(reason { try verify(leaf, [old]) } == .unknownCA)
        #expect(try verify(leaf + [newByOld], [old]) == path)
        // As the CA's service sends it: both roots behind it, for clients that know one by its fingerprint.
        #expect(try verify(leaf + [newByOld, new.root, old.root], [old]) == path)
        for roots in [[new], [new, old], [old, new]] {
            #expect(try verify(leaf + [newByOld], roots) == ["CN=New intermediate", "CN=New", "CN=New"])
            #expect(
                try verify(leaf + [newByOld, new.root, old.root], roots) == ["CN=New intermediate", "CN=New", "CN=New"])
        }
        #expect(reason { try verify(leaf + [newByOld], [old], now: newByOld.notAfter) } != nil)
    }

    @Test func itSaysWhatTheRootSays() throws {
        #expect(newByOld.subject == "CN=New" && newByOld.issuer == "CN=Old")
        #expect(newByOld.spkiSHA256 == new.root.spkiSHA256)
        #expect(newByOld.spiffeURIs == ["spiffe://\(domain)"])
        #expect(newByOld.isCA && newByOld.pathLength == nil && !newByOld.isSelfSigned)
        #expect(oldByNew.isSigned(by: new.root))
        let short = try CertificateAuthority.createRoot(name: "Short", trustDomain: domain, validity: 100, now: noon)
        #expect(try old.crossSign(short.root, now: noon).notAfter == noon + 100, "it ends with the root that it is of")
        #expect(try short.crossSign(new.root, now: noon).notAfter == noon + 100, "it ends with its issuer")
    }

    @Test func nothingElseIsSigned() throws {
        let foreign = try CertificateAuthority.createRoot(name: "Foreign", trustDomain: "else.test", now: noon)
        let twin = try CertificateAuthority.createRoot(name: "Old", trustDomain: domain, now: noon)
        for other in [foreign.root, twin.root, old.root, leaf[0], leaf[1]] {
            #expect(reason { try old.crossSign(other, now: noon) } == .badRequest, "\(other.subject)")
        }
        #expect(reason { try old.crossSign(new.root, validity: 0, now: noon) } == .badRequest)
        #expect(reason { try old.crossSign(new.root, now: old.root.notAfter) } == .expired)
    }

    /// A root that has signed nothing of the chain is as foreign as before.
    @Test func anotherRootBesideTheChain() throws {
        let other = try CertificateAuthority.createRoot(name: "Other", trustDomain: domain, now: noon)
        #expect(reason { try verify(leaf + [newByOld, other.root], [old]) } == .unrelatedCertificate)
        #expect(reason { try verify(leaf + [other.root], [new]) } == .unrelatedCertificate)
    }
}
