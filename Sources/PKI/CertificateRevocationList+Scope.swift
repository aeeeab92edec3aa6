import COpenSSL

/// What a CRL covers. Only lists that are complete for their issuer are taken: one that holds a part says nothing of the rest, and in
/// the place of a complete one it would take revocations back.
extension CertificateRevocationList {
    /// Refuses a list that is not complete for its issuer, or that says something which is not understood here.
    ///
    /// Errors: `partial_crl` for a delta CRL (RFC 5280, section 5.2.4), one whose scope is a part of what its issuer has issued, or
    /// that speaks for other issuers (section 5.2.5); `bad_extension` for an unknown critical extension, of the list or of an entry
    /// (sections 5.2 and 5.3), and for a scope that cannot be read.
    static func checkComplete(_ crl: OpaquePointer) throws(CertificateError) {
        for index in 0..<X509_CRL_get_ext_count(crl) {
            try checkUnderstood(X509_CRL_get_ext(crl, index))
        }
        guard X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) < 0 else {
            throw partial("it is a delta CRL, which has only what has changed since another one")
        }
        try checkDistributionPoint(of: crl)
        try checkEntries(of: crl)
    }

    /// Critical extensions that are looked at, here or by OpenSSL; what is critical besides them must not be ignored.
    private static let understood: Set<Int32> = [
        NID_authority_key_identifier, NID_delta_crl, NID_issuing_distribution_point,
    ]

    private static func checkUnderstood(_ item: OpaquePointer?) throws(CertificateError) {
        guard let item, X509_EXTENSION_get_critical(item) == 1 else { return }
        let object = X509_EXTENSION_get_object(item)
        guard !understood.contains(OBJ_obj2nid(object)) else { return }
        throw unknown("it has a critical extension that is unknown here (\(name(of: object)))")
    }

    private static func name(of object: OpaquePointer?) -> String {
        var text = [CChar](repeating: 0, count: 80)
        OBJ_obj2txt(&text, Int32(text.count), object, 0)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func checkDistributionPoint(of crl: OpaquePointer) throws(CertificateError) {
        var place: Int32 = -1
        let value = openssl { X509_CRL_get_ext_d2i(crl, NID_issuing_distribution_point, &place, nil) }
        guard let value else {
            // -1: there is none.
            guard place != -1 else { return }
            throw CertificateError(
                .badExtension,
                "the CRL cannot be used: its issuing distribution point cannot be read, or stands in it twice",
                hint: "look at it: openssl crl -in FILE -noout -text (-inform DER)")
        }
        let point = value.assumingMemoryBound(to: ISSUING_DIST_POINT.self)
        defer { ISSUING_DIST_POINT_free(point) }
        let scope = point.pointee
        if scope.indirectCRL > 0 { throw partial("it is an indirect CRL, which speaks for other issuers") }
        if scope.onlyuser > 0 { throw partial("it has certificates that are no CA's only") }
        if scope.onlyCA > 0 { throw partial("it has certificates of CAs only") }
        if scope.onlyattr > 0 { throw partial("it has attribute certificates only") }
        if scope.onlysomereasons != nil { throw partial("it has certificates that were revoked for some reasons only") }
        // Without a name it has to hold everything within its scope; with one it need not (RFC 5280, section 5.2.5).
        if scope.distpoint != nil { throw partial("it is that of one distribution point") }
    }

    private static func checkEntries(of crl: OpaquePointer) throws(CertificateError) {
        switch Int(pki_crl_odd_entry(crl)) {
        case PKI_CRL_ENTRY_OF_OTHER_ISSUER: throw partial("an entry of it is of another issuer")
        case PKI_CRL_ENTRY_NOT_UNDERSTOOD:
            throw unknown("an entry of it has a critical extension that is unknown here")
        default: return
        }
    }

    private static func unknown(_ what: String) -> CertificateError {
        CertificateError(
            .badExtension, "the CRL cannot be used: \(what)",
            hint: "give a CRL without it: openssl crl -in FILE -noout -text shows what there is")
    }

    private static func partial(_ what: String) -> CertificateError {
        CertificateError(
            .partialList, "the CRL is not complete for its issuer: \(what)",
            hint: "give the CA's full CRL; openssl crl -in FILE -noout -text shows what this one covers")
    }
}
