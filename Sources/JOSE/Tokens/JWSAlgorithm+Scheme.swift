import PKI

extension JWSAlgorithm {
    /// How it signs; nil for the symmetric ones.
    var scheme: SignatureScheme? {
        switch self {
        case .hs256, .hs384, .hs512: nil
        case .rs256: .rsaPKCS1(.sha256)
        case .rs384: .rsaPKCS1(.sha384)
        case .rs512: .rsaPKCS1(.sha512)
        case .ps256: .rsaPSS(.sha256)
        case .ps384: .rsaPSS(.sha384)
        case .ps512: .rsaPSS(.sha512)
        case .es256: .ecdsa(.sha256)
        case .es384: .ecdsa(.sha384)
        case .es512: .ecdsa(.sha512)
        case .edDSA, .ed25519: .ed25519
        }
    }

    /// The hash of a symmetric algorithm.
    var mac: DigestAlgorithm? {
        switch self {
        case .hs256: .sha256
        case .hs384: .sha384
        case .hs512: .sha512
        default: nil
        }
    }

    /// Whether a key is of the kind and curve that it needs (RFC 7518, section 3.4: one curve for each).
    func fits(_ key: KeyDescription) -> Bool {
        guard let scheme, scheme.family == key.family else { return false }
        switch self {
        case .es256: return EllipticCurve(key) == .p256
        case .es384: return EllipticCurve(key) == .p384
        case .es512: return EllipticCurve(key) == .p521
        default: return true
        }
    }

    /// The algorithm that a private key of ours signs with.
    init?(signingWith key: KeyDescription) {
        switch key.family {
        case .ed25519: self = .edDSA
        case .rsa: self = .rs256
        case .ec:
            switch EllipticCurve(key) {
            case .p256: self = .es256
            case .p384: self = .es384
            case .p521: self = .es512
            case nil: return nil
            }
        case .unsupported: return nil
        }
    }
}
