import Documents
import Enrolment
import JSON
import PKI
import Policy

/// What the CA decides: who gets which certificate. Knows no sockets; the time is a parameter.
final class CAIssuer {
    /// The CA that issues. It changes when the mesh's root does.
    var authority: CertificateAuthority
    /// What it remembers.
    let ledger: CALedger
    /// How long a certificate is valid, in seconds.
    let validity: Int64
    /// What the CA's node knows of its mesh.
    var mesh = Mesh()

    /// What the CA's node knows of its mesh.
    struct Mesh: Sendable {
        /// What is revoked: a revoked certificate renews nothing, or a stolen key would renew for ever, and nothing is
        /// issued that would be refused everywhere.
        var revoked = RevocationCheck.none
        /// The documents in force, for nodes that join.
        var documents: [SignedDocument] = []
        /// The mesh's roots as this node trusts them, for everybody who asks.
        var roots: [Certificate] = []
        /// Where these stand in a rotation.
        var rootList: RootList?
        /// Nothing may be issued: it could not be written down.
        var isAuditClosed = false
    }

    /// The most bytes of documents in an answer; what is larger reaches the node over its first link.
    private static let maximumDocuments = 1 << 20

    /// A CA over its ledger.
    init(authority: CertificateAuthority, ledger: CALedger, validity: Int64) {
        self.authority = authority
        self.ledger = ledger
        self.validity = validity
    }

    /// A first certificate for the holder of a token. The token is used up, and that is on the disk, before this returns.
    ///
    /// - Parameters:
    ///   - exporter: the TLS exporter of the connection that the request came on.
    ///   - now: unix seconds.
    func join(_ request: JoinRequest, exporter: [UInt8], now: Int64) throws(EnrolmentError) -> IssuedIdentity {
        guard let token = try stored({ (ledger) throws in try ledger.token(request.token) }) else {
            throw EnrolmentError(
                .unknownToken, "this CA has not made such a token, or it was withdrawn",
                hint: "make a new one: mesh ca token create --node NAME")
        }
        let message = EnrolmentProof.message(exporter: exporter, request: request.request)
        guard TokenKey.verify(request.signature, over: message, by: request.token) else {
            throw EnrolmentError(
                .badProof, "the request is not signed with the token's key for this connection",
                hint: "nothing may stand between node and CA that ends TLS; ask with mesh join")
        }
        let csr = try read(request.request)
        let key = csr.publicKey.spkiSHA256
        guard token.used == 0 || token.key == key else {
            throw EnrolmentError(
                .tokenUsed, "another key has used the token for \(token.grant.node)",
                hint:
                    "was it you? If not, revoke what was issued (mesh revoke \(token.grant.node) --reason TEXT) and forget it "
                    + "(mesh ca forget \(token.grant.node)); then make a new token")
        }
        guard now < token.expires else {
            throw EnrolmentError(
                .tokenExpired, "the token for \(token.grant.node) ended \(UTCTime.duration(now - token.expires)) ago",
                hint: "make a new one: mesh ca token create --node \(token.grant.node)")
        }
        try checkNotRevoked(token)
        try token.grant.check(csr, trustDomain: authority.trustDomain)
        let certificate = try issue(token.grant, csr.publicKey, now)
        try stored { (ledger) throws in try ledger.admit(token, certificate: certificate, key: key, now: now) }
        return answer(certificate, token.grant, withDocuments: true)
    }

    /// The next certificate for a node that has proven by its present one who it is; `chain` is the verified one.
    func renew(
        _ request: RenewRequest, by identity: PeerIdentity?, chain: [Certificate], now: Int64
    ) throws(EnrolmentError) -> IssuedIdentity {
        guard let identity, let name = identity.spiffe?.nodeName else {
            throw EnrolmentError(
                .notAuthenticated, "a renewal needs the node's present certificate",
                hint: "a node without one joins with a token: mesh ca token create --node NAME")
        }
        guard let node = try stored({ (ledger) throws in try ledger.node(name) }) else {
            throw EnrolmentError(
                .unknownNode, "this CA has not admitted \(name), or has forgotten it",
                hint: "admit it: mesh ca token create --node \(name)")
        }
        // By its key, too: who has the key of a root that is retired could make another certificate with the same serial.
        let key = chain.first?.publicKey.spkiSHA256 ?? ""
        guard try stored({ (ledger) throws in try ledger.hasIssued(identity.serial, to: name, key: key) }) else {
            throw EnrolmentError(
                .unknownNode,
                "this CA has not issued the certificate \(identity.serial) to \(name), or has forgotten it",
                hint: "join again: mesh ca token create --node \(name)")
        }
        try checkNotRevoked(withoutLateRoots(chain, now), of: name, before: now)
        let csr = try read(request.request)
        try node.grant.check(csr, trustDomain: authority.trustDomain)
        let certificate = try issue(node.grant, csr.publicKey, now)
        try stored { (ledger) throws in
            try ledger.renewed(name, certificate: certificate, key: csr.publicKey.spkiSHA256, now: now)
        }
        return answer(certificate, node.grant, withDocuments: false)
    }

    /// Key and certificate for the CA's own node, which needs no token.
    func admitOwn(_ node: String, key: PrivateKey, now: Int64) throws(EnrolmentError) -> IssuedIdentity {
        let grant: NodeGrant
        do throws(CertificateError) {
            grant = try NodeGrant(node: node)
        } catch {
            throw EnrolmentError(.badRequest, error.message, hint: "correct node.name")
        }
        let certificate = try issue(grant, key.publicKey, now)
        try stored { (ledger) throws in
            try ledger.admit(grant, certificate: certificate, key: key.publicKey.spkiSHA256, now: now)
        }
        return answer(certificate, grant, withDocuments: false)
    }

