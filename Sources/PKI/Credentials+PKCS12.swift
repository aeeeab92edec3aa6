import COpenSSL

extension Credentials {
    /// More iterations than this in a file's MAC are refused: at 10 million, opening takes several seconds.
    private static let iterationLimit = 10_000_000

    /// Parses PKCS#12 (RFC 7292). Files of old tools (RC2, 3DES with RC2) are read with OpenSSL's legacy provider, in
    /// a library context of its own, where that is installed.
    ///
    /// Errors: `malformed`, `too_large`, `bad_passphrase`, `missing_key`, `missing_certificate`,
    /// `unsupported_encryption`, `key_mismatch`, `missing_intermediate`.
    public init(pkcs12 bytes: [UInt8], passphrase: Passphrase?) throws(CertificateError) {
        guard bytes.count <= SafeFile.sizeLimit else {
            throw CertificateError(.tooLarge, "more than \(SafeFile.sizeLimit) bytes", hint: "check the path")
        }
        switch try Credentials.open(bytes, passphrase, context: nil) {
        case .opened(let credentials):
            self = credentials
        case .unsupported:
            guard let context = pki_legacy_context_new() else { throw Credentials.legacyProviderMissing() }
            defer { pki_legacy_context_free(context) }
            guard case .opened(let credentials) = try Credentials.open(bytes, passphrase, context: context) else {
                throw Credentials.legacyProviderMissing()
            }
            self = credentials
        }
    }

    /// Reads a PKCS#12 file, which holds a private key and so must not be readable by others.
    ///
    /// Errors: those of `SafeFile.readSecret` and of `init(pkcs12:passphrase:)`, with the file.
    public static func load(
        pkcs12File: String, passphrase: Passphrase? = nil, permissions: KeyPermissions = .enforced
    ) throws(CertificateError) -> Credentials {
        var bytes = try SafeFile.readSecret(pkcs12File, permissions: permissions)
        defer { bytes.wipe() }
        do {
            return try Credentials(pkcs12: bytes, passphrase: passphrase)
        } catch {
            throw error.inFile(pkcs12File)
        }
    }

    /// PKCS#12 with key and chain, encrypted with AES-256-CBC (PBES2, HMAC-SHA-256), with a SHA-256 MAC: what OpenSSL 3,
    /// Java 8u301+, Windows Server 2019+ and .NET read.
    ///
    /// - Parameter friendlyName: shown by key stores; the CN when nil.
    public func pkcs12(passphrase: Passphrase, friendlyName: String? = nil) throws(CertificateError) -> [UInt8] {
        let others = try CertificateStack(Array(chain.dropFirst()))
        // NUL-terminated, as OpenSSL wants it.
        var secret = passphrase.withBytes { Array($0) } + [0]
        defer { secret.wipe() }
        guard !secret.dropLast().contains(0) else {
            throw CertificateError(
                .badPassphrase, "a passphrase with a NUL byte cannot protect PKCS#12", hint: "choose another passphrase"
            )
        }
        let name = friendlyName ?? leaf.commonName ?? "node"
        let made: OpaquePointer? = secret.withUnsafeBytes { buffer in
            let text = buffer.assumingMemoryBound(to: CChar.self).baseAddress
            return key.withKey { key -> OpaquePointer? in
                leaf.withX509 { leaf -> OpaquePointer? in
                    let made = openssl {
                        // 100,000 iterations of PBKDF2 for key and certificates; -1: the MAC follows.
                        PKCS12_create(
                            text, name, key, leaf, others.pointer, NID_aes_256_cbc, NID_aes_256_cbc, 100_000, -1, 0)
                    }
                    guard let made else { return nil }
                    guard PKCS12_set_mac(made, text, -1, nil, 0, 100_000, EVP_sha256()) == 1 else {
                        PKCS12_free(made)
                        return nil
                    }
                    return made
                }
            }
        }
        guard let made else { throw OpenSSLErrors.failure("make PKCS#12") }
        defer { PKCS12_free(made) }
        return try withExtendedLifetime(others) { () throws(CertificateError) -> [UInt8] in
            guard let der = encodeDER({ i2d_PKCS12(made, $0) }) else { throw OpenSSLErrors.failure("make PKCS#12") }
            return der
        }
    }

    /// Writes PKCS#12 with mode 0600, atomically.
    public func writePKCS12(
        to file: String, passphrase: Passphrase, friendlyName: String? = nil, replace: Bool = true
    ) throws(CertificateError) {
        var bytes = try pkcs12(passphrase: passphrase, friendlyName: friendlyName)
        defer { bytes.wipe() }
        try SafeFile.write(bytes, to: file, mode: 0o600, replace: replace)
    }

    private enum Opening {
        case opened(Credentials)
        case unsupported
    }

