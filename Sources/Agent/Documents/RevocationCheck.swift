import Documents
import PKI
import Policy

/// Whether a verified chain is revoked: by its certificates, by the name that it has, and by the name that policy gives the
/// node, which is the one that `mesh links` shows.
struct RevocationCheck: Sendable {
    /// What the mesh has revoked.
    let revocations: RevocationSet
    /// Who is which node.
    let policy: PolicyDocument

    /// Nothing is revoked.
    static let none = RevocationCheck(revocations: .empty, policy: .empty)

    /// The entry by which `chain`, leaf first, is revoked; nil where none does.
    func entry(for chain: [Certificate]) -> RevocationEntry? {
        guard !revocations.entries.isEmpty, let leaf = chain.first else { return nil }
        let spiffe = leaf.spiffeURIs.first.flatMap { try? SPIFFEID(parsing: $0) }?.description
        let principal = policy.principal(for: .node(commonName: leaf.commonName, spiffe: spiffe))
        return revocations.entry(for: chain, node: principal.nodeName)
    }
}

extension RoutingSnapshot {
    /// Whether nothing is wrong with a verified chain but that its root was retired, and its node may still come back for documents
    /// and another certificate.
    func isLate(_ chain: [Certificate], now: Int64) -> Bool {
        guard chain.contains(where: { lateRoots[$0.spkiSHA256].map { now < $0 } ?? false }) else { return false }
        return revoked.entry(for: chain.filter { lateRoots[$0.spkiSHA256] == nil }) == nil
    }

    /// What this snapshot holds for revoked.
    var revoked: RevocationCheck { RevocationCheck(revocations: revocations, policy: policy) }
}
