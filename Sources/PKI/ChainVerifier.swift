import COpenSSL

/// A peer that passed every check.
public struct VerifiedPeer: Sendable {
    /// What its leaf proves.
    public let identity: PeerIdentity
    /// The verified chain: leaf first, trusted root last.
    public let chain: [Certificate]
}

/// Chain verification by OpenSSL with the mesh's own checks on top, independent of a TLS session.
public struct ChainVerifier: Sendable {
    /// The trusted roots.
    public let trust: TrustBundle
    /// The checks to make; anything but `.all` is for tests.
    public let checks: StrictChecks

    /// What is revoked; nil where no CRL is looked at.
    public let revocation: RevocationLists?

    /// How many intermediates may lie between leaf and root.
    public static let maximumIntermediates = 4
    /// How many certificates a peer may present.
    public static let maximumPresented = 10

    /// Makes a verifier.
    public init(trust: TrustBundle, checks: StrictChecks = .all, revocation: RevocationLists? = nil) {
        self.trust = trust
        self.checks = checks
        self.revocation = revocation
    }

    /// Verifies what a peer presented, leaf first: the chain up to a root, then `PeerVerification.check` on it.
    public func verify(
        _ presented: [Certificate], expecting expected: PeerVerification.Expectation
    ) throws(CertificateError) -> VerifiedPeer {
        let chain = try buildChain(presented, role: expected.role, now: expected.now)
        let identity = try PeerVerification.check(chain: chain, expecting: expected, checks: checks)
        return VerifiedPeer(identity: identity, chain: chain)
    }

    /// Finds and verifies the path from the leaf to a trusted root: signatures, times, CA flags, path lengths, name
    /// constraints, purpose, strength, CRLs where there are some; then that nothing foreign was presented beside it.
    ///
    /// - Parameter role: what the leaf is used for; nil leaves the purpose unchecked.
    public func buildChain(
        _ presented: [Certificate], role: PeerVerification.Role?, now: Int64
    ) throws(CertificateError) -> [Certificate] {
        guard let leaf = presented.first else { throw .missingCertificate() }
        guard presented.count <= ChainVerifier.maximumPresented else {
            throw CertificateError(
                .chainTooLong,
                "\(presented.count) certificates presented; at most \(ChainVerifier.maximumPresented) are looked at",
                hint: "send only the leaf and its intermediates: mesh ca inspect FILE")
        }
        // Before OpenSSL, which has only vague words for what cannot be read.
        try PeerVerification.checkReadable(presented, checks)
        guard checks.contains(.chain) else { return presented }
        let outcome = try run(leaf, presented, role, now)
        if outcome.code != X509_V_OK {
            let culprit = outcome.chain.indices.contains(outcome.depth) ? outcome.chain[outcome.depth] : leaf
            throw VerificationFailure(
                code: outcome.code, culprit: culprit, depth: outcome.depth, presented: presented, trust: trust, now: now
            ).error
        }
        if checks.contains(.presentedChain) {
            try checkNothingForeign(in: presented, besides: outcome.chain)
        }
        return outcome.chain
    }

    private struct Outcome {
        var code: Int32
        var depth: Int
        var chain: [Certificate]
    }

