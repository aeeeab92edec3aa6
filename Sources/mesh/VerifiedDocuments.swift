import Arguments
import Documents
import EventLoop
import Glibc
import HTTP
import JSON
import PKI

/// The mesh documents that an agent shows, believed only as far as a root's certificate at hand vouches for them, and none that
/// is older than what was seen before (docs/adr/0027). What `mesh` signs, it makes from these.
///
/// The agent may be broken into. It can withhold a document that was never seen here, and nothing more.
final class VerifiedDocuments {
    /// The connection to the agent.
    let client: ControlClient
    /// The mesh.
    let trustDomain: String
    /// The agent's node.
    let node: String
    /// What is believed.
    private(set) var ledger: DocumentLedger
    private let anchor: TrustAnchor
    /// Which versions the agent says are in force.
    private let shown: JSONValue
    /// An older list of operators that somebody vouches for by naming it.
    private let former: SignedDocument?

    /// Asks the agent which documents are in force, and verifies its lists of roots and of operators.
    ///
    /// - Parameters:
    ///   - anchor: by what they are verified.
    ///   - former: a file with an older list of operators, which may have signed what is in force.
    ///   - signs: what is read is what the next version is made from; then a newer list of operators beside the anchor counts, which
    ///     no agent has yet.
    init(
        _ anchor: TrustAnchor, _ client: ControlClient, former: String? = nil, signs: Bool = true
    ) throws(CommandFailure) {
        self.client = client
        self.anchor = anchor
        let state = try client.call(.get, "/v1/documents")
        guard let domain = state["trustDomain"]?.string else {
            throw CommandFailure(
                .failure, DocumentError.Code.noTrustDomain.rawValue, "the agent has no trust domain",
                hint: "set trust.domain, or give it a certificate with a SPIFFE URI")
        }
        trustDomain = domain
        node = state.text(of: "node")
        shown = state["versions"] ?? .null
        self.former = if let former { try OperatorFiles.read(former).document } else { nil }
        ledger = try anchor.ledger(domain)
        try SeenDocuments(domain, beside: anchor.files).load(into: &ledger)
        try learn(.trust)
        try learn(.operators)
        if signs { try takeOwnOperators() }
    }

    // MARK: - Believing

    /// The version that the agent says is in force; 0 where there is none. Not verified.
    func shownVersion(_ kind: DocumentKind) -> UInt64 {
        UInt64(clamping: shown[kind.rawValue]?["version"]?.integer ?? 0)
    }

    /// The newest list of the kind that is believed, which may be newer than the agent's; nil where there is none.
    func newest(_ kind: DocumentKind) throws(CommandFailure) -> SignedDocument? {
        guard let document = ledger.documents[kind] else { return nil }
        guard kind != .operators || ledger.isVouched else {
            throw refused(
                kind,
                DocumentError(
                    .unknownOperator, "the root that signed it is retired", hint: "sign it with a root that is trusted")
            )
        }
        return document
    }

    /// The document in force at the agent, verified; nil where there is none, and none was seen before.
    func current(_ kind: DocumentKind) throws(CommandFailure) -> SignedDocument? {
        let seen = ledger.documents[kind]
        guard shownVersion(kind) > 0 else {
            guard let seen else { return nil }
            throw older(kind, "none", seen)
        }
        let document = try fetch(kind)
        do throws(DocumentError) {
            _ = try ledger.take(document, now: Clock.unixSeconds())
        } catch {
            if error.code == .older, let seen {
                try refuseForged(document)
                throw older(kind, "version \(document.version)", seen)
            }
            guard error.code == .unknownOperator, former != nil, seen.map({ $0.stamp < document.stamp }) ?? true,
                (try? ledger.restore(document, under: former)) != nil
            else { throw refused(kind, error) }
        }
        return document
    }

    /// Takes a newer list of the agent over, and leaves one alone that is older than what was seen: it is not used.
    private func learn(_ kind: DocumentKind) throws(CommandFailure) {
        guard shownVersion(kind) > 0 else { return }
        let document: SignedDocument
        do throws(CommandFailure) {
            document = try fetch(kind)
        } catch {
            // A policy under which nobody may ask is mended by a newer one; what is here counts then.
            guard Self.mayNotAsk(error) else { throw error }
            return
        }
        do throws(DocumentError) {
            _ = try ledger.take(document, now: Clock.unixSeconds())
        } catch {
            guard error.code == .older else { throw refused(kind, error) }
            try refuseForged(document)
        }
    }

