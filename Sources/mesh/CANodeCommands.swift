import Arguments
import HTTP
import JSON
import PKI

/// `mesh ca nodes`
enum CANodesCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "nodes", "List the nodes that the running CA has admitted.",
            discussion: "Asks the agent that serves the CA. You need the right to administer its node.",
            flags: [.atCA, .json])
    ) { (context) throws(CommandFailure) in
        let answer = try ControlClient(context).call(.get, "/v1/ca/nodes" + context.caNode)
        context.print(answer) {
            var table = TextTable("NODE", "NAMES", "ADMITTED", "ENDS", "SERIAL")
            for node in answer["nodes"]?.array ?? [] {
                let names = ["dns", "ip"].flatMap { node[$0]?.array?.compactMap(\.string) ?? [] }
                table.append([
                    node.text(of: "node"), names.joined(separator: ", "), node.text(of: "admitted"),
                    node.text(of: "expires"), node.text(of: "serial"),
                ])
            }
            Output.table(table, empty: "the CA has admitted no node yet: mesh ca token create --node NAME")
        }
        return .ok
    }
}

/// `mesh ca forget NODE`
enum CAForgetCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "forget", "End a node's renewals.",
            discussion: """
                The CA renews nothing for the node any more, and its open tokens are withdrawn. The certificate that it has \
                stays valid until its end.
                """,
            flags: [.atCA, .json], positionals: [PositionalSpec("NODE", "The node's name.")])
    ) { (context) throws(CommandFailure) in
        let node = context.argument("NODE")
        do throws(CertificateError) {
            try NodeName.check(node)
        } catch {
            throw CommandFailure(error)
        }
        let answer = try ControlClient(context).call(.delete, "/v1/ca/nodes/\(node)" + context.caNode)
        context.print(answer) { Output.line("forgot \(node); its certificate is not renewed any more") }
        return .ok
    }
}

extension FlagSpec {
    /// `--at`, of the commands about the running CA.
    static let atCA = FlagSpec(
        "at", .string, placeholder: "NODE",
        "The node that serves the CA; it is asked in the name of this host's node, which needs connect to mesh.agent and "
            + "administer to NODE.")
}

extension CommandContext {
    /// What `--at` adds to a request about the CA.
    var caNode: String { invocation.string("at").map { "?" + HTTPQuery.encode([("at", $0)]) } ?? "" }
}
