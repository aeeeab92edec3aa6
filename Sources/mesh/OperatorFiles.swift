import Arguments
import Documents
import EventLoop
import Glibc
import HTTP
import JSON
import PKI

/// The files of operators beside those of a CA, and what is signed with them.
enum OperatorFiles {
    /// The first operator's name, and that of its key file.
    static let defaultName = "operator"

    /// The flags of every command that signs as an operator.
    static let flags: [FlagSpec] = [
        FlagSpec("key", .path, "The operator's key.", default: "\(CAFiles.defaultDirectory)/\(defaultName).key"),
        FlagSpec("passphrase-file", .path, "The first line of this file (mode 0600) is the key's passphrase."),
        TrustAnchor.flag,
        FlagSpec(
            "former", .path, placeholder: "FILE",
            "An older list of operators, where the one who signed what is in force was removed since."),
    ]

    /// Makes the first operator's key and the list that names it, signed by the root.
    static func create(
        _ files: CAFiles, _ root: CertificateAuthority, _ passphrase: Passphrase?, replace: Bool
    ) throws(CertificateError) {
        let key = try PrivateKey.generate(.ed25519)
        // A list that replaces another one must be the newer one; whoever makes a new root starts a new mesh.
        let list = OperatorList([OperatorList.Member(name: defaultName, key: key.publicKey)])
        let document = try sign(list, version: 1, by: root)
        try key.write(to: files.operatorKey(defaultName), encryptedWith: passphrase, replace: replace)
        try SafeFile.write(document.envelope, to: files.operators, mode: 0o644, replace: replace)
    }

    /// Signs a list of operators with the root's key.
    static func sign(
        _ list: OperatorList, version: UInt64, by root: CertificateAuthority
    ) throws(CertificateError) -> SignedDocument {
        guard case .issuer(_, let key) = root.signer else {
            throw CertificateError(.badRequest, "the CA has no key of its own", hint: "give the root's: --ca-dir DIR")
        }
        return try SignedDocument(
            .operators, trustDomain: root.trustDomain, version: version, issued: Clock.unixSeconds(),
            payload: list.payload, signedBy: key)
    }

    /// Reads a list of operators.
    static func read(_ path: String) throws(CommandFailure) -> (document: SignedDocument, list: OperatorList) {
        do {
            let document = try SignedDocument(
                envelope: SafeFile.read(
                    path, limit: SignedDocument.largestEnvelope,
                    missing: "check the path; mesh ca init wrote operators.json beside the CA's certificate"))
            guard document.kind == .operators else {
                throw DocumentError(
                    .wrongKind, "it is a document of the kind \(document.kind.rawValue)", hint: "give operators.json")
            }
            return (document, try OperatorList(payload: document.payload))
        } catch let error as DocumentError {
            throw CommandFailure(.failure, error.code.rawValue, "\(path): \(error.message)", hint: error.hint)
        } catch let error as CertificateError {
            throw CommandFailure(error)
        } catch {
            throw CommandFailure(.failure, "unreadable_file", "\(path): \(error)")
        }
    }

    /// The operator's key of a command line.
    static func key(_ invocation: Invocation) throws(CommandFailure) -> PrivateKey {
        let path = try keyFile(invocation)
        return try PassphraseSource.open(
            "the operator's key \(path)", file: invocation.string("passphrase-file"), flag: "--passphrase-file"
        ) { (passphrase) throws(CertificateError) in try PrivateKey.load(file: path, passphrase: passphrase) }
    }

    /// The same where nobody is asked for its passphrase; nil where somebody is, which comes after he has seen what changes.
    private static func keyWithoutAsking(_ invocation: Invocation) throws(CommandFailure) -> PrivateKey? {
        guard invocation.string("passphrase-file") == nil, Terminal.canAsk else { return try key(invocation) }
        let path = try keyFile(invocation)
        do throws(CertificateError) {
            return try PrivateKey.load(file: path, passphrase: nil)
        } catch {
            guard error.reason == .badPassphrase else { throw CommandFailure(error) }
            return nil
        }
    }

