import Foundation
import PKI
import Testing

@Suite struct SigningRequestTests {
    @Test(arguments: KeyAlgorithm.allCases.filter { $0 != .rsa4096 && $0 != .rsa3072 })
    func readsWhatItMakes(algorithm: KeyAlgorithm) throws {
        let key = try PrivateKey.generate(algorithm)
        let made = try CertificateSigningRequest.make(node: "db-1", key: key)
        let read = try CertificateSigningRequest(der: made.der)
        #expect(read.publicKey == key.publicKey)
        #expect(read.names.commonNames == ["db-1"])
        #expect(read.names.dnsNames.isEmpty)
    }

    @Test func everyDamageIsRefused() throws {
        let made = try CertificateSigningRequest.make(node: "db-1", key: PrivateKey.generate())
        for index in made.der.indices {
            var damaged = made.der
            damaged[index] ^= 0x01
            // What still reads has another key or another proof; nothing passes for the request that was made.
            let read = try? CertificateSigningRequest(der: damaged)
            #expect(read == nil, "byte \(index)")
        }
        #expect(reason { try CertificateSigningRequest(der: made.der + [0]) } == .malformed)
        #expect(reason { try CertificateSigningRequest(der: []) } == .malformed)
        #expect(reason { try CertificateSigningRequest(der: [UInt8](repeating: 0x30, count: 20_000)) } == .malformed)
    }

    @Test func aWeakKeyIsRefused() throws {
        let key = try PrivateKey.generateRSA(bits: 1024)
        #expect(reason { try CertificateSigningRequest.make(node: "db-1", key: key) } == .weakKey)
    }

    @Test func theServiceOfTheCAIsNoNode() throws {
        let ca = try Fixture.shared.get().ca
        let credentials = try ca.issueServiceCredentials(validity: 3_600, now: noon)
        let identity = try credentials.validateAsServer(trust: Fixture.shared.get().trust)
        #expect(identity.spiffe?.path == CertificateAuthority.servicePath)
        #expect(identity.nodeName == nil)
        #expect(credentials.leaf.extendedKeyUsage == [.serverAuth])
        #expect(try CertificateAuthority.serviceID(in: domain) == identity.spiffe)
    }

    @Test func shortLivesAreBackdatedLess() throws {
        let fixture = try Fixture.shared.get()
        let short = try fixture.ca.issue(
            IssueRequest(node: "a", validity: 4), for: fixture.key.publicKey, now: noon + 600)
        #expect(short.notBefore == noon + 599)
        let long = try fixture.ca.issue(
            IssueRequest(node: "a", validity: day), for: fixture.key.publicKey, now: noon + 600)
        #expect(long.notBefore == noon + 300)
    }
}

extension Credentials {
    fileprivate func validateAsServer(trust: TrustBundle) throws -> PeerIdentity {
        try ChainVerifier(trust: trust).verify(chain, expecting: expectation(.serverOfLink)).identity
    }
}
