import PKI
import TLS

/// Whom the mesh itself trusts, as the edge needs to know it: other CAs may vouch for clients, and never for the mesh.
struct MeshTrust: Sendable, Equatable {
    /// The mesh's trust domain; nil in a mesh whose certificates have none.
    let domain: String?
    /// The roots of the mesh.
    let roots: [Certificate]

    /// The trust domain, for those roots only.
    var reserved: ReservedTrustDomain? { domain.map { ReservedTrustDomain($0, for: roots) } }

    /// Whether a verified chain leads to a CA that is not the mesh's.
    func isForeign(_ chain: [Certificate]) -> Bool { chain.last.map { !roots.contains($0) } ?? true }
}

extension NodeIdentity {
    /// Whom the mesh trusts.
    var meshTrust: MeshTrust {
        MeshTrust(domain: trustDomain, roots: clients.roots + servers.roots)
    }
}
