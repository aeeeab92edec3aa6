import Bytes
import COpenSSL
import CSodium
import Glibc

/// An X.509 certificate, parsed once and immutable.
///
/// Parsing is lenient about meaning, so that bad certificates can be inspected and explained; what is wrong with one
/// is said by `PeerVerification` and `ChainVerifier`.
public final class Certificate: @unchecked Sendable {
    // Unchecked: X509 is counted atomically and its lazily filled extension cache is filled in init, before sharing.
    private let x509: OpaquePointer
    /// The certificate in DER.
    public let der: [UInt8]
    /// The subject in one line, "CN=db-1, O=Example".
    public let subject: String
    /// The issuer in one line.
    public let issuer: String
    /// All names of the subject and of the SubjectAltName extension.
    public let names: CertificateNames
    /// What the extensions say about use.
    public let constraints: CertificateConstraints
    /// The serial number in lower-case hex, "-" first when negative, "00" for zero.
    public let serialHex: String
    /// Whether the serial number is positive and at most 20 octets long (RFC 5280, section 4.1.2.2).
    public let isSerialPositive: Bool
    /// First second of validity, unix seconds.
    public let notBefore: Int64
    /// End of validity, unix seconds; at this second the certificate counts as expired, as OpenSSL has it.
    public let notAfter: Int64
    /// X.509 version: 1, 2 or 3.
    public let version: Int
    /// The public key.
    public let publicKey: PublicKey
    /// Name of the signature algorithm, "ecdsa-with-SHA256".
    public let signatureAlgorithm: String
    /// Whether the signature rests on MD5, SHA-1 or something older.
    public let hasWeakSignatureDigest: Bool
    /// SHA-256 of the DER, lower-case hex.
    public let fingerprintSHA256: String
    /// SHA-256 of SubjectPublicKeyInfo, base64: what `spki-sha256:` pins and HPKP (RFC 7469) use.
    public let spkiSHA256: String

    /// Parses one certificate in DER; bytes left over are refused.
    ///
    /// Errors: `malformed`.
    public convenience init(der: [UInt8]) throws(CertificateError) {
        guard der.count <= SafeFile.sizeLimit,
            let x509 = decodeDER(der, { d2i_X509(nil, $0, $1) }, free: { X509_free($0) })
        else {
            throw CertificateError(
                .malformed, "not an X.509 certificate in DER: \(OpenSSLErrors.drain())",
                hint: "the certificate is damaged; copy it again")
        }
        defer { X509_free(x509) }
        try self.init(retaining: x509)
    }

    /// Takes another reference to an OpenSSL certificate, which nobody may change afterwards.
    package init(retaining x509: OpaquePointer) throws(CertificateError) {
        // Fills the cache of parsed extensions; what is wrong with them is kept in the flags.
        _ = openssl { X509_check_purpose(x509, -1, 0) }
        guard let der = encodeDER({ i2d_X509(x509, $0) }) else {
            throw OpenSSLErrors.failure("serialise a certificate")
        }
        guard let key = openssl({ X509_get0_pubkey(x509) }) else {
            throw CertificateError(
                .unsupportedKey, "the certificate holds a public key that cannot be read: \(OpenSSLErrors.drain())",
                hint: "issue it for a P-256, Ed25519 or RSA key: \(NewCertificate.commands())")
        }
        guard let start = unixSeconds(X509_get0_notBefore(x509)), let end = unixSeconds(X509_get0_notAfter(x509)) else {
            throw CertificateError(
                .malformed, "the certificate's validity is not a time",
                hint: "make it again: \(NewCertificate.commands())")
        }
        self.der = der
        publicKey = try PublicKey(retaining: key)
        notBefore = start
        notAfter = end
        subject = oneLine(X509_get_subject_name(x509))
        issuer = oneLine(X509_get_issuer_name(x509))
        names = CertificateNames(of: x509)
        constraints = CertificateConstraints(of: x509)
        (serialHex, isSerialPositive) = describeSerial(X509_get0_serialNumber(x509))
        version = Int(X509_get_version(x509)) + 1
        let algorithm = X509_get_signature_nid(x509)
        signatureAlgorithm = OBJ_nid2ln(algorithm).map { String(cString: $0) } ?? "unknown"
        hasWeakSignatureDigest = [NID_md5, NID_sha1, NID_md5_sha1, NID_md4, NID_md2, NID_ripemd160].contains(
            pki_signature_digest(x509))
        fingerprintSHA256 = Hex.encode(sha256(der))
        spkiSHA256 = Base64.encode(sha256(publicKey.der))
        X509_up_ref(x509)
        self.x509 = x509
    }

    deinit { X509_free(x509) }

    /// Lends the X509, which must not be changed.
    package func withX509<Result>(_ body: (OpaquePointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(x509) }
    }

    /// PEM text of the certificate.
    public var pem: String { String(decoding: PEMBlock.encode(der, label: "CERTIFICATE"), as: UTF8.self) }

