import Directory
import Documents
import HTTP
import JSON
import PKI
import Policy

/// What every node has of the mesh documents, what it proves itself with, and what of the mesh it serves.
extension ControlAPI {
    /// How long another node may take, in nanoseconds: it may be one that is to be revoked, and nobody waits for that one.
    private static let patience: UInt64 = 3_000_000_000

    func addDocumentNodeRoutes() {
        add(.get, "/v1/documents/nodes", [.control, .documentsService]) { [unowned self] call in
            try await self.documentNodes(call)
        }
    }

    /// What this node, or the directory's, knows of all. On the control socket `ask` names one that is asked itself as well.
    private func documentNodes(_ call: Call) async throws -> ControlAnswer {
        let asked = try query(call, ["ask"]).single("ask")
        let own = agent.documents.ledger.versions
        var nodes = [agent.shared.node: entry(own, isLinked: true, agent.identity.credentials.chain)]
        var serves = [agent.shared.node]
        nodes[agent.shared.node]?["serves"] = served(agent.ca != nil, agent.directoryHost != nil)
        for peer in agent.documentPeers.known {
            nodes[peer.node] = entry(peer.versions, isLinked: peer.isLinked, peer.certificates)
        }
        guard call.door == .control else { return answer(nodes) }
        for node in agent.routing.directory.nodes where nodes[node.name] == nil {
            nodes[node.name] = entry(nil, isLinked: false, [])
        }
        // The directory's node is linked with everybody, and what it knows is fresh.
        if let directory = agent.directoryClient?.node, directory != agent.shared.node {
            nodes[directory, default: entry(nil, isLinked: false, [])]["serves"] = served(false, true)
            for item in await view(of: directory, within: Self.patience) {
                take(item, into: &nodes)
                guard item["node"]?.string == directory, let list = item["serves"] else { continue }
                nodes[directory]?["serves"] = list
                serves.append(directory)
            }
        }
        if let asked, nodes[asked] != nil, !serves.contains(asked) {
            for item in await view(of: asked, within: Self.patience) where item["node"]?.string == asked {
                nodes[asked]?["serves"] = item["serves"]
            }
        }
        return answer(nodes)
    }

    /// What a linked node answers; nothing where it does not.
    ///
    /// - Parameter patience: how long it may take, in nanoseconds.
    private func view(of node: String, within patience: UInt64) async -> [JSONValue] {
        guard agent.supervisor.isLinked(to: node),
            let connection = try? agent.open(node: node, service: Policy.Name.documentsService)
        else { return [] }
        defer { connection.close("done") }
        let timer = Task { @ControlPlane in
            await ControlPlane.sleep(nanoseconds: patience)
            if !Task.isCancelled { connection.close("it took too long") }
        }
        defer { timer.cancel() }
        guard
            let request = try? HTTPRequest(
                .get, "/v1/documents/nodes", host: Policy.Name.documentsService, body: []),
            let reply = try? await connection.send(request), reply.head.status == 200
        else { return [] }
        return (try? JSONReader.parse(reply.body))?["nodes"]?.array ?? []
    }

    /// Takes over what another node says about a third one, which is not linked here.
    private func take(_ item: JSONValue, into nodes: inout [String: JSONObject]) {
        guard let name = item["node"]?.string, name != agent.shared.node, nodes[name]?["linked"]?.bool != true,
            item["versions"]?.isNull == false || item["certificates"]?.array?.isEmpty == false
        else { return }
        let versions = try? DocumentVersions(json: item["versions"] ?? .null)
        let serves = nodes[name]?["serves"]
        var object = entry(versions, isLinked: item["linked"]?.bool == true, [])
        for key in ["certificateName", "certificates"] { object[key] = item[key] ?? nodes[name]?[key] }
        object["serves"] = serves
        nodes[name] = object
    }

    private func answer(_ nodes: [String: JSONObject]) -> ControlAnswer {
        let list = nodes.sorted { $0.key < $1.key }.map { node -> JSONValue in
            var object: JSONObject = ["node": .string(node.key)]
            for member in node.value.members { object[member.key] = member.value }
            return .object(object)
        }
        return json(["node": .string(agent.shared.node), "nodes": .array(list)])
    }

    private func served(_ ca: Bool, _ directory: Bool) -> JSONValue {
        .init((ca ? ["ca"] : []) + (directory ? ["directory"] : []))
    }

    /// - Parameter chain: what it proved itself with last, its own certificate first; empty where that is not known.
    private func entry(_ versions: DocumentVersions?, isLinked: Bool, _ chain: [Certificate]) -> JSONObject {
        let own = agent.documents.ledger.versions
        return [
            "linked": .bool(isLinked), "versions": versions?.json ?? .null,
            "behind": versions.map { .init(own.newer(than: $0).map(\.rawValue)) } ?? .null,
            "certificateName": chain.first?.certifiedNode.map { .string($0) } ?? .null,
            "certificates": .array(
                chain.map { certificate in
                    [
                        "issuer": .string(certificate.issuer), "serial": .string(certificate.serialHex),
                        "spkiSHA256": .string(certificate.spkiSHA256), "begins": .integer(certificate.notBefore),
                    ]
                }),
        ]
    }
}
