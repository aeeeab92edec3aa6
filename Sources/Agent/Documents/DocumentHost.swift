import Documents
import EventLoop
import JSON
import PKI
import Policy

/// The mesh documents of this node: takes them from operators and peers, stores them, puts them in force, and lets them
/// travel on.
///
/// A document that was taken is in force even where it cannot be stored, since what it takes away must not wait for a
/// disk; storing is tried again, and a metric says so.
@ControlPlane
final class DocumentHost {
    /// How often a document that could not be stored is tried again, in nanoseconds.
    private static let storeRetry: UInt64 = 10_000_000_000

    /// What came of documents, for metrics: kind and outcome, `taken` or an error's code.
    struct Result: Hashable, Comparable {
        let kind: String
        let outcome: String

        static func < (left: Result, right: Result) -> Bool {
            (left.kind, left.outcome) < (right.kind, right.outcome)
        }
    }

    private let log: Log
    private let store: DocumentStore
    private(set) var ledger: DocumentLedger
    private(set) var results: [Result: UInt64] = [:]
    /// Documents that are in force and not on disk.
    private(set) var unstored: Set<DocumentKind> = []
    private var isRetrying = false
    /// A document of this kind came into force.
    var changed: @ControlPlane (DocumentKind) -> Void = { _ in }

    /// The documents that were in force when the agent ended, and the list of operators that the configuration names.
    ///
    /// Errors: a stored document or the configured list cannot be used.
    init(_ identity: NodeIdentity, _ configuration: Configuration, log: Log) throws {
        self.log = log
        store = DocumentStore(stateDirectory: configuration.node.stateDirectory)
        ledger = DocumentLedger(trustDomain: identity.trustDomain, roots: identity.documentRoots)
        for document in try store.load() {
            do throws(DocumentError) {
                guard try !ledger.restore(document) else { continue }
                log.warning(
                    "document_signer_retired",
                    "a document stays in force whose signer is not an operator any more; sign it anew",
                    [("kind", .string(document.kind.rawValue)), ("signer", .string(document.signer))])
            } catch {
                throw store.failure(document.kind, error)
            }
        }
        try StateDirectory.prepare(store.directory)
        try configure(identity, configuration)
    }

    /// Takes over what a reload brings: other roots, and a newer list of operators.
    func configure(_ identity: NodeIdentity, _ configuration: Configuration) throws(StartFailure) {
        let before = ledger.roots
        ledger.roots = identity.documentRoots
        guard let file = configuration.trust.operators else { return }
        do {
            _ = try take(
                SafeFile.read(file, limit: SignedDocument.largestEnvelope), as: .operators, from: "trust.operators")
        } catch let error as DocumentError where error.code == .older {
            // The mesh has a newer list by now, and this node knows it.
        } catch {
            ledger.roots = before
            throw StartFailure(
                exitCode: 78, lines: ["trust.operators: \(file): \(error)"],
                hint: "give the operators.json that mesh ca init wrote beside the CA's certificate")
        }
    }

    /// Takes a document in its envelope; in force and on disk when this returns.
    ///
    /// - Parameters:
    ///   - source: who gave it, for the log.
    ///   - asNext: an operator hands it over: it has to have a version of its own.
    func take(
        _ envelope: [UInt8], as kind: DocumentKind, from source: String, asNext: Bool = false
    ) throws(DocumentError) -> DocumentLedger.Outcome {
        do throws(DocumentError) {
            let document = try SignedDocument(envelope: envelope)
            guard document.kind == kind else {
                throw DocumentError(
                    .wrongKind, "the document is of the kind \(document.kind.rawValue), not \(kind.rawValue)",
                    hint: "give a document of the kind \(kind.rawValue)")
            }
            guard try ledger.take(document, asNext: asNext) == .taken else { return .known }
            count(kind, "taken")
            save(document)
            log.info(
                "document_taken", "\(kind.rawValue) version \(document.version) is in force",
                [
                    ("kind", .string(kind.rawValue)), ("version", JSONValue(document.version)),
                    ("digest", .string(document.stamp.digestText)), ("signer", .string(signerName(document))),
                    ("from", .string(source)),
                ])
            changed(kind)
            return .taken
        } catch {
            count(kind, error.code.rawValue)
            // Of the list that a configuration still names an old version is nothing to be told.
            if error.code != .older || source != "trust.operators" {
                log.warning(
                    "document_refused", "a mesh document was refused",
                    [
                        ("kind", .string(kind.rawValue)), ("reason", .string(error.code.rawValue)),
                        ("detail", .string(error.message)), ("from", .string(source)),
                    ])
            }
            throw error
        }
    }

    private func count(_ kind: DocumentKind, _ outcome: String) {
        results[Result(kind: kind.rawValue, outcome: outcome), default: 0] += 1
    }

    private func save(_ document: SignedDocument) {
        do throws(CertificateError) {
            try store.save(document)
            unstored.remove(document.kind)
        } catch {
            unstored.insert(document.kind)
            log.error(
                "document_not_stored", "a document is in force and could not be stored; it is tried again",
                [("kind", .string(document.kind.rawValue)), ("detail", .string("\(error)"))])
            retry()
        }
    }

    private func retry() {
        guard !isRetrying else { return }
        isRetrying = true
        Task { @ControlPlane [weak self] in
            await ControlPlane.sleep(nanoseconds: Self.storeRetry)
            guard let self else { return }
            isRetrying = false
            for kind in unstored { if let document = ledger.documents[kind] { save(document) } }
        }
    }

    /// Who signed a document, for people: an operator's name, or what tells the key.
    func signerName(_ document: SignedDocument) -> String {
        if document.kind == .operators { return "root" }
        return ledger.operators?.member(signer: document.signer)?.name ?? document.signer
    }

    /// The documents in force, for people and programs.
    var json: JSONValue {
        .array(
            DocumentKind.inOrder.compactMap { kind in
                guard let document = ledger.documents[kind], let stamp = ledger.versions.stamps[kind] else {
                    return nil
                }
                return [
                    "kind": .string(kind.rawValue), "version": JSONValue(stamp.version),
                    "digest": .string(stamp.digestText), "signer": .string(signerName(document)),
                    "issued": .string(UTCTime.text(document.issued)), "stored": .bool(!unstored.contains(kind)),
                ]
            })
    }
}

extension NodeIdentity {
    /// The roots that may name operators of this node's mesh: those of its trust domain, and the one that issued the
    /// node's own certificates. Roots of others that are trusted for their nodes may not.
    var documentRoots: [Certificate] {
        let last = credentials.chain.last
        return meshTrust.roots.filter { root in
            if let domain = trustDomain, root.spiffeURIs == ["spiffe://\(domain)"] { return true }
            return root.spiffeURIs.isEmpty && last?.isSigned(by: root) == true
        }
    }
}
