/// A trust domain for which only certain roots may vouch, whatever other roots are trusted beside them: where partners'
/// CAs are trusted, none of them may name one of our nodes.
public struct ReservedTrustDomain: Sendable, Hashable {
    /// The trust domain.
    public let domain: String
    /// The roots that may vouch for it, by their fingerprints (`Certificate.fingerprintSHA256`).
    private let roots: Set<String>

    /// Reserves `domain` for `roots`.
    public init(_ domain: String, for roots: [Certificate]) {
        self.domain = domain
        self.roots = Set(roots.map(\.fingerprintSHA256))
    }

    /// Refuses an ID of the domain under any other root.
    ///
    /// Errors: `untrusted_domain`.
    func check(_ spiffe: SPIFFEID, vouchedBy root: Certificate?) throws(CertificateError) {
        guard spiffe.trustDomain == domain else { return }
        if let root, roots.contains(root.fingerprintSHA256) { return }
        throw CertificateError(
            .untrustedDomain,
            "\(spiffe) is of the trust domain \(domain), for which \(root?.subject ?? "no root") may not vouch",
            hint:
                "issue the certificate with the CA of \(domain), or, where it is a partner's, in a trust domain of its own"
        )
    }
}
