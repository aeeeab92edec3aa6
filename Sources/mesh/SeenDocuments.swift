import Documents
import EventLoop
import Glibc
import PKI

/// The newest mesh documents that the holder of a key has signed or seen, in files beside that key: what is older than these is
/// refused (docs/adr/0027).
///
/// The directory is `seen/TRUSTDOMAIN`, mode 0700; it has `KIND.json` for each kind, and `KIND.operators.json` where the signer was
/// removed since: the list that named it. Each file has mode 0600 and is replaced as a whole. Nothing is believed because it lies
/// there: what is read is verified anew.
struct SeenDocuments {
    /// The directory.
    let directory: String

    private let parent: String

    /// What is kept of a mesh beside the files of a directory.
    init(_ trustDomain: String, beside files: CAFiles) {
        parent = files.directory + "/seen"
        directory = "\(parent)/\(trustDomain)"
    }

    /// Removes what was seen of another mesh.
    func forget() {
        for kind in DocumentKind.inOrder {
            unlink(file(kind))
            unlink(witness(kind))
        }
        rmdir(directory)
        rmdir(parent)
    }

    /// Puts everything into a ledger that has the roots.
    func load(into ledger: inout DocumentLedger) throws(CommandFailure) {
        guard access(directory, R_OK | X_OK) == 0 || errno == ENOENT else {
            throw CommandFailure(
                .failure, "unreadable_file", "cannot look into \(directory): \(SystemError.text(errno))",
                hint: "give \(parent) to whoever signs here: chown -R USER \(parent)")
        }
        for kind in DocumentKind.inOrder {
            let path = file(kind)
            guard let document = try read(path) else { continue }
            let named = kind.isRootSigned ? nil : try read(witness(kind))
            do throws(DocumentError) {
                guard document.kind == kind else {
                    throw DocumentError(.wrongKind, "it is a document of the kind \(document.kind.rawValue)", hint: "")
                }
                _ = try ledger.restore(document, under: named)
            } catch {
                throw unusable(path, error)
            }
        }
    }

    /// What is kept of a kind, not verified; nil where there is nothing, or nothing that can be read.
    func document(_ kind: DocumentKind) -> SignedDocument? {
        guard let document = try? read(file(kind)), document.kind == kind else { return nil }
        return document
    }

    /// Keeps what a ledger has and is newer than what is here.
    func save(_ ledger: DocumentLedger) throws(CommandFailure) {
        for path in [parent, directory] {
            guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
                throw CommandFailure(
                    .failure, "unwritable_file", "cannot make the directory \(path): \(SystemError.text(errno))")
            }
        }
        // Two commands at a time must not put the older document over the newer one.
        let lock = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard lock >= 0, flock(lock, LOCK_EX) == 0 else {
            throw CommandFailure(
                .failure, "unwritable_file", "cannot lock the directory \(directory): \(SystemError.text(errno))")
        }
        defer { close(lock) }
        // Who named a signer comes before the list that names it no more: each file that a crash leaves is of use.
        for (kind, witness) in ledger.witnesses { try write(witness, self.witness(kind)) }
        for kind in DocumentKind.inOrder {
            guard let document = ledger.documents[kind] else { continue }
            if let known = try read(file(kind)), document.stamp <= known.stamp { continue }
            try write(document, file(kind))
            if ledger.witnesses[kind] == nil { unlink(witness(kind)) }
        }
    }

    /// Where one of a kind is kept.
    func file(_ kind: DocumentKind) -> String { "\(directory)/\(kind.rawValue).json" }

    private func witness(_ kind: DocumentKind) -> String { "\(directory)/\(kind.rawValue).operators.json" }

    private func read(_ path: String) throws(CommandFailure) -> SignedDocument? {
        guard SafeFile.exists(path) else { return nil }
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.read(path, limit: SignedDocument.largestEnvelope)
        } catch {
            throw CommandFailure(error)
        }
        do throws(DocumentError) {
            return try SignedDocument(envelope: bytes)
        } catch {
            throw unusable(path, error)
        }
    }

    private func write(_ document: SignedDocument, _ path: String) throws(CommandFailure) {
        do throws(CertificateError) {
            try SafeFile.write(document.envelope, to: path, mode: 0o600)
        } catch {
            throw CommandFailure(error)
        }
    }

    private func unusable(_ path: String, _ error: DocumentError) -> CommandFailure {
        CommandFailure(
            .failure, "bad_seen_document", "\(path) cannot be believed: \(error)",
            hint:
                "if ca.crt beside it was changed, or the mesh was made anew, look at what is in force and remove \(directory)"
        )
    }
}
