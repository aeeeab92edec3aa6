import Directory
import Documents
import EventLoop
import HTTP
import JSON
import PKI
import Policy

/// Lets documents travel: knows what each linked node has, and gives it what is newer here, over a stream to its built-in
/// service `mesh.documents`.
///
/// Both ends of a link say in HELLO what they have. Whoever has the newer one sends it; nobody has to ask.
@ControlPlane
final class DocumentPeers {
    /// The first and the longest pause after a transfer that failed, in nanoseconds.
    private static let retries: ClosedRange<UInt64> = 100_000_000...5_000_000_000

    private final class Peer {
        var versions = DocumentVersions()
        /// What it proved itself with last, its own certificate first, without the root.
        var certificates: [Certificate] = []
        /// It takes documents of this mesh.
        var speaks = false
        /// There is a link, or a session that waits for one.
        var isLinked = false
        var isPushing = false
        /// What it refused; not sent again before there is something newer.
        var refused: [DocumentKind: DocumentStamp] = [:]
    }

    /// What is known of a node.
    struct Known: Sendable {
        let node: String
        let isLinked: Bool
        /// Nil where the node takes no documents of this mesh.
        let versions: DocumentVersions?
        /// What it proved itself with last, its own certificate first, without the root.
        let certificates: [Certificate]
    }

    private unowned let agent: Agent
    private var peers: [String: Peer] = [:]

    init(agent: Agent) { self.agent = agent }

    /// There is a link to `node`, whose HELLO had these versions; nil where it had none of this mesh.
    func linked(_ node: String, _ versions: DocumentVersions?) {
        let peer = peers[node] ?? Peer()
        peers[node] = peer
        peer.isLinked = true
        peer.certificates = agent.supervisor.certificates(of: node)
        peer.speaks = versions != nil
        peer.versions = versions ?? DocumentVersions()
        peer.refused = [:]
        push(to: node)
    }

    /// Another lane to `node` has a link, whose HELLO may have been said before the node caught up.
    func laneLinked(_ node: String) {
        guard let peer = peers[node], peer.isLinked, peer.versions.covers(agent.documents.ledger.versions) else {
            return
        }
        for worker in agent.shared.workers { worker.submit { $0.peerHasDocuments(node) } }
    }

    /// The link to `node` is gone. Who takes no documents and is neither in the directory nor configured, a tester for
    /// instance, is forgotten.
    func unlinked(_ node: String) {
        guard let peer = peers[node] else { return }
        peer.isLinked = false
        if !peer.speaks, !isExpected(node) { peers[node] = nil }
    }

    private func isExpected(_ node: String) -> Bool {
        agent.routing.directory.node(node) != nil || agent.permanentPeers[node] != nil
            || agent.directoryClient?.node == node
    }

    /// `node` gave this document, so it has it.
    func received(_ kind: DocumentKind, from node: String) {
        guard let peer = peers[node], let stamp = agent.documents.ledger.versions.stamps[kind] else { return }
        peer.versions.stamps[kind] = stamp
    }

    /// A document came into force: everybody who is linked gets it.
    func changed() {
        for node in peers.keys { push(to: node) }
    }

    /// The nodes that are known, by name.
    var known: [Known] {
        peers.sorted { $0.key < $1.key }.map {
            Known(
                node: $0.key, isLinked: agent.supervisor.isLinked(to: $0.key),
                versions: $0.value.speaks ? $0.value.versions : nil, certificates: $0.value.certificates)
        }
    }

    /// Linked nodes that take documents and have older ones than this node.
    var behind: Int {
        let own = agent.documents.ledger.versions
        return peers.count {
            agent.supervisor.isLinked(to: $0.key) && $0.value.speaks && !$0.value.versions.covers(own)
        }
    }

    // MARK: - Sending

    private func push(to node: String) {
        guard let peer = peers[node], peer.isLinked, peer.speaks, !peer.isPushing else { return }
        peer.isPushing = true
        Task { @ControlPlane [weak self] in
            await self?.send(to: node, peer)
        }
    }

    private func next(_ peer: Peer) -> (DocumentKind, DocumentStamp)? {
        let own = agent.documents.ledger.versions
        for kind in own.newer(than: peer.versions) {
            if let stamp = own.stamps[kind], peer.refused[kind] != stamp { return (kind, stamp) }
        }
        return nil
    }

    /// Sends what is newer here, until there is nothing, or the link is gone.
    private func send(to node: String, _ peer: Peer) async {
        var pause = Self.retries.lowerBound
        while peer.isLinked, let (kind, stamp) = next(peer) {
            guard let document = agent.documents.ledger.documents[kind] else { break }
            do {
                let answer = try await agent.ask(
                    node: node, service: Policy.Name.documentsService, .put, "/v1/documents/\(kind.rawValue)",
                    body: document.envelope)
                try take(answer, of: node, peer, kind, stamp)
                pause = Self.retries.lowerBound
            } catch {
                agent.log.debug(
                    "document_not_sent", "a document did not reach node \(node); it is tried again",
                    [("node", .string(node)), ("kind", .string(kind.rawValue)), ("detail", .string("\(error)"))])
                await ControlPlane.sleep(nanoseconds: UInt64.random(in: pause / 2...pause))
                pause = min(pause * 2, Self.retries.upperBound)
            }
        }
        // In the same turn as the last look at what there is to send: nothing that comes later can be missed.
        peer.isPushing = false
        guard peer.isLinked, peer.versions.covers(agent.documents.ledger.versions) else { return }
        for worker in agent.shared.workers { worker.submit { $0.peerHasDocuments(node) } }
    }

    private func take(
        _ answer: HTTPResponse, of node: String, _ peer: Peer, _ kind: DocumentKind, _ stamp: DocumentStamp
    ) throws {
        let value = try JSONReader.parse(answer.body)
        if answer.head.status == 200 {
            peer.versions = try DocumentVersions(json: value["documents"] ?? .null)
            // One that takes a document again and again and never has it is not sent it without a pause.
            guard peer.versions.stamps[kind].map({ $0 >= stamp }) ?? false else {
                throw HTTPClientError(description: "it was taken, and is not among the documents in force there")
            }
            return
        }
        let reason = value["reason"]?.string ?? "status_\(answer.head.status)"
        guard (400..<500).contains(answer.head.status), let code = DocumentError.Code(rawValue: reason) else {
            throw HTTPClientError(description: "\(reason): \(value["detail"]?.string ?? "")")
        }
        peer.refused[kind] = stamp
        guard code != .older else { return }
        agent.log.warning(
            "document_refused_by_peer", "node \(node) does not take a document that is in force here",
            [
                ("node", .string(node)), ("kind", .string(kind.rawValue)), ("version", JSONValue(stamp.version)),
                ("reason", .string(reason)), ("detail", .string(value["detail"]?.string ?? "")),
            ])
    }
}
