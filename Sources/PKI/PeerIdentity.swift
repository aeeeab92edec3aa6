/// A leniency that let a certificate pass under `legacyCertificates`, or that only policy can settle. For the audit.
public enum LegacyAllowance: String, Sendable, Hashable, CaseIterable {
    /// No SPIFFE URI: the CN identifies, where policy maps it.
    case noSPIFFEURI = "no_spiffe_uri"
    /// No extended key usage; passes only under `legacyCertificates`.
    case noExtendedKeyUsage = "no_extended_key_usage"
}

/// What a verified leaf certificate proves about its holder.
public struct PeerIdentity: Hashable, Sendable {
    /// The CN. It identifies only where `spiffe` is nil; beside a node's SPIFFE ID it is equal to the node's name.
    public let commonName: String?
    /// The SPIFFE ID.
    public let spiffe: SPIFFEID?
    /// DNS names.
    public let dnsNames: [String]
    /// IP addresses as text.
    public let ipAddresses: [String]
    /// SHA-256 of the leaf, lower-case hex.
    public let fingerprint: String
    /// Serial number in hex.
    public let serial: String
    /// The issuer's name in one line.
    public let issuer: String
    /// First second of validity, unix seconds.
    public let notBefore: Int64
    /// End of validity, unix seconds.
    public let notAfter: Int64
    /// Leniencies that were needed. Anything but none belongs into the audit log.
    public let allowances: [LegacyAllowance]

    /// Reads the identity of a leaf that has been verified.
    package init(leaf: Certificate, spiffe: SPIFFEID?, allowances: [LegacyAllowance]) {
        commonName = leaf.commonName
        self.spiffe = spiffe
        dnsNames = leaf.dnsNames
        ipAddresses = leaf.ipAddresses
        fingerprint = leaf.fingerprintSHA256
        serial = leaf.serialHex
        issuer = leaf.issuer
        notBefore = leaf.notBefore
        notAfter = leaf.notAfter
        self.allowances = allowances
    }

    /// The node's name: from the SPIFFE ID where there is one (nil when that is not a node's), else the CN.
    public var nodeName: String? { spiffe.map(\.nodeName) ?? commonName }

    /// Whether nothing but the CN identifies, so that policy must map it before it counts.
    public var isLegacy: Bool { spiffe == nil }

    /// The SPIFFE ID, else "CN=…", else the fingerprint.
    public var description: String {
        spiffe?.description ?? commonName.map { "CN=\($0)" } ?? "sha256:\(fingerprint)"
    }
}

extension PeerIdentity: CustomStringConvertible {}
