import Arguments
import HTTP
import JSON
import PKI
import Policy

/// `mesh policy replay FILE`
enum PolicyReplayCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "replay", "Show which of the last decisions of a node a policy file would change.",
            discussion: """
                A node remembers the last 1,024 different questions that it had to decide: which node may link, and who may \
                connect to a service that it serves. Each is put to the file. Exit code 0 where every answer stays, 1 where \
                one changes. What nobody asked since the node was started is not looked at.
                """,
            flags: [FlagSpec("at", .string, placeholder: "NODE", "Decisions of that node."), .json],
            positionals: [PositionalSpec("FILE", "The policy.", .path)],
            examples: [.init("mesh policy replay next.json --at db-1", "whom at db-1 would it hit?")])
    ) { (context) throws(CommandFailure) in
        let policy = try PolicyFile.read(context.argument("FILE"))
        let node = context.invocation.string("at")
        let query = node.map { "?" + HTTPQuery.encode([("at", $0)]) } ?? ""
        let answer: JSONValue
        do throws(CommandFailure) {
            answer = try ControlClient(context).call(.get, "/v1/decisions" + query)
        } catch {
            throw NearestName.asked(error, at: node, context)
        }
        let entries: [DecisionMemory.Entry]
        do throws(JSONAccessError) {
            entries = try (answer["decisions"] ?? .null).requireEach { (value) throws(JSONAccessError) in
                try DecisionMemory.Entry(json: value)
            }
        } catch {
            throw CommandFailure(
                .failure, "bad_answer", "the agent's answer holds no decisions: \(error)",
                hint: "do mesh and mesh-agent have the same version? mesh version; mesh status")
        }
        let changes = entries.map { ($0, $0.question.answer(of: policy)) }.filter { $0.isAllowed != $1.allowed }
        context.print([
            "node": answer["node"] ?? .null, "decisions": JSONValue(entries.count),
            "changed": .array(changes.map { json($0, $1) }),
        ]) {
            var table = TextTable([
                .init("WHO"), .init("VERB"), .init("TARGET"), .init("NOW"), .init("THEN"),
                .init("ASKED", isRightAligned: true),
            ])
            for (entry, decision) in changes {
                table.append([
                    who(entry.question), entry.question.verb.rawValue, entry.question.target, entry.reason.rawValue,
                    decision.reason.rawValue, String(entry.count),
                ])
            }
            Output.table(table, empty: "no decision changes")
            Output.line(
                "\(changes.count) of the last \(entries.count) decisions of \(answer.text(of: "node")) would change")
        }
        return changes.isEmpty ? .ok : .failure
    }

    private static func json(_ entry: DecisionMemory.Entry, _ decision: Decision) -> JSONValue {
        var object = entry.json.object ?? JSONObject()
        object["then"] = .string(decision.reason.rawValue)
        object["rule"] = decision.rule.map { .string($0.description) } ?? .null
        return .object(object)
    }

    private static func who(_ question: DecisionMemory.Question) -> String {
        let peer = question.spiffe ?? question.commonName.map { "cn:\($0)" } ?? "?"
        return question.acting.map { "\($0) by \(peer)" } ?? peer
    }
}
