/// A CA: makes itself, intermediates and the nodes' certificates.
///
/// Root certificates carry the SPIFFE ID of their trust domain, and, where the domain can be written as a DNS name,
/// the critical name constraint that every URI below lies in that domain: even a stolen CA key cannot make a node of
/// another trust domain. Certificates without URIs (host names of the edge) are not touched by it. A domain with
/// underscores or in the form of an IP address gets no constraint, because RFC 5280 (section 4.2.1.10) defines the
/// constraint for host names only and verifiers differ beyond that; there only the SPIFFE ID of the root binds.
public struct CertificateAuthority: Sendable {
    /// The CA's certificate.
    public let certificate: Certificate
    /// The CAs above it, next first; empty for a root.
    public let parents: [Certificate]
    /// The trust domain that it issues in.
    public let trustDomain: String
    /// The CA's key.
    private let key: PrivateKey

    /// How far notBefore lies before the time of issuing, in seconds: hosts whose clocks are up to five minutes slow
    /// accept a new certificate at once. Leaves that live for less than 20 minutes are backdated by a quarter of their life,
    /// so that half of their validity still lies ahead of them.
    public static let backdating: Int64 = 300
    /// Ten years.
    public static let defaultRootValidity: Int64 = 3650 * 86_400
    /// Three years.
    public static let defaultIntermediateValidity: Int64 = 1095 * 86_400

    /// Makes a new root.
    ///
    /// - Parameters:
    ///   - name: the CN, for people.
    ///   - validity: in seconds from `now`.
    ///   - now: unix seconds.
    ///
    /// Errors: `bad_name`, `bad_spiffe_id` (the trust domain), `bad_request` (the validity), `library_failure`.
    public static func createRoot(
        name: String, algorithm: KeyAlgorithm = .p256, trustDomain: String,
        validity: Int64 = defaultRootValidity, now: Int64
    ) throws(CertificateError) -> CertificateAuthority {
        let domain = try SPIFFEID.trustDomain(trustDomain)
        let key = try PrivateKey.generate(algorithm)
        var builder = try caBuilder(name: name, publicKey: key.publicKey, validity: validity, now: now)
        builder.alternativeNames = [.uri(domain.description)]
        if canConstrain(trustDomain) { builder.permittedURIHosts = [trustDomain] }
        return CertificateAuthority(
            certificate: try builder.build(signedBy: .own(key)), parents: [], trustDomain: trustDomain, key: key)
    }

    /// Makes an intermediate CA that may issue leaves only (path length 0), so that the root's key can stay offline.
    ///
    /// Errors: those of `createRoot`, and `bad_request` when this CA may have no CA below.
    public func createIntermediate(
        name: String, algorithm: KeyAlgorithm = .p256, validity: Int64 = defaultIntermediateValidity, now: Int64
    ) throws(CertificateError) -> CertificateAuthority {
        guard certificate.pathLength != 0 else {
            throw CertificateError(
                .badRequest, "\(certificate.subject) may issue leaves only (path length 0)",
                hint: "make the intermediate with the root's key")
        }
        try checkUsable(at: now)
        let child = try PrivateKey.generate(algorithm)
        var builder = try CertificateAuthority.caBuilder(
            name: name, publicKey: child.publicKey, validity: validity, now: now)
        builder.basicConstraints = BasicConstraints(isCA: true, pathLength: 0)
        builder.alternativeNames = [.uri(try SPIFFEID.trustDomain(trustDomain).description)]
        fit(&builder)
        return CertificateAuthority(
            certificate: try builder.build(signedBy: .issuer(certificate, key)), parents: [certificate] + parents,
            trustDomain: trustDomain, key: child)
    }

    /// Puts a CA together from its parts.
    ///
    /// - Parameters:
    ///   - chain: the CA's certificate, then those above it.
    ///   - trustDomain: needed only when the certificates carry no SPIFFE ID of a trust domain.
    ///
    /// Errors: those of `Credentials.init`, `not_a_ca`, `bad_spiffe_id`, `untrusted_domain`.
    public init(chain: [Certificate], key: PrivateKey, trustDomain: String? = nil) throws(CertificateError) {
        let credentials = try Credentials(chain: chain, key: key)
        let certificate = credentials.leaf
        guard certificate.isCA, certificate.keyUsage?.contains(.keyCertSign) ?? true else {
            throw CertificateError(
                .notACA, "\(certificate.subject) is not a CA certificate",
                hint: "give the certificate that mesh ca init wrote")
        }
        var own: String?
        for certificate in chain where own == nil {
            if let uri = certificate.spiffeURIs.first { own = try SPIFFEID(parsing: uri).trustDomain }
        }
        if let own, let trustDomain, own != trustDomain {
            throw CertificateError(
                .untrustedDomain, "\(certificate.subject) is the CA of \(own), not of \(trustDomain)",
                hint: "leave the trust domain away, or take the other CA")
        }
        guard let domain = own ?? trustDomain else {
            throw CertificateError(
                .badRequest, "\(certificate.subject) does not say which trust domain it is for",
                hint: "name it: mesh ca issue NODE --trust-domain DOMAIN")
        }
        self.certificate = certificate
        parents = Array(chain.dropFirst())
        self.trustDomain = try SPIFFEID.trustDomain(domain).trustDomain
        self.key = key
    }

    private init(certificate: Certificate, parents: [Certificate], trustDomain: String, key: PrivateKey) {
        self.certificate = certificate
        self.parents = parents
        self.trustDomain = trustDomain
        self.key = key
    }

