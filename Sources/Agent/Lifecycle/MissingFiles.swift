import PKI

/// The files that a configuration names, that a start would read, and that are not there. Whoever reads them stops at the first;
/// who sets an agent up wants to hear of all.
struct MissingFiles {
    /// By which key a file is named, and what its reader says of it.
    private var entries: [(key: String, error: CertificateError)] = []
    /// Files that the next start makes.
    private var awaited: Set<String> = []

    /// Looks for them.
    /// - Parameter includingCA: the CA's files, too.
    init(_ configuration: Configuration, includingCA: Bool = true) {
        lookAtIdentity(configuration)
        note("policy.file", configuration.policy.file) { (file) throws(CertificateError) in
            _ = try SafeFile.read(file, missing: PolicyLoading.hint)
        }
        for (index, service) in configuration.services.enumerated() where service.target.isTLS {
            look(at: service.tls, "services[\(index)].tls")
        }
        let ca = configuration.ca
        if includingCA, ca.certificate != nil, ca.key != nil {
            for (key, file) in [("ca.certificate", ca.certificate), ("ca.key", ca.key)] {
                note(key, file) { (file) throws(CertificateError) in
                    _ = try CertificateAuthority.load(certificateFile: file, keyFile: file)
                }
            }
            note(ca.passphrase, "ca")
        }
        if !configuration.edge.listeners.isEmpty { look(at: configuration.edge) }
        let audit = configuration.audit
        if audit.enabled, audit.webhook != nil {
            note("audit.webhook.secretFile", audit.webhookSecretFile) { (file) throws(CertificateError) in
                _ = try Passphrase.loadSecret(file: file)
            }
            noteRoots("audit.webhook.ca", audit.webhookCA)
        }
    }

    /// What is said of them: a line each, and what to do behind those for which it is the same.
    var lines: [String] {
        var lines: [String] = []
        for (index, entry) in entries.enumerated() {
            lines.append("\(entry.key): \(entry.error)")
            let next = index + 1 < entries.count ? entries[index + 1].error.hint : nil
            if next != entry.error.hint { lines.append("hint: \(entry.error.hint)") }
        }
        return lines
    }

    /// What an error says that somebody met with beside these, a line each; nothing for one of these files.
    func lines(of error: any Error) -> [String] {
        let file: String? =
            switch error {
            case let error as CertificateError: error.isMissingFile ? error.file : nil
            case let error as StartFailure: error.missingFile
            default: nil
            }
        return entries.contains { $0.error.file == file } ? [] : Agent.lines(of: error)
    }

    // MARK: - Where files are named

    private mutating func lookAtIdentity(_ configuration: Configuration) {
        let (identity, trust) = (configuration.identity, configuration.trust)
        if FirstIdentity.isAwaited(configuration), let files = EnrolmentFiles(configuration) {
            awaited = [files.pair.certificate, files.pair.key, files.trust]
            if !configuration.ca.isServed {
                note("identity.join.tokenFile", identity.join.tokenFile) { (file) throws(CertificateError) in
                    _ = try SafeFile.readSecret(file, missing: FirstIdentity.tokenHint)
                }
            }
        }
        note("identity.pkcs12", identity.pkcs12) { (file) throws(CertificateError) in
            _ = try Credentials.load(pkcs12File: file)
        }
        if identity.pkcs12 == nil {
            notePair("identity", identity.certificate, identity.key)
        }
        note(identity.passphrase, "identity")
        for (key, files) in [("trust.servers", trust.servers), ("trust.clients", trust.clients)] {
            for file in files { noteRoots(trust.ca.contains(file) ? "trust.ca" : key, [file]) }
        }
        noteLists("trust.revocation.files", trust.revocationFiles)
        note("trust.operators", trust.operators) { (file) throws(CertificateError) in
            _ = try SafeFile.read(file, missing: DocumentHost.operatorsHint)
        }
        let transparency = configuration.tls.transparency
        let modes =
            [transparency.mode] + transparency.nodes.map(\.mode)
            + configuration.services.filter(\.target.isTLS).map(\.tls.transparency)
        if modes.contains(where: { $0 != .off }) {
            note("tls.ct.logs", transparency.logs) { (file) throws(CertificateError) in
                _ = try TransparencyLogs.load(file: file)
            }
        }
    }

