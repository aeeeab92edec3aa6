import Bytes
import Enrolment
import JSON
import PKI
import Testing

@Suite struct EnrolmentMessageTests {
    private static let token = Base64URL.encode([UInt8](repeating: 1, count: 32))
    private static let signature = Base64URL.encode([UInt8](repeating: 2, count: 64))

    @Test func requestsReadWhatTheyWrite() throws {
        let join = JoinRequest(
            token: [UInt8](repeating: 1, count: 32), request: [3, 4], signature: [UInt8](repeating: 2, count: 64))
        #expect(try JoinRequest(parsing: join.body) == join)
        let renew = RenewRequest(request: [5])
        #expect(try RenewRequest(parsing: renew.body) == renew)
    }

    @Test(arguments: [
        "", "{", "[]", "null", "{}",
        #"{"token":"AA","csr":"AA","signature":"AA"}"#,
        #"{"token":"\#(token)","csr":"","signature":"\#(signature)"}"#,
        #"{"token":"\#(token)","csr":"AA==","signature":"\#(signature)"}"#,
        #"{"token":"\#(token)","csr":"AA","signature":7}"#,
        #"{"token":"\#(token)","csr":"AA","signature":"\#(signature)","node":"db-1"}"#,
        #"{"token":"\#(token)","csr":"AA","csr":"AB","signature":"\#(signature)"}"#,
    ])
    func refusesWhatIsNoRequest(body: String) {
        #expect(reason { try JoinRequest(parsing: Array(body.utf8)) } == .badRequest)
        #expect(reason { try RenewRequest(parsing: Array(body.utf8)) } == .badRequest)
    }

    @Test func refusesARequestThatIsTooLarge() {
        let body = RenewRequest(request: [UInt8](repeating: 0, count: CertificateSigningRequest.sizeLimit + 1)).body
        #expect(reason { try RenewRequest(parsing: body) } == .badRequest)
    }

    private struct Made {
        let ca: CertificateAuthority
        let key: PrivateKey
        let grant: NodeGrant

        init() throws {
            ca = try CertificateAuthority.createRoot(name: "Root", trustDomain: domain, now: noon)
            key = try PrivateKey.generate()
            grant = try NodeGrant(node: "db-1", dnsNames: ["db.test"], ipAddresses: ["::1"])
        }

        func answer(_ request: IssueRequest? = nil, trust: CertificateAuthority? = nil) throws -> IssuedIdentity {
            let leaf = try ca.issue(request ?? grant.issueRequest(validity: 60), for: key.publicKey, now: noon)
            return IssuedIdentity(
                chain: [leaf], trust: try TrustBundle(roots: [(trust ?? ca).root]), grant: grant, trustDomain: domain,
                documents: [["kind": "operators"]])
        }
    }

    @Test func anAnswerReadsWhatItWroteAndBecomesCredentials() throws {
        let made = try Made()
        let read = try IssuedIdentity(parsing: made.answer().body)
        let credentials = try read.credentials(for: "db-1", key: made.key, now: noon)
        #expect(credentials.leaf.dnsNames == ["db.test"])
        #expect(read.trust.roots == [made.ca.root])
        #expect(read.trustDomain == domain)
        #expect(read.documents == [["kind": "operators"]])
    }

    @Test func aCertificateThatPeersWouldRefuseIsNotTaken() throws {
        let made = try Made()
        let good = try made.answer()
        #expect(reason { try good.credentials(for: "db-2", key: made.key, now: noon) } == .badCertificate)
        #expect(reason { try good.credentials(for: "db-1", key: PrivateKey.generate(), now: noon) } == .badCertificate)
        #expect(reason { try good.credentials(for: "db-1", key: made.key, now: noon + 61) } == .badCertificate)
        #expect(reason { try good.credentials(for: "db-1", key: made.key, now: noon - 900) } == .badCertificate)
        let other = try CertificateAuthority.createRoot(name: "Root", trustDomain: domain, now: noon)
        let foreign = try made.answer(trust: other)
        #expect(reason { try foreign.credentials(for: "db-1", key: made.key, now: noon) } == .badCertificate)
        let fewer = try made.answer(IssueRequest(node: "db-1", validity: 60))
        #expect(reason { try fewer.credentials(for: "db-1", key: made.key, now: noon) } == .badCertificate)
    }

    @Test(arguments: ["", "{}", #"{"certificate":"x","trust":"y","node":"n","trustDomain":"d"}"#])
    func refusesWhatIsNoAnswer(body: String) {
        #expect(reason { try IssuedIdentity(parsing: Array(body.utf8)) } == .badAnswer)
    }
}
