import Documents
import Glibc
import PKI

/// The documents that this node has taken, a file each. Written whole, synced, and never with an older version.
struct DocumentStore: Sendable {
    /// Where the files are.
    let directory: String

    /// The store of an agent that keeps its files in `stateDirectory`.
    init(stateDirectory: String) { directory = stateDirectory + "/documents" }

    private func path(_ kind: DocumentKind) -> String { "\(directory)/\(kind.rawValue).json" }

    /// Writes a document in the place of the one before. It is on disk when this returns.
    func save(_ document: SignedDocument) throws(CertificateError) {
        try SafeFile.write(document.envelope, to: path(document.kind), mode: 0o600)
    }

    /// The documents of the store, in the order in which they have to be taken. A file that cannot be read is a failure of
    /// the start: without it the node would believe what its first peer gives it, however old.
    func load() throws(StartFailure) -> [SignedDocument] {
        var documents: [SignedDocument] = []
        for kind in DocumentKind.inOrder {
            let path = path(kind)
            guard access(path, F_OK) == 0 || errno != ENOENT else { continue }
            let document: SignedDocument
            do {
                document = try SignedDocument(
                    envelope: SafeFile.read(path, limit: SignedDocument.largestEnvelope))
            } catch {
                throw Self.failure(path, "\(error)")
            }
            guard document.kind == kind else { throw Self.failure(path, "it holds \(document.kind.rawValue)") }
            documents.append(document)
        }
        return documents
    }

    /// A file that cannot be used.
    func failure(_ kind: DocumentKind, _ error: DocumentError) -> StartFailure {
        Self.failure(path(kind), error.description)
    }

    private static func failure(_ path: String, _ detail: String) -> StartFailure {
        StartFailure(
            exitCode: 78, lines: ["the mesh document \(path) cannot be used: \(detail)"],
            hint: "copy that file from the state directory of another node; only if no other node has it, remove it")
    }
}