    private mutating func look(at tls: Configuration.TargetTLS, _ key: String) {
        noteRoots("\(key).ca", tls.ca)
        notePair(key, tls.certificate, tls.key)
        note(tls.passphrase, key)
        noteLists("\(key).revocation.files", tls.revocationFiles)
    }

    private mutating func look(at edge: Configuration.Edge) {
        for (index, listener) in edge.listeners.enumerated()
        where listener.tls == .application || listener.tls == .auto {
            let key = "edge.listeners[\(index)]"
            for (index, certificate) in listener.certificates.enumerated() {
                let key = "\(key).certificates[\(index)]"
                note("\(key).certificate", certificate.certificate, EdgeLoader.look)
                note("\(key).key", certificate.key, EdgeLoader.look)
                note("\(key).passphraseFile", certificate.passphrase.file, EdgeLoader.look)
            }
            for file in listener.clientCA { note("\(key).clientCertificates.ca", file, EdgeLoader.look) }
            for file in listener.clientRevocationFiles {
                note("\(key).clientCertificates.revocation.files", file, EdgeLoader.look)
            }
        }
        let (authentication, key) = (edge.authentication, "edge.authentication")
        note("\(key).callerSecretFile", authentication.callerSecretFile, EdgeLoader.look)
        for (index, issuer) in authentication.issuers.enumerated() {
            let key = "\(key).issuers[\(index)]"
            note("\(key).secretFile", issuer.secretFile, EdgeLoader.look)
            note("\(key).jwks.file", issuer.jwksFile, EdgeLoader.look)
            if issuer.jwksURL != nil { for file in issuer.jwksCA { note("\(key).jwks.ca", file, EdgeLoader.look) } }
        }
        note("\(key).localIssuer.key", authentication.localIssuerKey, EdgeLoader.look)
        note("\(key).apiKeys", authentication.apiKeys, EdgeLoader.look)
        note("\(key).dpop.nonceSecretFile", authentication.dpopNonceSecretFile, EdgeLoader.look)
    }

    // MARK: - Looking

    /// Notes a file that is not there, with what `read` says then.
    private mutating func note(
        _ key: String, _ file: String?, _ read: (String) throws(CertificateError) -> Void
    ) {
        guard let file, !SafeFile.exists(file), !awaited.contains(file),
            !entries.contains(where: { $0.error.file == file })
        else { return }
        do throws(CertificateError) {
            try read(file)
        } catch {
            // What somebody keeps from being looked at is told of by whoever wants to read it.
            if error.isMissingFile { entries.append((key, error)) }
        }
    }

    private mutating func notePair(_ key: String, _ certificate: String?, _ privateKey: String?) {
        for (name, file) in [("certificate", certificate), ("key", privateKey)] {
            note("\(key).\(name)", file) { (file) throws(CertificateError) in
                _ = try Credentials.load(certificateFile: file, keyFile: file)
            }
        }
    }

    private mutating func note(_ passphrase: Configuration.PassphraseSource, _ key: String) {
        note("\(key).passphraseFile", passphrase.file) { (file) throws(CertificateError) in
            _ = try Passphrase.load(file: file)
        }
    }

    private mutating func noteRoots(_ key: String, _ files: [String]) {
        for file in files {
            note(key, file) { (file) throws(CertificateError) in _ = try TrustBundle.load(file: file) }
        }
    }

    private mutating func noteLists(_ key: String, _ files: [String]) {
        for file in files {
            note(key, file) { (file) throws(CertificateError) in _ = try CertificateRevocationList.load(file: file) }
        }
    }
}
