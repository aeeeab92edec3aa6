internal import COpenSSL
internal import Glibc
internal import PKI

/// Judges the peer's certificates inside the handshake, with PKI's verifier: OpenSSL's chain verification and the mesh's
/// own checks on the verified chain, the same that `mesh` uses on files. One small object a session; it is what the C
/// callback gets, and knows nothing of the session.
final class PeerVerifier {
    /// A chain that was found good, and what follows from it.
    struct Verified {
        let identity: PeerIdentity
        /// Leaf first, root last.
        let chain: [Certificate]
        let pins: PinPolicy.Outcome
    }

    /// Set when everything is fine.
    var verified: Verified?
    /// Whom the peer proved to be.
    var identity: PeerIdentity? { verified?.identity }
    /// The verified chain, leaf first; empty without one.
    var chain: [Certificate] { verified?.chain ?? [] }
    /// What the check of pins came to.
    var pins: PinPolicy.Outcome { verified?.pins ?? .unpinned }
    /// A session out of a ticket that passed; it counts once the handshake has proven that the client has its key.
    var resumable: Resumable?
    /// What became of the client's ticket.
    var ticket: TicketOutcome?
    /// What the server's staple came to, once it was looked at.
    private(set) var staple: StapleReview.Outcome?
    /// What the server's SCTs came to, where the policy looks at them; also when it is refused for them.
    private(set) var transparency: TransparencyReview?
    /// Set when something is not.
    private(set) var refusal: CertificateError?

    /// What the session goes by; a server's may change once, by the client's hello.
    private(set) var context: TLSContext
    private let contexts: TLSServerContexts?
    private let expecting: ExpectedPeer
    /// The time that the owner gave; nil means that of the moment.
    private let given: Int64?

    /// Unix seconds.
    var now: Int64 { given ?? Int64(Glibc.time(nil)) }

    init(context: TLSContext, contexts: TLSServerContexts?, expecting: ExpectedPeer, now: Int64?) {
        self.context = context
        self.contexts = contexts
        self.expecting = expecting
        given = now
    }

    /// What the C half calls. The argument is a verifier that its session keeps alive.
    static let callback: ctls_verify = { argument, store in
        guard let argument, let store else { return X509_V_ERR_UNSPECIFIED }
        return Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue().verdict(store)
    }

    /// What the C half calls with the client's SNI. The argument is a verifier that its session keeps alive.
    static let choice: ctls_choose = { argument, name, count in
        guard let argument else { return nil }
        let bytes = UnsafeBufferPointer(start: name, count: name == nil ? 0 : count)
        return Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue().choose(bytes)
    }

    /// What the C half calls about stapled OCSP responses. The argument is a verifier that its session keeps alive.
    static let status: ctls_status = { argument, ssl in
        guard let argument, let ssl else { return 0 }
        let verifier = Unmanaged<PeerVerifier>.fromOpaque(argument).takeUnretainedValue()
        return verifier.context.configuration.role == .server ? verifier.staple(on: ssl) : verifier.review(ssl)
    }

    /// To a client that asks: the staple of our certificate, where there is one.
    private func staple(on ssl: OpaquePointer) -> Int32 {
        guard let bytes = context.staple.bytes else { return 0 }
        return bytes.withUnsafeBufferPointer { ctls_set_staple(ssl, $0.baseAddress, $0.count) } ? 1 : 0
    }

    /// To a client that has verified its server: 0 where the staple says that it must not go on.
    private func review(_ ssl: OpaquePointer) -> Int32 {
        guard identity != nil else { return 1 }
        var count = 0
        let bytes = ctls_staple(ssl, &count).map { Array(UnsafeBufferPointer(start: $0, count: count)) }
        do throws(CertificateError) {
            let now = time(for: chain.first)
            staple = try StapleReview.review(
                bytes, of: chain, isDemanded: context.configuration.demandsStaple, now: now)
            try reviewTransparency(ssl, now)
            return 1
        } catch {
            refusal = error
            verified = nil
            return 0
        }
    }

    /// Only here have all SCTs come: in the certificate, in the TLS extension, in the staple.
    private func reviewTransparency(_ ssl: OpaquePointer, _ now: Int64) throws(CertificateError) {
        guard let policy = context.configuration.transparency else { return }
        let node = identity?.nodeName
        guard policy.mode(for: node) != .off else { return }
        let review = policy.review(timestamps(ssl), of: chain, node: node, now: now)
        transparency = review
        if let review, review.isRefused, let error = review.error { throw error }
    }

    private func timestamps(_ ssl: OpaquePointer) -> [SignedTimestamp] {
        ERR_clear_error()
        let stack = SSL_get0_peer_scts(ssl)
        defer { ERR_clear_error() }
        let count = min(pki_scts_count(stack), Int32(SignedTimestamp.maximumCount))
        return (0..<max(0, count)).compactMap { index in pki_scts_at(stack, index).flatMap { SignedTimestamp($0) } }
    }