    /// A document that is older than what was seen is told from one that nobody has signed.
    private func refuseForged(_ document: SignedDocument) throws(CommandFailure) {
        var trial = ledger
        do throws(DocumentError) {
            _ = try trial.restore(document)
        } catch {
            // Whoever signed an older one may be on no list any more.
            guard error.code == .badSignature else { return }
            throw refused(document.kind, error)
        }
    }

    /// The list that lies beside the key may be one that no agent has yet.
    private func takeOwnOperators() throws(CommandFailure) {
        let path = anchor.files.operators
        guard SafeFile.exists(path) else { return }
        let document = try OperatorFiles.read(path).document
        // Another one of the version in force is none that the mesh will have: `mesh ca init` writes a first list beside each root.
        guard document.version > ledger.documents[.operators]?.version ?? 0 else { return }
        do throws(DocumentError) {
            _ = try ledger.take(document, now: Clock.unixSeconds())
        } catch {
            // One of before a rotation is signed by a root that is retired; the mesh has a newer one.
            guard error.code != .older, error.code != .unknownOperator else { return }
            throw CommandFailure(
                .denied, error.code.rawValue, "\(path): \(error.message)", hint: error.hint, showsReason: true)
        }
    }

    private func fetch(_ kind: DocumentKind) throws(CommandFailure) -> SignedDocument {
        let envelope = try client.call(.get, "/v1/documents/\(kind.rawValue)")
        do throws(DocumentError) {
            let document = try SignedDocument(envelope: envelope.serialized())
            guard document.kind == kind else {
                throw DocumentError(.wrongKind, "it is a document of the kind \(document.kind.rawValue)", hint: "")
            }
            return document
        } catch {
            throw refused(kind, error)
        }
    }

    // MARK: - Keeping

    /// Keeps a document that was signed here, and everything that was verified, beside the key.
    ///
    /// - Parameter others: more directories that are to know it.
    func record(_ document: SignedDocument, alsoBeside others: [CAFiles] = []) {
        // What the mesh would not take from this key is not kept either.
        _ = try? ledger.take(document, now: Clock.unixSeconds())
        for files in [anchor.files] + others {
            do throws(CommandFailure) {
                try SeenDocuments(trustDomain, beside: files).save(ledger)
            } catch {
                Output.note(
                    DisplayWidth.sanitized(
                        "warning: \(error.what); an agent that shows an older document will not be noticed by the key in "
                            + files.directory))
            }
        }
    }

    /// Keeps what was verified only to be shown, where that can be done: nobody has to be able to write for a look.
    func recordShown() {
        // Not as somebody else than the one who signs here: he could not read it then.
        var directory = stat()
        guard stat(anchor.files.directory, &directory) == 0, directory.st_uid == geteuid() else { return }
        try? SeenDocuments(trustDomain, beside: anchor.files).save(ledger)
    }

    // MARK: - Refusing

    /// The reason of a refusal of what is older than what was seen.
    static let rolledBack = "rolled_back"

    /// Whether it is the agent that refuses an answer, and not `mesh` that does not believe one.
    static func mayNotAsk(_ error: CommandFailure) -> Bool {
        error.exit == .denied && DocumentError.Code(rawValue: error.reason) == nil && error.reason != rolledBack
    }

    private func refused(_ kind: DocumentKind, _ error: DocumentError) -> CommandFailure {
        let hint =
            error.code == .unknownOperator && !kind.isRootSigned
            ? "if the signer was removed from the list of operators, name a list of before that has it: --former FILE; else ask another "
                + "agent: --control SOCKET"
            : error.code == .unvouchedRoot
                ? "if the roots were rotated long ago, take the present root's ca.crt; else the agent may be broken into: ask another one, "
                    + "--control SOCKET"
                : "the agent may be broken into: ask another one (--control SOCKET), and look at this host"
        return CommandFailure(
            .denied, error.code.rawValue,
            "what the agent shows as \(kind.text) is not believed, and nothing was signed: \(error.message)",
            hint: hint,
            showsReason: true)
    }

    private func older(_ kind: DocumentKind, _ what: String, _ seen: SignedDocument) -> CommandFailure {
        CommandFailure(
            .denied, Self.rolledBack,
            "the agent shows \(what) of \(kind.text), and version \(seen.version) was seen before by the key in "
                + "\(anchor.files.directory); nothing was signed",
            hint: "it is behind (mesh documents), or hides something: ask another one, --control SOCKET",
            showsReason: true)
    }
}

extension DocumentKind {
    /// What people call it.
    var text: String {
        switch self {
        case .operators: "the list of operators"
        case .revocations: "the list of revocations"
        case .policy: "the policy"
        case .trust: "the list of roots"
        }
    }
}
