/// Finds what is wrong between the keys about getting and issuing certificates.
struct CAChecks {
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []
    private let configuration: Configuration
    private let origins: [String: ConfigurationOrigin]

    init(_ configuration: Configuration, origins: [String: ConfigurationOrigin]) {
        self.configuration = configuration
        self.origins = origins
    }

    mutating func run() {
        checkJoining()
        let ca = configuration.ca
        let given = ["ca.key", "ca.listen", "ca.advertise", "ca.ttl", "ca.store"].first { origins[$0] != nil }
        guard ca.isServed else {
            if let given {
                warn(given, "has no effect, as ca.certificate is not set", hint: "set ca.certificate, or remove it")
            }
            return
        }
        if ca.key == nil {
            report(.conflict, "ca.certificate", "needs ca.key as well", hint: "set ca.key to the CA's key")
        }
        checkListener(ca)
        if let check = PassphraseCheck(ca.passphrase, "ca.", hasKey: true, keyName: "ca.key") {
            report(.conflict, check.key, check.message, hint: check.hint)
        }
    }

    private mutating func checkJoining() {
        let identity = configuration.identity
        if identity.join.tokenFile != nil, identity.pkcs12 != nil {
            report(
                .conflict, "identity.join.tokenFile", "excludes identity.pkcs12: joining writes PEM files",
                hint: "remove identity.pkcs12, or set identity.certificate and identity.key")
        }
        if let certificate = identity.certificate, certificate == identity.key, identity.join.tokenFile != nil {
            report(
                .conflict, "identity.join.tokenFile", "needs two files, and identity.certificate is also identity.key",
                hint: "give the key a file of its own")
        }
    }

    private mutating func checkListener(_ ca: Configuration.CA) {
        guard let listen = ca.listen else {
            report(
                .missingKey, "ca.listen", "where shall nodes ask for certificates?",
                hint: "set ca.listen, for example to 0.0.0.0:7443")
            return
        }
        if ca.advertise == nil, listen.isWildcard || listen.port == 0 {
            report(
                .missingKey, "ca.advertise", "\(listen) does not say at which address nodes reach the CA",
                hint: "set ca.advertise, for example to ca.example:\(listen.port ?? 7443)")
        }
    }

    private mutating func report(
        _ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String
    ) {
        issues.append(ConfigurationIssue(code, origins[key], key, message, hint: hint))
    }

    private mutating func warn(_ key: String, _ message: String, hint: String) {
        warnings.append(ConfigurationIssue(.conflict, origins[key], key, message, hint: hint))
    }
}
