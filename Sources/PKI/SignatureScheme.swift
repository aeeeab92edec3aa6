import COpenSSL

/// Hash functions of signatures and message authentication codes.
public enum DigestAlgorithm: String, Sendable, CaseIterable, Hashable {
    /// SHA-256.
    case sha256
    /// SHA-384.
    case sha384
    /// SHA-512.
    case sha512

    /// Length of the hash in bytes.
    public var bytes: Int {
        switch self {
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// OpenSSL's description, which lives for ever.
    var openSSL: OpaquePointer? {
        switch self {
        case .sha256: EVP_sha256()
        case .sha384: EVP_sha384()
        case .sha512: EVP_sha512()
        }
    }
}

/// How a message is signed (RFC 7518, section 3; RFC 8037).
public enum SignatureScheme: Sendable, Hashable {
    /// RSASSA-PKCS1-v1_5.
    case rsaPKCS1(DigestAlgorithm)
    /// RSASSA-PSS, MGF1 with the same hash, a salt as long as the hash.
    case rsaPSS(DigestAlgorithm)
    /// ECDSA; the signature is r and s in the length of the curve's field, one after the other.
    case ecdsa(DigestAlgorithm)
    /// Ed25519 (RFC 8032).
    case ed25519

    /// The family of keys that it needs.
    public var family: KeyDescription.Family {
        switch self {
        case .rsaPKCS1, .rsaPSS: .rsa
        case .ecdsa: .ec
        case .ed25519: .ed25519
        }
    }

    /// The number of the kind in the C shim.
    var kind: Int32 {
        switch self {
        case .rsaPKCS1: Int32(PKI_SIGNATURE_PKCS1)
        case .rsaPSS: Int32(PKI_SIGNATURE_PSS)
        case .ecdsa: Int32(PKI_SIGNATURE_ECDSA)
        case .ed25519: Int32(PKI_SIGNATURE_ED25519)
        }
    }

    var digest: DigestAlgorithm? {
        switch self {
        case .rsaPKCS1(let digest), .rsaPSS(let digest), .ecdsa(let digest): digest
        case .ed25519: nil
        }
    }
}

/// Curves of ECDSA keys.
public enum EllipticCurve: String, Sendable, CaseIterable, Hashable {
    /// NIST P-256.
    case p256 = "P-256"
    /// NIST P-384.
    case p384 = "P-384"
    /// NIST P-521.
    case p521 = "P-521"

    /// Length of a coordinate in bytes.
    public var fieldBytes: Int {
        switch self {
        case .p256: 32
        case .p384: 48
        case .p521: 66
        }
    }

    /// Object identifier (RFC 5480, section 2.1.1.1).
    var objectIdentifier: String {
        switch self {
        case .p256: "1.2.840.10045.3.1.7"
        case .p384: "1.3.132.0.34"
        case .p521: "1.3.132.0.35"
        }
    }

    /// The curve of a key; nil for other keys.
    public init?(_ key: KeyDescription) {
        guard key.family == .ec, let curve = Self.allCases.first(where: { "ECDSA \($0.rawValue)" == key.description })
        else { return nil }
        self = curve
    }
}
