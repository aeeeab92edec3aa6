import Documents
import JSON
import PKI

/// A mesh with a root, an operator and a stranger, made once.
struct Fixture: Sendable {
    static let shared: Fixture = {
        do { return try Fixture() } catch { fatalError("\(error)") }
    }()

    static let domain = "docs.test"
    static let now: Int64 = 1_800_000_000

    let root: CertificateAuthority
    let otherRoot: CertificateAuthority
    let alice: PrivateKey
    let bob: PrivateKey
    let stranger: PrivateKey

    private init() throws {
        root = try CertificateAuthority.createRoot(name: "Root", trustDomain: Self.domain, now: Self.now)
        otherRoot = try CertificateAuthority.createRoot(name: "Other", trustDomain: Self.domain, now: Self.now)
        alice = try PrivateKey.generate(.ed25519)
        bob = try PrivateKey.generate(.ed25519)
        stranger = try PrivateKey.generate(.ed25519)
    }

    func list(_ members: [(String, PrivateKey)]) -> OperatorList {
        OperatorList(members.map { OperatorList.Member(name: $0.0, key: $0.1.publicKey) })
    }

    func operators(
        _ version: UInt64, _ members: [(String, PrivateKey)], by authority: CertificateAuthority? = nil
    ) throws -> SignedDocument {
        guard case .issuer(_, let key) = (authority ?? root).signer else { fatalError("a CA has a key") }
        return try SignedDocument(
            .operators, trustDomain: Self.domain, version: version, issued: Self.now, payload: list(members).payload,
            signedBy: key)
    }

    func document(
        _ kind: DocumentKind, _ version: UInt64, _ text: String, by key: PrivateKey? = nil, domain: String = domain
    ) throws -> SignedDocument {
        try SignedDocument(
            kind, trustDomain: domain, version: version, issued: Self.now, payload: Array(text.utf8),
            signedBy: key ?? alice)
    }

    /// A ledger that knows alice.
    func ledger() throws -> DocumentLedger {
        var ledger = DocumentLedger(trustDomain: Self.domain, roots: [root.root])
        _ = try ledger.take(try operators(1, [("alice", alice)]))
        return ledger
    }

    static let policy = "{ version: 1, identities: [], rules: [] }"
}

extension DocumentLedger {
    /// Takes a document at the fixture's time.
    mutating func take(
        _ document: SignedDocument, asNext: Bool = false, base: UInt64? = nil
    ) throws(DocumentError) -> Outcome {
        try take(document, asNext: asNext, base: base, now: Fixture.now)
    }
}

/// The code with which `body` fails; nil when it does not.
func code(_ body: () throws -> Void) -> DocumentError.Code? {
    do {
        try body()
        return nil
    } catch let error as DocumentError {
        return error.code
    } catch {
        fatalError("\(error)")
    }
}
