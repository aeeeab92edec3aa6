import Documents
import EventLoop
import Glibc
import JSON
import PKI
import Policy

/// The mesh documents of this node: takes them from operators and peers, stores them, puts them in force, and lets them
/// travel on.
///
/// What an operator hands over is stored before it is in force; where the disk does not take it, it is refused, but for
/// revocations. Those, and what comes from other nodes, are in force all the same, since what they take away must not wait
/// for a disk; storing is tried again, and a metric says so.
@ControlPlane
final class DocumentHost {
    /// How often the stored files are looked at, and those that could not be written tried again, in nanoseconds.
    private static let storeInterval: UInt64 = 5_000_000_000

    private static let fromConfiguration = "trust.operators"
    /// What to do about a list of operators that is not what it should be.
    nonisolated static let operatorsHint = "give the operators.json that mesh ca init wrote beside the CA's certificate"

    nonisolated static func failure(ofConfigured file: String, _ error: any Error) -> StartFailure {
        let isMissing = (error as? CertificateError)?.isMissingFile == true
        return StartFailure(
            exitCode: 78, lines: ["trust.operators: \(file): \(error)"], hint: operatorsHint,
            missingFile: isMissing ? file : nil)
    }

    private static let fromEnrolment = "enrolment"

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
    /// Documents that are on their way to the disk.
    private var storing: Set<DocumentKind> = []
    /// Where files are written for which nothing waits.
    private let disk: LoopThread
    /// The files as this agent left them.
    private var stamps: [DocumentKind: FileStamp?] = [:]
    /// A document of this kind came into force.
    var changed: @ControlPlane (DocumentKind) -> Void = { _ in }

    /// The documents that were in force when the agent ended, and the list of operators that the configuration names.
    ///
    /// Errors: a stored document or the configured list cannot be used.
    init(_ identity: NodeIdentity, _ configuration: Configuration, log: Log) throws {
        self.log = log
        store = DocumentStore(stateDirectory: configuration.node.stateDirectory)
        disk = try LoopThread(name: "documents")
        ledger = DocumentLedger(trustDomain: identity.trustDomain, roots: identity.fileRoots)
        let stored = try store.load()
        for item in stored { try restore(item, configuration) }
        warnOfRetiredSigners()
        try StateDirectory.prepare(store.directory)
        try configure(identity, configuration)
        for item in stored where stamps[item.document.kind] == nil {
            stamps[item.document.kind] = store.stamp(item.document.kind)
        }
        takeEnrolled(configuration)
        watchStore()
    }

    /// Takes what the CA gave with the first certificate, so that a new node knows who may sign, and what is revoked, before
    /// it meets anybody.
    private func takeEnrolled(_ configuration: Configuration) {
        guard let file = EnrolmentFiles(configuration)?.documents, SafeFile.exists(file),
            let bytes = try? SafeFile.read(file, limit: SignedDocument.largestEnvelope),
            let list = try? JSONReader.parse(bytes).array
        else { return }
        for value in list {
            guard let kind = DocumentKind(rawValue: value["kind"]?.string ?? "") else { continue }
            _ = try? take(value.serialized(), as: kind, from: Self.fromEnrolment)
        }
        if unstored.isEmpty { unlink(file) }
    }

    private func restore(_ item: DocumentStore.Stored, _ configuration: Configuration) throws(StartFailure) {
        if try Self.restore(item, to: &ledger, of: store, configuration) { save(.operators) }
    }

    /// Puts a stored document back in force.
    ///
    /// - Returns: true where the list of operators that the configuration names takes its place.
    nonisolated static func restore(
        _ item: DocumentStore.Stored, to ledger: inout DocumentLedger, of store: DocumentStore,
        _ configuration: Configuration
    ) throws(StartFailure) -> Bool {
        let document = item.document
        do throws(DocumentError) {
            _ = try ledger.restore(document, under: item.witness)
            return false
        } catch {
            // A list of a root that is not trusted any more: the configuration may name the next one, of another root.
            if document.kind == .operators, error.code == .unknownOperator, let file = configuration.trust.operators,
                let bytes = try? SafeFile.read(file, limit: SignedDocument.largestEnvelope),
                let next = try? SignedDocument(envelope: bytes), next.kind == .operators, document.stamp < next.stamp,
                (try? ledger.take(next, now: Clock.unixSeconds())) == .taken
            {
                return true
            }
            throw store.failure(document.kind, error)
        }
    }

