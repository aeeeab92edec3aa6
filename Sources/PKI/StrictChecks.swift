/// The checks on a peer, each of which can be left out, so that tests can prove that it is this check that refuses.
///
/// Only builds that plant faults may pass anything but `.all`.
public struct StrictChecks: OptionSet, Sendable, Hashable {
    /// One bit per check.
    public let rawValue: UInt32
    /// Takes the bits.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// OpenSSL's chain verification up to a trusted root, and what it does not see of name constraints.
    public static let chain = StrictChecks(rawValue: 1 << 0)
    /// notBefore and notAfter.
    public static let validity = StrictChecks(rawValue: 1 << 1)
    /// Every presented certificate belongs to the leaf's chain.
    public static let presentedChain = StrictChecks(rawValue: 1 << 2)
    /// Key usage and extended key usage fit the role.
    public static let usage = StrictChecks(rawValue: 1 << 3)
    /// No CA certificate as leaf.
    public static let leafIsNotCA = StrictChecks(rawValue: 1 << 4)
    /// Serial numbers are positive and short enough.
    public static let serial = StrictChecks(rawValue: 1 << 5)
    /// At most one SPIFFE URI.
    public static let singleSPIFFE = StrictChecks(rawValue: 1 << 6)
    /// The SPIFFE ID is well-formed.
    public static let spiffeSyntax = StrictChecks(rawValue: 1 << 7)
    /// The trust domain is allowed, and is the one that the root vouches for.
    public static let trustDomain = StrictChecks(rawValue: 1 << 8)
    /// CN and SPIFFE URI agree.
    public static let nameAgreement = StrictChecks(rawValue: 1 << 9)
    /// Names can be read in one way only.
    public static let unambiguousNames = StrictChecks(rawValue: 1 << 10)
    /// The peer is the node or host that the dialler meant.
    public static let expectedName = StrictChecks(rawValue: 1 << 11)
    /// No RSA below 2048 bits, no MD5 or SHA-1.
    public static let strength = StrictChecks(rawValue: 1 << 12)
    /// A peer must present a certificate (the TLS room honours this one).
    public static let clientCertificate = StrictChecks(rawValue: 1 << 13)

    /// Every check.
    public static let all = StrictChecks(rawValue: (1 << 14) - 1)

    /// The checks by name, for the configuration of fault builds.
    public static let named: [(name: String, check: StrictChecks)] = [
        ("chain", .chain), ("validity", .validity), ("presented_chain", .presentedChain), ("usage", .usage),
        ("leaf_is_not_ca", .leafIsNotCA), ("serial", .serial), ("single_spiffe", .singleSPIFFE),
        ("spiffe_syntax", .spiffeSyntax), ("trust_domain", .trustDomain), ("name_agreement", .nameAgreement),
        ("unambiguous_names", .unambiguousNames), ("expected_name", .expectedName), ("strength", .strength),
        ("client_certificate", .clientCertificate),
    ]
}
