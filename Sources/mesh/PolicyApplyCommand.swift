import Arguments
import Documents
import HTTP
import JSON
import PKI
import Policy

/// `mesh policy apply FILE`
enum PolicyApplyCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "apply", "Put a policy in force on every node of the mesh.",
            discussion: """
                Signs it as the next version and gives it to this host's agent, from which it travels over the links. Once \
                applied, it wins over policy.file and policy.inline on every node, also after a restart; only a newer \
                version replaces it. What loses its right is closed at once. Nodes that have not answered within two \
                seconds are listed; they get it when they come back.

                A policy under which no node may link, none may be the directory, or nobody may administer is refused, as it \
                would cut the mesh to pieces; --force applies it all the same.

                FILE was made from a version: say which with --base, and a change that somebody else has made since is not \
                undone but reported (document_changed). Without it, that is the version in force when the command starts.
                """,
            flags: [
                FlagSpec(
                    "base", .integer(0...Int(SignedDocument.largestVersion)), placeholder: "VERSION",
                    "The version that FILE was made from; 0 for none."),
                FlagSpec(
                    "version", .integer(1...Int(SignedDocument.largestVersion)), placeholder: "VERSION",
                    "Sign as this version instead of the next: to pass one that some node has and others do not take."),
                FlagSpec(switch: "force", "Apply a policy that locks everybody out."),
            ] + OperatorFiles.flags + [.json], positionals: [PositionalSpec("FILE", "The policy.", .path)],
            examples: [
                .init("mesh policy diff policy.json; mesh policy apply policy.json", "look first, then apply")
            ])
    ) { (context) throws(CommandFailure) in
        let file = context.argument("FILE")
        let policy = try PolicyFile.read(file)
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.read(file, limit: SignedDocument.largestPayload)
        } catch {
            throw CommandFailure(error)
        }
        for warning in policy.warnings { Output.note("\(warning)") }
        let lockouts = policy.lockouts
        guard lockouts.isEmpty || context.invocation.isOn("force") else {
            throw CommandFailure(
                .configuration, lockouts[0].rawValue,
                "\(file) would lock the mesh out: " + lockouts.map(\.text).joined(separator: "; "),
                hint: "mesh policy diff \(ShellWord.quoted(file)) shows what it changes; if it is meant, add --force")
        }
        let client = try ControlClient(context)
        let (document, answer) = try OperatorFiles.publish(
            .policy, bytes, base: context.invocation.integer("base").map { UInt64($0) },
            version: context.invocation.integer("version").map { UInt64($0) },
            all: "mesh policy diff \(ShellWord.quoted(file))", context, client)
        if !context.json { Output.line("policy version \(document.version) is in force here") }
        let report = try OperatorFiles.reportNodes(context, client)
        context.print([
            "version": JSONValue(document.version), "fingerprint": .string(policy.fingerprint),
            "stored": answer["stored"] ?? .null, "nodes": report.nodes,
        ]) {}
        return report.exit
    }
}

/// `mesh policy diff FILE`
enum PolicyDiffCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "diff", "Show what a policy file would change of the policy in force, line by line.",
            discussion: """
                Compares with the policy document of the mesh. Exit code 0 where the two are the same text, 1 where they \
                differ. Where certs/ca.crt is here, or with --ca, the document in force is verified.
                """,
            flags: [TrustAnchor.flag, .json], positionals: [PositionalSpec("FILE", "The policy.", .path)])
    ) { (context) throws(CommandFailure) in
        let file = context.argument("FILE")
        _ = try PolicyFile.read(file)
        let bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.read(file, limit: SignedDocument.largestPayload)
        } catch {
            throw CommandFailure(error)
        }
        let client = try ControlClient(context)
        let answer = try client.call(.get, "/v1/policy")
        let shown = try ShownDocument(.policy, context, client, onlyShows: true)
        guard let document = shown.document else {
            throw CommandFailure(
                .notFound, "no_such_document",
                "no policy document is in force; node \(answer.text(of: "node")) goes by \(answer.text(of: "file"))",
                hint:
                    "compare with that file on its host yourself (diff), or apply the first one: mesh policy apply \(file)"
            )
        }
        let lines = LineDifference.lines(
            from: String(decoding: document.payload, as: UTF8.self), to: String(decoding: bytes, as: UTF8.self))
        context.print([
            "version": JSONValue(document.version), "verified": .bool(shown.isVerified),
            "changed": .bool(!lines.isEmpty),
            "lines": .init(lines.map(\.text)),
        ]) {
            guard !lines.isEmpty else { return Output.line("the same as version \(document.version)") }
            Output.line("--- version \(document.version)\n+++ \(file)")
            for line in lines { Output.line(DisplayWidth.sanitized(line.text)) }
        }
        return lines.isEmpty ? .ok : .failure
    }
}

/// What is different in two texts, line by line.
enum LineDifference {
    /// One line that was taken away or added.
    struct Line: Sendable, Equatable {
        /// Its number in the text that has it, from 1.
        let number: Int
        /// Whether the new text has it, or the old one.
        let isAdded: Bool
        /// `+12: …` or `-12: …`.
        let text: String
    }

    /// The lines that differ, in the order of the texts, those of the old one first in each place.
    static func lines(from old: String, to new: String) -> [Line] {
        func split(_ text: String) -> [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        let difference = split(new).difference(from: split(old))
        let removed = difference.removals.map { change in line(change, isAdded: false) }
        let added = difference.insertions.map { change in line(change, isAdded: true) }
        return (removed + added).sorted { ($0.number, $0.isAdded ? 1 : 0) < ($1.number, $1.isAdded ? 1 : 0) }
    }

    private static func line(_ change: CollectionDifference<Substring>.Change, isAdded: Bool) -> Line {
        switch change {
        case .insert(let offset, let element, _), .remove(let offset, let element, _):
            Line(number: offset + 1, isAdded: isAdded, text: "\(isAdded ? "+" : "-")\(offset + 1): \(element)")
        }
    }
}
