import Arguments
import Audit
import Glibc
import HTTP
import JSON
import PKI

/// `mesh audit verify`
enum AuditVerifyCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "verify", "Check that no record of the audit log was changed, removed, moved or cut off.",
            discussion: """
                Reads every file, follows the chain of hashes, and checks the seals by the log's public key. An end that was cut \
                off shows by the newest seal, which lies beside the key, and by every seal that was kept elsewhere: on paper or a \
                collector (mesh audit seal, --receipt), or by peers (audit.sealPeers, --seals-from). Exit code 0 where all is \
                well, 1 where something is wrong.
                """,
            flags: [
                FlagSpec("key", .path, "The public half of the log's key."),
                FlagSpec("receipt", .path, "Seals that were kept elsewhere, one a line.", isRepeated: true),
                FlagSpec(
                    "seals-from", .string, placeholder: "NODE", "Seals that this host's node has left with that one.",
                    isRepeated: true), .json,
            ],
            positionals: [AuditPlace.directoryArgument],
            examples: [
                .init("mesh audit verify", "the log of this host's agent"),
                .init("mesh audit verify --seals-from db-2", "the same, by what node db-2 knows of it"),
                .init(
                    "mesh audit verify /backup/audit --key /safe/audit.key.pub --receipt /safe/monday.seal",
                    "a copy, by what was kept elsewhere"),
            ])
    ) { (context) throws(CommandFailure) in
        let place = try AuditPlace(context, isChecked: true)
        var verifier = AuditVerifier(key: place.key, receipts: place.seals)
        for name in try place.files() { verifier.read(file: name, try place.read(name)) }
        verifier.finish()
        var object = verifier.json.object ?? JSONObject()
        object["directory"] = .string(place.directory)
        object["signaturesChecked"] = .bool(place.key != nil)
        context.print(.object(object)) { report(verifier, hasKey: place.key != nil) }
        return verifier.findings.isEmpty ? .ok : .failure
    }

    private static func report(_ verifier: AuditVerifier, hasKey: Bool) {
        for finding in verifier.findings {
            let place = finding.file.isEmpty ? "" : "\(finding.file):\(finding.line): "
            Output.line(DisplayWidth.sanitized("\(place)\(finding.kind.rawValue): \(finding.message)"))
        }
        if verifier.furtherFindings > 0 { Output.line("and \(verifier.furtherFindings) more") }
        if verifier.torn > 0 {
            Output.line("the last \(verifier.torn) bytes are a record that was being written when the agent was killed")
        }
        if !hasKey { Output.note("the seals' signatures were not checked: name the public half of the key (--key)") }
        let range = verifier.records == 0 ? "no records" : "records \(verifier.first) to \(verifier.last)"
        let state = verifier.findings.isEmpty ? "nothing is wrong" : "NOT AS IT WAS WRITTEN"
        Output.line("\(range), sealed through \(verifier.sealed): \(state)")
    }
}

/// `mesh audit seal`
enum AuditSealCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "seal",
            "Print the newest seal of the audit log, to be kept where nobody who can change the log can reach it.",
            discussion: "One JSON object on a line; give it to mesh audit verify --receipt.", flags: [.json],
            examples: [.init("mesh audit seal | ssh safe 'cat >> db-1.seals'", "a receipt on another host")])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/audit")
        guard let seal = answer["seal"], !seal.isNull else {
            throw CommandFailure(
                .notFound, "no_seal", "there is no seal yet", hint: "one is made every audit.checkpointInterval")
        }
        Output.line(seal.text())
        return .ok
    }
}

