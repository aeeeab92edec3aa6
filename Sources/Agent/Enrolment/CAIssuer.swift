import Enrolment
import PKI

/// What the CA decides: who gets which certificate. Knows no sockets; the time is a parameter.
final class CAIssuer {
    /// The CA that issues.
    let authority: CertificateAuthority
    /// What it remembers.
    let ledger: CALedger
    /// How long a certificate is valid, in seconds.
    let validity: Int64

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
                    "was it you? If not, revoke what was issued (mesh revoke \(token.grant.node)) and forget it (mesh ca forget "
                    + "\(token.grant.node)); then make a new token")
        }
        guard now < token.expires else {
            throw EnrolmentError(
                .tokenExpired, "the token for \(token.grant.node) ended \(UTCTime.duration(now - token.expires)) ago",
                hint: "make a new one: mesh ca token create --node \(token.grant.node)")
        }
        try token.grant.check(csr, trustDomain: authority.trustDomain)
        let certificate = try issue(token.grant, csr.publicKey, now)
        try stored { (ledger) throws in try ledger.admit(token, certificate: certificate, key: key, now: now) }
        return answer(certificate, token.grant)
    }

    /// The next certificate for a node that has proven by its present one who it is.
    func renew(
        _ request: RenewRequest, by identity: PeerIdentity?, now: Int64
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
        guard try stored({ (ledger) throws in try ledger.hasIssued(identity.serial, to: name) }) else {
            throw EnrolmentError(
                .unknownNode,
                "this CA has not issued the certificate \(identity.serial) to \(name), or has forgotten it",
                hint: "join again: mesh ca token create --node \(name)")
        }
        let csr = try read(request.request)
        try node.grant.check(csr, trustDomain: authority.trustDomain)
        let certificate = try issue(node.grant, csr.publicKey, now)
        try stored { (ledger) throws in
            try ledger.renewed(name, certificate: certificate, key: csr.publicKey.spkiSHA256, now: now)
        }
        return answer(certificate, node.grant)
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
        return answer(certificate, grant)
    }

    private func answer(_ certificate: Certificate, _ grant: NodeGrant) -> IssuedIdentity {
        IssuedIdentity(
            chain: [certificate] + authority.intermediates, trust: trust, grant: grant,
            trustDomain: authority.trustDomain)
    }

    /// The root, which was checked when the CA was loaded.
    private var trust: TrustBundle {
        guard let trust = try? TrustBundle(roots: [authority.root]) else {
            preconditionFailure("the CA's root is a CA: checked when it was loaded")
        }
        return trust
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
        do throws(CertificateError) {
            return try authority.issue(grant.issueRequest(validity: validity), for: key, now: now)
        } catch {
            throw EnrolmentError(.caFailed, error.description, hint: error.hint)
        }
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