    private static func open(
        _ bytes: [UInt8], _ passphrase: Passphrase?, context: UnsafeMutablePointer<pki_legacy_context>?
    ) throws(CertificateError) -> Opening {
        let file = bytes.withUnsafeBytes { buffer in
            openssl { pki_pkcs12_decode(buffer.baseAddress, buffer.count, context) }
        }
        guard let file else { throw notPKCS12(bytes) }
        defer { PKCS12_free(file) }
        var secret = (passphrase?.withBytes { Array($0) } ?? []) + [0]
        defer { secret.wipe() }
        guard hasSensibleMAC(file) else {
            throw CertificateError(
                .malformed, "the PKCS#12 asks for an absurd number of iterations", hint: "export it again")
        }
        var key: OpaquePointer?
        var certificate: OpaquePointer?
        var others: OpaquePointer?
        let parsed = secret.withUnsafeBytes { buffer -> Int32 in
            let text = buffer.assumingMemoryBound(to: CChar.self).baseAddress
            // PKCS12_parse refuses a passphrase for a file without MAC (`openssl pkcs12 -nomac`), so it gets one. Such
            // a file is as good as PEM: what it holds is encrypted but not authenticated.
            if PKCS12_mac_present(file) == 0, buffer.count > 1 {
                _ = openssl { PKCS12_set_mac(file, text, -1, nil, 0, 1, EVP_sha256()) }
            }
            return openssl { PKCS12_parse(file, text, &key, &certificate, &others) }
        }
        defer {
            EVP_PKEY_free(key)
            X509_free(certificate)
            if let others { pki_certificates_free(others) }
        }
        guard parsed == 1 else {
            if pki_errors_say_unsupported() == 1 { return .unsupported }
            throw CertificateError(
                .badPassphrase,
                passphrase == nil
                    ? "the PKCS#12 is protected and no passphrase was given"
                    : "the passphrase does not open the PKCS#12",
                hint: "check the passphrase: openssl pkcs12 -info -noout -in FILE")
        }
        guard let key else {
            throw CertificateError(
                .missingKey, "no private key in the PKCS#12", hint: "export it together with its key")
        }
        guard let certificate else {
            throw CertificateError(
                .missingCertificate, "no certificate for the key in the PKCS#12",
                hint: "export key and certificate together")
        }
        let leaf = try detached(certificate)
        var rest: [Certificate] = []
        for index in 0..<min(Int(pki_certificates_count(others)), Certificate.fileLimit) {
            guard let x509 = pki_certificates_at(others, Int32(index)) else { continue }
            rest.append(try detached(x509))
        }
        return .opened(try Credentials(chain: path(from: leaf, in: rest), key: try detached(key: key)))
    }

    /// PKCS#12 has no order: the path from the leaf upwards, as far as the file holds it.
    private static func path(from leaf: Certificate, in others: [Certificate]) -> [Certificate] {
        var chain = [leaf]
        while let last = chain.last, !last.isSelfSigned,
            let next = others.first(where: { last.names(asIssuer: $0) && !chain.contains($0) })
        {
            chain.append(next)
        }
        return chain
    }

    /// The certificate, free of the library context that read it.
    private static func detached(_ x509: OpaquePointer) throws(CertificateError) -> Certificate {
        guard let der = encodeDER({ i2d_X509(x509, $0) }) else { throw OpenSSLErrors.failure("read a certificate") }
        return try Certificate(der: der)
    }

    /// The key, free of the library context that read it.
    private static func detached(key: OpaquePointer) throws(CertificateError) -> PrivateKey {
        guard let info = openssl({ EVP_PKEY2PKCS8(key) }) else { throw OpenSSLErrors.failure("read a private key") }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        guard var der = encodeDER({ i2d_PKCS8_PRIV_KEY_INFO(info, $0) }) else {
            throw OpenSSLErrors.failure("read a private key")
        }
        defer { der.wipe() }
        return try PrivateKey(der: der)
    }

    private static func hasSensibleMAC(_ file: OpaquePointer) -> Bool {
        guard PKCS12_mac_present(file) == 1 else { return true }
        var iterations: UnsafePointer<ASN1_INTEGER>?
        PKCS12_get0_mac(nil, nil, nil, &iterations, file)
        guard let iterations else { return true }
        let count = ASN1_INTEGER_get(iterations)
        return count >= 0 && count <= iterationLimit
    }

    private static func notPKCS12(_ bytes: [UInt8]) -> CertificateError {
        let isPEM = bytes.starts(with: "-----BEGIN".utf8)
        return CertificateError(
            .malformed, isPEM ? "the file is PEM, where PKCS#12 was expected" : "not PKCS#12: \(OpenSSLErrors.drain())",
            hint: isPEM
                ? "configure it as certificate and key file, or convert it: openssl pkcs12 -export -in FILE -out FILE.pfx"
                : "the file is damaged; export it again")
    }

    private static func legacyProviderMissing() -> CertificateError {
        CertificateError(
            .unsupportedEncryption,
            "the PKCS#12 is encrypted with an old algorithm (RC2 or the like) that needs OpenSSL's legacy provider",
            hint: "export it again with AES-256, or install OpenSSL's legacy provider (ossl-modules/legacy.so)")
    }
}