/// `mesh audit kept`
enum AuditKeptCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "kept", "Show the seals that other nodes have left with this host's node.",
            discussion: """
                With NODE its seals, one a line, the oldest first: give them to mesh audit verify --receipt, where that node \
                itself is not to be believed.
                """,
            flags: [
                FlagSpec(switch: "forget", "Forget that node's seals: its log was put back on purpose."), .json,
            ],
            positionals: [PositionalSpec("NODE", "The node that has left them.", isOptional: true)],
            examples: [.init("mesh audit kept db-1 > db-1.seals", "what db-1 has left here")])
    ) { (context) throws(CommandFailure) in
        let client = try ControlClient(context)
        guard let node = context.invocation.positional("NODE") else {
            let answer = try client.call(.get, "/v1/audit/kept")
            context.print(answer) {
                var table = TextTable([
                    .init("NODE", minimumWidth: 12), .init("SEALS", isRightAligned: true), .init("PROBLEM"),
                ])
                for entry in answer.array ?? [] {
                    table.append([entry.text(of: "node"), entry.number(of: "seals"), entry.text(of: "problem")])
                }
                Output.table(table, empty: "no node has left seals here")
            }
            return .ok
        }
        do throws(CertificateError) {
            try NodeName.check(node)
        } catch {
            throw CommandFailure(error)
        }
        let path = "/v1/audit/kept/" + node
        if context.invocation.isOn("forget") {
            let answer = try client.call(.delete, path)
            context.print(answer) {
                Output.line(
                    answer["forgotten"]?.bool == true ? "forgot the seals of \(node)" : "there are none of \(node)")
            }
            return .ok
        }
        let answer = try client.call(.get, path)
        let seals = answer.elements(of: "seals")
        if context.json {
            Output.line(answer.text())
        } else {
            guard !seals.isEmpty else {
                throw CommandFailure(
                    .notFound, "no_seals", "node \(node) has left no seals here",
                    hint: "mesh audit kept lists those that have; audit.sealPeers of \(node) has to name this node")
            }
            for kept in seals { Output.line((kept["seal"] ?? .null).text()) }
        }
        return .ok
    }
}

/// `mesh audit tail`
enum AuditTailCommand {
    /// Between two looks at the files, in microseconds.
    private static let pause: UInt32 = 300_000

    static let entry = CommandEntry(
        CommandSpec(
            "tail", "Show the newest records of the audit log.",
            flags: [
                FlagSpec("lines", short: "n", .integer(0...1_000_000), placeholder: "N", "How many.", default: "20"),
                FlagSpec("event", .string, placeholder: "EVENT", "Only this event.", isRepeated: true),
                FlagSpec(
                    "category", .choice(AuditCategory.allCases.map(\.rawValue)), "Only this category.", isRepeated: true
                ),
                FlagSpec("node", .string, placeholder: "NODE", "Only records whose field `node` is this."),
                FlagSpec(
                    "since", .string, placeholder: "TIME",
                    "Only records from this time on: 2026-11-29T09:00 (UTC), or how long ago: 2h."),
                FlagSpec(switch: "follow", short: "f", "Go on, and show what comes."), .json,
            ],
            positionals: [AuditPlace.directoryArgument],
            examples: [
                .init("mesh audit tail -f --category access", "who is denied what, as it happens"),
                .init("mesh audit tail --event certificate_issued --since 2026-11-29", "what the CA has issued today"),
            ])
    ) { (context) throws(CommandFailure) in
        let place = try AuditPlace(context, isChecked: false)
        let filter = try Filter(context.invocation)
        var reader = AuditTailReader(place)
        var newest: [AuditRecord] = []
        let count = context.invocation.integer("lines") ?? 20
        try reader.read { record in
            guard filter.admits(record) else { return }
            newest.append(record)
            if newest.count > count { newest.removeFirst() }
        }
        for record in newest { show(record, context) }
        if newest.isEmpty, count > 0, !context.json { Output.note("no record is as asked for") }
        guard context.invocation.isOn("follow") else { return .ok }
        while true {
            usleep(pause)
            try reader.read { record in if filter.admits(record) { show(record, context) } }
        }
    }

    private static func show(_ record: AuditRecord, _ context: CommandContext) {
        if context.json { return Output.line(record.json.text()) }
        var line = "\(record.time) \(record.sequence) \(record.category.rawValue) \(record.event)"
        for member in record.fields.members where !member.value.isNull && member.key != "message" {
            line += " \(member.key)=\(member.value.string ?? member.value.text())"
        }
        Output.line(DisplayWidth.sanitized(line))
    }

    /// Which records are shown.
    private struct Filter {
        let events: Set<String>
        let categories: Set<String>
        let node: String?
        let since: String?

        init(_ invocation: Invocation) throws(CommandFailure) {
            events = Set(invocation.strings("event"))
            categories = Set(invocation.strings("category"))
            node = invocation.string("node")
            since = try invocation.string("since").map { (text) throws(CommandFailure) in try AuditTime.since(text) }
        }

        func admits(_ record: AuditRecord) -> Bool {
            if !events.isEmpty, !events.contains(record.event) { return false }
            if !categories.isEmpty, !categories.contains(record.category.rawValue) { return false }
            if let node, record.fields["node"]?.string != node { return false }
            // Times are ordered as their texts are.
            if let since, record.time < since { return false }
            return true
        }
    }
}
