import Bytes
import COpenSSL

/// A public key, as it stands in a certificate. Immutable.
public final class PublicKey: @unchecked Sendable, Equatable {
    // Unchecked: EVP_PKEY is counted atomically, locks its own caches and is never changed here.
    private let key: OpaquePointer
    /// The family and size.
    public let kind: KeyDescription
    /// SubjectPublicKeyInfo in DER (RFC 5280, section 4.1.2.7).
    public let der: [UInt8]
    /// SHA-256 of SubjectPublicKeyInfo, base64, as certificates have it: tells which key belongs to which.
    public var spkiSHA256: String { Base64.encode(sha256(der)) }

    /// Parses SubjectPublicKeyInfo in DER.
    ///
    /// Errors: `malformed`.
    public convenience init(der: [UInt8]) throws(CertificateError) {
        guard let key = decodeDER(der, { d2i_PUBKEY(nil, $0, $1) }, free: { EVP_PKEY_free($0) }) else {
            throw CertificateError(
                .malformed, "not a public key in DER: \(OpenSSLErrors.drain())", hint: "give SubjectPublicKeyInfo")
        }
        defer { EVP_PKEY_free(key) }
        try self.init(retaining: key)
    }

    /// Takes another reference to an OpenSSL key.
    init(retaining key: OpaquePointer) throws(CertificateError) {
        guard let der = encodeDER({ i2d_PUBKEY(key, $0) }) else {
            throw OpenSSLErrors.failure("serialise a public key")
        }
        EVP_PKEY_up_ref(key)
        self.key = key
        self.der = der
        kind = KeyDescription(of: key)
    }

    deinit { EVP_PKEY_free(key) }

    /// Lends the EVP_PKEY, which must not be changed.
    package func withKey<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(key) }
    }

    /// The same key.
    public static func == (left: PublicKey, right: PublicKey) -> Bool { left.der == right.der }
}

extension KeyDescription {
    /// Describes an EVP_PKEY.
    init(of key: OpaquePointer) {
        let size = Int(EVP_PKEY_get_bits(key))
        switch EVP_PKEY_get_base_id(key) {
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 64)
            var length = 0
            let known = openssl { EVP_PKEY_get_group_name(key, &name, name.count, &length) } == 1
            switch known ? String(decoding: name.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "" {
            case "prime256v1": self.init(family: .ec, bits: size, description: "ECDSA P-256")
            case "secp384r1": self.init(family: .ec, bits: size, description: "ECDSA P-384")
            case "secp521r1": self.init(family: .ec, bits: size, description: "ECDSA P-521")
            case let other:
                let curve = other.isEmpty ? "explicit parameters" : other
                self.init(family: .unsupported, bits: size, description: "ECDSA \(curve)")
            }
        case EVP_PKEY_RSA: self.init(family: .rsa, bits: size, description: "RSA \(size)")
        case EVP_PKEY_ED25519: self.init(family: .ed25519, bits: size, description: "Ed25519")
        case let id:
            let name = OBJ_nid2sn(id).map { String(cString: $0) } ?? "unknown"
            self.init(family: .unsupported, bits: size, description: name)
        }
    }
}
