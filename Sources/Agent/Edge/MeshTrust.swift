import Documents
import PKI
import TLS

/// Whom the mesh itself trusts, as the edge needs to know it: other CAs may vouch for clients, and never for the mesh.
struct MeshTrust: Sendable, Equatable {
    /// The mesh's trust domain; nil in a mesh whose certificates have none.
    let domain: String?
    /// The roots of the mesh.
    let roots: [Certificate]
    /// The mesh's list of roots; nil where it has none.
    let rootList: RootList?

    /// The trust domain, for those roots only.
    var reserved: ReservedTrustDomain? { domain.map { ReservedTrustDomain($0, for: roots) } }

    /// Whether a verified chain leads to a CA that is not the mesh's.
    func isForeign(_ chain: [Certificate]) -> Bool { chain.last.map { !roots.contains($0) } ?? true }

    /// Who vouches for the clients of a listener whose files name `files`. A file with a root of the mesh means the mesh, so that
    /// its clients follow a rotation of roots; one with other CAs only stays what its owner made it.
    func clients(by files: TrustBundle) throws(CertificateError) -> TrustBundle {
        guard let rootList, files.roots.contains(where: { rootList.state(of: $0) != nil }) else { return files }
        return try files.applying(rootList)
    }
}

extension NodeIdentity {
    /// Whom the mesh trusts.
    var meshTrust: MeshTrust {
        MeshTrust(domain: trustDomain, roots: clients.roots + servers.roots, rootList: rootList)
    }
}
