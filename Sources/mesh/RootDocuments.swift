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

    /// What the agent shows, verified by the root of the step's directory.
    private let verified: VerifiedDocuments

    /// Asks the agent for the list in force.
    ///
    /// - Parameters:
    ///   - files: of the root that signs in this step; its certificate verifies what the agent shows.
    ///   - begins: it is the step that needs no list.
    init(_ context: CommandContext, _ files: CAFiles, begins: Bool = false) throws(CommandFailure) {
        self.context = context
        client = try ControlClient(context)
        if !begins, !SafeFile.exists(files.root.certificate),
            try client.call(.get, "/v1/documents")["versions"]?["trust"] == nil
        {
            throw Self.notBegun
        }
        verified = try VerifiedDocuments(TrustAnchor(of: files), client)
        trustDomain = verified.trustDomain
        node = verified.node
        let document = try verified.current(.trust)
        version = document?.version ?? 0
        list = document == nil ? nil : verified.ledger.rootList
    }

    private static let notBegun = CommandFailure(
        .notFound, "no_rotation", "the mesh has no list of roots: no rotation was begun",
        hint: "begin with mesh ca rotate prepare")

    /// The list in force, or a failure that says how a rotation begins.
    func begun() throws(CommandFailure) -> RootList {
        if let list { return list }
        throw Self.notBegun
    }

    // MARK: - Signing

    /// A list with other states, and with cross-signed certificates besides.
    func changed(
        _ entries: [RootList.Entry], adding crossSigned: [Certificate] = []
    ) throws(CommandFailure) -> RootList {
        var entries = entries
        var gone = list?.gone ?? []
        let now = Clock.unixSeconds()
        // The oldest that nobody comes back from any more makes room. Its key stays: a file may still hold it.
        while entries.count > RootList.maximumRoots,
            let index = entries.firstIndex(where: { entry in
                entry.state == .retired && (list?.lateUntil(entry.certificate) ?? 0) <= now
            })
        {
            gone.append(entries.remove(at: index).certificate.spkiSHA256)
        }
        let keys = Set(entries.map(\.certificate.spkiSHA256))
        let kept = ((list?.crossSigned ?? []) + crossSigned).filter { cross in
            keys.contains(cross.spkiSHA256) && entries.contains { cross.names(asIssuer: $0.certificate) }
        }
        do throws(DocumentError) {
            return try RootList(
                entries, crossSigned: kept.suffix(RootList.maximumCrossSigned), gone: gone, trustDomain: trustDomain)
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    /// Signs the next version and gives it to the agent, and says before what changes.
    ///
    /// - Parameter others: directories of other roots that are to know the version.
    /// - Returns: its version.
    func publish(
        _ next: RootList, signedBy root: CertificateAuthority, alsoBeside others: [CAFiles] = []
    ) throws(CommandFailure) -> UInt64 {
        DocumentChange(.trust, from: list?.payload, to: next.payload, trustDomain: trustDomain)
            .say(.trust, version: version + 1, after: version, context)
        let document = try sign(.trust, version + 1, next.payload, root)
        try give(document, base: version)
        verified.record(document, alsoBeside: others)
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
        let shown = verified.shownVersion(.operators)
        guard shown > 0, let before = try verified.newest(.operators) else { return nil }
        if before.signer == root.root.spkiSHA256 {
            guard shown < before.version else { return nil }
            try give(before, base: shown)
            return before.version
        }
        DocumentChange(.operators, from: before.payload, to: before.payload, trustDomain: trustDomain)
            .say(.operators, version: before.version + 1, after: before.version, context)
        let next = try sign(.operators, before.version + 1, before.payload, root)
        do throws(CertificateError) {
            try SafeFile.write(next.envelope, to: file, mode: 0o644)
        } catch {
            throw CommandFailure(error)
        }
        try give(next, base: shown)
        verified.record(next)
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
        let revoked = try revokedNodes()
        return try OperatorFiles.nodes(client).filter { node in
            (node["versions"]?["trust"]?["version"]?.integer ?? 0) < Int64(version)
        }.map { $0.text(of: "node") }.filter { !revoked.contains($0) }
    }

    /// Nodes that do not prove themselves below the active root, or of which that is not known.
    func notBelow(_ root: Certificate) throws(CommandFailure) -> [String] {
        try nodes().filter { node in
            node["rootKey"]?.string != root.spkiSHA256 && !Self.isRevoked(node)
        }.map { $0.text(of: "node") }
    }

    /// Nodes that are not waited for, because they are revoked.
    func revokedNodes() throws(CommandFailure) -> Set<String> {
        Set(try nodes().filter { Self.isRevoked($0) }.map { $0.text(of: "node") })
    }

    private func nodes() throws(CommandFailure) -> [JSONValue] {
        try client.call(.get, "/v1/roots").elements(of: "nodes")
    }

    /// Whether a node of `GET /v1/roots` is not waited for: it is not linked, and a mesh document revokes it.
    static func isRevoked(_ node: JSONValue) -> Bool {
        node["linked"]?.bool != true && node["revoked"]?.string != nil
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
