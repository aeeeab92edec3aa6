import COpenSSL

/// What OpenSSL's chain verification complains about, in the mesh's words.
package struct VerificationFailure {
    /// X509_V_ERR_…
    package let code: Int32
    /// The certificate that the complaint is about.
    package let culprit: Certificate
    /// Its place in the chain, 0 for the leaf.
    package let depth: Int
    /// What the peer presented, leaf first.
    package let presented: [Certificate]
    /// The roots.
    package let trust: TrustBundle
    /// The time of the check.
    package let now: Int64

    /// Makes a failure.
    package init(
        code: Int32, culprit: Certificate, depth: Int, presented: [Certificate], trust: TrustBundle, now: Int64
    ) {
        self.code = code
        self.culprit = culprit
        self.depth = depth
        self.presented = presented
        self.trust = trust
        self.now = now
    }

    /// The error to report.
    package var error: CertificateError {
        let who = culprit.subject
        switch code {
        case X509_V_ERR_CERT_HAS_EXPIRED:
            return .expired(culprit, at: now)
        case X509_V_ERR_CERT_NOT_YET_VALID:
            return .notYetValid(culprit, at: now)
        case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
            return CertificateError(
                .selfSigned, "the certificate of \(who) is self-signed: nobody vouches for it",
                hint: "issue one with the CA: \(NewCertificate.commands())")
        case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
            X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
            X509_V_ERR_CERT_UNTRUSTED, X509_V_ERR_CERT_REJECTED, X509_V_ERR_SUBJECT_ISSUER_MISMATCH,
            X509_V_ERR_AKID_SKID_MISMATCH, X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
            return unknownCA
        case X509_V_ERR_CERT_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
            return CertificateError(
                .badSignature,
                "the signature of \(who) was not made by the key of its issuer \(culprit.issuer)",
                hint: "the certificate is forged or damaged, or comes from another CA of the same name: "
                    + "mesh ca inspect FILE")
        case X509_V_ERR_CERT_CHAIN_TOO_LONG, X509_V_ERR_PATH_LENGTH_EXCEEDED,
            X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED:
            return CertificateError(
                .chainTooLong, "too many CA certificates between leaf and root, at \(who)",
                hint: "issue with a CA that is nearer to the root: mesh ca inspect FILE")
        case X509_V_ERR_INVALID_CA, X509_V_ERR_INVALID_NON_CA, X509_V_ERR_KEYUSAGE_NO_CERTSIGN,
            X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA, X509_V_ERR_CA_CERT_MISSING_KEY_USAGE,
            X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA:
            return CertificateError(
                .notACA, "\(who) signed a certificate but is not a CA",
                hint: "issue with the CA's key: \(NewCertificate.commands())")
        case X509_V_ERR_INVALID_PURPOSE:
            let usages = culprit.extendedKeyUsage?.map(\.description).joined(separator: ", ") ?? "no extended key usage"
            return CertificateError(
                .wrongUsage,
                "\(who) may not be used for this side of a TLS connection: \(usages); "
                    + "key usage \(culprit.keyUsage?.description ?? "absent")",
                hint: "issue it for both sides: \(NewCertificate.commands())")
        case X509_V_ERR_EE_KEY_TOO_SMALL, X509_V_ERR_CA_KEY_TOO_SMALL:
            return CertificateError(
                .weakKey, "the key of \(who) is too weak: \(culprit.keyAlgorithm)",
                hint: "use P-256, Ed25519 or RSA from 2048 bits: \(NewCertificate.commands())")
        case X509_V_ERR_CA_MD_TOO_WEAK:
            return CertificateError(
                .weakKey, "the certificate of \(who) is signed with \(culprit.signatureAlgorithm)",
                hint: "issue it again with SHA-256: \(NewCertificate.commands())")
        case X509_V_ERR_PERMITTED_VIOLATION, X509_V_ERR_EXCLUDED_VIOLATION, X509_V_ERR_SUBTREE_MINMAX,
            X509_V_ERR_UNSUPPORTED_CONSTRAINT_TYPE, X509_V_ERR_UNSUPPORTED_CONSTRAINT_SYNTAX,
            X509_V_ERR_UNSUPPORTED_NAME_SYNTAX:
            let names = (culprit.uris + culprit.dnsNames + culprit.ipAddresses).joined(separator: ", ")
            return CertificateError(
                .nameConstraint, "\(who) has a name that its CA may not vouch for (\(names))",
                hint: "issue it with the CA of that name: \(NewCertificate.commands())")
        case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, X509_V_ERR_INVALID_EXTENSION,
            X509_V_ERR_INVALID_POLICY_EXTENSION, X509_V_ERR_UNSUPPORTED_EXTENSION_FEATURE:
            return CertificateError(
                .badExtension, "\(who) has a critical extension that is unknown here, or one that is malformed",
                hint: PeerVerification.reissue)
        case X509_V_ERR_CERT_REVOKED:
            return CertificateError(
                .revoked, "the certificate of \(who), serial \(culprit.serialHex), is revoked",
                hint: PeerVerification.reissue)
        case X509_V_ERR_CRL_NOT_YET_VALID:
            return CertificateError(
                .revocationUnknown,
                "whether \(culprit.issuer) has revoked \(who) cannot be found out: by this host's clock "
                    + "(\(UTCTime.text(now))) the issuer's CRL is not made yet",
                hint: "compare the clocks of this host and of the one that makes the CRL: timedatectl")
        case X509_V_ERR_UNABLE_TO_GET_CRL, X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER, X509_V_ERR_CRL_HAS_EXPIRED,
            X509_V_ERR_CRL_SIGNATURE_FAILURE, X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE,
            X509_V_ERR_CRL_PATH_VALIDATION_ERROR, X509_V_ERR_KEYUSAGE_NO_CRL_SIGN, X509_V_ERR_DIFFERENT_CRL_SCOPE,
            X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION, X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD,
            X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
            let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "code \(code)"
            return CertificateError(
                .revocationUnknown,
                "whether \(culprit.issuer) has revoked \(who) cannot be found out: \(text)",
                hint:
                    "give the issuer's newest CRL: openssl crl -in FILE -noout -issuer -nextupdate shows what there is")
        case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY, X509_V_ERR_EC_KEY_EXPLICIT_PARAMS:
            return CertificateError(
                .unsupportedKey, "the key of \(who) cannot be used: \(culprit.keyAlgorithm)",
                hint: PeerVerification.reissue)
        case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD, X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
            return CertificateError(
                .malformed, "the validity of \(who) is not a time", hint: PeerVerification.reissue)
        default:
            let text = X509_verify_cert_error_string(Int(code)).map { String(cString: $0) } ?? "code \(code)"
            return CertificateError(
                .badChain, "\(who): \(text) (OpenSSL verification code \(code))",
                hint: "look at the chain: mesh ca inspect FILE")
        }
    }

    /// Trusted roots that an error names one by one.
    private static let namedRoots = 4

    private var unknownCA: CertificateError {
        let last = presented.last { $0.isCA } ?? culprit
        let top = last.isSelfSigned ? last : culprit
        let copies = trust.roots.contains { root in top.hasIssuerName(of: root) }
        // The system's roots are more than a hundred; naming them all would hide what matters.
        let named = trust.roots.prefix(trust.roots.count > Self.namedRoots ? 2 : Self.namedRoots)
        let others = trust.roots.count - named.count
        let known =
            named.map(\.subject).joined(separator: "; ") + (others > 0 ? " and \(others) others" : "")
        let what =
            copies
            ? "\(top.issuer) has the name of a trusted CA but not its key"
            : "nobody trusted here vouches for \(culprit.subject), issued by \(culprit.issuer); trusted: \(known)"
        return CertificateError(
            .unknownCA, what,
            hint: copies
                ? "the certificate is from another CA of the same name; make one of this CA: "
                    + "\(NewCertificate.commands())"
                : "issue it with a trusted CA (\(NewCertificate.commands())), add its root to the trust, or, when "
                    + "\(culprit.issuer) is an intermediate, append it to the certificate file")
    }
}
