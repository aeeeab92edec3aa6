import Documents
import Glibc
import JSON
import PKI

/// The documents that this node has taken, a file each. Written whole, synced, and never with an older version.
///
/// Beside `KIND.json` there is `KIND.operators.json` where the document's signer is not an operator any more: the list that
/// named it. `versions.json` says which documents there have to be, so that one that was removed or put back is noticed.
struct DocumentStore: Sendable {
    /// A document as it was taken.
    struct Stored {
        let document: SignedDocument
        /// The list that named its signer, where the list in force does not.
        let witness: SignedDocument?
    }

    /// Where the files are.
    let directory: String

    /// The store of an agent that keeps its files in `stateDirectory`.
    init(stateDirectory: String) { directory = stateDirectory + "/documents" }

    private func path(_ kind: DocumentKind) -> String { "\(directory)/\(kind.rawValue).json" }
    private func witnessPath(_ kind: DocumentKind) -> String { "\(directory)/\(kind.rawValue).operators.json" }
    private var versionsPath: String { directory + "/versions.json" }

    // MARK: - Writing

    /// Writes the document of a kind that is in force, and what belongs to it. It is on disk when this returns.
    func save(_ kind: DocumentKind, of ledger: DocumentLedger) throws(CertificateError) {
        guard let document = ledger.documents[kind] else { return }
        // A list that does not name a signer any more must not be there without the one that does. With each kind, since what is
        // written late by an older ledger may have removed them.
        for (other, witness) in ledger.witnesses { try write(witness, to: witnessPath(other)) }
        try write(document, to: path(kind))
        for other in DocumentKind.allCases where ledger.witnesses[other] == nil { unlink(witnessPath(other)) }
        try SafeFile.write(ledger.versions.json.serialized(), to: versionsPath, mode: 0o600)
    }

    private func write(_ document: SignedDocument, to path: String) throws(CertificateError) {
        try SafeFile.write(document.envelope, to: path, mode: 0o600)
    }

    /// What tells whether somebody else has changed the files of a kind.
    func stamp(_ kind: DocumentKind) -> FileStamp? { FileStamp(path(kind)) }

    // MARK: - Reading

    /// The documents of the store, in the order in which they have to be taken. A file that cannot be read, is missing or is
    /// older than what was stored is a failure of the start: without it the node would believe what its first peer gives it.
    func load() throws(StartFailure) -> [Stored] {
        let expected = try loadVersions()
        var documents: [Stored] = []
        for kind in DocumentKind.inOrder {
            let stamp = expected?.stamps[kind]
            guard let document = try read(path(kind), kind) else {
                guard let stamp else { continue }
                throw Self.failure(path(kind), "it is missing, and version \(stamp.version) was in force")
            }
            if let stamp, document.stamp < stamp {
                throw Self.failure(
                    path(kind), "it is version \(document.version), and version \(stamp.version) was in force")
            }
            documents.append(Stored(document: document, witness: try read(witnessPath(kind), .operators)))
        }
        return documents
    }

    /// The stored list of roots, which is needed before anything else can be checked; nil where there is none that can be read.
    var storedRoots: SignedDocument? { (try? read(path(.trust), .trust)) ?? nil }

    private func loadVersions() throws(StartFailure) -> DocumentVersions? {
        guard isThere(versionsPath) else { return nil }
        do {
            return try DocumentVersions(json: JSONReader.parse(SafeFile.read(versionsPath)))
        } catch {
            throw Self.failure(versionsPath, "\(error)")
        }
    }

    private func read(_ path: String, _ kind: DocumentKind) throws(StartFailure) -> SignedDocument? {
        guard isThere(path) else { return nil }
        let document: SignedDocument
        do {
            document = try SignedDocument(envelope: SafeFile.read(path, limit: SignedDocument.largestEnvelope))
        } catch {
            throw Self.failure(path, "\(error)")
        }
        guard document.kind == kind else { throw Self.failure(path, "it holds \(document.kind.rawValue)") }
        return document
    }

    /// What cannot be looked at counts as there, so that reading it says why.
    private func isThere(_ path: String) -> Bool { access(path, F_OK) == 0 || errno != ENOENT }

    /// A file that cannot be used.
    func failure(_ kind: DocumentKind, _ error: DocumentError) -> StartFailure {
        Self.failure(path(kind), error.description)
    }

    private static func failure(_ path: String, _ detail: String) -> StartFailure {
        StartFailure(
            exitCode: 78, lines: ["the mesh document \(path) cannot be used: \(detail)"],
            hint: "copy the directory from another node's state directory; only if no other node has it, remove it")
    }
}