    private static func keyFile(_ invocation: Invocation) throws(CommandFailure) -> String {
        let path = invocation.string("key") ?? "\(CAFiles.defaultDirectory)/\(defaultName).key"
        guard access(path, F_OK) == 0 || errno == EACCES else {
            throw .missing(
                path,
                hint: "say where the operator's key is: --key FILE (mesh ca init and mesh operator add make one)")
        }
        return path
    }

    /// A key that is on no list would be refused by the agent, too, after everything was shown. Where no list can be believed here,
    /// the agent decides.
    private static func refuseStranger(_ key: PrivateKey, _ verified: VerifiedDocuments) throws(CommandFailure) {
        guard let operators = verified.ledger.operators, operators.member(signer: key.publicKey.spkiSHA256) == nil,
            verified.ledger.documents[.operators]?.version ?? 0 >= verified.shownVersion(.operators)
        else { return }
        throw CommandFailure(
            .denied, DocumentError.Code.unknownOperator.rawValue,
            "the key is that of no operator of this mesh: \(operators.members.map(\.name).joined(separator: ", "))",
            hint: "name an operator's key: --key FILE; a root's holder adds one: mesh operator add", showsReason: true)
    }

    // MARK: - With an agent

    /// Signs the next version of a document and gives it to the agent, which gives it to the mesh. What changes against the one in
    /// force, which has to be verified (`VerifiedDocuments`), is said before.
    ///
    /// - Parameters:
    ///   - base: the version that it was made from, else the one that the agent shows at this moment, before somebody
    ///     types a passphrase. Where another one is in force when the agent gets the document, it refuses it.
    ///   - version: the number to sign, instead of the next one.
    ///   - all: the command that shows all that changes.
    /// - Returns: the document, and the agent's answer.
    static func publish(
        _ kind: DocumentKind, _ payload: [UInt8], base: UInt64? = nil, version: UInt64? = nil, all: String? = nil,
        _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) -> (document: SignedDocument, answer: JSONValue) {
        let verified = try VerifiedDocuments(
            TrustAnchor(operator: context), client, former: context.invocation.string("former"))
        let ready = try keyWithoutAsking(context.invocation)
        if let ready { try refuseStranger(ready, verified) }
        let before = try followed(by: kind, version, verified)
        let base = base ?? before?.version ?? verified.shownVersion(kind)
        let next = version ?? base + 1
        // Where it was made from another one, the agent says so.
        if before?.version ?? 0 == base {
            DocumentChange(kind, from: before?.payload, to: payload, trustDomain: verified.trustDomain)
                .say(kind, version: next, after: base, all: all, context)
        }
        let key = if let ready { ready } else { try key(context.invocation) }
        try introduceOperators(verified)
        let document: SignedDocument
        do throws(CertificateError) {
            document = try SignedDocument(
                kind, trustDomain: verified.trustDomain, version: next, issued: Clock.unixSeconds(),
                payload: payload, signedBy: key)
        } catch {
            throw CommandFailure(error)
        }
        var headers = HTTPHeaders()
        headers.set("If-Match", "\"\(base)\"")
        let answer = try client.call(
            .put, "/v1/documents/\(kind.rawValue)", headers: headers, body: document.json)
        verified.record(document)
        if answer["stored"]?.bool == false {
            Output.note(
                "warning: it is in force, and this node could not store it: a restart would forget it. Look at its disk "
                    + "(mesh_documents_unstored, document_not_stored)")
        }
        return (document, answer)
    }