    private func run(
        _ leaf: Certificate, _ presented: [Certificate], _ role: PeerVerification.Role?, _ now: Int64
    ) throws(CertificateError) -> Outcome {
        guard let context = openssl({ X509_STORE_CTX_new() }) else {
            throw OpenSSLErrors.failure("create a verification context")
        }
        defer { X509_STORE_CTX_free(context) }
        let roots = try CertificateStack(trust.roots)
        let others = try CertificateStack(Array(presented.dropFirst()))
        let crls = try revocation.map { (lists) throws(CertificateError) in try RevocationStack(lists.lists) }
        return try withExtendedLifetime((roots, others, leaf, crls)) { () throws(CertificateError) -> Outcome in
            let ready = leaf.withX509 { x509 in
                openssl { X509_STORE_CTX_init(context, nil, x509, others.pointer) }
            }
            guard ready == 1 else { throw OpenSSLErrors.failure("prepare a verification") }
            X509_STORE_CTX_set0_trusted_stack(context, roots.pointer)
            let parameters = X509_STORE_CTX_get0_param(context)
            X509_VERIFY_PARAM_set_depth(parameters, Int32(ChainVerifier.maximumIntermediates))
            // Level 2 is 112 bits: RSA from 2048, no SHA-1, no MD5.
            X509_VERIFY_PARAM_set_auth_level(parameters, checks.contains(.strength) ? 2 : 0)
            if checks.contains(.validity) {
                X509_VERIFY_PARAM_set_time(parameters, time_t(now))
            } else {
                // Has no effect once a time is set.
                X509_VERIFY_PARAM_set_flags(parameters, UInt(X509_V_FLAG_NO_CHECK_TIME))
            }
            if let role, checks.contains(.usage) {
                let purpose = role == .serverOfLink ? X509_PURPOSE_SSL_SERVER : X509_PURPOSE_SSL_CLIENT
                X509_VERIFY_PARAM_set_purpose(parameters, purpose)
            }
            if let revocation, let crls { revocation.apply(to: context, crls) }
            let verified = openssl { X509_verify_cert(context) }
            var code = X509_STORE_CTX_get_error(context)
            // A failure without a code would be taken for success.
            if verified != 1, code == X509_V_OK { code = X509_V_ERR_UNSPECIFIED }
            let stack = X509_STORE_CTX_get0_chain(context)
            var chain: [Certificate] = []
            for index in 0..<pki_certificates_count(stack) {
                guard let x509 = pki_certificates_at(stack, index) else { continue }
                if let certificate = known(x509, presented) {
                    chain.append(certificate)
                } else {
                    chain.append(try Certificate(retaining: x509))
                }
            }
            ERR_clear_error()
            return Outcome(code: code, depth: Int(X509_STORE_CTX_get_error_depth(context)), chain: chain)
        }
    }

    /// The certificate that we hold already of this X509. A path is made of what was presented and of the roots, so that as a
    /// rule none has to be taken apart again: half of the time that our checks cost in a handshake.
    private func known(_ x509: OpaquePointer, _ presented: [Certificate]) -> Certificate? {
        (presented + trust.roots).first { $0.withX509 { $0 == x509 } }
    }

    /// Refuses certificates that were presented but are neither part of the verified path nor vouched for by it. A
    /// second certificate of a CA on the path (cross-signing) belongs to it, and so does the root that signed that one.
    private func checkNothingForeign(
        in presented: [Certificate], besides path: [Certificate]
    ) throws(CertificateError) {
        let issuers = path.dropFirst() + trust.roots
        for certificate in presented.dropFirst() {
            if path.contains(where: { $0 == certificate || ($0.isCA && $0.isSameEntity(as: certificate)) }) { continue }
            let isAbove = presented.contains { cross in
                cross.isCA && cross.hasIssuerName(of: certificate)
                    && path.contains { $0.isCA && $0.isSameEntity(as: cross) } && cross.isSigned(by: certificate)
            }
            if certificate.isCA, isAbove { continue }
            let named = issuers.filter { certificate.hasIssuerName(of: $0) }
            if named.contains(where: { certificate.isSigned(by: $0) }) { continue }
            guard named.isEmpty else {
                throw CertificateError(
                    .badSignature,
                    "the chain holds a certificate for \(certificate.subject) that names \(certificate.issuer) as its "
                        + "issuer but is not signed by it",
                    hint: "the certificate is forged or damaged; send only leaf and intermediates: mesh ca inspect FILE"
                )
            }
            throw CertificateError(
                .unrelatedCertificate,
                "the chain holds a certificate for \(certificate.subject) that has nothing to do with the leaf",
                hint: "send only the leaf and its intermediates: mesh ca inspect FILE")
        }
    }
}

/// A STACK_OF(X509) that holds a reference to each of its certificates.
final class CertificateStack {
    let pointer: OpaquePointer

    init(_ certificates: [Certificate]) throws(CertificateError) {
        guard let stack = openssl({ pki_certificates_new() }) else { throw OpenSSLErrors.failure("make a list") }
        pointer = stack
        for certificate in certificates {
            guard certificate.withX509({ pki_certificates_append(stack, $0) }) == 1 else {
                throw OpenSSLErrors.failure("extend a list")
            }
        }
    }

    deinit { pki_certificates_free(pointer) }
}
