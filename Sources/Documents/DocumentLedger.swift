public import PKI
public import Policy

/// The documents of one mesh that are in force at a node, and who may replace them. Pure: what it takes, the shell stores
/// and spreads.
///
/// A document is taken when it is for this mesh, newer than the one in force (`DocumentStamp`), signed by an operator,
/// and when its content can be used. The list of operators is signed by a root instead.
public struct DocumentLedger: Sendable {
    /// The mesh; nil where the node has no trust domain, and takes no documents.
    public let trustDomain: String?
    /// The roots that may name operators.
    public var roots: [Certificate]
    /// The documents in force.
    public private(set) var documents: [DocumentKind: SignedDocument] = [:]
    /// Which these are.
    public private(set) var versions = DocumentVersions()
    /// Who may sign; nil as long as nobody said.
    public private(set) var operators: OperatorList?
    /// What is revoked.
    public private(set) var revocations = RevocationSet.empty
    /// The policy; nil as long as there is no document of it.
    public private(set) var policy: PolicyDocument?

    /// A ledger without documents.
    public init(trustDomain: String?, roots: [Certificate]) {
        self.trustDomain = trustDomain
        self.roots = roots
    }

    /// What came of a document that was not refused.
    public enum Outcome: Sendable, Equatable {
        /// It is in force now.
        case taken
        /// It was in force already.
        case known
    }

    /// Takes a document, or says why not.
    ///
    /// - Parameter asNext: it has to have a version of its own, as what an operator hands over: of two operators who
    ///   change the same version, the second is told. Between nodes a second document of one version can win, so that all
    ///   come to the same.
    ///
    /// Errors: every code of `DocumentError` but those of reading the envelope.
    public mutating func take(_ document: SignedDocument, asNext: Bool = false) throws(DocumentError) -> Outcome {
        try checkMesh(document)
        let stamp = document.stamp
        if let current = versions.stamps[document.kind] {
            if current == stamp { return .known }
            guard current < stamp, !asNext || current.version < stamp.version else {
                throw DocumentError(
                    .older,
                    "\(document.kind.rawValue) version \(stamp.version) (\(stamp.digestText)) is older than version "
                        + "\(current.version) (\(current.digestText)), which is in force",
                    hint: "read the document in force (mesh documents) and sign the change with a higher version")
            }
        }
        try checkSigner(document)
        try put(document, stamp)
        return .taken
    }

    /// Puts a document back that this node had taken before it was restarted. Its signer may have been removed since:
    /// what is in force stays in force until somebody replaces it, so that no version can ever go back.
    ///
    /// - Returns: false where the signer is not an operator any more.
    ///
    /// Errors: those of `take`, but `unknown_operator`.
    public mutating func restore(_ document: SignedDocument) throws(DocumentError) -> Bool {
        try checkMesh(document)
        var isCurrent = true
        do {
            try checkSigner(document)
        } catch {
            guard error.code == .unknownOperator || error.code == .noOperators else { throw error }
            isCurrent = false
        }
        try put(document, document.stamp)
        return isCurrent
    }

    private func checkMesh(_ document: SignedDocument) throws(DocumentError) {
        guard let trustDomain else {
            throw DocumentError(
                .noTrustDomain, "this node has no trust domain, so that no document can be meant for it",
                hint: "set trust.domain, or give it a certificate with a SPIFFE URI: mesh ca issue NODE")
        }
        guard document.trustDomain == trustDomain else {
            throw DocumentError(
                .otherMesh, "the document is for the mesh \(document.trustDomain), and this is \(trustDomain)",
                hint: "sign it with an operator's key of this mesh")
        }
    }

    private func checkSigner(_ document: SignedDocument) throws(DocumentError) {
        guard document.kind != .operators else {
            guard let root = roots.first(where: { $0.spkiSHA256 == document.signer }) else {
                throw DocumentError(
                    .unknownOperator, "the list of operators is signed by no root of this mesh",
                    hint: "sign it with the key of the root that nodes trust: mesh operator add --ca-dir DIR")
            }
            guard document.isSigned(by: root.publicKey) else { throw Self.badSignature("the root \(root.subject)") }
            return
        }
        guard let operators else {
            throw DocumentError(
                .noOperators, "no operators of this mesh are known here",
                hint: "apply their list first: mesh operator apply operators.json")
        }
        guard let member = operators.member(signer: document.signer) else {
            throw DocumentError(
                .unknownOperator, "the signer (\(document.signer)) is no operator of this mesh",
                hint: "sign it with the key of one that mesh operator list shows")
        }
        guard document.isSigned(by: member.key) else { throw Self.badSignature("the operator \(member.name)") }
    }

    private static func badSignature(_ whose: String) -> DocumentError {
        DocumentError(
            .badSignature, "the signature is not that of \(whose) over this document",
            hint: "it was changed on its way, or forged; take it from where it was signed")
    }

    /// Reads the content and puts everything in force, or nothing.
    private mutating func put(_ document: SignedDocument, _ stamp: DocumentStamp) throws(DocumentError) {
        switch document.kind {
        case .operators: operators = try OperatorList(payload: document.payload)
        case .revocations: revocations = try RevocationSet(payload: document.payload)
        case .policy:
            do throws(PolicyError) {
                policy = try PolicyDocument.parse(document.payload, file: "policy@\(document.version)")
            } catch {
                throw DocumentError(
                    .badContent, "the policy cannot be used: \(error)", hint: "check it first: mesh policy check FILE")
            }
        }
        documents[document.kind] = document
        versions.stamps[document.kind] = stamp
    }
}
