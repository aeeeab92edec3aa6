/// Builds any certificate, good or bad: the low level under `CertificateAuthority`, and the workshop of mtls-tester and
/// of tests for certificates that must be refused. Nothing is checked.
public struct CertificateBuilder: Sendable {
    /// X.509 version; below 3 the extensions are left out.
    public var version = 3
    /// The subject.
    public var subject: [NameAttribute]
    /// A certificate whose subject is taken over byte for byte instead of `subject`: for forged CAs.
    public var subjectCopiedFrom: Certificate?
    /// The issuer's name; nil takes the signer's subject (what every honest certificate has).
    public var issuer: [NameAttribute]?
    /// The serial number.
    public var serial = SerialNumber.random
    /// First second of validity, unix seconds.
    public var notBefore: Int64
    /// End of validity, unix seconds.
    public var notAfter: Int64
    /// The subject's public key.
    public var publicKey: PublicKey
    /// BasicConstraints (critical); nil leaves it out.
    public var basicConstraints: BasicConstraints? = BasicConstraints(isCA: false)
    /// Key usage (critical); nil leaves it out.
    public var keyUsage: KeyUsage? = .digitalSignature
    /// Extended key usage; nil leaves it out.
    public var extendedKeyUsage: [ExtendedKeyUsage]? = [.serverAuth, .clientAuth]
    /// SubjectAltName; empty leaves it out.
    public var alternativeNames: [AlternativeName] = []
    /// Hosts that the URIs of all certificates below may have (RFC 5280, section 4.2.1.10, critical); empty leaves
    /// the extension out.
    public var permittedURIHosts: [String] = []
    /// Whether subject and authority key identifiers are put in.
    public var hasKeyIdentifiers = true
    /// Extensions added after the others.
    public var extraExtensions: [RawExtension] = []
    /// The digest of the signature.
    public var digest = SignatureDigest.automatic
    /// Whether the signature is spoilt afterwards.
    public var spoilsSignature = false

    /// Who signs.
    public enum Signer: Sendable {
        /// The subject itself.
        case own(PrivateKey)
        /// A CA.
        case issuer(Certificate, PrivateKey)
    }

    /// Starts a leaf certificate for both sides of TLS.
    public init(subject: [NameAttribute], publicKey: PublicKey, notBefore: Int64, notAfter: Int64) {
        self.subject = subject
        self.publicKey = publicKey
        self.notBefore = notBefore
        self.notAfter = notAfter
    }

    /// Signs.
    ///
    /// Errors: `bad_request` for what cannot be encoded or signed, `library_failure`.
    public func build(signedBy signer: Signer) throws(CertificateError) -> Certificate {
        let der = try assemble(signer)
        guard spoilsSignature else { return try Certificate(der: der) }
        var spoilt = der
        spoilt[spoilt.count - 1] ^= 0x01
        return try Certificate(der: spoilt)
    }

    /// The extensions in their order, with raw values.
    func extensions(signer: Signer) -> [RawExtension] {
        var list: [RawExtension] = []
        func add(_ oid: String, critical: Bool = false, _ value: [UInt8]) {
            list.append(RawExtension(oid: oid, isCritical: critical, value: value))
        }
        if let basicConstraints {
            var parts: [[UInt8]] = []
            if basicConstraints.isCA { parts.append(DER.yes) }
            if let length = basicConstraints.pathLength { parts.append(DER.integer(length)) }
            add("2.5.29.19", critical: true, DER.sequence(parts))
        }
        if let keyUsage { add("2.5.29.15", critical: true, DER.bits(keyUsage.rawValue)) }
        if let extendedKeyUsage {
            add("2.5.29.37", DER.sequence(extendedKeyUsage.compactMap { DER.objectIdentifier($0.oid) }))
        }
        if !alternativeNames.isEmpty {
            // Critical where nothing else names the subject (RFC 5280, section 4.2.1.6).
            let names = alternativeNames.map { DER.value(0x80 | $0.tag, $0.bytes) }
            add("2.5.29.17", critical: subject.isEmpty, DER.sequence(names))
        }
        if !permittedURIHosts.isEmpty {
            let subtrees = permittedURIHosts.map { DER.sequence([DER.value(0x86, Array($0.utf8))]) }
            add("2.5.29.30", critical: true, DER.sequence([DER.value(0xA0, subtrees.flatMap { $0 })]))
        }
        if hasKeyIdentifiers {
            add("2.5.29.14", DER.octets(CertificateBuilder.keyIdentifier(publicKey)))
            let authority: [UInt8]? =
                switch signer {
                case .own(let key): CertificateBuilder.keyIdentifier(key.publicKey)
                case .issuer(let certificate, _): certificate.constraints.subjectKeyIDBytes
                }
            if let authority { add("2.5.29.35", DER.sequence([DER.value(0x80, authority)])) }
        }
        return list + extraExtensions
    }

    /// SHA-256 of SubjectPublicKeyInfo (RFC 7093, method 4), cut to 160 bits, so that nothing here needs SHA-1.
    private static func keyIdentifier(_ key: PublicKey) -> [UInt8] { Array(sha256(key.der).prefix(20)) }
}
