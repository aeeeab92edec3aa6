import Documents
import EventLoop
import PKI

/// Which list of roots an identity is loaded with.
enum RootSource {
    /// The stored one, as at a start.
    case stored
    /// The one in force in a running agent.
    case inForce(RootList?)
}

/// Which CRLs an identity is loaded with.
enum ListSource {
    /// Those on disk, as at a start.
    case stored
    /// Those on disk, where they are good to follow the ones in force (`RevocationLists.readChanged`).
    case changed
    /// Those that an identity is used with. Files of CRLs are looked after by themselves, and hold nothing else up.
    case inForce(NodeIdentity)
}

/// What the files of an identity hold, before the mesh's list of roots is applied.
struct IdentityParts: Sendable {
    let configuration: Configuration
    let credentials: Credentials
    let node: String
    let trustDomain: String?
    let servers: TrustBundle
    let clients: TrustBundle
    let pins: PinPolicy
    let transparency: TransparencyPolicy?
    let checks: StrictChecks
    /// CRLs of the files that are configured.
    var listFiles: [CertificateRevocationList] = []
    /// CRLs that were fetched.
    var fetchedLists: [CertificateRevocationList] = []

    /// The CRLs that peers are checked against; nil where none are configured.
    var revocation: RevocationLists? {
        let trust = configuration.trust
        guard !trust.revocationFiles.isEmpty || !trust.revocationURLs.isEmpty else { return nil }
        return RevocationLists(listFiles + fetchedLists, trust.revocationMode)
    }

    /// The CRLs that the files hold by now, judged by the CAs that this node knows under a list of roots.
    ///
    /// Errors: those of `RevocationLists.readChanged`.
    func changedLists(_ list: RootList?) throws(CertificateError) -> [CertificateRevocationList] {
        try RevocationLists.readChanged(
            configuration.trust.revocationFiles,
            issuers: servers.merging(clients).roots + credentials.chain.dropFirst()
                + (list?.entries.map(\.certificate) ?? []),
            now: Clock.unixSeconds())
    }

    /// The roots of this node's mesh: those of its trust domain, and the one that issued its own certificates.
    var roots: [Certificate] {
        let last = credentials.chain.last
        return servers.merging(clients).roots.filter { root in
            if let trustDomain, root.spiffeURIs == ["spiffe://\(trustDomain)"] { return true }
            return root.spiffeURIs.isEmpty && last?.isSigned(by: root) == true
        }
    }

    /// The list of roots that the node goes by since its last run. One that cannot be used is told of when the documents are
    /// loaded.
    var storedRoots: RootList? {
        guard let trustDomain,
            let document = DocumentStore(stateDirectory: configuration.node.stateDirectory).storedRoots
        else { return nil }
        var ledger = DocumentLedger(trustDomain: trustDomain, roots: roots)
        return (try? ledger.restore(document)) == nil ? nil : ledger.rootList
    }
}

extension RootList {
    /// What is sent of a chain, and behind it: certificates by which the other roots vouch for its root. A root at its end is left
    /// out then, since verifiers that do not know it would stop there.
    static func presented(
        _ credentials: Credentials, _ list: RootList?, at now: Int64
    ) throws(CertificateError) -> (Credentials, appended: [Certificate]) {
        let last = credentials.chain[credentials.chain.count - 1]
        guard let list, let root = list.entries.map(\.certificate).first(where: { $0 == last || last.isBelow($0) })
        else {
            return (credentials, [])
        }
        let crossSigned = list.crossSigned(for: root, at: now)
        guard !crossSigned.isEmpty, last.isSelfSigned, credentials.chain.count > 1 else {
            return (credentials, crossSigned)
        }
        return (try Credentials(chain: credentials.chain.dropLast(), key: credentials.key), crossSigned)
    }

    /// What a refusal of the node's own certificates means where a rotation of roots is behind it.
    func explain(_ error: CertificateError, of credentials: Credentials) -> CertificateError? {
        let last = credentials.chain[credentials.chain.count - 1]
        guard let root = retired.first(where: { $0 == last || last.isBelow($0) }) else { return nil }
        return CertificateError(
            error.reason,
            "the root of this node's certificate, \(root.subject), was retired, and the time for coming back is over",
            hint:
                "join again: mesh ca token create --node \(credentials.leaf.commonName ?? "NODE") --out FILE on the CA's node, "
                + "and name FILE in identity.join.tokenFile")
    }
}

extension Certificate {
    /// Whether `issuer` has issued this certificate: by its name, and by its signature.
    func isBelow(_ issuer: Certificate) -> Bool { names(asIssuer: issuer) && isSigned(by: issuer) }
}

extension TrustBundle {
    /// The bundle as a list of roots changes it.
    func applying(_ list: RootList?) throws(CertificateError) -> TrustBundle {
        guard let list else { return self }
        return try TrustBundle(roots: list.applied(to: roots))
    }

    /// With further roots.
    func adding(_ more: [Certificate]) -> TrustBundle {
        (try? TrustBundle(roots: more)).map { merging($0) } ?? self
    }
}
