import COpenSSL
import CSodium

extension PrivateKey {
    /// Parses the first private key in PEM: PKCS#8 ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY") or a traditional form
    /// ("RSA PRIVATE KEY", "EC PRIVATE KEY"). Certificates and parameters around it are skipped.
    ///
    /// Errors: `empty_file`, `not_pem`, `der_instead_of_pem`, `missing_key`, `bad_passphrase`,
    /// `unsupported_encryption`, `unsupported_key`, `malformed`.
    public convenience init(pem: [UInt8], passphrase: Passphrase? = nil) throws(CertificateError) {
        let blocks = try PEMBlock.parse(pem, expecting: "a private key")
        guard let block = blocks.first(where: { $0.label.hasSuffix("PRIVATE KEY") }) else {
            let found = blocks.map(\.label).joined(separator: ", ")
            throw CertificateError(
                .missingKey, "no private key in the file, only: \(found)",
                hint: "give the file that holds BEGIN PRIVATE KEY")
        }
        let key: OpaquePointer
        switch block.label {
        case "PRIVATE KEY":
            var der = try block.decoded()
            defer { der.wipe() }
            key = try PrivateKey.decodePKCS8(der)
        case "ENCRYPTED PRIVATE KEY":
            key = try PrivateKey.decrypt(try block.decoded(), passphrase)
        default:
            key = try PrivateKey.readTraditional(pem[block.range], label: block.label, passphrase)
        }
        defer { EVP_PKEY_free(key) }
        try PrivateKey.checkSupported(key)
        try self.init(retaining: key)
    }

    /// Parses an unencrypted key in DER, PKCS#8.
    ///
    /// Errors: `malformed`, `unsupported_key`.
    public convenience init(der: [UInt8]) throws(CertificateError) {
        let key = try PrivateKey.decodePKCS8(der)
        defer { EVP_PKEY_free(key) }
        try PrivateKey.checkSupported(key)
        try self.init(retaining: key)
    }

    /// Reads a key file; of one that is encrypted and whose key is in use already, the key in use.
    ///
    /// - Parameter permissions: whether a file that group or others may read is refused.
    ///
    /// Errors: those of `SafeFile.readSecret` and of `init(pem:passphrase:)`, with the file.
    public static func load(
        file: String, passphrase: Passphrase? = nil, permissions: KeyPermissions = .enforced, missing: String? = nil
    ) throws(CertificateError) -> PrivateKey {
        var bytes: [UInt8]
        do throws(CertificateError) {
            bytes = try SafeFile.readSecret(file, permissions: permissions, missing: missing)
        } catch {
            if error.reason == .keyReadableByOthers { try demandKey(in: file) }
            throw error
        }
        defer { bytes.wipe() }
        if let passphrase, let key = OpenedKeys.key(in: bytes, passphrase) { return key }
        let key: PrivateKey
        do {
            key = try PrivateKey(pem: bytes, passphrase: passphrase)
        } catch {
            throw error.inFile(file)
        }
        if let passphrase { OpenedKeys.note(key, as: bytes, passphrase) }
        return key
    }

    /// A certificate that is named where its key was meant is no secret, and to close it to others would mend nothing.
    ///
    /// Errors: `missingKey`, with the file.
    private static func demandKey(in file: String) throws(CertificateError) {
        do throws(CertificateError) {
            _ = try load(file: file, permissions: .ignored)
        } catch {
            if error.reason == .missingKey { throw error }
        }
    }

