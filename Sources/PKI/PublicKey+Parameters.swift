import COpenSSL
import CSodium

extension PublicKey {
    /// The numbers that a public key consists of; all big-endian.
    public enum Parameters: Sendable, Hashable {
        /// RSA's modulus and public exponent, without leading zeros.
        case rsa(modulus: [UInt8], exponent: [UInt8])
        /// The coordinates of a point, each as long as the curve's field.
        case ec(EllipticCurve, x: [UInt8], y: [UInt8])
        /// The 32 bytes of RFC 8032.
        case ed25519([UInt8])
    }

    /// A key from its numbers.
    ///
    /// Errors: `malformed` for what is no key (a point that is not on its curve or of small order, a coordinate of the
    /// wrong length, leading zeros, an even modulus), `weak_key` (RSA below 2048 bits; an exponent below 65537 or even),
    /// `unsupported_key` (RSA above 8192 bits, an exponent of more than 64 bits: they only cost time).
    public convenience init(_ parameters: Parameters) throws(CertificateError) {
        let spki: [UInt8]
        switch parameters {
        case .rsa(let modulus, let exponent):
            try PublicKey.check(modulus: modulus, exponent: exponent)
            let numbers = DER.sequence([DER.unsigned(modulus), DER.unsigned(exponent)])
            spki = PublicKey.info([PublicKey.identifier("1.2.840.113549.1.1.1"), [0x05, 0x00]], numbers)
        case .ec(let curve, let x, let y):
            guard x.count == curve.fieldBytes, y.count == curve.fieldBytes else {
                throw PublicKey.invalid("a coordinate on \(curve.rawValue) has \(curve.fieldBytes) bytes")
            }
            let algorithm = [
                PublicKey.identifier("1.2.840.10045.2.1"), PublicKey.identifier(curve.objectIdentifier),
            ]
            spki = PublicKey.info(algorithm, [0x04] + x + y)
        case .ed25519(let bytes):
            Sodium.start()
            guard bytes.count == 32 else { throw PublicKey.invalid("an Ed25519 key has 32 bytes") }
            guard crypto_core_ed25519_is_valid_point(bytes) == 1 else {
                throw PublicKey.invalid("the bytes are no point of Ed25519's group")
            }
            spki = PublicKey.info([PublicKey.identifier("1.3.101.112")], bytes)
        }
        do throws(CertificateError) {
            // For EC this checks that the point is on the curve.
            try self.init(der: spki)
        } catch {
            throw PublicKey.invalid("the point is not on its curve")
        }
    }

    /// The numbers of this key; nil for kinds that the mesh does not use.
    public var parameters: Parameters? {
        switch kind.family {
        case .rsa:
            let modulus = number(OSSL_PKEY_PARAM_RSA_N)
            let exponent = number(OSSL_PKEY_PARAM_RSA_E)
            return modulus.isEmpty || exponent.isEmpty ? nil : .rsa(modulus: modulus, exponent: exponent)
        case .ec:
            guard let curve = EllipticCurve(kind) else { return nil }
            func padded(_ number: [UInt8]) -> [UInt8] {
                [UInt8](repeating: 0, count: max(0, curve.fieldBytes - number.count)) + number
            }
            return .ec(
                curve, x: padded(number(OSSL_PKEY_PARAM_EC_PUB_X)), y: padded(number(OSSL_PKEY_PARAM_EC_PUB_Y)))
        case .ed25519: return ed25519Bytes.map { .ed25519($0) }
        case .unsupported: return nil
        }
    }

    /// Whether OpenSSL finds nothing wrong with the numbers: SP 800-56B for RSA (a modulus that is prime or has small
    /// factors), SP 800-56A for EC. Costs some milliseconds for RSA: for keys that stay, not for those that come with each
    /// request. For RSA it draws witnesses: a modulus of two large primes always passes, one that is none may slip through.
    public var isSound: Bool {
        if kind.family == .ed25519 { return true }
        return withKey { key in openssl { pki_public_key_is_sound(key) } == 1 }
    }

    private func number(_ name: String) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = withKey { key in openssl { pki_key_number(key, name, &bytes, Int32(bytes.count)) } }
        return Array(bytes.prefix(Int(max(0, count))))
    }

    private static func check(modulus: [UInt8], exponent: [UInt8]) throws(CertificateError) {
        guard let first = modulus.first, first != 0, let last = modulus.last, last & 1 == 1 else {
            throw invalid("an RSA modulus is odd and has no leading zeros")
        }
        let bits = modulus.count * 8 - first.leadingZeroBitCount
        guard bits >= 2048 else { throw weak("RSA with \(bits) bits") }
        guard bits <= 8192 else {
            throw CertificateError(.unsupportedKey, "RSA with \(bits) bits", hint: "use at most 8192 bits")
        }
        guard let lead = exponent.first, lead != 0 else {
            throw invalid("an RSA exponent has no leading zeros")
        }
        guard exponent.count <= 8 else {
            throw CertificateError(.unsupportedKey, "an RSA exponent of more than 64 bits", hint: "use 65537")
        }
        let value = exponent.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // FIPS 186-5, section 5.4: 2^16 < e, odd.
        guard value >= 65_537, value & 1 == 1 else { throw weak("the RSA exponent \(value)") }
    }

    /// SubjectPublicKeyInfo (RFC 5280, section 4.1).
    private static func info(_ algorithm: [[UInt8]], _ key: [UInt8]) -> [UInt8] {
        DER.sequence([DER.sequence(algorithm), DER.value(0x03, [0] + key)])
    }

    private static func identifier(_ dotted: String) -> [UInt8] { DER.objectIdentifier(dotted) ?? [] }

    private static func invalid(_ what: String) -> CertificateError {
        CertificateError(.malformed, "the public key is none: \(what)", hint: "get the key from its owner again")
    }

    private static func weak(_ what: String) -> CertificateError {
        CertificateError(.weakKey, "the public key is too weak: \(what)", hint: "use RSA 3072, P-256 or Ed25519")
    }
}
