import Arguments
import HTTP
import JSON

/// `mesh documents`
enum DocumentsCommand {
    static let entry = CommandEntry(
        CommandSpec(
            "documents", "Show the mesh documents in force, and which node has which version.",
            discussion: """
                Policy, revocations and the lists of operators and roots travel as signed documents, whose versions only rise. A node \
                that is behind is marked; one that is not linked catches up when it comes back.
                """,
            flags: [.json])
    ) { (context) throws(CommandFailure) in
        let client = try ControlClient(context)
        let own = try client.call(.get, "/v1/documents")
        let nodes = try client.call(.get, "/v1/documents/nodes")
        var object = own.object ?? JSONObject()
        object["nodes"] = nodes["nodes"] ?? .array([])
        context.print(.object(object)) {
            var table = TextTable([
                .init("DOCUMENT"), .init("VERSION", isRightAligned: true), .init("SIGNED BY"), .init("AT"),
                .init("DIGEST"),
            ])
            for document in own.elements(of: "documents") {
                table.append([
                    document.text(of: "kind"), document.number(of: "version"), document.text(of: "signer"),
                    document.text(of: "issued"), document.text(of: "digest"),
                ])
            }
            Output.table(table, empty: "no mesh document is in force; policy comes from the configuration")
            if own.elements(of: "documents").isEmpty { return }
            Output.line("")
            Output.table(list(nodes.elements(of: "nodes")), empty: "no nodes are known")
        }
        return .ok
    }

    private static func list(_ nodes: [JSONValue]) -> TextTable {
        var table = TextTable([
            .init("NODE", minimumWidth: 12), .init("TRUST", isRightAligned: true),
            .init("OPERATORS", isRightAligned: true),
            .init("REVOCATIONS", isRightAligned: true), .init("POLICY", isRightAligned: true), .init("STATE"),
        ])
        for node in nodes {
            let versions = node["versions"] ?? .null
            let behind = node["behind"]?.array
            let state =
                behind == nil
                ? "not known"
                : behind?.isEmpty == false ? "older" : node["linked"]?.bool == true ? "current" : "current, not linked"
            table.append(
                [node.text(of: "node")]
                    + ["trust", "operators", "revocations", "policy"].map {
                        versions[$0]?.number(of: "version") ?? Format.none
                    }
                    + [state])
        }
        return table
    }
}