    /// PKCS#8 in PEM. With a passphrase it is encrypted with PBES2 (RFC 8018): scrypt and AES-256-CBC, as
    /// `openssl pkey` reads it.
    ///
    /// The caller wipes what it no longer needs.
    public func pem(encryptedWith passphrase: Passphrase? = nil) throws(CertificateError) -> [UInt8] {
        let info = withKey { key in openssl { EVP_PKEY2PKCS8(key) } }
        guard let info else { throw OpenSSLErrors.failure("serialise a private key") }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        guard let passphrase else {
            guard var der = encodeDER({ i2d_PKCS8_PRIV_KEY_INFO(info, $0) }) else {
                throw OpenSSLErrors.failure("serialise a private key")
            }
            defer { der.wipe() }
            return PEMBlock.encode(der, label: "PRIVATE KEY")
        }
        let encrypted = passphrase.withBytes { bytes -> OpaquePointer? in
            // OWASP's scrypt parameters for N = 2^14, r = 8: p = 5. A larger N needs more memory (128 N r bytes) than
            // the 32 MiB that stock OpenSSL allows when it reads the file.
            let scheme = openssl { PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), nil, 16, nil, 1 << 14, 8, 5) }
            guard let scheme else { return nil }
            let text = bytes.assumingMemoryBound(to: CChar.self).baseAddress
            // Takes over `scheme` when it succeeds.
            let result = PKCS8_set0_pbe(text, Int32(bytes.count), info, scheme)
            if result == nil { X509_ALGOR_free(scheme) }
            return result
        }
        guard let encrypted else { throw OpenSSLErrors.failure("encrypt a private key") }
        defer { X509_SIG_free(encrypted) }
        guard let der = encodeDER({ i2d_X509_SIG(encrypted, $0) }) else {
            throw OpenSSLErrors.failure("serialise an encrypted private key")
        }
        return PEMBlock.encode(der, label: "ENCRYPTED PRIVATE KEY")
    }

    /// Writes the key as PEM with mode 0600, atomically.
    ///
    /// Errors: `unwritable_file`.
    public func write(
        to file: String, encryptedWith passphrase: Passphrase? = nil, replace: Bool = true
    ) throws(CertificateError) {
        var bytes = try pem(encryptedWith: passphrase)
        defer { bytes.wipe() }
        try SafeFile.write(bytes, to: file, mode: 0o600, replace: replace)
        if let passphrase { OpenedKeys.note(self, as: bytes, passphrase) }
    }

    private static func decodePKCS8(_ der: [UInt8]) throws(CertificateError) -> OpaquePointer {
        let info = decodeDER(
            der, { d2i_PKCS8_PRIV_KEY_INFO(nil, $0, $1) }, free: { PKCS8_PRIV_KEY_INFO_free($0) })
        guard let info else { throw malformedKey() }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        guard let key = openssl({ EVP_PKCS82PKEY(info) }) else { throw malformedKey() }
        return key
    }

    private static func decrypt(_ der: [UInt8], _ passphrase: Passphrase?) throws(CertificateError) -> OpaquePointer {
        guard let sealed = decodeDER(der, { d2i_X509_SIG(nil, $0, $1) }, free: { X509_SIG_free($0) }) else {
            throw malformedKey()
        }
        defer { X509_SIG_free(sealed) }
        guard let passphrase else { throw .passphraseNeeded() }
        let info = passphrase.withBytes { bytes in
            openssl {
                PKCS8_decrypt(sealed, bytes.assumingMemoryBound(to: CChar.self).baseAddress, Int32(bytes.count))
            }
        }
        guard let info else {
            guard pki_errors_say_unsupported() == 0 else {
                throw CertificateError(
                    .unsupportedEncryption,
                    "the key is encrypted with an algorithm that is only in OpenSSL's legacy provider",
                    hint: "convert it: openssl pkcs8 -provider legacy -provider default -in OLD -topk8 -scrypt -out NEW"
                )
            }
            throw .passphraseWrong()
        }
        defer { PKCS8_PRIV_KEY_INFO_free(info) }
        guard let key = openssl({ EVP_PKCS82PKEY(info) }) else { throw malformedKey() }
        return key
    }

    private static func readTraditional(
        _ block: ArraySlice<UInt8>, label: String, _ passphrase: Passphrase?
    ) throws(CertificateError) -> OpaquePointer {
        var asked: Int32 = 0
        func read(_ secret: UnsafeRawBufferPointer) -> OpaquePointer? {
            block.withUnsafeBytes { text in
                openssl {
                    pki_read_traditional_key(
                        text.baseAddress, Int32(text.count), secret.baseAddress, Int32(secret.count), &asked)
                }
            }
        }
        let key = passphrase?.withBytes { read($0) } ?? (passphrase == nil ? read(.init(start: nil, count: 0)) : nil)
        if let key { return key }
        guard asked != 0 else { throw malformedKey(label) }
        throw passphrase == nil ? .passphraseNeeded() : .passphraseWrong()
    }

    private static func checkSupported(_ key: OpaquePointer) throws(CertificateError) {
        let kind = KeyDescription(of: key)
        guard kind.family != .unsupported else {
            throw CertificateError(
                .unsupportedKey, "keys of the kind \(kind) are not used by the mesh",
                hint: "make a P-256, Ed25519 or RSA key: \(NewCertificate.commands())")
        }
    }

    private static func malformedKey(_ label: String = "PRIVATE KEY") -> CertificateError {
        CertificateError(
            .malformed, "the block \(label) does not hold a private key: \(OpenSSLErrors.drain())",
            hint: "the file is damaged; restore it or issue a new key: \(NewCertificate.commands())")
    }
}

extension CertificateError {
    static func passphraseNeeded() -> CertificateError {
        CertificateError(
            .badPassphrase, "the private key is encrypted and no passphrase was given",
            hint: "give the passphrase in a file (mode 0600)")
    }

    static func passphraseWrong() -> CertificateError {
        CertificateError(
            .badPassphrase, "the passphrase does not open the private key",
            hint: "check the passphrase, also for a line end too many: openssl pkey -in FILE -noout")
    }
}
