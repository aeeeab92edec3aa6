extension PeerVerification {
    /// Names that can be read in two ways, malformed extensions. Also made before chain verification.
    static func checkReadable(_ chain: [Certificate], _ checks: StrictChecks) throws(CertificateError) {
        // The names of CAs identify nobody.
        if checks.contains(.unambiguousNames), let leaf = chain.first, let defect = leaf.names.defects.first {
            throw CertificateError(
                .ambiguousName,
                "the certificate of \(leaf.subject) has a name that can be read in two ways: \(defect)", hint: reissue)
        }
        for certificate in chain {
            if certificate.constraints.hasInvalidExtension {
                throw CertificateError(
                    .badExtension, "the certificate of \(certificate.subject) has a malformed or doubled extension",
                    hint: reissue)
            }
        }
    }

    /// Serial numbers, CA as leaf.
    static func checkForm(of chain: [Certificate], _ checks: StrictChecks) throws(CertificateError) {
        let leaf = chain[0]
        // The serial number of a root identifies nothing that anybody revokes, and old roots have 0.
        for certificate in chain.prefix(max(1, chain.count - 1))
        where checks.contains(.serial) && !certificate.isSerialPositive {
            throw CertificateError(
                .badSerial,
                "the serial number \(certificate.serialHex) of \(certificate.subject) is not a positive number of at most 20 octets",
                hint: reissue)
        }
        let signs = leaf.keyUsage?.contains(.keyCertSign) ?? false
        if checks.contains(.leafIsNotCA), leaf.isCA || signs {
            throw CertificateError(
                .caAsLeaf, "\(leaf.subject) is a CA certificate and cannot stand for a node",
                hint: "issue a certificate of its own to the node: \(NewCertificate.commands())")
        }
    }

    /// The second notBefore is inside, the second notAfter outside: the same edges as OpenSSL's.
    static func checkTimes(of chain: [Certificate], at now: Int64) throws(CertificateError) {
        for certificate in chain {
            if now < certificate.notBefore { throw .notYetValid(certificate, at: now) }
            if now >= certificate.notAfter { throw .expired(certificate, at: now) }
        }
    }

    /// RSA below 2048 bits, elliptic curves below 224, MD5 and SHA-1. A root's own signature proves nothing and may
    /// be old.
    static func checkStrength(of chain: [Certificate]) throws(CertificateError) {
        for (index, certificate) in chain.enumerated() {
            let kind = certificate.publicKey.kind
            let weak =
                switch kind.family {
                case .rsa: kind.bits < 2048
                case .ec, .ed25519: kind.bits < 224
                case .unsupported: true
                }
            guard !weak else {
                throw CertificateError(
                    .weakKey, "the key of \(certificate.subject) is too weak: \(kind)",
                    hint: "use P-256, Ed25519 or RSA from 2048 bits: \(NewCertificate.commands())")
            }
            let isRoot = index == chain.count - 1 && certificate.constraints.canBeRoot
            if certificate.hasWeakSignatureDigest, !isRoot {
                throw CertificateError(
                    .weakKey,
                    "the certificate of \(certificate.subject) is signed with \(certificate.signatureAlgorithm)",
                    hint: "issue it again with SHA-256: \(NewCertificate.commands())")
            }
        }
    }

    /// Key usage and extended key usage of the leaf.
    static func checkUsage(
        of leaf: Certificate, _ expected: Expectation, _ allowances: inout [LegacyAllowance]
    ) throws(CertificateError) {
        if let usage = leaf.keyUsage, !usage.contains(.digitalSignature) {
            throw CertificateError(
                .wrongUsage, "the key usage of \(leaf.subject) is \(usage), without digitalSignature", hint: reissue)
        }
        let needed = expected.role.usage
        guard let usages = leaf.extendedKeyUsage else {
            guard expected.legacyCertificates || expected.isForeignServer else {
                throw CertificateError(
                    .wrongUsage,
                    "\(leaf.subject) has no extended key usage; a \(expected.role.rawValue) needs \(needed)",
                    hint: "\(reissue), or permit such certificates with legacyCertificates")
            }
            allowances.append(.noExtendedKeyUsage)
            return
        }
        guard usages.contains(needed) else {
            let has = usages.map(\.description).joined(separator: ", ")
            throw CertificateError(
                .wrongUsage, "\(leaf.subject) may be used for \(has); a \(expected.role.rawValue) needs \(needed)",
                hint: reissue)
        }
    }

    /// The SPIFFE ID of the leaf, checked against CN, root and allowed trust domains; nil where there is none.
    static func identify(
        _ leaf: Certificate, vouchedBy root: Certificate?, _ expected: Expectation, _ checks: StrictChecks
    ) throws(CertificateError) -> SPIFFEID? {
        let uris = leaf.spiffeURIs
        if uris.count > 1, checks.contains(.singleSPIFFE) {
            throw CertificateError(
                .multipleSPIFFEURIs, "\(leaf.subject) has \(uris.count) SPIFFE URIs: \(uris.joined(separator: ", "))",
                hint: reissue)
        }
        guard let uri = uris.first else {
            try checkCommonNameAlone(leaf, expected)
            return nil
        }
        let spiffe: SPIFFEID
        do throws(CertificateError) {
            spiffe = try SPIFFEID(parsing: uri)
            guard !spiffe.path.isEmpty else {
                throw CertificateError(
                    .badSPIFFEID, "\(leaf.subject) carries the ID of a whole trust domain, \(uri)", hint: reissue)
            }
        } catch {
            guard checks.contains(.spiffeSyntax) else { return nil }
            throw error
        }
        if checks.contains(.trustDomain) { try checkTrustDomain(spiffe, root, expected) }
        if checks.contains(.nameAgreement) { try checkAgreement(spiffe, leaf) }
        return spiffe
    }

    private static func checkCommonNameAlone(_ leaf: Certificate, _ expected: Expectation) throws(CertificateError) {
        guard let name = leaf.commonName else {
            if expected.hostName != nil, !leaf.dnsNames.isEmpty || !leaf.ipAddresses.isEmpty { return }
            throw CertificateError(
                .noIdentity, "the certificate names nobody: it has neither a SPIFFE URI nor a CN", hint: reissue)
        }
        // Two different byte strings can look and even compare alike outside ASCII; an identity must not.
        guard name.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
            throw CertificateError(
                .ambiguousName, "the CN \"\(name)\" alone would identify but is not plain ASCII", hint: reissue)
        }
    }

    private static func checkTrustDomain(
        _ spiffe: SPIFFEID, _ root: Certificate?, _ expected: Expectation
    ) throws(CertificateError) {
        if let allowed = expected.trustDomains, !allowed.contains(spiffe.trustDomain) {
            let list = allowed.isEmpty ? "none" : allowed.sorted().joined(separator: ", ")
            throw CertificateError(
                .untrustedDomain, "\(spiffe) is of the trust domain \(spiffe.trustDomain); allowed here: \(list)",
                hint: "issue the certificate with this mesh's CA, or add the trust domain to the configuration")
        }
        try expected.reserved?.check(spiffe, vouchedBy: root)
        // A root vouches for one trust domain: the one of its own SPIFFE ID.
        guard let root, let uri = root.spiffeURIs.first else { return }
        let own = try SPIFFEID(parsing: uri)
        guard own.trustDomain == spiffe.trustDomain else {
            throw CertificateError(
                .untrustedDomain, "\(spiffe) is vouched for by a root of the trust domain \(own.trustDomain)",
                hint: "issue the certificate with the CA of \(spiffe.trustDomain)")
        }
    }

    /// A node's CN is its name. For other SPIFFE IDs the CN must be the last path segment or one of the DNS names, as
    /// SPIRE sets it.
    private static func checkAgreement(_ spiffe: SPIFFEID, _ leaf: Certificate) throws(CertificateError) {
        guard let name = leaf.commonName else { return }
        let agrees: Bool
        if let node = spiffe.nodeName {
            agrees = node.utf8.elementsEqual(name.utf8)
        } else {
            // Bytes, not characters: Swift's strings also compare equal when they are only canonically equivalent.
            let last = spiffe.path.split(separator: "/").last.map(String.init) ?? ""
            agrees = ([last] + leaf.dnsNames).contains { $0.utf8.elementsEqual(name.utf8) }
        }
        guard agrees else {
            throw CertificateError(
                .cnContradictsURI, "the CN says \"\(name)\", the URI says \(spiffe)", hint: reissue)
        }
    }

    static var reissue: String { "issue the certificate again: \(NewCertificate.commands())" }
}

extension CertificateError {
    static func expired(_ certificate: Certificate, at now: Int64) -> CertificateError {
        let ago = UTCTime.duration(now - certificate.notAfter)
        return CertificateError(
            .expired,
            "the certificate of \(certificate.subject) expired \(ago) ago: valid until "
                + "\(UTCTime.text(certificate.notAfter)), now \(UTCTime.text(now))",
            hint: certificate.isCA
                ? "make a new CA and issue the nodes' certificates again: mesh ca init"
                : "see why its agent has not renewed it, or make a new one: "
                    + "\(NewCertificate.commands(certificate.commonName ?? "NODE")) (and check the clock of this host)",
            clockGap: certificate.notAfter - now)
    }

    static func notYetValid(_ certificate: Certificate, at now: Int64) -> CertificateError {
        let wait = UTCTime.duration(certificate.notBefore - now)
        return CertificateError(
            .notYetValid,
            "the certificate of \(certificate.subject) becomes valid in \(wait): valid from "
                + "\(UTCTime.text(certificate.notBefore)), now \(UTCTime.text(now))",
            hint: "check the clocks of both hosts (timedatectl), or look at it: mesh ca inspect FILE",
            clockGap: certificate.notBefore - now)
    }
}
