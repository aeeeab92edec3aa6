import Bytes

/// What a certificate must be, or whose key it must hold: a hash that somebody wrote down.
///
/// `spki-sha256:` is over SubjectPublicKeyInfo (RFC 7469, section 2.4) and outlives a renewal with the same key;
/// `cert-sha256:` is over the whole certificate. Hashes are read in hex (with or without colons, as `openssl` prints
/// them) and in base64; the canonical form is base64 for keys and hex for certificates.
public struct CertificatePin: Hashable, Sendable, CustomStringConvertible {
    /// What is hashed.
    public enum Kind: String, Sendable, CaseIterable {
        /// The public key.
        case publicKey = "spki-sha256"
        /// The certificate.
        case certificate = "cert-sha256"
    }

    /// What is hashed.
    public let kind: Kind
    /// The hash in the canonical form of its kind.
    public let digest: String

    /// `spki-sha256:DIGEST` or `cert-sha256:DIGEST`.
    public var description: String { "\(kind.rawValue):\(digest)" }

    /// Reads a pin.
    ///
    /// Errors: `bad_pin`.
    public init(parsing text: String) throws(CertificateError) {
        guard let colon = text.firstIndex(of: ":"), let kind = Kind(rawValue: String(text[..<colon])) else {
            throw .badPin(text, "it begins neither with spki-sha256: nor with cert-sha256:")
        }
        let rest = text[text.index(after: colon)...]
        guard let bytes = Self.bytes(rest) else {
            throw .badPin(text, "a SHA-256 hash is 64 hex digits or 44 characters of base64")
        }
        self.init(kind, bytes)
    }

    /// The pin of a public key.
    public init(of key: PublicKey) { self.init(.publicKey, sha256(key.der)) }

    /// The pin of a certificate as a whole.
    public init(of certificate: Certificate) {
        kind = .certificate
        digest = certificate.fingerprintSHA256
    }

    private init(_ kind: Kind, _ bytes: [UInt8]) {
        self.kind = kind
        digest = kind == .publicKey ? Base64.encode(bytes) : Hex.encode(bytes)
    }

    /// Whether the certificate is the one that is meant, or holds the key.
    public func matches(_ certificate: Certificate) -> Bool {
        switch kind {
        case .publicKey: certificate.spkiSHA256 == digest
        case .certificate: certificate.fingerprintSHA256 == digest
        }
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        let plain = text.replacing(":", with: "")
        let bytes = plain.utf8.count == 64 ? Hex.decode(String(plain)) : Base64.decode(String(text))
        return bytes?.count == 32 ? bytes : nil
    }
}

extension CertificateError {
    static func badPin(_ text: String, _ why: String) -> CertificateError {
        CertificateError(
            .badPin, "\"\(text)\" is not a pin: \(why)", hint: "print those of a certificate: mesh cert pin FILE")
    }
}