    private func choose(_ name: UnsafeBufferPointer<UInt8>) -> OpaquePointer? {
        guard let contexts else { return context.pointer }
        guard let chosen = contexts.choose(name) else { return nil }
        context = chosen
        return chosen.pointer
    }

    /// X509_V_OK, or the error whose alert the peer is to get.
    private func verdict(_ store: OpaquePointer) -> Int32 {
        verified = nil
        refusal = nil
        do throws(CertificateError) {
            var presented: [Certificate] = []
            let sent = X509_STORE_CTX_get0_untrusted(store)
            for index in 0..<ctls_certificate_count(sent) {
                if let x509 = ctls_certificate_at(sent, index) { presented.append(try Certificate(retaining: x509)) }
            }
            verified = try judge(presented)
            return X509_V_OK
        } catch {
            refusal = error
            return PeerVerifier.opensslError(for: error.reason)
        }
    }

    /// Everything that is asked of a peer's certificates, leaf first.
    func judge(_ presented: [Certificate]) throws(CertificateError) -> Verified {
        guard let verifier = try pinnedRoot(among: presented) ?? context.verifier else {
            throw CertificateError(
                .unknownCA, "no root is trusted here", hint: "configure the CA certificate (mesh ca init makes one)")
        }
        let expected = expectation(presented)
        let peer = try verifier.verify(presented, expecting: expected)
        if verifier.checks.contains(.presentedChain) { try refuseSecondLeaf(presented, peer.chain) }
        let pins = try context.configuration.pins.check(
            node: peer.identity.nodeName, role: expected.role, chain: peer.chain)
        return Verified(identity: peer.identity, chain: peer.chain, pins: pins)
    }

    /// PKI lets other certificates of our CAs pass beside the chain (cross-signed ones during a change of roots). In a
    /// handshake they can only be CAs: a second leaf is bait for whoever reads names from the wrong certificate.
    private func refuseSecondLeaf(_ presented: [Certificate], _ verified: [Certificate]) throws(CertificateError) {
        for other in presented.dropFirst() where !other.isCA && !verified.contains(other) {
            throw CertificateError(
                .unrelatedCertificate, "the peer sent the certificate of \(other.subject) beside its own",
                hint: "let its certificate file hold the leaf, then its intermediates, and nothing else")
        }
    }

    /// A verifier that trusts the one root which the configuration knows by its fingerprint; nil where it names none.
    private func pinnedRoot(among presented: [Certificate]) throws(CertificateError) -> ChainVerifier? {
        guard let fingerprint = context.configuration.rootFingerprint else { return nil }
        guard let root = presented.dropFirst().first(where: { $0.fingerprintSHA256 == fingerprint }) else {
            throw CertificateError(
                .unknownCA, "the peer does not show the CA with the fingerprint \(fingerprint)",
                hint: "is this the CA's address? Compare: mesh ca inspect ca.crt")
        }
        return ChainVerifier(trust: try TrustBundle(roots: [root]), checks: context.configuration.checks)
    }

    /// The time at which certificates must be valid: now, or the last second of one that ended only just before.
    private func time(for leaf: Certificate?) -> Int64 {
        let now = now
        guard let leaf, now >= leaf.notAfter, now - leaf.notAfter < context.configuration.expiredFor else { return now }
        return leaf.notAfter - 1
    }

    private func expectation(_ presented: [Certificate]) -> PeerVerification.Expectation {
        let configuration = context.configuration
        return PeerVerification.Expectation(
            role: configuration.role == .client ? .serverOfLink : .clientOfLink, node: expecting.node,
            hostName: expecting.host, isForeignServer: expecting.isForeign, trustDomains: configuration.trustDomains,
            reserved: configuration.reservedDomain, legacyCertificates: configuration.legacyCertificates,
            now: time(for: presented.first))
    }

    /// OpenSSL chooses the alert by its own error; this one leads to the alert that says most about the reason.
    private static func opensslError(for reason: CertificateReason) -> Int32 {
        switch reason {
        // certificate_expired: "has expired or is not currently valid" (RFC 8446, section 6.2).
        case .expired, .notYetValid: X509_V_ERR_CERT_HAS_EXPIRED
        case .revoked: X509_V_ERR_CERT_REVOKED  // certificate_revoked
        case .wrongUsage, .caAsLeaf, .unsupportedKey: X509_V_ERR_INVALID_PURPOSE  // unsupported_certificate
        case .unknownCA, .untrustedIssuer, .selfSigned, .missingIntermediate, .notACA, .chainTooLong:
            X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY  // unknown_ca
        case .badSignature: X509_V_ERR_CERT_SIGNATURE_FAILURE  // decrypt_error
        case .libraryFailure: X509_V_ERR_OUT_OF_MEM  // internal_error
        default: X509_V_ERR_CERT_REJECTED  // bad_certificate
        }
    }
}
