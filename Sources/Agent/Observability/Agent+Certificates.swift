import Documents
import PKI
import TLS

extension Agent {
    /// Every certificate that is in use here or was seen at a linked peer, those that end first in front.
    func certificates() async -> [KnownCertificate] {
        let list = documents.ledger.rootList
        var found = Collected(list: list)
        found.add(.identity, shared.node, identity.credentials.chain, below: ownRoot)
        for bundle in [identity.contexts.client, identity.contexts.server].compactMap(\.configuration.trust) {
            for root in bundle.roots { found.add(.trust, root.commonName ?? root.subject, [root], below: root) }
        }
        addEdge(&found)
        addTargets(&found)
        if let ca { found.add(.ca, ca.facts.trustDomain, ca.facts.chain, below: ca.facts.chain.last) }
        for link in await reports().flatMap(\.links) {
            // The root is one of those that are trusted here.
            found.add(
                .peer, link.node, link.peerChain.count > 1 ? link.peerChain.dropLast() : link.peerChain,
                below: list?.root(of: link.peerChain) ?? link.peerChain.last)
        }
        return stapled(found.all).sorted { ($0.expiry.notAfter, $0.name) < ($1.expiry.notAfter, $1.name) }
    }

    private func addEdge(_ found: inout Collected) {
        for (name, listener) in edge.runtime.listeners.sorted(by: { $0.key < $1.key }) {
            for context in listener.tls?.contexts ?? [] {
                found.add(.edge, name, context.configuration.credentials?.chain ?? [])
                found.add(.edgeClients, name, context.configuration.trust?.roots ?? [])
            }
        }
        for issuer in edge.runtime.configuration.authentication.issuers where !issuer.jwksCA.isEmpty {
            found.add(.keysTrust, issuer.issuer, edge.roots(ofIssuer: issuer.issuer))
        }
    }

    private func addTargets(_ found: inout Collected) {
        for (name, entry) in registry.entries.sorted(by: { $0.key < $1.key }) {
            guard let configuration = entry.target.tls?.context.configuration else { continue }
            found.add(.target, name, configuration.credentials?.chain ?? [])
            // The system's roots are the system's affair.
            if !entry.service.tls.ca.isEmpty { found.add(.targetTrust, name, configuration.trust?.roots ?? []) }
        }
    }

    private func stapled(_ found: [KnownCertificate]) -> [KnownCertificate] {
        let stapled = Dictionary(staples.statuses.map { ($0.fingerprint, $0) }) { first, _ in first }
        return found.map { certificate in
            var certificate = certificate
            if certificate.use == .identity || certificate.use == .edge {
                certificate.staple = stapled[certificate.fingerprint]
            }
            return certificate
        }
    }

    /// Certificates, each once for every use and name: a metric must not have one sample twice.
    private struct Collected {
        /// The mesh's list of roots.
        let list: RootList?
        private(set) var all: [KnownCertificate] = []
        private var seen: Set<String> = []

        init(list: RootList?) { self.list = list }

        mutating func add(
            _ use: KnownCertificate.Use, _ name: String, _ certificates: some Sequence<Certificate>,
            below root: Certificate? = nil
        ) {
            for certificate in certificates
            where seen.insert("\(use.rawValue) \(name) \(certificate.fingerprintSHA256)").inserted {
                var known = KnownCertificate(use, name, certificate)
                known.root = root.map { ($0.subject, list?.state(of: $0)) }
                all.append(known)
            }
        }
    }
}
