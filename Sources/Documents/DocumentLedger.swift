public import PKI
public import Policy

/// The documents of one mesh that are in force at a node, and who may replace them. Pure: what it takes, the shell stores
/// and spreads.
///
/// A document is taken when it is for this mesh, newer than the one in force (`DocumentStamp`), signed by an operator,
/// and when its content can be used. The list of operators and that of roots are signed by a root instead. What an operator signed who was
/// removed later stays in force, together with the list that named it (`witnesses`).
public struct DocumentLedger: Sendable {
    /// The mesh; nil where the node has no trust domain, and takes no documents.
    public let trustDomain: String?
    /// The roots of the mesh that this node's files name.
    public private(set) var fileRoots: [Certificate]
    /// The mesh's roots; nil as long as there is no document of them.
    public private(set) var rootList: RootList?
    /// The roots that may name operators: those of files and document, but for what the document retires.
    public var roots: [Certificate] { rootList?.applied(to: fileRoots) ?? fileRoots }
    /// The documents in force.
    public private(set) var documents: [DocumentKind: SignedDocument] = [:]
    /// Which these are.
    public private(set) var versions = DocumentVersions()
    /// Who may sign; nil as long as nobody said, and where no root that is trusted now vouches for the list in force.
    public var operators: OperatorList? { isVouched ? list : nil }
    /// The root that signed the list of operators in force is trusted; true where there is no list.
    public private(set) var isVouched = true
    private var list: OperatorList?
    /// For documents whose signer the list in force does not name any more: the older list that does.
    public private(set) var witnesses: [DocumentKind: SignedDocument] = [:]
    /// What is revoked.
    public private(set) var revocations = RevocationSet.empty
    /// The policy; nil as long as there is no document of it.
    public private(set) var policy: PolicyDocument?

    /// A ledger without documents.
    public init(trustDomain: String?, roots: [Certificate]) {
        self.trustDomain = trustDomain
        fileRoots = roots
    }

    /// How far a version may be above the one in force, so that nobody can use up the numbers. Where more changes than
    /// this were missed, the bound by time (`latestVersion`) admits the version.
    public static let largestStep: UInt64 = 1024
    /// What a clock may be late, in seconds.
    private static let clockTolerance: Int64 = 86_400

    /// Versions count changes. There was never more than one a second since 1970, so that no mesh that counts on gets near
    /// this bound; an operator who signs a huge version is stopped by it, and the numbers that are left last for ever.
    static func latestVersion(now: Int64) -> UInt64 { UInt64(clamping: now + clockTolerance) }

    /// Takes over other roots. The list of operators stays in force only as far as one of them has signed it: where none
    /// has, nothing new is taken from these operators (`isVouched`), and what they signed before stays.
    public mutating func use(roots: [Certificate]) {
        fileRoots = roots
        reviewOperators()
    }

    private mutating func reviewOperators() {
        isVouched = documents[.operators].map { Self.signer(of: $0, among: roots) != nil } ?? true
    }

