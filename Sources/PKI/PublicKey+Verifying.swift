import COpenSSL
import CSodium

extension PublicKey {
    /// Whether a signature over a message is this key's. False also for a scheme that is not for such keys.
    ///
    /// Ed25519 is checked by libsodium, which refuses keys and points of small order and malleable signatures.
    public func verify(_ signature: [UInt8], over message: [UInt8], scheme: SignatureScheme) -> Bool {
        guard scheme.family == kind.family else { return false }
        if scheme == .ed25519 {
            guard signature.count == Int(crypto_sign_BYTES), let raw = ed25519Bytes else { return false }
            return crypto_sign_verify_detached(signature, message, UInt64(message.count), raw) == 0
        }
        return withKey { key in
            openssl {
                pki_verify(
                    key, scheme.kind, scheme.digest?.openSSL, fieldBytes, signature, signature.count, message,
                    message.count)
            } == 1
        }
    }

    /// The 32 bytes of an Ed25519 key, which end SubjectPublicKeyInfo (RFC 8410, section 4).
    var ed25519Bytes: [UInt8]? { kind.family == .ed25519 ? Array(der.suffix(32)) : nil }

    /// Length of a coordinate of the key's curve; 0 for keys without one.
    var fieldBytes: Int { EllipticCurve(kind)?.fieldBytes ?? 0 }
}

extension PrivateKey {
    /// Signs a message.
    ///
    /// Errors: `unsupported_key` when the scheme is not for such keys; `library_failure`.
    public func sign(_ message: [UInt8], scheme: SignatureScheme) throws(CertificateError) -> [UInt8] {
        guard scheme.family == kind.family else {
            throw CertificateError(
                .unsupportedKey, "a key of the kind \(kind) cannot sign this way", hint: "use a key of the right kind")
        }
        // The longest: RSA with 16384 bits, the most that OpenSSL verifies.
        var signature = [UInt8](repeating: 0, count: 2048)
        var count = signature.count
        let field = publicKey.fieldBytes
        let isDone = withKey { key in
            openssl {
                pki_sign(key, scheme.kind, scheme.digest?.openSSL, field, &signature, &count, message, message.count)
            } == 1
        }
        guard isDone else { throw OpenSSLErrors.failure("sign a message") }
        return Array(signature.prefix(count))
    }

    /// Generates an ECDSA key on a curve.
    ///
    /// Errors: `library_failure`.
    public static func generate(curve: EllipticCurve) throws(CertificateError) -> PrivateKey {
        try PrivateKey(adopting: openssl { pki_generate_ec(curve.rawValue) }, or: "generate a key")
    }
}

/// Message authentication with a shared secret (RFC 2104).
public enum MessageAuthentication {
    /// HMAC of a message.
    public static func hmac(_ digest: DigestAlgorithm, key: Passphrase, over message: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: digest.bytes)
        var count: UInt32 = 0
        let result = key.withBytes { secret in
            openssl {
                HMAC(
                    digest.openSSL, secret.baseAddress, Int32(secret.count), message, message.count, &code, &count)
            }
        }
        precondition(result != nil && Int(count) == code.count, "OpenSSL has no HMAC: the installation is broken")
        return code
    }
}