    private func warnOfRetiredSigners() {
        for kind in DocumentKind.inOrder where ledger.witnesses[kind] != nil {
            log.warning(
                "document_signer_retired",
                "a document stays in force whose signer is not an operator any more; sign it anew",
                [
                    ("kind", .string(kind.rawValue)),
                    ("signer", ledger.documents[kind].map { .string($0.signer) } ?? .null),
                ])
        }
    }

    /// Takes over the roots of a changed identity. Where none of them has signed the list of operators, nothing more is taken
    /// from those.
    func use(_ identity: NodeIdentity) {
        let wasVouched = ledger.isVouched
        ledger.use(roots: identity.fileRoots)
        if wasVouched { warnOfUnvouchedOperators() }
    }

    private func warnOfUnvouchedOperators() {
        guard !ledger.isVouched else { return }
        log.error(
            "operators_not_vouched",
            "the root that signed the list of operators is not trusted any more: no documents are taken from them, and a "
                + "restart will be refused, until there is a list of a trusted root (mesh operator apply)",
            [("signer", ledger.documents[.operators].map { .string($0.signer) } ?? .null)])
    }

    /// Takes over what a reload brings: other roots, and a newer list of operators.
    func configure(_ identity: NodeIdentity, _ configuration: Configuration) throws(StartFailure) {
        let before = ledger
        use(identity)
        guard let file = configuration.trust.operators else { return }
        do {
            _ = try take(
                SafeFile.read(file, limit: SignedDocument.largestEnvelope), as: .operators,
                from: Self.fromConfiguration)
        } catch let error as DocumentError where error.code == .older {
            // The mesh has a newer list by now, and this node knows it.
        } catch {
            ledger.use(roots: before.fileRoots)
            throw Self.failure(ofConfigured: file, error)
        }
    }

    /// Takes a document in its envelope; in force and on disk when this returns, but for one for which nothing waits.
    ///
    /// - Parameters:
    ///   - source: who gave it, for the log.
    ///   - isStranger: nobody knows who that is.
    ///   - asNext: an operator hands it over: it has to have a version of its own, and to be stored.
    ///   - base: the version that the operator started from, where that was said.
    ///   - isStoredLater: the caller calls `storeLate` next. Revocations are in force then, and on their way to peers, before the disk has
    ///     them: a disk that others keep busy takes a second for what a revocation has to do in one.
    func take(
        _ envelope: [UInt8], as kind: DocumentKind, from source: String, isStranger: Bool = false,
        asNext: Bool = false, base: UInt64? = nil, isStoredLater: Bool = false
    ) throws(DocumentError) -> DocumentLedger.Outcome {
        do throws(DocumentError) {
            let document = try SignedDocument(envelope: envelope)
            guard document.kind == kind else {
                throw DocumentError(
                    .wrongKind, "the document is of the kind \(document.kind.rawValue), not \(kind.rawValue)",
                    hint: "give a document of the kind \(kind.rawValue)")
            }
            var next = ledger
            guard try next.take(document, asNext: asNext, base: base, now: Clock.unixSeconds()) == .taken else {
                return .known
            }
            if asNext, kind != .revocations { try storeFirst(kind, of: next) }
            let changes = Self.changes(kind, from: ledger, to: next)
            ledger = next
            count(kind, "taken")
            if isStoredLater, kind == .revocations { unstored.insert(kind) } else { save(kind) }
            log.info(
                "document_taken", "\(kind.rawValue) version \(document.version) is in force",
                [
                    ("kind", .string(kind.rawValue)), ("version", JSONValue(document.version)),
                    ("digest", .string(document.stamp.digestText)), ("signer", .string(signerName(document))),
                    ("from", .string(source)),
                ] + changes)
            if kind == .operators { warnOfRetiredSigners() }
            if kind == .trust { warnOfUnvouchedOperators() }
            changed(kind)
            return .taken
        } catch {
            count(kind, error.code.rawValue)
            // Of a list that a configuration or a token's file still has an old version is nothing to be told.
            if error.code != .older || source != Self.fromConfiguration && source != Self.fromEnrolment {
                log.warning(
                    "document_refused", "a mesh document was refused",
                    [
                        ("kind", .string(kind.rawValue)), ("reason", .string(error.code.rawValue)),
                        ("detail", .string(error.message)), ("from", .string(source)),
                    ] + AuditMeaning.strangers(isStranger))
            }
            throw error
        }
    }

