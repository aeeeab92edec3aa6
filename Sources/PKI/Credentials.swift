/// A certificate chain and the private key of its leaf.
public struct Credentials: Sendable {
    /// The certificates: leaf first, then its intermediates upwards; the root may end it.
    public let chain: [Certificate]
    /// The private key of the leaf.
    public let key: PrivateKey

    /// The first certificate.
    public var leaf: Certificate { chain[0] }

    /// Puts chain and key together.
    ///
    /// Errors: `missing_certificate`, `key_mismatch`, `wrong_order`, `missing_intermediate` (a gap inside the chain).
    public init(chain: [Certificate], key: PrivateKey) throws(CertificateError) {
        guard let leaf = chain.first else {
            throw CertificateError(
                .missingCertificate, "no certificate", hint: "give the node's certificate: \(NewCertificate.commands())"
            )
        }
        if !leaf.matches(key) {
            if let place = chain.firstIndex(where: { $0.matches(key) }) {
                throw CertificateError(
                    .wrongOrder,
                    "the key belongs to certificate \(place + 1) (\(chain[place].subject)), which must come first",
                    hint: "put the node's certificate first, then its intermediates")
            }
            throw CertificateError(
                .keyMismatch,
                "key and certificate do not belong together: \(leaf.subject) holds another public key "
                    + "(spki-sha256 \(leaf.spkiSHA256))",
                hint: "take the key that was made with this certificate, or issue both: \(NewCertificate.commands())")
        }
        for (index, pair) in zip(chain, chain.dropFirst()).enumerated() where !pair.0.names(asIssuer: pair.1) {
            let issuer = chain.indices.first { $0 != index && chain[index].names(asIssuer: chain[$0]) }
            if let issuer {
                throw CertificateError(
                    .wrongOrder,
                    "certificate \(index + 2) (\(pair.1.subject)) is not the issuer of certificate \(index + 1) "
                        + "(\(pair.0.subject)); that is certificate \(issuer + 1)",
                    hint: "order the file: leaf, its issuer, the issuer's issuer")
            }
            throw .missingIntermediate(pair.0)
        }
        self.chain = chain
        self.key = key
    }

    /// Reads certificate and key from PEM files, which may be one and the same file.
    ///
    /// Errors: those of `Certificate.load`, `PrivateKey.load` and `init(chain:key:)`, with the file.
    public static func load(
        certificateFile: String, keyFile: String, passphrase: Passphrase? = nil,
        permissions: KeyPermissions = .enforced
    ) throws(CertificateError) -> Credentials {
        let missing = "check the path, or make a certificate and its key: \(NewCertificate.commands())"
        let chain = try Certificate.load(file: certificateFile, missing: missing)
        let key = try PrivateKey.load(
            file: keyFile, passphrase: passphrase, permissions: permissions, missing: missing)
        do {
            return try Credentials(chain: chain, key: key)
        } catch {
            throw error.inFile(certificateFile)
        }
    }

    /// Checks that peers which trust `trust` will accept these credentials in both roles; what a loader calls before
    /// it uses them.
    ///
    /// Errors: those of `ChainVerifier.verify`, but `untrusted_issuer` where the chain ends below an issuer that is neither in it nor
    /// trusted.
    public func validate(
        trust: TrustBundle, trustDomains: Set<String>?, legacyCertificates: Bool = false, now: Int64
    ) throws(CertificateError) -> PeerIdentity {
        let verifier = ChainVerifier(trust: trust)
        var expected = PeerVerification.Expectation(
            role: .serverOfLink, trustDomains: trustDomains, legacyCertificates: legacyCertificates, now: now)
        do {
            _ = try verifier.verify(chain, expecting: expected)
            expected.role = .clientOfLink
            return try verifier.verify(chain, expecting: expected).identity
        } catch {
            let last = chain[chain.count - 1]
            let isOpen = !last.isSelfSigned && !trust.roots.contains { last.hasIssuerName(of: $0) }
            throw error.reason == .unknownCA && isOpen ? .untrustedIssuer(last, trust) : error
        }
    }

    /// The certificates as PEM, leaf first.
    public var certificatePEM: String { chain.map(\.pem).joined() }

    /// Writes certificate (mode 0644) and key (mode 0600), each atomically, the key first.
    public func write(
        certificateFile: String, keyFile: String, passphrase: Passphrase? = nil, replace: Bool = true
    ) throws(CertificateError) {
        try key.write(to: keyFile, encryptedWith: passphrase, replace: replace)
        try SafeFile.write(Array(certificatePEM.utf8), to: certificateFile, mode: 0o644, replace: replace)
    }
}

extension CertificateError {
    /// Which of both it is, nobody can see from here: the issuer's certificate is not there.
    static func untrustedIssuer(_ certificate: Certificate, _ trust: TrustBundle) -> CertificateError {
        let named =
            trust.roots.prefix(3).map(\.subject) + (trust.roots.count > 3 ? ["\(trust.roots.count - 3) others"] : [])
        return CertificateError(
            .untrustedIssuer,
            "\(certificate.issuer), which issued \(certificate.subject), is not trusted here; trusted: "
                + named.joined(separator: "; "),
            hint: "does trust.ca name the CA that issued it? Where that is an intermediate of a trusted CA, append its "
                + "certificate to the file: cat leaf.crt intermediate.crt > chain.crt")
    }

    static func missingIntermediate(_ certificate: Certificate) -> CertificateError {
        CertificateError(
            .missingIntermediate,
            "the issuer of \(certificate.subject), \(certificate.issuer), is neither in the chain nor a trusted root",
            hint: "append the certificate of \(certificate.issuer) to the file, after the leaf: "
                + "cat leaf.crt intermediate.crt > chain.crt")
    }
}
