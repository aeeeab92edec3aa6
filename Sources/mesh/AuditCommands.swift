import Arguments
import Audit
import Glibc
import HTTP
import JSON

/// `mesh audit verify`
enum AuditVerifyCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "verify", "Check that no record of the audit log was changed, removed, moved or cut off.",
            discussion: """
                Reads every file, follows the chain of hashes, and checks the seals by the log's public key. An end that was cut \
                off shows by the newest seal, which lies beside the key, and by every seal that was kept elsewhere (mesh audit \
                seal, --receipt). Exit code 0 where all is well, 1 where something is wrong.
                """,
            flags: [
                FlagSpec("key", .path, "The public half of the log's key."),
                FlagSpec("receipt", .path, "A seal that was kept elsewhere.", isRepeated: true), .json,
            ],
            positionals: [AuditPlace.directoryArgument],
            examples: [
                .init("mesh audit verify", "the log of this host's agent"),
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
                    "since", .string, placeholder: "TIME", "Only records from this time on: 2026-11-29T09:00, UTC."),
                FlagSpec(switch: "follow", short: "f", "Go on, and show what comes."), .json,
            ],
            positionals: [AuditPlace.directoryArgument],
            examples: [
                .init("mesh audit tail -f --category access", "who is denied what, as it happens"),
                .init("mesh audit tail --event certificate_issued --since 2026-11-29", "what the CA has issued today"),
            ])
    ) { (context) throws(CommandFailure) in
        let place = try AuditPlace(context, isChecked: false)
        let filter = Filter(context.invocation)
        var reader = AuditTailReader(place)
        var newest: [AuditRecord] = []
        let count = context.invocation.integer("lines") ?? 20
        try reader.read { record in
            guard filter.admits(record) else { return }
            newest.append(record)
            if newest.count > count { newest.removeFirst() }
        }
        for record in newest { show(record, context) }
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

        init(_ invocation: Invocation) {
            events = Set(invocation.strings("event"))
            categories = Set(invocation.strings("category"))
            node = invocation.string("node")
            since = invocation.string("since")
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
