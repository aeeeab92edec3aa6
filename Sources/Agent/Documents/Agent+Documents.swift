import Documents
import EventLoop
import JSON
import PKI
import Policy

/// What documents change in a running agent.
extension Agent {
    /// A document came into force: workers decide by it, peers get it.
    func documentChanged(_ kind: DocumentKind) {
        switch kind {
        case .policy:
            policyChanged(to: documents.ledger.policy ?? policy)
        case .revocations:
            reviewOwnIdentity()
            if ownRevocation == nil { renewal.reconsider() }
        case .operators: break
        case .trust: rootsChanged()
        }
        publish()
        documentPeers.changed()
        revokedIdentity.look()
    }

    /// What the CA of this node has to know.
    var meshForCA: CAIssuer.Mesh {
        CAIssuer.Mesh(
            revoked: routing.revoked,
            documents: DocumentKind.inOrder.compactMap { documents.ledger.documents[$0] },
            roots: documents.ledger.roots, rootList: documents.ledger.rootList, isAuditClosed: isAuditClosed)
    }

    /// Says it loudly when this node itself is revoked: its peers refuse it from now on.
    func reviewOwnIdentity() {
        guard let entry = ownRevocation else { return }
        log.error(
            "own_identity_revoked", "this node's own certificate is revoked; no other node links with it",
            [("entry", .string(entry.name)), ("why", .string(entry.reason))])
    }

    /// The entry that revokes this node's own certificate.
    var ownRevocation: RevocationEntry? {
        RevocationCheck(revocations: documents.ledger.revocations, policy: policy).entry(
            for: identity.credentials.chain)
    }

    /// That a configured policy is read and not in force, where it differs from the document's.
    func supersededPolicyNotes(_ configured: PolicyDocument) -> [String] {
        guard let document = documents.ledger.policy, let stamp = documents.ledger.versions.stamps[.policy],
            document.fingerprint != configured.fingerprint,
            configuration.policy.file != nil || configuration.policy.inline != nil
        else { return [] }
        let key = configuration.policy.file == nil ? "policy.inline" : "policy.file"
        return [
            "\(key) is not in force: the mesh goes by policy version \(stamp.version), a document; "
                + "change that one with mesh policy apply FILE"
        ]
    }

    /// The policy in force, and where it comes from.
    var policyJSON: JSONValue {
        let stamp = documents.ledger.versions.stamps[.policy]
        return [
            "file": .string(policy.file), "fingerprint": .string(policy.fingerprint),
            "ownVersion": policy.version.map { .integer($0) } ?? .null, "source": stamp == nil ? "file" : "document",
            "version": stamp.map { JSONValue($0.version) } ?? .null,
            "digest": stamp.map { .string($0.digestText) } ?? .null,
        ]
    }

    /// The documents that an agent with this configuration starts with, a line each; nothing is started.
    public nonisolated static func documentsInForce(_ configuration: Configuration) -> [String] {
        let store = DocumentStore(stateDirectory: configuration.node.stateDirectory)
        guard let documents = try? store.load() else { return [] }
        return documents.map(\.document).map { document in
            let wins = document.kind == .policy ? "; it wins over policy.file and policy.inline" : ""
            return "\(document.kind.rawValue) version \(document.version) of \(UTCTime.text(document.issued))\(wins)"
        }
    }
}
