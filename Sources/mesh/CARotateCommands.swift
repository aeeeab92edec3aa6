import Arguments
import Documents
import EventLoop
import HTTP
import JSON
import PKI

/// `mesh ca rotate retire`
enum CARotateRetireCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "retire", "End a rotation: the root before is not trusted any more.",
            discussion: """
                Refuses while a node proves itself below the old root, or it is not known what a node does, unless \
                --force; nodes that are revoked do not count. Links, waiting sessions and edge connections that rest on \
                the old root end at once on all nodes. A node that was away may still come back, for documents and \
                another certificate, until the roots do not vouch for each other any more.
                """, flags: RootFiles.flags)
    ) { (context) throws(CommandFailure) in
        let files = RootFiles.next(context)
        let documents = try RootDocuments(context, files)
        let list = try documents.begun()
        let leaving = list.entries.filter { $0.state == .retiring }.map(\.certificate)
        guard !leaving.isEmpty else {
            throw CommandFailure(
                .failure, "no_retiring_root", "no root is retiring",
                hint: "mesh ca rotate status shows the roots; the step before is mesh ca rotate activate")
        }
        let (root, _) = try RootFiles.load(files, context)
        guard root.root.spkiSHA256 == list.active.spkiSHA256 else {
            throw CommandFailure(
                .failure, "not_the_active_root",
                "the mesh's active root is \(list.active.subject), and this is \(root.root.subject)",
                hint: "say where the active root's files are: --next DIR")
        }
        try documents.demand(
            try documents.notBelow(list.active),
            "not every node is known to prove itself below \(list.active.subject)",
            hint:
                "wait until they have renewed (mesh ca rotate status), or go on with --force: they come back as late ones"
        )
        let version = try documents.publish(
            try documents.changed(
                list.entries.map { $0.state == .retiring ? RootList.Entry($0.certificate, .retired) : $0 }),
            signedBy: root)
        let names = leaving.map(\.subject).joined(separator: ", ")
        return try CARotateReport.say(
            context, documents, version, "retired \(names)",
            next:
                "keep \(files.directory) as the CA's directory, take its ca.key offline, and destroy the old root's key"
        )
    }
}

/// `mesh ca rotate status`
enum CARotateStatusCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "status", "Show the mesh's roots, and which node is where in a rotation.",
            discussion: """
                What is not linked with this host's node is asked of the directory's. Where certs/ca.crt is here, or with --ca, \
                the roots are those of the list that its signature proves.
                """, flags: [TrustAnchor.flag, .json])
    ) { (context) throws(CommandFailure) in
        let client = try ControlClient(context)
        let state = try client.call(.get, "/v1/roots")
        try check(state, context, client)
        let versions = try client.call(.get, "/v1/documents/nodes").elements(of: "nodes")
        var have: [String: Int64] = [:]
        for node in versions { have[node.text(of: "node")] = node["versions"]?["trust"]?["version"]?.integer }
        let nodes = state.elements(of: "nodes").map { node -> JSONValue in
            var object = node.object ?? JSONObject()
            object["version"] = have[node.text(of: "node")].map { .integer($0) } ?? .null
            return .object(object)
        }
        var object = state.object ?? JSONObject()
        object["nodes"] = .array(nodes)
        let next = CARotateWait(state, nodes).nextStep(
            listIssued: try client.call(.get, "/v1/documents").elements(of: "documents").first {
                $0["kind"]?.string == DocumentKind.trust.rawValue
            }?["issued"]?.string.flatMap(UTCTime.seconds), now: Clock.unixSeconds())
        object["next"] = .string(next)
        context.print(.object(object)) {
            var roots = TextTable([
                .init("ROOT", minimumWidth: 12), .init("STATE"), .init("ENDS"), .init("LATE NODES UNTIL"),
            ])
            for root in state.elements(of: "roots") {
                roots.append([
                    root.text(of: "subject"), root.text(of: "state"), root.text(of: "notAfter"),
                    root["lateUntil"]?.string ?? Format.none,
                ])
            }
            Output.table(roots, empty: "the mesh has no list of roots; every node goes by its files")
            Output.line("")
            var table = TextTable([
                .init("NODE", minimumWidth: 12), .init("LIST", isRightAligned: true), .init("BELOW", minimumWidth: 8),
                .init("CERTIFICATE ENDS"), .init("STATE"),
            ])
            for node in nodes {
                table.append([
                    node.text(of: "node"), node.number(of: "version"),
                    node["root"]?.string ?? Format.none, node["ends"]?.string ?? Format.none,
                    RootDocuments.isRevoked(node) ? "revoked" : node["linked"]?.bool == true ? "linked" : "not linked",
                ])
            }
            Output.table(table, empty: "no nodes are known")
            Output.hanging("Next: \(next)", by: 2)
        }
        return .ok
    }

    /// Refuses roots of the agent that the signed list has not, or has in another state.
    private static func check(
        _ state: JSONValue, _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) {
        let shown: ShownDocument
        do throws(CommandFailure) {
            shown = try ShownDocument(.trust, context, client, onlyShows: true)
        } catch {
            // Who may see where a rotation stands need not be one who may read the list.
            guard VerifiedDocuments.mayNotAsk(error) else { throw error }
            return
        }
        guard shown.isVerified else { return }
        var signed: [String: String] = [:]
        if let document = shown.document {
            do throws(DocumentError) {
                for entry in try RootList(payload: document.payload, trustDomain: document.trustDomain).entries {
                    signed[entry.certificate.spkiSHA256] = entry.state.rawValue
                }
            } catch {
                throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
            }
        }
        var told: [String: String] = [:]
        for root in state.elements(of: "roots") { told[root.text(of: "key")] = root.text(of: "state") }
        guard told == signed else {
            throw CommandFailure(
                .denied, "unsigned_roots", "the agent names other roots than the signed list has, or in other states",
                hint:
                    "run it again where a step was just done; else the agent may be broken into: ask another one, --control SOCKET",
                showsReason: true)
        }
    }
}
