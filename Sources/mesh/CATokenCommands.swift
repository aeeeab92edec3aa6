import Arguments
import EventLoop
import Glibc
import HTTP
import JSON
import PKI

/// `mesh ca token create`
enum CATokenCreateCommand {
    /// How long a token can be used unless told otherwise, and at most (the CA takes no more), in seconds.
    private static let (usualToken, longestToken): (Int64, Int64) = (900, 604_800)

    static let entry = CommandEntry(
        CommandSpec(
            "create", "Make a token with which a node joins the mesh, once.",
            discussion: """
                Prints the token and nothing else, so that it can go into a file or a pipe. It carries the CA's address and \
                fingerprint, and the seed of a key that speaks for it; the CA keeps only the public half. The node's \
                certificate gets exactly the names that are given here, now and at every renewal. You need the right to \
                administer the CA's node.
                """,
            flags: [
                FlagSpec("node", .string, placeholder: "NAME", "The node that may join.", isRequired: true),
                FlagSpec("ttl", .duration, "How long the token can be used.", default: "15m"),
                FlagSpec("dns", .string, placeholder: "NAME", "A DNS name of its certificate.", isRepeated: true),
                FlagSpec("ip", .string, placeholder: "ADDRESS", "An IP address of its certificate.", isRepeated: true),
                FlagSpec("out", .path, "Write the token to this file, mode 0600, instead of printing it."),
                FlagSpec(switch: "force", "With --out: replace a file that exists; the token in it is not withdrawn."),
                .atCA, .json,
            ],
            examples: [
                .init(
                    "mesh ca token create --node db-1 | ssh db-1 mesh join --token-file -",
                    "admit a host without a file in between"),
                .init(
                    "mesh ca token create --node web-1 --dns web.example --out web-1.token",
                    "with a DNS name, in a file"),
            ])
    ) { (context) throws(CommandFailure) in
        let invocation = context.invocation
        let body: JSONValue = [
            "node": .string(invocation.string("node") ?? ""),
            "ttlSeconds": .integer(context.seconds("ttl") ?? usualToken),
            "dns": JSONValue(invocation.strings("dns")), "ip": JSONValue(invocation.strings("ip")),
        ]
        let replace = invocation.isOn("force")
        // Before one is made that nobody gets.
        try CAFiles.refuseExisting(
            [invocation.string("out")].compactMap { $0 }, replace: replace,
            hint: "choose another file with --out, or replace it with --force (mesh ca token list shows open tokens)")
        let client = try ControlClient(context)
        let answer = try client.call(.post, "/v1/ca/tokens" + context.caNode, body: body)
        guard let file = invocation.string("out") else {
            context.print(answer) {
                Output.line(answer.text(of: "token"))
                if isatty(STDOUT_FILENO) == 1 {
                    Output.note("for \(answer.text(of: "node")), once, until \(answer.text(of: "expires"))")
                }
                warnOfRevocation(answer)
            }
            return .ok
        }
        do throws(CommandFailure) {
            try TokenFiles.write(
                Array((answer.text(of: "token") + "\n").utf8), to: file, mode: 0o600, replace: replace)
        } catch {
            throw withdrawing(answer.text(of: "id"), after: error, client, context)
        }
        var object = answer.object ?? JSONObject()
        object["token"] = nil
        object["file"] = .string(file)
        context.print(.object(object)) {
            Output.line("\(file): a token for \(answer.text(of: "node")), once, until \(answer.text(of: "expires"))")
            warnOfRevocation(answer)
        }
        return .ok
    }

    /// Says so where the node is revoked for longer: it would be refused, and who made the token is not there to see it.
    private static func warnOfRevocation(_ answer: JSONValue) {
        guard let from = answer["joinsFrom"]?.string.flatMap(UTCTime.seconds) else { return }
        let node = answer.text(of: "node")
        let undo = "mesh revoke \(node) --undo"
        var text = "\(node) is revoked, and cannot join before \(UTCTime.text(from))"
        if let end = UTCTime.seconds(answer.text(of: "expires")), end <= from {
            text += "; this token ends before: \(undo)"
            // From now to then, and as long again as a token is good for otherwise.
            let minutes = (from - Clock.unixSeconds() + usualToken + 59) / 60
            if minutes <= longestToken / 60 { text += ", or --ttl \(minutes)m" }
        } else {
            text += "; \(undo) lets it join at once"
        }
        Output.note(DisplayWidth.sanitized("warning: \(text)"))
    }

    /// Withdraws a token that nobody got; gives what to say of it beside `failure`.
    private static func withdrawing(
        _ id: String, after failure: CommandFailure, _ client: ControlClient, _ context: CommandContext
    ) -> CommandFailure {
        do throws(CommandFailure) {
            _ = try client.call(.delete, "/v1/ca/tokens/\(id)" + context.caNode)
        } catch {
            return CommandFailure(
                failure.exit, failure.reason, "\(failure.what); the token is open still: \(error.what)",
                hint: "withdraw it: mesh ca token withdraw \(id)"
                    + (context.invocation.string("at").map { " --at \($0)" } ?? ""))
        }
        return CommandFailure(
            failure.exit, failure.reason, "\(failure.what); the token was withdrawn", hint: failure.hint)
    }
}

/// `mesh ca token list`
enum CATokenListCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "list", "List join tokens.", discussion: "Tokens are forgotten a week after their end.",
            flags: [.atCA, .json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/ca/tokens" + context.caNode)
        context.print(answer) {
            let tokens = answer["tokens"]?.array ?? []
            Output.table(
                [
                    table(tokens, [.node, .state, .expires, .by, .id]), table(tokens, [.node, .state, .expires, .id]),
                    table(tokens, [.node, .state, .id]),
                ], empty: "there are no tokens")
        }
        return .ok
    }

    private enum Column: String {
        case node, state, expires, by, id

        var title: String { self == .expires ? "ENDS" : rawValue.uppercased() }
    }

    private static func table(_ tokens: [JSONValue], _ columns: [Column]) -> TextTable {
        // Which token is whose is not cut, nor a time, which is worth nothing then; withdraw takes the beginning of an id.
        func least(_ column: Column) -> Int {
            let widest = tokens.map { DisplayWidth.of($0.text(of: column.rawValue)) }.max() ?? 0
            return switch column {
            case .node, .state, .expires: max(widest, DisplayWidth.of(column.title))
            case .by: min(widest, 8)
            case .id: min(widest, 10)
            }
        }
        var table = TextTable(columns.map { .init($0.title, minimumWidth: least($0)) })
        for token in tokens { table.append(columns.map { token.text(of: $0.rawValue) }) }
        return table
    }
}

/// `mesh ca token withdraw ID`
enum CATokenWithdrawCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "withdraw", "Withdraw a join token.",
            discussion: "A node that has joined with it stays: mesh ca forget NODE ends its renewals.",
            flags: [.atCA, .json],
            positionals: [PositionalSpec("ID", "The token's id, or its beginning: mesh ca token list.")])
    ) { (context) throws(CommandFailure) in
        let given = context.argument("ID")
        guard !given.isEmpty, given.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "/") }) else {
            throw .usage("that cannot be a token's id", hint: "mesh ca token list has them")
        }
        let client = try ControlClient(context)
        let known = try client.call(.get, "/v1/ca/tokens" + context.caNode).elements(of: "tokens")
        let id = try context.identifier(
            "ID", of: "join token", among: known.map { $0.text(of: "id") }, list: "mesh ca token list")
        let answer = try client.call(.delete, "/v1/ca/tokens/\(id)" + context.caNode)
        context.print(answer) { Output.line("withdrew the token \(id)") }
        return .ok
    }
}