    private static func signer(of document: SignedDocument, among roots: [Certificate]) -> Certificate? {
        roots.first { $0.spkiSHA256 == document.signer && document.isSigned(by: $0.publicKey) }
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
    /// - Parameters:
    ///   - asNext: it has to have a version of its own, as what an operator hands over: of two operators who
    ///     change the same version, the second is told. Between nodes a second document of one version can win, so that all
    ///     come to the same.
    ///   - base: the version that it was made from, where the operator says so: another one in force is `document_changed`.
    ///   - now: unix seconds, for the bound of versions.
    ///
    /// Errors: every code of `DocumentError` but those of reading the envelope.
    public mutating func take(
        _ document: SignedDocument, asNext: Bool = false, base: UInt64? = nil, now: Int64
    ) throws(DocumentError) -> Outcome {
        try checkMesh(document)
        let stamp = document.stamp
        if let current = versions.stamps[document.kind] {
            if current == stamp { return .known }
            try checkBase(base, of: document.kind)
            guard current < stamp, !asNext || current.version < stamp.version else {
                throw DocumentError(
                    .older,
                    Self.notNewer(document.kind, stamp, than: current), hint: Self.olderHint(document.kind))
            }
        } else {
            try checkBase(base, of: document.kind)
        }
        try checkSigner(document, now: now)
        try checkStep(document, now: now)
        let former = documents[.operators]
        try put(document, stamp)
        if document.kind == .operators { keepWitnesses(former) } else { witnesses[document.kind] = nil }
        return .taken
    }

    private static func notNewer(_ kind: DocumentKind, _ stamp: DocumentStamp, than current: DocumentStamp) -> String {
        let offered = "\(kind.rawValue) version \(stamp.version) (\(stamp.digestText))"
        return stamp.version == current.version
            ? "\(offered) is not taken: another document that is in force has this version already (\(current.digestText))"
            : "\(offered) is older than version \(current.version) (\(current.digestText)), which is in force"
    }

    private static func olderHint(_ kind: DocumentKind) -> String {
        kind == .operators
            ? "change the list in force (mesh operator add or remove, --ca-dir DIR): after mesh ca rotate activate it is in the next "
                + "root's directory"
            : "read the document in force (mesh documents) and sign the change with a higher version"
    }

    private func checkBase(_ base: UInt64?, of kind: DocumentKind) throws(DocumentError) {
        let current = versions.stamps[kind]?.version ?? 0
        guard let base, base != current else { return }
        throw DocumentError(
            .changed,
            "the change was made from version \(base) of \(kind.rawValue), and version \(current) is in force",
            hint: "somebody else was quicker: look at what is in force, put both changes together, and apply that")
    }

    private func checkStep(_ document: SignedDocument, now: Int64) throws(DocumentError) {
        let current = versions.stamps[document.kind]?.version ?? 0
        guard document.version > max(current + Self.largestStep, Self.latestVersion(now: now)) else { return }
        throw DocumentError(
            .tooFarAhead,
            "\(document.kind.rawValue) version \(document.version) is too far above version \(current), which is in force",
            hint: "sign the next version; where this host's clock is wrong, correct it")
    }

    /// After a change of the list: remembers for each document whose signer was removed the list that named it.
    private mutating func keepWitnesses(_ former: SignedDocument?) {
        for (kind, document) in documents where !kind.isRootSigned {
            if list?.member(signer: document.signer) != nil {
                witnesses[kind] = nil
            } else if witnesses[kind] == nil {
                witnesses[kind] = former
            }
        }
    }

    /// Puts a document back that this node had taken before it was restarted. Its signer may have been removed since:
    /// what is in force stays in force until somebody replaces it, so that no version can ever go back. It still has to
    /// be signed by somebody whom a list of operators names that a trusted root has signed.
    ///
    /// - Parameter witness: where the signer was removed, the list that named it.
    /// - Returns: false where the signer is not an operator any more.
    ///
    /// Errors: those of `take`.
    public mutating func restore(
        _ document: SignedDocument, under witness: SignedDocument? = nil
    ) throws(DocumentError) -> Bool {
        try checkMesh(document)
        let isCurrent: Bool
        do {
            try checkSigner(document, now: nil)
            isCurrent = true
        } catch {
            guard error.code == .unknownOperator || error.code == .noOperators else { throw error }
            try checkRestored(document, witness, error)
            isCurrent = false
        }
        try put(document, document.stamp)
        if document.kind == .operators { reviewOperators() }
        if !isCurrent, !document.kind.isRootSigned { witnesses[document.kind] = witness }
        return isCurrent
    }

    /// What was in force under signers that are believed no more: an operator whom an older list names, or, where a rotation
    /// was cut short by a restart, a root that the list of roots has retired, and the operators whom it named.
    private func checkRestored(
        _ document: SignedDocument, _ witness: SignedDocument?, _ error: DocumentError
    ) throws(DocumentError) {
        switch document.kind {
        case .trust: throw error
        case .operators:
            guard let rootList, Self.signer(of: document, among: rootList.retired) != nil else { throw error }
        case .revocations, .policy:
            if let list, (try? Self.checkMember(document, of: list)) != nil { return }
            guard let witness else { throw error }
            try checkFormer(document, witness)
        }
    }

    /// Checks the signature of somebody whom an older list names.
    private func checkFormer(_ document: SignedDocument, _ witness: SignedDocument) throws(DocumentError) {
        guard witness.kind == .operators else {
            throw DocumentError(
                .wrongKind, "the list that shall name the signer is of the kind \(witness.kind.rawValue)",
                hint: "copy the file from the state directory of another node")
        }
        try checkMesh(witness)
        let known = roots + (rootList?.retired ?? [])
        guard Self.signer(of: witness, among: known) != nil else { throw Self.unknownRoot }
        try Self.checkMember(document, of: OperatorList(payload: witness.payload))
    }

    private func checkMesh(_ document: SignedDocument) throws(DocumentError) {
        guard let trustDomain else {
            throw DocumentError(
                .noTrustDomain, "this node has no trust domain, so that no document can be meant for it",
                hint: "set trust.domain, or give it a certificate with a SPIFFE URI: \(NewCertificate.commands())")
        }
        guard document.trustDomain == trustDomain else {
            throw DocumentError(
                .otherMesh, "the document is for the mesh \(document.trustDomain), and this is \(trustDomain)",
                hint: "sign it with an operator's key of this mesh")
        }
    }

    /// - Parameter now: unix seconds; nil for a document that was taken before.
    private func checkSigner(_ document: SignedDocument, now: Int64?) throws(DocumentError) {
        if document.kind == .trust { return try checkRoots(document, now: now) }
        guard document.kind != .operators else {
            guard let root = roots.first(where: { $0.spkiSHA256 == document.signer }) else { throw Self.unknownRoot }
            guard document.isSigned(by: root.publicKey) else { throw Self.badSignature("the root \(root.subject)") }
            return
        }
        guard let operators else {
            throw DocumentError(
                .noOperators, "no operators of this mesh are known here",
                hint: "apply their list first: mesh operator apply operators.json")
        }
        try Self.checkMember(document, of: operators)
    }

    private static let unknownRoot = DocumentError(
        .unknownOperator, "the list of operators is signed by no root of this mesh",
        hint: "sign it with the key of the root that nodes trust: mesh operator add --ca-dir DIR")

    /// A list of roots is signed by one of those that it keeps, and that one is in its time and trusted here, or a root that is
    /// vouches for it by a cross-signed certificate. So nobody but a root's holder brings a new root, and no list lets go of all of
    /// them.
    ///
    /// - Parameter now: unix seconds; nil for a list that was taken before, which stays in force beyond its signer's end.
    private func checkRoots(_ document: SignedDocument, now: Int64?) throws(DocumentError) {
        let next = try RootList(payload: document.payload, trustDomain: document.trustDomain)
        guard let signer = next.trusted.first(where: { $0.spkiSHA256 == document.signer }) else {
            throw DocumentError(
                .unvouchedRoot, "the list of roots is signed by none of the roots that stay trusted under it",
                hint: "sign it with the active root's key: mesh ca rotate activate, mesh ca rotate retire")
        }
        guard document.isSigned(by: signer.publicKey) else { throw Self.badSignature("the root \(signer.subject)") }
        if let now, !signer.isValid(at: now) {
            throw DocumentError(
                .rootNotInTime,
                "the root that signed the list of roots, \(signer.subject), is valid from \(UTCTime.text(signer.notBefore)) "
                    + "to \(UTCTime.text(signer.notAfter)), and it is \(UTCTime.text(now))",
                hint: "sign it with a root in its time; where this host's clock is wrong, correct it")
        }
        let gone = rootList?.retiredKeys ?? []
        guard next.vouched(by: roots, at: now, besides: gone).contains(document.signer) else {
            throw DocumentError(
                .unvouchedRoot,
                "\(signer.subject), which signed the list of roots, is not trusted here, and no root that is has signed its "
                    + "certificate" + (now == nil ? "" : ", or not for so long"),
                hint:
                    "where the roots were rotated while this node was away, join again: mesh ca token create --node NAME "
                    + "on the CA's node, then mesh join")
        }
    }

    private static func checkMember(
        _ document: SignedDocument, of operators: OperatorList
    ) throws(DocumentError) {
        guard let member = operators.member(signer: document.signer) else {
            throw DocumentError(
                .unknownOperator, "the signer (\(document.signer)) is no operator of this mesh",
                hint: "sign it with the key of one that mesh operator list shows")
        }
        guard document.isSigned(by: member.key) else { throw badSignature("the operator \(member.name)") }
    }

    private static func badSignature(_ whose: String) -> DocumentError {
        DocumentError(
            .badSignature, "the signature is not that of \(whose) over this document",
            hint: "it was changed on its way, or forged; take it from where it was signed")
    }

    /// Reads the content and puts everything in force, or nothing.
    private mutating func put(_ document: SignedDocument, _ stamp: DocumentStamp) throws(DocumentError) {
        switch document.kind {
        case .operators:
            list = try OperatorList(payload: document.payload)
            // Only what a root signed gets here.
            isVouched = true
        case .trust:
            rootList = try RootList(payload: document.payload, trustDomain: document.trustDomain)
            reviewOperators()
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
