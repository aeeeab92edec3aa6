/// Kinds of private key that the mesh generates.
public enum KeyAlgorithm: String, Sendable, CaseIterable {
    /// ECDSA on NIST P-256: small, fast, understood everywhere. The default.
    case p256
    /// ECDSA on NIST P-384.
    case p384
    /// Ed25519 (RFC 8410); some older TLS stacks do not know it.
    case ed25519
    /// RSA with 2048 bits.
    case rsa2048
    /// RSA with 3072 bits.
    case rsa3072
    /// RSA with 4096 bits.
    case rsa4096
}

/// What kind of key a public or private key is.
public struct KeyDescription: Sendable, Hashable, CustomStringConvertible {
    /// Families of keys.
    public enum Family: String, Sendable, Hashable {
        /// Elliptic curve, ECDSA.
        case ec
        /// RSA (PKCS#1 v1.5 and PSS).
        case rsa
        /// Ed25519.
        case ed25519
        /// A kind that the mesh does not use.
        case unsupported
    }

    /// The family.
    public let family: Family
    /// Size in bits: of the RSA modulus, of the curve's field.
    public let bits: Int
    /// For people: "ECDSA P-256", "RSA 2048", "Ed25519".
    public let description: String
}