    private func count(_ kind: DocumentKind, _ outcome: String) {
        results[Result(kind: kind.rawValue, outcome: outcome), default: 0] += 1
    }

    // MARK: - The disk

    /// Writes what an operator hands over before it is in force, or refuses it: a restart would bring the version before back.
    private func storeFirst(_ kind: DocumentKind, of next: DocumentLedger) throws(DocumentError) {
        do throws(CertificateError) {
            try store.save(kind, of: next)
        } catch {
            throw DocumentError(
                .notStored, "nothing was changed, since this node cannot store the document: \(error.message)",
                hint: "make room on this host's disk, or give the document to another node")
        }
    }

    private func save(_ kind: DocumentKind) {
        do throws(CertificateError) {
            try store.save(kind, of: ledger)
            saved(kind, nil)
        } catch {
            saved(kind, error)
        }
    }

    /// Writes the document of a kind that is in force and not on disk yet, while everything else goes on. Returns when it is there,
    /// or was refused by the disk.
    func storeLate(_ kind: DocumentKind) async {
        while storing.contains(kind) { await ControlPlane.sleep(nanoseconds: Clock.millisecond) }
        guard unstored.contains(kind) else { return }
        storing.insert(kind)
        defer { storing.remove(kind) }
        var failure: CertificateError?
        var written: DocumentLedger
        // What came meanwhile is written with it: the files have to be those of the ledger.
        repeat {
            written = ledger
            failure = await write(kind, of: written)
        } while written.versions != ledger.versions
        saved(kind, failure)
    }

    /// Whether the disk has everything that is in force, or has it within so many nanoseconds.
    func isStored(within limit: UInt64) async -> Bool {
        let end = Clock.monotonicNanoseconds() + limit
        for kind in unstored { Task { @ControlPlane in await self.storeLate(kind) } }
        while !unstored.isEmpty, Clock.monotonicNanoseconds() < end {
            await ControlPlane.sleep(nanoseconds: Clock.millisecond)
        }
        return unstored.isEmpty
    }

    private func write(_ kind: DocumentKind, of ledger: DocumentLedger) async -> CertificateError? {
        await withCheckedContinuation { continuation in
            disk.handle.post { [store] in
                do throws(CertificateError) {
                    try store.save(kind, of: ledger)
                    continuation.resume(returning: nil)
                } catch {
                    continuation.resume(returning: error)
                }
            }
        }
    }

    private func saved(_ kind: DocumentKind, _ error: CertificateError?) {
        if let error {
            unstored.insert(kind)
            log.error(
                "document_not_stored",
                "a document is in force and could not be stored: a restart would bring the version before back; it is "
                    + "tried again",
                [("kind", .string(kind.rawValue)), ("detail", .string("\(error)"))])
        } else {
            unstored.remove(kind)
            stamps[kind] = store.stamp(kind)
        }
    }

    /// Looks after the files as long as the host lives.
    private func watchStore() {
        Task { @ControlPlane [weak self] in
            while self != nil {
                await ControlPlane.sleep(nanoseconds: Self.storeInterval)
                self?.lookAtStore()
            }
        }
    }

    private func lookAtStore() {
        for kind in DocumentKind.inOrder where ledger.documents[kind] != nil && !storing.contains(kind) {
            if unstored.contains(kind) {
                save(kind)
            } else if let known = stamps[kind], known != store.stamp(kind) {
                log.error(
                    "document_file_changed",
                    "somebody else has changed or removed a stored document; it is written again",
                    [("kind", .string(kind.rawValue)), ("directory", .string(store.directory))])
                try? StateDirectory.prepare(store.directory)
                save(kind)
            }
        }
    }

    /// Who signed a document, for people: an operator's name, or what tells the key.
    func signerName(_ document: SignedDocument) -> String {
        if document.kind.isRootSigned { return "root" }
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
