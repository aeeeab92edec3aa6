import Arguments
import Documents
import EventLoop
import Glibc
import HTTP
import JSON
import PKI

/// What the commands of a rotation of roots have in common: the list in force, its next version, and who has it.
struct RootDocuments {
    let context: CommandContext
    let client: ControlClient
    /// The mesh.
    let trustDomain: String
    /// The agent's node.
    let node: String
    /// The version in force; 0 where there is none.
    let version: UInt64
    /// The list in force; nil where there is none.
    let list: RootList?

    init(_ context: CommandContext) throws(CommandFailure) {
        self.context = context
        client = try ControlClient(context)
        let state = try client.call(.get, "/v1/documents")
        guard let domain = state["trustDomain"]?.string else {
            throw CommandFailure(
                .failure, DocumentError.Code.noTrustDomain.rawValue, "the agent has no trust domain",
                hint: "set trust.domain, or give it a certificate with a SPIFFE URI")
        }
        trustDomain = domain
        node = state.text(of: "node")
        version = UInt64(state["versions"]?["trust"]?["version"]?.integer ?? 0)
        guard version > 0 else {
            list = nil
            return
        }
        let document = try Self.document("trust", client)
        do throws(DocumentError) {
            list = try RootList(payload: document.payload, trustDomain: document.trustDomain)
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    private static func document(_ kind: String, _ client: ControlClient) throws(CommandFailure) -> SignedDocument {
        let envelope = try client.call(.get, "/v1/documents/\(kind)")
        do throws(DocumentError) {
            return try SignedDocument(envelope: envelope.serialized())
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    /// The list in force, or a failure that says how a rotation begins.
    func begun() throws(CommandFailure) -> RootList {
        if let list { return list }
        throw CommandFailure(
            .notFound, "no_rotation", "the mesh has no list of roots: no rotation was begun",
            hint: "begin with mesh ca rotate prepare")
    }

    // MARK: - Signing

    /// A list with other states, and with cross-signed certificates besides.
    func changed(
        _ entries: [RootList.Entry], adding crossSigned: [Certificate] = []
    ) throws(CommandFailure) -> RootList {
        var entries = entries
        let now = Clock.unixSeconds()
        // The oldest that nobody comes back from any more makes room.
        while entries.count > RootList.maximumRoots,
            let index = entries.firstIndex(where: { entry in
                entry.state == .retired && (list?.lateUntil(entry.certificate) ?? 0) <= now
            })
        {
            entries.remove(at: index)
        }
        let keys = Set(entries.map(\.certificate.spkiSHA256))
        let kept = ((list?.crossSigned ?? []) + crossSigned).filter { cross in
            keys.contains(cross.spkiSHA256) && entries.contains { cross.names(asIssuer: $0.certificate) }
        }
        do throws(DocumentError) {
            return try RootList(
                entries, crossSigned: kept.suffix(RootList.maximumCrossSigned), trustDomain: trustDomain)
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    /// Signs the next version and gives it to the agent.
    ///
    /// - Returns: its version.
    func publish(_ next: RootList, signedBy root: CertificateAuthority) throws(CommandFailure) -> UInt64 {
        let document = try sign(.trust, version + 1, next.payload, root)
        try give(document, base: version)
        return document.version
    }

    private func sign(
        _ kind: DocumentKind, _ version: UInt64, _ payload: [UInt8], _ root: CertificateAuthority
    ) throws(CommandFailure) -> SignedDocument {
        do throws(CertificateError) {
            guard case .issuer(_, let key) = root.signer else { throw .missingCertificate() }
            return try SignedDocument(
                kind, trustDomain: trustDomain, version: version, issued: Clock.unixSeconds(), payload: payload,
                signedBy: key)
        } catch {
            throw CommandFailure(error)
        }
    }

    private func give(_ document: SignedDocument, base: UInt64) throws(CommandFailure) {
        var headers = HTTPHeaders()
        headers.set("If-Match", "\"\(base)\"")
        let force = context.invocation.isOn("force") && document.kind == .trust ? "?force=true" : ""
        _ = try client.call(
            .put, "/v1/documents/\(document.kind.rawValue)\(force)", headers: headers, body: document.json)
    }

    /// The list of operators in force, signed by another root, as its next version: else nobody could sign documents once the
    /// root that has signed it is retired.
    ///
    /// - Parameter file: where it is written, for nodes that come later.
    /// - Returns: the version; nil where the mesh has no operators, or that root has signed their list already.
    func signOperators(by root: CertificateAuthority, file: String) throws(CommandFailure) -> UInt64? {
        let state = try client.call(.get, "/v1/documents")
        guard state["versions"]?["operators"] != nil else { return nil }
        let before = try Self.document("operators", client)
        guard before.signer != root.root.spkiSHA256 else { return nil }
        let next = try sign(.operators, before.version + 1, before.payload, root)
        do throws(CertificateError) {
            try SafeFile.write(next.envelope, to: file, mode: 0o644)
        } catch {
            throw CommandFailure(error)
        }
        try give(next, base: before.version)
        return next.version
    }

    // MARK: - Nodes

    /// Refuses to go on while one of `nodes` is not where it has to be, unless that is forced.
    func demand(_ late: [String], _ what: String, hint: String) throws(CommandFailure) {
        guard !late.isEmpty else { return }
        let names = late.map { DisplayWidth.sanitized($0) }.joined(separator: ", ")
        guard !context.invocation.isOn("force") else {
            return Output.note("warning: \(what): \(names)")
        }
        throw CommandFailure(.failure, "nodes_not_ready", "\(what): \(names)", hint: hint)
    }

    /// Nodes that do not have the list in force, or are not known to have it.
    func withoutList() throws(CommandFailure) -> [String] {
        try OperatorFiles.nodes(client).filter { node in
            (node["versions"]?["trust"]?["version"]?.integer ?? 0) < Int64(version)
        }.map { $0.text(of: "node") }
    }

    /// Nodes that do not prove themselves below the active root, or of which that is not known.
    func notBelow(_ root: Certificate) throws(CommandFailure) -> [String] {
        try client.call(.get, "/v1/roots").elements(of: "nodes").filter { node in
            node["rootKey"]?.string != root.spkiSHA256
        }.map { $0.text(of: "node") }
    }
}

/// A root's files, and its key.
enum RootFiles {
    /// Loads the root of a directory; asks for its passphrase where that is needed.
    ///
    /// - Returns: the root, and the passphrase of its key.
    static func load(
        _ files: CAFiles, _ context: CommandContext
    ) throws(CommandFailure) -> (CertificateAuthority, Passphrase?) {
        guard access(files.root.key, F_OK) == 0 else {
            throw .missing(
                files.root.key, hint: "say where the root's files are, with its key: --ca-dir DIR, --next DIR")
        }
        var used = Passphrase?.none
        let file = context.invocation.string("passphrase-file")
        let root = try PassphraseSource.open("the root's key \(files.root.key)", file: file, flag: "--passphrase-file")
        {
            (passphrase) throws(CertificateError) in
            used = passphrase
            return try CertificateAuthority.load(
                certificateFile: files.root.certificate, keyFile: files.root.key, passphrase: passphrase)
        }
        return (root, used)
    }

    /// Where the next root is, unless the command line says otherwise.
    static let defaultNext = "certs-next"

    /// The flags of every step.
    static let flags: [FlagSpec] = [
        FlagSpec("next", .path, placeholder: "DIR", "Where the next root's files are.", default: defaultNext),
        FlagSpec("passphrase-file", .path, "The first line of this file (mode 0600) is the passphrase of the keys."),
        FlagSpec(switch: "force", "Go on although nodes are not ready; they have to come back as late ones."),
        .json,
    ]

    /// The next root's files.
    static func next(_ context: CommandContext) -> CAFiles { CAFiles(context.invocation.string("next") ?? defaultNext) }
}
