/// Signature algorithms of tokens (RFC 7518, section 3; RFC 8037; RFC 9864). `none` is not among them.
public enum JWSAlgorithm: String, Sendable, CaseIterable, Hashable {
    /// HMAC with SHA-256.
    case hs256 = "HS256"
    /// HMAC with SHA-384.
    case hs384 = "HS384"
    /// HMAC with SHA-512.
    case hs512 = "HS512"
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    case rs256 = "RS256"
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    case rs384 = "RS384"
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    case rs512 = "RS512"
    /// RSASSA-PSS with SHA-256, salt of 32 bytes.
    case ps256 = "PS256"
    /// RSASSA-PSS with SHA-384, salt of 48 bytes.
    case ps384 = "PS384"
    /// RSASSA-PSS with SHA-512, salt of 64 bytes.
    case ps512 = "PS512"
    /// ECDSA on P-256 with SHA-256.
    case es256 = "ES256"
    /// ECDSA on P-384 with SHA-384.
    case es384 = "ES384"
    /// ECDSA on P-521 with SHA-512.
    case es512 = "ES512"
    /// Ed25519 (RFC 8037).
    case edDSA = "EdDSA"
    /// Ed25519 by its fully specified name (RFC 9864).
    case ed25519 = "Ed25519"

    /// Whether it needs a secret that both sides know.
    public var isSymmetric: Bool {
        switch self {
        case .hs256, .hs384, .hs512: true
        default: false
        }
    }

    /// All that are verified with a public key.
    public static let asymmetric = Set(allCases.filter { !$0.isSymmetric })
}
