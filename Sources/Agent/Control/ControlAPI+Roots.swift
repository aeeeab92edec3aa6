import Directory
import Documents
import EventLoop
import HTTP
import JSON
import PKI
import Policy

/// Routes about the roots of the mesh: where each stands, and which node is below which.
extension ControlAPI {
    func addRootRoutes() {
        add(.get, "/v1/roots", [.control, .documentsService]) { [unowned self] call in try await self.roots(call) }
    }

    private func roots(_ call: Call) async throws -> ControlAnswer {
        let ledger = agent.documents.ledger
        var nodes = await ownView()
        if call.door == .control {
            for node in agent.routing.directory.nodes where nodes[node.name] == nil {
                nodes[node.name] = absent(node.name)
            }
            await addDirectoryView(&nodes)
        }
        let list = nodes.sorted { $0.key < $1.key }.map { node -> JSONValue in
            var object: JSONObject = ["node": .string(node.key)]
            for member in node.value.object?.members ?? [] { object[member.key] = member.value }
            return .object(object)
        }
        return json([
            "node": .string(agent.shared.node),
            "version": ledger.versions.stamps[.trust].map { JSONValue($0.version) } ?? .null,
            "roots": .array(ledger.rootList.map(Self.json) ?? []), "nodes": .array(list),
        ])
    }

    private static func json(_ list: RootList) -> [JSONValue] {
        list.entries.map { entry in
            let root = entry.certificate
            return [
                "subject": .string(root.subject), "state": .string(entry.state.rawValue),
                "key": .string(root.spkiSHA256),
                "fingerprint": .string(root.fingerprintSHA256), "notAfter": .string(UTCTime.text(root.notAfter)),
                "lateUntil": list.lateUntil(root).map { .string(UTCTime.text($0)) } ?? .null,
            ]
        }
    }

    /// This node and those that are linked with it, each with the root below which its certificate is.
    private func ownView() async -> [String: JSONValue] {
        var nodes = [
            agent.shared.node: Self.entry(agent.ownRoot, agent.identity.credentials.leaf, isLinked: true)
        ]
        let list = agent.documents.ledger.rootList
        for report in await agent.reports() {
            for link in report.links where nodes[link.node] == nil {
                let root = list?.root(of: link.peerChain) ?? link.peerChain.last
                nodes[link.node] = Self.entry(root, link.peerChain.first, isLinked: true)
            }
        }
        // Nodes that were here since this agent started, and are not now: they have to come back.
        for peer in agent.documentPeers.known where nodes[peer.node] == nil {
            nodes[peer.node] = absent(peer.node)
        }
        return nodes
    }

    /// A node that is not linked here, and whether a document revokes it: then nobody waits for it. Where it linked since this agent
    /// started it is its certificate that counts, which may be a newer one than those that are revoked.
    private func absent(_ node: String) -> JSONValue {
        let revocations = agent.documents.ledger.revocations
        let chain = agent.supervisor.chain(of: node)
        let entry =
            chain.isEmpty
            ? revocations.entry(ofNode: node)
            : RevocationCheck(revocations: revocations, policy: agent.policy).entry(for: chain)
        return Self.entry(nil, nil, isLinked: false, revokedBy: entry)
    }

    /// The directory's node is linked with everybody.
    private func addDirectoryView(_ nodes: inout [String: JSONValue]) async {
        guard let directory = agent.directoryClient?.node, directory != agent.shared.node,
            agent.supervisor.isLinked(to: directory),
            let reply = try? await agent.ask(node: directory, service: Policy.Name.documentsService, .get, "/v1/roots"),
            reply.head.status == 200, let list = try? JSONReader.parse(reply.body)["nodes"]?.array
        else { return }
        for item in list {
            guard let name = item["node"]?.string, nodes[name]?["linked"]?.bool != true, var object = item.object else {
                continue
            }
            object["node"] = nil
            // One of an older version does not say it.
            if object["linked"]?.bool != true, object["revoked"] == nil {
                object["revoked"] = nodes[name]?["revoked"] ?? .null
            }
            nodes[name] = .object(object)
        }
    }

    private static func entry(
        _ root: Certificate?, _ leaf: Certificate?, isLinked: Bool, revokedBy entry: RevocationEntry? = nil
    ) -> JSONValue {
        [
            "linked": .bool(isLinked), "root": root.map { .string($0.subject) } ?? .null,
            "rootKey": root.map { .string($0.spkiSHA256) } ?? .null,
            "ends": leaf.map { .string(UTCTime.text($0.notAfter)) } ?? .null,
            "revoked": entry.map { .string($0.name) } ?? .null,
            "renewsWithinSeconds": leaf.map {
                .integer((IdentityRenewal.spread(lifetime: $0.notAfter - $0.notBefore) + 999) / 1000)
            } ?? .null,
        ]
    }
}