    /// Reads a CA from its files; the certificate file of an intermediate also holds the CAs above it.
    ///
    /// Errors: those of `Credentials.load` and of `init(chain:key:trustDomain:)`.
    public static func load(
        certificateFile: String, keyFile: String, passphrase: Passphrase? = nil, trustDomain: String? = nil,
        permissions: KeyPermissions = .enforced
    ) throws(CertificateError) -> CertificateAuthority {
        let missing = "check the path, or make a CA: mesh ca init"
        let chain = try Certificate.load(file: certificateFile, missing: missing)
        let key = try PrivateKey.load(
            file: keyFile, passphrase: passphrase, permissions: permissions, missing: missing)
        do {
            return try CertificateAuthority(chain: chain, key: key, trustDomain: trustDomain)
        } catch {
            throw error.inFile(certificateFile)
        }
    }

    /// Writes certificate (0644, with the CAs above) and key (0600, encrypted when there is a passphrase).
    public func write(
        certificateFile: String, keyFile: String, passphrase: Passphrase?, replace: Bool = false
    ) throws(CertificateError) {
        try Credentials(chain: [certificate] + parents, key: key).write(
            certificateFile: certificateFile, keyFile: keyFile, passphrase: passphrase, replace: replace)
    }

    /// The top of the chain, what others trust.
    public var root: Certificate { parents.last ?? certificate }

    /// The key and certificate as a signer for `CertificateBuilder`: for mtls-tester and tests.
    public var signer: CertificateBuilder.Signer { .issuer(certificate, key) }

    /// What follows a leaf in its certificate file: this CA and those above, without the root.
    public var intermediates: [Certificate] { ([certificate] + parents).filter { !$0.isSelfSigned } }

    /// Issues a node's certificate for a key that the node made. It ends no later than the CA's own certificate.
    ///
    /// - Parameter now: unix seconds; notBefore is `backdating` seconds earlier.
    ///
    /// Errors: `bad_name`, `bad_request`, `weak_key`, `expired`, `not_yet_valid` (the CA itself), `library_failure`.
    public func issue(
        _ request: IssueRequest, for publicKey: PublicKey, now: Int64
    ) throws(CertificateError) -> Certificate {
        try checkUsable(at: now)
        guard request.validity > 0 else {
            throw CertificateError(
                .badRequest, "a validity of \(request.validity) seconds", hint: "ask for at least one second")
        }
        guard publicKey.kind.family != .unsupported, publicKey.kind.family != .rsa || publicKey.kind.bits >= 2048 else {
            throw CertificateError(
                .weakKey, "no certificate is issued for a key of the kind \(publicKey.kind)",
                hint: "use P-256, Ed25519 or RSA from 2048 bits")
        }
        let (end, overflow) = now.addingReportingOverflow(request.validity)
        var builder = CertificateBuilder(
            subject: [.commonName(request.node)], publicKey: publicKey,
            notBefore: now - min(CertificateAuthority.backdating, max(1, request.validity / 4)),
            notAfter: overflow ? Int64.max : end)
        builder.alternativeNames = try request.alternativeNames(in: trustDomain)
        builder.extendedKeyUsage = request.usages
        // RSA keys also serve the key exchange of old TLS 1.2 clients of the edge.
        if publicKey.kind.family == .rsa { builder.keyUsage = [.digitalSignature, .keyEncipherment] }
        fit(&builder)
        return try builder.build(signedBy: signer)
    }

    /// Makes a key and issues its certificate.
    public func issueCredentials(
        _ request: IssueRequest, algorithm: KeyAlgorithm = .p256, now: Int64
    ) throws(CertificateError) -> Credentials {
        try NodeName.check(request.node)
        let key = try PrivateKey.generate(algorithm)
        return try Credentials(chain: [issue(request, for: key.publicKey, now: now)] + intermediates, key: key)
    }

    func checkUsable(at now: Int64) throws(CertificateError) {
        try certificate.checkTime(at: now)
    }

    /// A certificate that outlives its CA would only seem valid.
    func fit(_ builder: inout CertificateBuilder) {
        builder.notBefore = max(builder.notBefore, certificate.notBefore)
        builder.notAfter = min(builder.notAfter, certificate.notAfter)
    }

    private static func caBuilder(
        name: String, publicKey: PublicKey, validity: Int64, now: Int64
    ) throws(CertificateError) -> CertificateBuilder {
        // 64 characters is the upper bound of a CN (RFC 5280, ub-common-name).
        guard (1...64).contains(name.unicodeScalars.count),
            !name.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw CertificateError(
                .badName, "\"\(name.prefix(80))\" cannot be the name of a CA", hint: "use 1 to 64 visible characters")
        }
        // 9999-12-31T23:59:59Z is the last time that a certificate can say.
        guard validity > 0, validity <= 253_402_300_799 - now else {
            throw CertificateError(
                .badRequest, "a validity of \(validity) seconds", hint: "ask for at least one second, and before 9999")
        }
        var builder = CertificateBuilder(
            subject: [.commonName(name)], publicKey: publicKey, notBefore: now - backdating, notAfter: now + validity)
        builder.basicConstraints = BasicConstraints(isCA: true)
        builder.keyUsage = [.keyCertSign, .cRLSign]
        builder.extendedKeyUsage = nil
        return builder
    }

    /// Whether the URI name constraint is defined for the trust domain: a DNS name that is not an IP address.
    static func canConstrain(_ trustDomain: String) -> Bool {
        IssueRequest.isHostName(trustDomain) && !trustDomain.utf8.contains(UInt8(ascii: "_"))
    }
}
