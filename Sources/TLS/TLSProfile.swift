/// A named set of what may be negotiated, as `tls.profile` chooses it. docs/tls-profiles.md has each as a table, held
/// against NIST SP 800-52 Revision 2.
public enum TLSProfile: String, Sendable, CaseIterable, CustomStringConvertible {
    /// TLS 1.3 only.
    case modern
    /// TLS 1.2 with forward secrecy and authenticated encryption, and 1.3.
    case intermediate
    /// For health data: TLS 1.3, algorithms of SP 800-52r2 only, clients need certificates.
    case hipaa
    /// For card data: TLS 1.2 and newer, strong suites; no certificate is let off its checks.
    case pciDSS = "pci-dss"
    /// Algorithms of OpenSSL's FIPS provider only, which must be there.
    case fips

    /// The name, as in the configuration.
    public var description: String { rawValue }

    /// The lowest version; a configuration may only raise it.
    public var minimumVersion: TLSVersion {
        switch self {
        case .modern, .hipaa: .tls13
        case .intermediate, .pciDSS, .fips: .tls12
        }
    }

    /// Whether it answers to somebody else's rules: it then holds for the whole agent, every certificate is checked in
    /// full, and nothing goes in the clear to other hosts.
    public var isRegulated: Bool {
        switch self {
        case .modern, .intermediate: false
        case .hipaa, .pciDSS, .fips: true
        }
    }

    /// Whether clients from outside need a certificate. Nodes always do.
    public var requiresClientCertificates: Bool { self == .hipaa }

    /// The longest time in seconds during which a client from outside may resume its session by ticket; 0 for not at all. Nodes
    /// never can.
    public var maximumSessionLifetime: Int64 {
        switch self {
        case .modern, .intermediate: TicketKeys.maximumLifetime
        case .hipaa: 0
        case .pciDSS, .fips: 3600
        }
    }

    /// What is offered and accepted; a configuration may choose less.
    public var parameters: TLSParameters {
        switch self {
        case .modern, .intermediate, .pciDSS: .strong
        case .hipaa, .fips: .nist
        }
    }
}

/// Suites, groups and signature algorithms, best first, as OpenSSL names them.
public struct TLSParameters: Sendable, Equatable {
    /// Suites of TLS 1.3. Empty: no TLS 1.3.
    public var suites13: [String]
    /// Suites of TLS 1.2. Empty: no TLS 1.2.
    public var suites12: [String]
    /// Key exchange; the first one is what a client sends its share for.
    public var groups: [String]
    /// Signatures in the handshake and in certificates.
    public var signatureAlgorithms: [String]

    /// Forward secrecy and AEAD only. AES-128 first: the cheapest that is beyond attack. PKCS #1 v1.5 is there for RSA CAs
    /// and for TLS 1.2.
    public static let strong = TLSParameters(
        suites13: ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"],
        suites12: [
            "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
            "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
        ],
        groups: ["X25519", "P-256", "P-384"],
        signatureAlgorithms: [
            "ecdsa_secp256r1_sha256", "ed25519", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512",
            "rsa_pss_rsae_sha256",
            "rsa_pss_pss_sha256",
            "rsa_pss_rsae_sha384", "rsa_pss_pss_sha384", "rsa_pss_rsae_sha512", "rsa_pss_pss_sha512",
            "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512",
        ])

    /// The same without what SP 800-52r2 does not name: ChaCha20-Poly1305, X25519, Ed25519, P-521.
    public static let nist = TLSParameters(
        suites13: strong.suites13.filter { !$0.contains("CHACHA20") },
        suites12: strong.suites12.filter { !$0.contains("CHACHA20") },
        groups: strong.groups.filter { $0 != "X25519" },
        signatureAlgorithms: strong.signatureAlgorithms.filter { !["ed25519", "ecdsa_secp521r1_sha512"].contains($0) })

    /// What is in both, in this order.
    public func restricted(to other: TLSParameters) -> TLSParameters {
        TLSParameters(
            suites13: suites13.filter(other.suites13.contains), suites12: suites12.filter(other.suites12.contains),
            groups: groups.filter(other.groups.contains),
            signatureAlgorithms: signatureAlgorithms.filter(other.signatureAlgorithms.contains))
    }

    /// A choice from these, in the order of the choice; an empty list chooses all.
    ///
    /// - Throws: `badConfiguration` for a name that is not among them, and when nothing is left for `minimum`.
    public func choosing(
        suites: [String], groups: [String], minimum: TLSVersion
    ) throws(TLSError) -> TLSParameters {
        var chosen = self
        try Self.demand(suites, among: suites13 + suites12, offering: suites13 + (minimum <= .tls12 ? suites12 : []))
        try Self.demand(groups, among: self.groups, offering: self.groups)
        if !suites.isEmpty {
            chosen.suites13 = suites.filter(suites13.contains)
            chosen.suites12 = suites.filter(suites12.contains)
        }
        if !groups.isEmpty { chosen.groups = groups }
        guard minimum <= .tls12 || !chosen.suites13.isEmpty else {
            throw TLSError(
                .badConfiguration, "no suite is left for \(minimum)",
                hint: "add one of \(suites13.joined(separator: ", "))")
        }
        return chosen
    }

    /// All that are wrong are named at once; the hint has only what would be of use.
    private static func demand(
        _ names: [String], among permitted: [String], offering useful: [String]
    ) throws(TLSError) {
        let wrong = names.filter { !permitted.contains($0) }
        guard !wrong.isEmpty else { return }
        throw TLSError(
            .badConfiguration,
            "\(wrong.joined(separator: ", ")) \(wrong.count == 1 ? "is" : "are") not permitted by the profile",
            hint: "permitted are \(useful.joined(separator: ", "))")
    }
}
