import COpenSSL

/// A request for a certificate (PKCS #10, RFC 2986) whose signature proves that the sender has the private key.
///
/// Only the public key of a request counts. The names that it asks for are read so that a CA can refuse what it does not
/// grant; they never become those of a certificate.
public struct CertificateSigningRequest: Sendable {
    /// The most bytes that are looked at: RSA-4096 with a few names takes 1.5 KiB.
    public static let sizeLimit = 16 << 10

    /// The request in DER.
    public let der: [UInt8]
    /// The key that the certificate is for; sound, and of a kind that the mesh issues for.
    public let publicKey: PublicKey
    /// The names that are asked for, in subject and SubjectAltName.
    public let names: CertificateNames

    /// Reads a request and checks the proof of possession.
    ///
    /// Errors: `malformed` (no request, bytes left over), `bad_signature` (not signed by its own key), `weak_key`,
    /// `unsupported_key`, `ambiguous_name` (names that can be read in two ways).
    public init(der: [UInt8]) throws(CertificateError) {
        guard der.count <= Self.sizeLimit,
            let request = decodeDER(der, { d2i_X509_REQ(nil, $0, $1) }, free: { X509_REQ_free($0) })
        else {
            throw Self.refused(.malformed, "not a certificate signing request in DER: \(OpenSSLErrors.drain())")
        }
        defer { X509_REQ_free(request) }
        guard let key = openssl({ X509_REQ_get0_pubkey(request) }) else {
            throw Self.refused(.unsupportedKey, "the request holds a public key that cannot be read")
        }
        let publicKey = try PublicKey(retaining: key)
        try Self.check(publicKey)
        guard openssl({ X509_REQ_verify(request, key) }) == 1 else {
            throw Self.refused(.badSignature, "the request is not signed by the key that it is for")
        }
        guard let holder = openssl({ pki_request_names(request) }) else {
            throw Self.refused(.malformed, "the extensions that the request asks for cannot be read")
        }
        defer { X509_free(holder) }
        names = CertificateNames(of: holder)
        guard names.defects.isEmpty else {
            throw Self.refused(.ambiguousName, "the request names somebody ambiguously: \(names.defects[0])")
        }
        self.der = der
        self.publicKey = publicKey
    }

    /// Makes a request for `key` that names a node by its CN and asks for nothing else.
    ///
    /// Errors: `bad_name`, `library_failure`.
    public static func make(node: String, key: PrivateKey) throws(CertificateError) -> CertificateSigningRequest {
        try NodeName.check(node)
        guard let request = openssl({ X509_REQ_new() }), let name = openssl({ X509_NAME_new() }) else {
            throw OpenSSLErrors.failure("make a request")
        }
        defer {
            X509_REQ_free(request)
            X509_NAME_free(name)
        }
        let common = Array(node.utf8)
        // Ed25519 has its own digest.
        let digest = key.kind.family == .ed25519 ? nil : EVP_sha256()
        let isMade = key.withKey { handle in
            openssl {
                X509_REQ_set_version(request, 0) == 1
                    && X509_NAME_add_entry_by_NID(
                        name, NID_commonName, V_ASN1_UTF8STRING, common, Int32(common.count), -1, 0) == 1
                    && X509_REQ_set_subject_name(request, name) == 1 && X509_REQ_set_pubkey(request, handle) == 1
                    && X509_REQ_sign(request, handle, digest) > 0
            }
        }
        guard isMade, let der = encodeDER({ i2d_X509_REQ(request, $0) }) else {
            throw OpenSSLErrors.failure("sign a request")
        }
        return try CertificateSigningRequest(der: der)
    }

    /// A key that a certificate could be issued for and that its holder did not make by mistake.
    private static func check(_ key: PublicKey) throws(CertificateError) {
        guard key.kind.family != .unsupported, key.kind.bits <= 8192 else {
            throw refused(.unsupportedKey, "no certificate is issued for a key of the kind \(key.kind)")
        }
        guard key.kind.family != .rsa || key.kind.bits >= 2048, key.isSound else {
            throw refused(.weakKey, "the key of the request is too weak or no sound key: \(key.kind)")
        }
    }

    private static func refused(_ reason: CertificateReason, _ message: String) -> CertificateError {
        CertificateError(
            reason, message, hint: "make key and request anew, with a P-256, Ed25519 or RSA key: mesh join does both")
    }
}
