import Arguments
import Documents
import EventLoop
import HTTP
import JSON
import PKI

/// `mesh revoke`
enum RevokeCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "revoke", "Revoke a node, a certificate or a key, on every node of the mesh.",
            discussion: """
                NODE (as mesh links shows it, or as its certificate says) revokes every certificate of that node that was \
                issued so far, whatever its key, so that a stolen one cannot renew itself; serial:HEX one certificate, of which mesh certs \
                shows as many digits as are needed; \
                spki-sha256:DIGEST every certificate with that key. Links, streams, waiting sessions and edge connections that \
                rest on it end at once on all nodes, and new ones are refused. Clocks differ, so that NODE covers what becomes \
                valid within --margin from now, and beyond that what this agent sees of the node; a new certificate counts \
                from then on, or after --undo at once.
                """,
            flags: [
                FlagSpec("reason", .string, placeholder: "TEXT", "Why; needed. Peers are told."),
                FlagSpec(
                    "issuer", .string, placeholder: "NAME",
                    "With serial:HEX: who issued it, as mesh ca inspect prints it. Not needed where mesh certs shows the certificate."
                ),
                FlagSpec(
                    "margin", .duration,
                    "With NODE: how far clocks of CAs may be ahead of this host's.", default: "15m"),
                FlagSpec(
                    "certificate", .path, "The first certificate of this file, by issuer and serial number.",
                    conflicts: ["issuer"]),
                FlagSpec(
                    switch: "list", "Show what is revoked; changes nothing.", conflicts: ["reason", "certificate"]),
                FlagSpec(
                    switch: "undo", "Take what is named off the list: it is believed again.",
                    conflicts: ["list"]),
                FlagSpec(
                    switch: "force",
                    "Revoke also the node of this agent, what it and others depend on, the only node that serves CA or directory, "
                        + "and a node that nobody knows.", conflicts: ["list", "undo"]),
            ] + OperatorFiles.flags + [.json],
            positionals: [
                PositionalSpec("WHAT", "NODE, serial:HEX or spki-sha256:DIGEST.", isOptional: true)
            ],
            examples: [
                .init("mesh revoke db-1 --reason \"host compromised\"", "the node and everything issued to it so far"),
                .init("mesh revoke --certificate db-1.crt --reason superseded", "this certificate only"),
                .init("mesh revoke --list", "what is revoked, and why"),
                .init("mesh revoke serial:5e81f0c2 --undo", "it is believed again"),
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
        if context.invocation.isOn("list") { return try show(context, client) }
        let list = try current(context, client)
        return context.invocation.isOn("undo")
            ? try undo(context, client, list) : try revoke(context, client, list)
    }

    /// A list, and the version of its document: a change is signed as the next one of that version, so that another
    /// operator's, made meanwhile, is not undone but in the way (`document_changed`).
    private typealias Basis = (entries: [RevocationEntry], version: UInt64)

    /// `--list`
    private static func show(_ context: CommandContext, _ client: ControlClient) throws(CommandFailure) -> ExitCode {
        let shown = try document(context, client, onlyShows: true)
        return show(context, try entries(shown.document), isVerified: shown.isVerified)
    }

    private static func document(
        _ context: CommandContext, _ client: ControlClient, onlyShows: Bool
    ) throws(CommandFailure) -> ShownDocument {
        try ShownDocument(
            .revocations, context, client, key: context.invocation.string("key"),
            former: context.invocation.string("former"), onlyShows: onlyShows)
    }

    private static func entries(_ document: SignedDocument?) throws(CommandFailure) -> [RevocationEntry] {
        guard let document else { return [] }
        do throws(DocumentError) {
            return try RevocationSet(payload: document.payload).entries
        } catch {
            throw CommandFailure(.failure, error.code.rawValue, error.message, hint: error.hint)
        }
    }

    /// The list in force, verified.
    private static func current(
        _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) -> Basis {
        let document = try Self.document(context, client, onlyShows: false).document
        return (try entries(document), document?.version ?? 0)
    }

    private static func show(
        _ context: CommandContext, _ entries: [RevocationEntry], isVerified: Bool
    ) -> ExitCode {
        context.print(["revoked": .array(entries.map(\.json)), "verified": .bool(isVerified)]) {
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
        let named = RevocationName(context)
        // Whoever forces it is in a hurry, and what the node would say changes nothing.
        let isForced = context.invocation.isOn("force")
        var known = try KnownNodes(context, asking: isForced ? nil : named.node, isForced: isForced)
        let entry = RevocationEntry(try named.target(client, known, now), revoked: now, reason: reason)
        if !isForced, named.node == nil, let owner = known.hit(by: [entry.target]).min() {
            known = try KnownNodes(context, asking: owner, isForced: false)
        }
        // One entry for each target: of a node the newest time.
        let others = list.entries.filter { !isSame($0.target, entry.target) }
        try RevocationGuard(context: context, client: client, known: known).check(entry.target)
        return try publish((others + [entry], list.version), "revoked \(entry.name)", known, [], context, client)
    }

    private static func isSame(_ left: RevocationEntry.Target, _ right: RevocationEntry.Target) -> Bool {
        if case .node(let one, _) = left, case .node(let other, _) = right { return one == other }
        return left == right
    }

    private static func undo(
        _ context: CommandContext, _ client: ControlClient, _ list: Basis
    ) throws(CommandFailure) -> ExitCode {
        let entry = try RevocationName(context).entry(among: list.entries)
        let rest = list.entries.filter { $0 != entry }
        return try publish(
            (rest, list.version), "took \(entry.name) off the list", KnownNodes(context, isForced: true),
            [entry.target], context, client)
    }

    /// - Parameter undone: what is believed again.
    private static func publish(
        _ list: Basis, _ done: String, _ known: KnownNodes, _ undone: [RevocationEntry.Target],
        _ context: CommandContext, _ client: ControlClient
    ) throws(CommandFailure) -> ExitCode {
        let (document, answer) = try OperatorFiles.publish(
            .revocations, RevocationSet.payload(list.entries), base: list.version, context, client)
        if !context.json { Output.line(DisplayWidth.sanitized("\(done) (revocations version \(document.version))")) }
        let revoked = known.hit(by: list.entries.map(\.target))
        let report = try OperatorFiles.reportNodes(
            context, client, besides: revoked, awaiting: known.hit(by: undone).subtracting(revoked))
        context.print([
            "version": JSONValue(document.version), "stored": answer["stored"] ?? .null,
            "entries": JSONValue(list.entries.count), "nodes": report.nodes,
        ]) {}
        return report.exit
    }
}
