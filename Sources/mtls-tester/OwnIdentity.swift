import EventLoop
import PKI

/// The files that the tester was given, checked before the first connection.
struct OwnIdentity {
    /// A CA whose key we have.
    struct Authority {
        let certificate: Certificate
        let key: PrivateKey
        /// What follows a leaf that it issued.
        let intermediates: [Certificate]
    }

    let trust: TrustBundle
    /// Our certificate and key; nil without --cert or --pfx.
    let credentials: Credentials?
    /// What our certificate proves to those who trust `trust`; nil where they do not trust it.
    let proven: PeerIdentity?
    /// Why they do not.
    let doubt: CertificateError?
    /// Nil without --ca-key.
    let authority: Authority?
    let node: String?

    /// Our name as a node; nil without a certificate.
    var nodeName: String? { proven?.nodeName ?? credentials?.leaf.commonName }

    /// The CA whose name forged certificates copy: the one that issued ours.
    var copiedCA: Certificate {
        let known = (credentials?.chain.dropFirst()).map(Array.init) ?? []
        let issuer = credentials.flatMap { own in (known + trust.roots).first { own.leaf.names(asIssuer: $0) } }
        return issuer ?? authority?.certificate ?? trust.roots[0]
    }

    static func load(_ options: TesterOptions) throws(CertificateError) -> OwnIdentity {
        let trust = try TrustBundle.load(file: options.caFile)
        let passphrase = try options.passphraseFile.map { (file) throws(CertificateError) in
            try Passphrase.load(file: file)
        }
        var credentials: Credentials?
        if let file = options.pfxFile {
            credentials = try Credentials.load(pkcs12File: file, passphrase: passphrase)
        } else if let certificate = options.certificateFile, let key = options.keyFile {
            credentials = try Passphrase.naming("--passphrase-file", unless: passphrase) {
                () throws(CertificateError) in
                try Credentials.load(certificateFile: certificate, keyFile: key, passphrase: passphrase)
            }
        }
        var proven: PeerIdentity?
        var doubt: CertificateError?
        if let credentials {
            do throws(CertificateError) {
                proven = try credentials.validate(
                    trust: trust, trustDomains: nil, legacyCertificates: options.allowsLegacyCertificates,
                    now: Clock.unixSeconds())
            } catch {
                // Nodes may trust another CA for clients than the one that vouches for themselves.
                switch error.reason {
                case .unknownCA, .untrustedIssuer, .missingIntermediate, .selfSigned: doubt = error
                default: throw error.inFile(options.pfxFile ?? options.certificateFile)
                }
            }
        }
        return OwnIdentity(
            trust: trust, credentials: credentials, proven: proven, doubt: doubt,
            authority: try loadAuthority(options, trust, credentials), node: options.node)
    }

    /// The CA's key, and the certificate that belongs to it: a root that was given, or a CA of our own chain.
    private static func loadAuthority(
        _ options: TesterOptions, _ trust: TrustBundle, _ credentials: Credentials?
    ) throws(CertificateError) -> Authority? {
        guard let file = options.caKeyFile else { return nil }
        let passphrase = try options.caPassphraseFile.map { (file) throws(CertificateError) in
            try Passphrase.load(file: file)
        }
        let key = try Passphrase.naming("--ca-passphrase-file", unless: passphrase) { () throws(CertificateError) in
            try PrivateKey.load(file: file, passphrase: passphrase)
        }
        let chain = credentials?.chain ?? []
        if let root = trust.roots.first(where: { $0.matches(key) }) {
            return Authority(certificate: root, key: key, intermediates: [])
        }
        if let place = chain.indices.dropFirst().first(where: { chain[$0].matches(key) }) {
            return Authority(
                certificate: chain[place], key: key, intermediates: chain[place...].filter { !$0.isSelfSigned })
        }
        throw CertificateError(
            .keyMismatch, "the key belongs to no CA certificate in \(options.caFile), nor to one in our own chain",
            hint: "give the key that was made with the CA certificate (mesh ca init writes both)", file: file)
    }
}