    private func answer(
        _ certificate: Certificate, _ grant: NodeGrant, withDocuments: Bool
    ) -> IssuedIdentity {
        IssuedIdentity(
            chain: [certificate] + authority.intermediates, trust: trust, grant: grant,
            trustDomain: authority.trustDomain, documents: withDocuments ? documents : [])
    }

    /// The documents for a new node, those that matter most first.
    private var documents: [JSONValue] {
        var left = Self.maximumDocuments
        return mesh.documents.compactMap { document in
            guard document.payload.count <= left / 2 else { return nil }
            left -= document.payload.count * 2
            return document.json
        }
    }

    /// The CA's root, which was checked when the CA was loaded, and the mesh's others; none that is retired.
    private var trust: TrustBundle {
        guard let own = try? TrustBundle(roots: [authority.root]) else {
            preconditionFailure("the CA's root is a CA: checked when it was loaded")
        }
        return (try? TrustBundle(roots: mesh.roots)).map { own.merging($0) } ?? own
    }

    private func read(_ der: [UInt8]) throws(EnrolmentError) -> CertificateSigningRequest {
        do throws(CertificateError) {
            return try CertificateSigningRequest(der: der)
        } catch {
            throw EnrolmentError(.badRequest, error.description, hint: error.hint)
        }
    }

    private func issue(
        _ grant: NodeGrant, _ key: PublicKey, _ now: Int64
    ) throws(EnrolmentError) -> Certificate {
        guard !mesh.isAuditClosed else {
            throw EnrolmentError(
                .caFailed, "the CA's audit log cannot be written", hint: "look at the disk of the CA's host")
        }
        let certificate: Certificate
        do throws(CertificateError) {
            certificate = try authority.issue(grant.issueRequest(validity: validity), for: key, now: now)
        } catch {
            throw EnrolmentError(.caFailed, error.description, hint: error.hint)
        }
        try checkNotRevoked([certificate] + authority.intermediates + [authority.root], of: grant.node, before: now)
        return certificate
    }

    /// Refuses what the mesh has revoked; of a new certificate that is what a revocation of its node still covers.
    private func checkNotRevoked(
        _ chain: [Certificate], of node: String, before now: Int64
    ) throws(EnrolmentError) {
        guard let entry = mesh.revoked.entry(for: chain) else { return }
        var hint = "a node that is trusted again joins anew: mesh ca token create --node \(node)"
        if let earliest = earliestIssue(under: entry, now: now) {
            let wait = UTCTime.duration(earliest - now)
            hint = "where it is trusted again: mesh revoke \(node) --undo, or let it join in \(wait)"
        }
        throw EnrolmentError(.revoked, "certificates of \(node) are revoked: \(entry.reason)", hint: hint)
    }

    /// From when on the CA can issue to `node`, unix seconds, where its revocation covers what it would issue now; nil where none does.
    func earliestJoin(of node: String, now: Int64) -> Int64? {
        revocation(of: node).flatMap { earliestIssue(under: $0, now: now) }
    }

    /// A certificate begins before it is made (`CertificateAuthority.backdating`), and what begins before the entry's time is revoked
    /// with it.
    private func earliestIssue(under entry: RevocationEntry, now: Int64) -> Int64? {
        guard case .node(_, let time) = entry.target else { return nil }
        let earliest = time + min(CertificateAuthority.backdating, max(1, validity / 4))
        return earliest > now ? earliest : nil
    }

    /// The entry about a node, by the name of its certificates or by the one that policy gives it.
    private func revocation(of node: String) -> RevocationEntry? {
        let revocations = mesh.revoked.revocations
        let spiffe = "spiffe://\(authority.trustDomain)/node/\(node)"
        let named = mesh.revoked.policy.principal(for: .node(commonName: node, spiffe: spiffe)).nodeName
        return revocations.entry(ofNode: node) ?? named.flatMap { revocations.entry(ofNode: $0) }
    }

    /// Refuses a token that was made or used before its node was revoked: the thief of a host has the token beside the key, and
    /// both together may ask again as long as the token lasts.
    private func checkNotRevoked(_ token: CALedger.Token) throws(EnrolmentError) {
        let node = token.grant.node
        guard let entry = revocation(of: node), case .node(_, let time) = entry.target else { return }
        guard token.created < entry.revoked || (token.used != 0 && token.used < time) else { return }
        throw EnrolmentError(
            .revoked, "\(node) was revoked after its token was \(token.used == 0 ? "made" : "used"): \(entry.reason)",
            hint: "a node that is trusted again joins anew: mesh ca token create --node \(node)")
    }

    /// A chain without retired roots whose nodes may still come back: a certificate under another root is what they need.
    private func withoutLateRoots(_ chain: [Certificate], _ now: Int64) -> [Certificate] {
        let late = Set((mesh.rootList?.admittedLate(at: now) ?? []).map(\.spkiSHA256))
        return chain.filter { !late.contains($0.spkiSHA256) }
    }

    private func stored<Result>(_ body: (CALedger) throws -> Result) throws(EnrolmentError) -> Result {
        do {
            return try body(ledger)
        } catch {
            throw EnrolmentError(
                .caFailed, "the CA's database failed: \(error)", hint: "look at the disk of the CA's host")
        }
    }
}
