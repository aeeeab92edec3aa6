import COpenSSL

/// A private key. Immutable; its public half is at hand.
public final class PrivateKey: @unchecked Sendable {
    // Unchecked: EVP_PKEY is counted atomically, locks its own caches and is never changed here.
    private let key: OpaquePointer
    /// The public half.
    public let publicKey: PublicKey

    /// The family and size.
    public var kind: KeyDescription { publicKey.kind }

    /// Generates a key.
    ///
    /// Errors: `library_failure`.
    public static func generate(_ algorithm: KeyAlgorithm = .p256) throws(CertificateError) -> PrivateKey {
        let key = openssl {
            switch algorithm {
            case .p256: pki_generate_ec("P-256")
            case .p384: pki_generate_ec("P-384")
            case .ed25519: pki_generate_ed25519()
            case .rsa2048: pki_generate_rsa(2048)
            case .rsa3072: pki_generate_rsa(3072)
            case .rsa4096: pki_generate_rsa(4096)
            }
        }
        return try PrivateKey(adopting: key, or: "generate a key")
    }

    /// Generates an RSA key of any size, also one that is too weak to be accepted: for tests and mtls-tester.
    public static func generateRSA(bits: Int) throws(CertificateError) -> PrivateKey {
        let key = openssl { pki_generate_rsa(UInt32(clamping: bits)) }
        return try PrivateKey(adopting: key, or: "generate an RSA key of \(bits) bits")
    }

    /// Takes over an OpenSSL key.
    convenience init(adopting key: OpaquePointer?, or action: String) throws(CertificateError) {
        guard let key else { throw OpenSSLErrors.failure(action) }
        defer { EVP_PKEY_free(key) }
        try self.init(retaining: key)
    }

    /// Takes another reference to an OpenSSL key.
    package init(retaining key: OpaquePointer) throws(CertificateError) {
        publicKey = try PublicKey(retaining: key)
        EVP_PKEY_up_ref(key)
        self.key = key
    }

    deinit { EVP_PKEY_free(key) }

    /// Lends the EVP_PKEY, which must not be changed.
    package func withKey<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(key) }
    }
}