    /// Whether `now`, unix seconds, lies in its validity. As in `notAfter`, it has ended at that second.
    public func isValid(at now: Int64) -> Bool { notBefore <= now && now < notAfter }

    /// Whether the key is the private half of this certificate's public key.
    public func matches(_ key: PrivateKey) -> Bool { key.publicKey == publicKey }

    /// Whether subject and issuer are the same name and the certificate's own key made its signature.
    public var isSelfSigned: Bool {
        withX509 { x509 in
            openssl {
                X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0
                    && X509_verify(x509, X509_get0_pubkey(x509)) == 1
            }
        }
    }

    /// Whether `issuer` names, by subject and key identifier, the certificate that issued this one. No signature is
    /// looked at.
    public func names(asIssuer issuer: Certificate) -> Bool {
        withX509 { own in issuer.withX509 { other in openssl { X509_check_issued(other, own) == X509_V_OK } } }
    }

    /// Whether the key of `issuer` made this certificate's signature.
    public func isSigned(by issuer: Certificate) -> Bool {
        withX509 { own in issuer.withX509 { other in openssl { X509_verify(own, X509_get0_pubkey(other)) == 1 } } }
    }

    /// Whether subject name and public key are the same, as in cross-signed certificates of one CA.
    func isSameEntity(as other: Certificate) -> Bool {
        publicKey == other.publicKey && hasSubject(of: other)
    }

    /// Whether the issuer's name is the subject of `other`.
    func hasIssuerName(of other: Certificate) -> Bool {
        withX509 { own in
            other.withX509 { X509_NAME_cmp(X509_get_issuer_name(own), X509_get_subject_name($0)) == 0 }
        }
    }

    private func hasSubject(of other: Certificate) -> Bool {
        withX509 { own in
            other.withX509 { X509_NAME_cmp(X509_get_subject_name(own), X509_get_subject_name($0)) == 0 }
        }
    }
}

extension Certificate: Equatable {
    /// The same bytes.
    public static func == (left: Certificate, right: Certificate) -> Bool { left === right || left.der == right.der }
}

extension Certificate {
    /// The CN, when there is exactly one that can be read.
    public var commonName: String? { names.commonName }
    /// All URIs of SubjectAltName.
    public var uris: [String] { names.uris }
    /// The URIs with the scheme "spiffe", whatever its case.
    public var spiffeURIs: [String] { names.spiffeURIs }
    /// The DNS names of SubjectAltName.
    public var dnsNames: [String] { names.dnsNames }
    /// The IP addresses of SubjectAltName as text.
    public var ipAddresses: [String] { names.ipAddresses }
    /// The mail addresses of SubjectAltName.
    public var emails: [String] { names.emails }
    /// Whether BasicConstraints say that this is a CA.
    public var isCA: Bool { constraints.isCA }
    /// How many CAs may follow below; nil for any number, or where the certificate is no CA.
    public var pathLength: Int? { constraints.pathLength }
    /// Key usage; nil where the extension is absent.
    public var keyUsage: KeyUsage? { constraints.keyUsage }
    /// Extended key usage; nil where the extension is absent.
    public var extendedKeyUsage: [ExtendedKeyUsage]? { constraints.extendedKeyUsage }
    /// The public key's kind in words.
    public var keyAlgorithm: String { publicKey.kind.description }
}

/// SHA-256.
func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
    crypto_hash_sha256(&digest, bytes, UInt64(bytes.count))
    return digest
}

func unixSeconds(_ time: UnsafePointer<ASN1_TIME>?) -> Int64? {
    var fields = tm()
    guard let time, openssl({ ASN1_TIME_to_tm(time, &fields) }) == 1 else { return nil }
    return Int64(timegm(&fields))
}

func oneLine(_ name: OpaquePointer?) -> String {
    guard let name, let bio = openssl({ BIO_new(BIO_s_mem()) }) else { return "" }
    defer { BIO_free(bio) }
    guard pki_name_print(bio, name) >= 0 else { return "" }
    var length = 0
    guard let start = pki_bio_contents(bio, &length), length > 0 else { return "" }
    return String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
}

private func describeSerial(_ serial: UnsafePointer<ASN1_INTEGER>?) -> (hex: String, isPositive: Bool) {
    guard let serial, let number = openssl({ ASN1_INTEGER_to_BN(serial, nil) }) else { return ("", false) }
    defer { BN_free(number) }
    let length = (Int(BN_num_bits(number)) + 7) / 8
    guard length > 0 else { return ("00", false) }
    var bytes = [UInt8](repeating: 0, count: length)
    BN_bn2bin(number, &bytes)
    let negative = BN_is_negative(number) == 1
    // 20 octets of DER content: the first bit is the sign.
    return ((negative ? "-" : "") + Hex.encode(bytes), !negative && BN_num_bits(number) < 160)
}
