import Arguments
import Documents
import EventLoop
import HTTP
import JSON
import PKI
import Policy

/// `mesh revoke`
enum RevokeCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "revoke", "Revoke a node, a certificate or a key, on every node of the mesh.",
            discussion: """
                NODE (as mesh links shows it, or as its certificate says) revokes every certificate of that node that was \
                issued so far, whatever its key, so that a stolen one cannot renew itself; serial:HEX one certificate; \
                spki-sha256:DIGEST every certificate with that key. Links, streams, waiting sessions and edge connections that \
                rest on it end at once on all nodes, and new ones are refused. Clocks differ, so that NODE covers what becomes \
                valid within --margin from now, and beyond that what this agent sees of the node; a new certificate counts \
                from then on, or after --undo at once.
                """,
            flags: [
                FlagSpec("reason", .string, placeholder: "TEXT", "Why; needed. Peers are told."),
                FlagSpec(
                    "issuer", .string, placeholder: "NAME",
                    "With serial:HEX: who issued it, as mesh ca inspect prints it."),
                FlagSpec(
                    "margin", .duration,
                    "With NODE: how far clocks of CAs may be ahead of this host's.", default: "15m"),
                FlagSpec(
                    "certificate", .path, "Revoke the first certificate of this file, by issuer and serial number.",
                    conflicts: ["issuer"]),
                FlagSpec(
                    switch: "list", "Show what is revoked; changes nothing.", conflicts: ["reason", "certificate"]),
                FlagSpec(
                    switch: "undo", "Take what is named off the list: it is believed again.",
                    conflicts: ["list", "certificate"]),
                FlagSpec(switch: "force", "Revoke the node of this agent, too.", conflicts: ["list", "undo"]),
            ] + OperatorFiles.flags + [.json],
            positionals: [
                PositionalSpec("WHAT", "NODE, serial:HEX or spki-sha256:DIGEST.", isOptional: true)
            ],
            examples: [
                .init("mesh revoke db-1 --reason \"host compromised\"", "the node and everything issued to it so far"),
                .init("mesh revoke --certificate db-1.crt --reason superseded", "this certificate only"),
                .init("mesh revoke --list", "what is revoked, and why"),
            ])
    ) { (context) throws(CommandFailure) in
        let isNamed =
            context.invocation.positional("WHAT") != nil || context.invocation.string("certificate") != nil
        if context.invocation.isOn("list") {
            guard !isNamed else {
                throw .usage("--list shows everything that is revoked", hint: "leave WHAT away: mesh revoke --list")
            }
        } else if !isNamed {
            throw .usage(
                "nothing to revoke is named", hint: "give NODE, serial:HEX, spki-sha256:DIGEST or --certificate FILE")
        }
        let client = try ControlClient(context)
        let list = try current(client)
        if context.invocation.isOn("list") { return show(context, list.entries) }
        return context.invocation.isOn("undo")
            ? try undo(context, client, list) : try revoke(context, client, list)
    }

    /// A list, and the version of its document: a change is signed as the next one of that version, so that another
    /// operator's, made meanwhile, is not undone but in the way (`document_changed`).
    private typealias Basis = (entries: [RevocationEntry], version: UInt64)

    /// The list in force.
    private static func current(_ client: ControlClient) throws(CommandFailure) -> Basis {
        let state = try client.call(.get, "/v1/documents")
        guard state["versions"]?["revocations"] != nil else { return ([], 0) }
        let envelope = try client.call(.get, "/v1/documents/revocations")
        do throws(DocumentError) {
            let document = try SignedDocument(envelope: envelope.serialized())
            return (try RevocationSet(payload: document.payload).entries, document.version)
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    private static func show(_ context: CommandContext, _ entries: [RevocationEntry]) -> ExitCode {
        context.print(["revoked": .array(entries.map(\.json))]) {
            // What has to be copied for --undo is never cut.
            let widest = entries.map { DisplayWidth.of($0.name) }.max() ?? 0
            var table = TextTable([
                .init("WHAT", minimumWidth: widest), .init("SINCE"), .init("DETAIL"), .init("REASON"),
            ])
            for entry in entries {
                table.append([entry.name, UTCTime.text(entry.revoked), detail(entry), entry.reason])
            }
            Output.table(table, empty: "nothing is revoked")
        }
        return .ok
    }

    private static func detail(_ entry: RevocationEntry) -> String {
        switch entry.target {
        case .certificate(let issuer, _): "issued by \(issuer)"
        case .key: "every certificate with this key"
        case .node(_, let time): "valid from before \(UTCTime.text(time))"
        }
    }

    private static func revoke(
        _ context: CommandContext, _ client: ControlClient, _ list: Basis
    ) throws(CommandFailure) -> ExitCode {
        guard let reason = context.invocation.string("reason"), !reason.isEmpty else {
            throw .usage("a revocation needs a reason", hint: "say why: --reason \"key stolen\"")
        }
        let now = Clock.unixSeconds()
        let entry = RevocationEntry(try target(context, client, now), revoked: now, reason: reason)
        // One entry for each target: of a node the newest time.
        let others = list.entries.filter { !isSame($0.target, entry.target) }
        if case .node(let node, _) = entry.target { try look(at: node, context, client) }
        return try publish((others + [entry], list.version), "revoked \(entry.name)", context, client)
    }

    /// Before a node is revoked: it must not be the one that has to tell the others, and a name that nobody knows is said.
    private static func look(
        at node: String, _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) {
        let own = try client.call(.get, "/v1/documents").text(of: "node")
        guard node != own || context.invocation.isOn("force") else {
            throw CommandFailure(
                .failure, "own_node",
                "\(node) is the node of this agent: once revoked it is cut off, and can take nothing back",
                hint: "run this on another node; or, if it is meant, add --force")
        }
        let known = try OperatorFiles.nodes(client).map { $0.text(of: "node") } + [own]
        guard !known.contains(node) else { return }
        let similar = Suggestion.closest(to: node, among: known).map { "; did you mean \($0)?" } ?? ""
        Output.note("warning: no node \(node) is known here, linked or in the directory\(similar)")
    }

    private static func isSame(_ left: RevocationEntry.Target, _ right: RevocationEntry.Target) -> Bool {
        if case .node(let one, _) = left, case .node(let other, _) = right { return one == other }
        return left == right
    }

    private static func undo(
        _ context: CommandContext, _ client: ControlClient, _ list: Basis
    ) throws(CommandFailure) -> ExitCode {
        guard let what = context.invocation.positional("WHAT") else {
            throw .usage("nothing is named", hint: "mesh revoke --list shows what can be taken off the list")
        }
        let rest = list.entries.filter { $0.name != what && $0.name != "node:\(what)" }
        guard rest.count < list.entries.count else {
            throw CommandFailure(
                .notFound, "not_revoked", "\(what) is not revoked", hint: "mesh revoke --list shows what is")
        }
        return try publish((rest, list.version), "took \(what) off the list", context, client)
    }

    private static func publish(
        _ list: Basis, _ done: String, _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) -> ExitCode {
        let (document, answer) = try OperatorFiles.publish(
            .revocations, RevocationSet.payload(list.entries), base: list.version, context, client)
        if !context.json { Output.line(DisplayWidth.sanitized("\(done) (revocations version \(document.version))")) }
        let revoked = Set(
            list.entries.compactMap { entry in
                if case .node(let node, _) = entry.target { node } else { nil }
            })
        let report = try OperatorFiles.reportNodes(context, client, besides: revoked)
        context.print([
            "version": JSONValue(document.version), "stored": answer["stored"] ?? .null,
            "entries": JSONValue(list.entries.count), "nodes": report.nodes,
        ]) {}
        return report.exit
    }

    /// What the command line names.
    private static func target(
        _ context: CommandContext, _ client: ControlClient, _ now: Int64
    ) throws(CommandFailure) -> RevocationEntry.Target {
        let what = context.invocation.positional("WHAT")
        if let file = context.invocation.string("certificate") {
            guard what == nil else { throw .usage("--certificate names it already", hint: "leave \(what ?? "") away") }
            do throws(CertificateError) {
                guard let certificate = try Certificate.load(file: file).first else { throw .missingCertificate() }
                return .certificate(issuer: certificate.issuer, serial: certificate.serialHex)
            } catch {
                throw CommandFailure(error)
            }
        }
        guard let what else {
            throw .usage(
                "nothing to revoke is named", hint: "give NODE, serial:HEX, spki-sha256:DIGEST or --certificate FILE")
        }
        if what.hasPrefix("spki-sha256:") { return try key(what) }
        if what.hasPrefix("serial:") {
            guard let issuer = context.invocation.string("issuer") else {
                throw .usage(
                    "a serial number means something only with its issuer",
                    hint: "give --issuer NAME as mesh ca inspect prints it, or --certificate FILE")
            }
            let serial = RevocationEntry.canonicalSerial(String(what.dropFirst(7)))
            return try checked(.certificate(issuer: issuer, serial: serial))
        }
        let node = what.hasPrefix("node:") ? String(what.dropFirst(5)) : what
        guard Name.isLegal(node) else {
            throw .usage("\"\(node)\" cannot be the name of a node", hint: "a name has \(Name.rule)")
        }
        let margin = now + (context.seconds("margin") ?? 0)
        return .node(node, validBefore: max(margin, try newest(of: node, client) + 1))
    }

    /// When the newest certificate begins that the agent sees at a node, unix seconds; 0 where it sees none. A caller who may
    /// revoke and not look is no reason not to revoke.
    private static func newest(of node: String, _ client: ControlClient) throws(CommandFailure) -> Int64 {
        let answer: JSONValue
        do throws(CommandFailure) {
            answer = try client.call(.get, "/v1/certificates")
        } catch {
            guard error.exit == .denied else { throw error }
            return 0
        }
        let seen = answer.elements(of: "certificates").filter {
            $0["use"]?.string == "peer" && $0["name"]?.string == node
        }
        return seen.compactMap { $0["begins"]?.integer }.max() ?? 0
    }

    /// A key by its hash, in hex or base64 as pins are written.
    private static func key(_ text: String) throws(CommandFailure) -> RevocationEntry.Target {
        do throws(CertificateError) {
            return .key(try CertificatePin(parsing: text).digest)
        } catch {
            throw .usage(
                "\(text) is no hash of a key: 64 hex digits or 44 characters of base64",
                hint: "mesh cert pin FILE prints it")
        }
    }

    private static func checked(_ target: RevocationEntry.Target) throws(CommandFailure) -> RevocationEntry.Target {
        do throws(JSONAccessError) {
            return try RevocationEntry(json: RevocationEntry(target, revoked: 0, reason: "").json).target
        } catch {
            throw .usage("that cannot be revoked: \(error)", hint: "mesh ca inspect FILE prints serial number and key")
        }
    }
}