    /// The document that the next version follows.
    ///
    /// Nothing of a policy in force goes into the next one, so that one which cannot be believed, or not be looked at, is no reason
    /// not to replace it: else what a removed operator signed, or a policy under which nobody may ask, would be there for good. What
    /// was forged is.
    private static func followed(
        by kind: DocumentKind, _ version: UInt64?, _ verified: VerifiedDocuments
    ) throws(CommandFailure) -> SignedDocument? {
        do throws(CommandFailure) {
            return try verified.current(kind)
        } catch {
            guard kind == .policy else { throw error }
            switch error.reason {
            case VerifiedDocuments.rolledBack:
                // Somebody who names the number means to pass an agent that is behind.
                guard let version, let seen = try verified.newest(kind), seen.version < version else { throw error }
                return nil
            case DocumentError.Code.unknownOperator.rawValue, DocumentError.Code.noOperators.rawValue,
                DocumentError.Code.badContent.rawValue:
                break
            default:
                guard VerifiedDocuments.mayNotAsk(error) else { throw error }
            }
            Output.note(
                DisplayWidth.sanitized("warning: what changes cannot be shown: \(error.what) (\(error.reason))"))
            return nil
        }
    }

    /// Where the list of operators that is known here is newer than the agent's, it goes first: the first document of a mesh
    /// needs no other preparation.
    private static func introduceOperators(_ verified: VerifiedDocuments) throws(CommandFailure) {
        guard let document = try verified.newest(.operators),
            document.version > verified.shownVersion(.operators)
        else { return }
        _ = try verified.client.call(.put, "/v1/documents/operators", body: document.json)
    }

    /// The nodes that the agent knows, each with what it lacks of the mesh's documents. None for a caller who may not ask:
    /// the document that has just come into force may have taken the right from him.
    ///
    /// - Parameter asked: a node that is to say itself what it serves.
    static func nodes(_ client: ControlClient, asking asked: String? = nil) throws(CommandFailure) -> [JSONValue] {
        let query = asked.map { "?" + HTTPQuery.encode([("ask", $0)]) } ?? ""
        do throws(CommandFailure) {
            return try client.call(.get, "/v1/documents/nodes" + query).elements(of: "nodes")
        } catch {
            guard error.exit == .denied else { throw error }
            return []
        }
    }

    /// Waits a moment for linked nodes to have what this one has, and says who has not.
    ///
    /// - Parameters:
    ///   - revoked: Nodes that are not meant to get it.
    ///   - returning: Nodes that get it when they come back, which nobody waits for.
    /// - Returns: the nodes, and `unreachable` where there are others and none of them has it.
    static func reportNodes(
        _ context: CommandContext, _ client: ControlClient, besides revoked: Set<String> = [],
        awaiting returning: Set<String> = []
    ) throws(CommandFailure) -> (nodes: JSONValue, exit: ExitCode) {
        var nodes: [JSONValue] = []
        for _ in 0..<nodeWaits.count {
            nodes = try self.nodes(client).filter { !revoked.contains($0.text(of: "node")) }
            let isBehind = nodes.contains { $0["linked"]?.bool == true && $0["behind"]?.array?.isEmpty == false }
            guard isBehind else { break }
            usleep(nodeWaits.pause)
        }
        if !context.json { say(nodes) }
        let own = try client.call(.get, "/v1/documents").text(of: "node")
        let others = nodes.filter { $0.text(of: "node") != own && !returning.contains($0.text(of: "node")) }
        guard !others.isEmpty, others.allSatisfy({ $0["behind"]?.array?.isEmpty != true }) else {
            return (.array(nodes), .ok)
        }
        Output.note(
            "warning: no other node has it: this one has no link to any that takes it (mesh links says why). "
                + "If they refuse this node, run the command on another one")
        return (.array(nodes), .unreachable)
    }

    /// How often, and with which pause in microseconds, nodes are asked for: two seconds in all.
    private static let nodeWaits = (count: 40, pause: UInt32(50_000))

    private static func say(_ nodes: [JSONValue]) {
        let known = nodes.filter { $0["behind"]?.array != nil }
        let late = known.filter { $0["behind"]?.array?.isEmpty == false }
        Output.line("\(known.count - late.count) of \(nodes.count) nodes have it")
        for node in late {
            let linked = node["linked"]?.bool == true ? "" : ", which is not linked and catches up when it comes back"
            Output.line(DisplayWidth.sanitized("  older: \(node.text(of: "node"))\(linked)"))
        }
        for node in nodes where node["behind"]?.array == nil {
            Output.line(DisplayWidth.sanitized("  not known: \(node.text(of: "node"))"))
        }
    }
}
