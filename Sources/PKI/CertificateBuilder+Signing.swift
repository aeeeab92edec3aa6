import COpenSSL
import Glibc

extension CertificateBuilder {
    /// Puts the certificate together with OpenSSL, signs it and returns its DER.
    func assemble(_ signer: Signer) throws(CertificateError) -> [UInt8] {
        guard let x509 = openssl({ X509_new() }) else { throw OpenSSLErrors.failure("make a certificate") }
        defer { X509_free(x509) }
        guard X509_set_version(x509, version - 1) == 1 else { throw OpenSSLErrors.failure("set the version") }
        try setSerial(x509)
        try setValidity(x509)
        try setNames(x509, signer)
        guard publicKey.withKey({ key in openssl { X509_set_pubkey(x509, key) } }) == 1 else {
            throw OpenSSLErrors.failure("set the public key")
        }
        if version >= 3 {
            for item in extensions(signer: signer) { try append(item, to: x509) }
        }
        let key =
            switch signer {
            case .own(let key): key
            case .issuer(_, let key): key
            }
        let algorithm = messageDigest(for: key.kind)
        let size = key.withKey { handle in openssl { X509_sign(x509, handle, algorithm) } }
        guard size > 0 else {
            throw CertificateError(
                .badRequest, "cannot sign with \(key.kind) and \(digest.rawValue): \(OpenSSLErrors.drain())",
                hint: "use the automatic digest")
        }
        guard let der = encodeDER({ i2d_X509(x509, $0) }) else {
            throw OpenSSLErrors.failure("serialise a certificate")
        }
        return der
    }

    /// The EVP_MD to sign with; nil for Ed25519, which has its own.
    private func messageDigest(for kind: KeyDescription) -> OpaquePointer? {
        if kind.family == .ed25519 { return nil }
        switch digest {
        case .automatic: return kind.family == .ec && kind.bits > 256 ? EVP_sha384() : EVP_sha256()
        case .sha256: return EVP_sha256()
        case .sha384: return EVP_sha384()
        case .sha512: return EVP_sha512()
        case .sha1: return EVP_sha1()
        case .md5: return EVP_md5()
        }
    }

    private func setSerial(_ x509: OpaquePointer) throws(CertificateError) {
        let target = X509_get_serialNumber(x509)
        let done: Bool
        switch serial {
        case .number(let value):
            done = openssl { ASN1_INTEGER_set_int64(target, value) } == 1
        case .bytes(let bytes):
            done = CertificateBuilder.set(target, bytes)
        case .random:
            var bytes = Sodium.random(16)
            while bytes.allSatisfy({ $0 == 0 }) { bytes = Sodium.random(16) }
            done = CertificateBuilder.set(target, bytes)
        }
        guard done else { throw OpenSSLErrors.failure("set the serial number") }
    }

    private static func set(_ target: UnsafeMutablePointer<ASN1_INTEGER>?, _ bytes: [UInt8]) -> Bool {
        guard let number = openssl({ BN_bin2bn(bytes, Int32(bytes.count), nil) }) else { return false }
        defer { BN_free(number) }
        return BN_to_ASN1_INTEGER(number, target) != nil
    }

    private func setValidity(_ x509: OpaquePointer) throws(CertificateError) {
        let done = openssl {
            ASN1_TIME_set(X509_getm_notBefore(x509), time_t(notBefore)) != nil
                && ASN1_TIME_set(X509_getm_notAfter(x509), time_t(notAfter)) != nil
        }
        guard done else {
            throw CertificateError(
                .badRequest, "validity outside the years 0 to 9999", hint: "ask for a shorter validity")
        }
    }

    private func setNames(_ x509: OpaquePointer, _ signer: Signer) throws(CertificateError) {
        let own = try CertificateBuilder.name(subject)
        defer { X509_NAME_free(own) }
        let isSet =
            subjectCopiedFrom.map { $0.withX509 { X509_set_subject_name(x509, X509_get_subject_name($0)) } }
            ?? X509_set_subject_name(x509, own)
        guard isSet == 1 else { throw OpenSSLErrors.failure("set the subject") }
        let done: Int32
        if let issuer {
            let name = try CertificateBuilder.name(issuer)
            defer { X509_NAME_free(name) }
            done = X509_set_issuer_name(x509, name)
        } else if case .issuer(let certificate, _) = signer {
            done = certificate.withX509 { X509_set_issuer_name(x509, X509_get_subject_name($0)) }
        } else {
            done = X509_set_issuer_name(x509, X509_get_subject_name(x509))
        }
        guard done == 1 else { throw OpenSSLErrors.failure("set the issuer") }
    }

    private static func name(_ attributes: [NameAttribute]) throws(CertificateError) -> OpaquePointer {
        guard let name = openssl({ X509_NAME_new() }) else { throw OpenSSLErrors.failure("make a name") }
        for attribute in attributes {
            let kind =
                switch attribute.kind {
                case .commonName: NID_commonName
                case .organization: NID_organizationName
                case .organizationalUnit: NID_organizationalUnitName
                }
            let type =
                switch attribute.encoding {
                case .utf8: V_ASN1_UTF8STRING
                case .printable: V_ASN1_PRINTABLESTRING
                case .teletex: V_ASN1_T61STRING
                case .bmp: V_ASN1_BMPSTRING
                case .ia5: V_ASN1_IA5STRING
                }
            let added = openssl {
                X509_NAME_add_entry_by_NID(name, kind, type, attribute.bytes, Int32(attribute.bytes.count), -1, 0)
            }
            guard added == 1 else {
                X509_NAME_free(name)
                throw OpenSSLErrors.failure("add to a name")
            }
        }
        return name
    }

    private func append(_ item: RawExtension, to x509: OpaquePointer) throws(CertificateError) {
        guard let oid = openssl({ OBJ_txt2obj(item.oid, 1) }) else {
            throw CertificateError(
                .badRequest, "\"\(item.oid)\" is not an object identifier", hint: "write it like 1.3.6.1.4.1.…")
        }
        defer { ASN1_OBJECT_free(oid) }
        guard let value = openssl({ ASN1_OCTET_STRING_new() }) else { throw OpenSSLErrors.failure("make an extension") }
        defer { ASN1_OCTET_STRING_free(value) }
        ASN1_OCTET_STRING_set(value, item.value, Int32(item.value.count))
        guard let made = openssl({ X509_EXTENSION_create_by_OBJ(nil, oid, item.isCritical ? 1 : 0, value) }) else {
            throw OpenSSLErrors.failure("make an extension")
        }
        defer { X509_EXTENSION_free(made) }
        guard X509_add_ext(x509, made, -1) == 1 else { throw OpenSSLErrors.failure("add an extension") }
    }
}
