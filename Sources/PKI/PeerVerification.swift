/// The mesh's own checks of a peer, on top of chain verification.
public struct PeerVerification: Sendable {
    /// What the peer does on the link.
    public enum Role: String, Sendable, Hashable {
        /// The peer accepted the connection: it needs serverAuth.
        case serverOfLink = "server"
        /// The peer dialled: it needs clientAuth.
        case clientOfLink = "client"

        /// The extended key usage that the role needs.
        public var usage: ExtendedKeyUsage { self == .serverOfLink ? .serverAuth : .clientAuth }
    }

    /// What is expected of the peer.
    public struct Expectation: Sendable, Hashable {
        /// What the peer does.
        public var role: Role
        /// The node that the dialler meant; nil when any node will do.
        public var node: String?
        /// A DNS name or IP address that must be among the alternative names; the CN is never looked at for it.
        public var hostName: String?
        /// The peer is a server of somebody else, such as a web server: only `hostName` says whom it must name. SPIFFE URIs
        /// and CN count for nothing, and a certificate that is trusted by itself may be a CA's, as `openssl req -x509`
        /// makes self-signed ones.
        public var isForeignServer: Bool
        /// Allowed trust domains. Nil allows every domain (for inspection); an empty set allows none. A root's own
        /// SPIFFE ID binds in any case.
        public var trustDomains: Set<String>?
        /// A trust domain that only some of the roots may vouch for; nil where every root is as good as another.
        public var reserved: ReservedTrustDomain?
        /// Whether leaves without extended key usage pass, as plain openssl recipes make them.
        public var legacyCertificates: Bool
        /// The time of the check, unix seconds.
        public var now: Int64

        /// Makes an expectation.
        public init(
            role: Role, node: String? = nil, hostName: String? = nil, isForeignServer: Bool = false,
            trustDomains: Set<String>?, reserved: ReservedTrustDomain? = nil, legacyCertificates: Bool = false,
            now: Int64
        ) {
            self.role = role
            self.node = node
            self.hostName = hostName
            self.isForeignServer = isForeignServer
            self.trustDomains = trustDomains
            self.reserved = reserved
            self.legacyCertificates = legacyCertificates
            self.now = now
        }
    }

    /// Checks a chain that OpenSSL has verified: leaf first, trusted root last.
    ///
    /// Errors: `ambiguous_name`, `bad_serial`, `ca_as_leaf`, `cn_contradicts_uri`, `expired`, `not_yet_valid`,
    /// `multiple_spiffe_uris`, `bad_spiffe_id`, `untrusted_domain`, `no_identity`, `wrong_usage`, `wrong_name`,
    /// `weak_key`, `bad_extension`, `name_constraint`, `wildcard_constraint`, `missing_client_certificate` (empty chain).
    public static func check(
        chain: [Certificate], expecting expected: Expectation, checks: StrictChecks = .all
    ) throws(CertificateError) -> PeerIdentity {
        guard let leaf = chain.first else { throw .missingCertificate() }
        try checkReadable(chain, checks)
        let isPinned = expected.isForeignServer && chain.count == 1
        try checkForm(of: chain, isPinned ? checks.subtracting([.leafIsNotCA, .serial]) : checks)
        if checks.contains(.validity) { try checkTimes(of: chain, at: expected.now) }
        if checks.contains(.strength) { try checkStrength(of: chain) }
        if checks.contains(.chain) { try checkNameConstraints(of: chain) }
        var allowances: [LegacyAllowance] = []
        if checks.contains(.usage) { try checkUsage(of: leaf, expected, &allowances) }
        let spiffe = expected.isForeignServer ? nil : try identify(leaf, vouchedBy: chain.last, expected, checks)
        if spiffe == nil { allowances.append(.noSPIFFEURI) }
        let identity = PeerIdentity(leaf: leaf, spiffe: spiffe, allowances: allowances)
        if checks.contains(.expectedName) { try checkName(of: identity, expected) }
        return identity
    }
}

extension CertificateError {
    /// The error for a peer that sent no certificate.
    public static func missingCertificate() -> CertificateError {
        CertificateError(
            .missingClientCertificate, "the peer presented no certificate",
            hint: "configure certificate and key on the peer; make them with: \(NewCertificate.commands())")
    }
}
