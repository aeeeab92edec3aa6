import EventLoop
import JSON
import PKI
import TLS

/// Certificates of edge listeners: read with words for those who run web servers, and looked at as clients will.
enum EdgeCertificates {
    /// Reads certificate and key.
    ///
    /// Errors: those of `Credentials.load`; the hints name what shows more.
    static func load(_ files: Configuration.EdgeCertificate) throws(CertificateError) -> Credentials {
        do {
            return try Credentials.load(
                certificateFile: files.certificate, keyFile: files.key, passphrase: try files.passphrase.load())
        } catch {
            throw explained(error, files)
        }
    }

    private static func explained(
        _ error: CertificateError, _ files: Configuration.EdgeCertificate
    ) -> CertificateError {
        var error = error
        switch error.reason {
        case .keyMismatch:
            error.hint =
                "name the key that the certificate was made with; these two must print the same: openssl x509 -noout "
                + "-pubkey -in \(files.certificate); openssl pkey -pubout -in \(files.key)"
        case .unreadableFile where error.message.contains("ermission"):
            let file = error.file ?? files.key
            error.hint =
                "let the agent's user read it; namei -l \(file) shows the directory or file that does not (certbot keeps "
                + "its live and archive directories to root)"
        case .unreadableFile:
            error.hint = "check the path; namei -l \(error.file ?? files.certificate) shows how far it leads"
        case .wrongOrder, .missingIntermediate:
            error.hint = "put the server's certificate first, then its issuer's, up to below the root (fullchain.pem)"
        case .badPassphrase where !files.passphrase.isGiven:
            error.hint =
                "name its passphrase beside it (passphraseFile, passphraseVariable or passphraseCredential), or take it off: "
                + "openssl pkey -in \(files.key) -out NEW, mode 0600"
        case .badPassphrase where error.file == files.key:
            error.hint = "look the passphrase up; openssl pkey -in \(files.key) -noout asks for it"
        default: break
        }
        return error
    }

    /// What clients will say about the certificates of a configuration whose files were read: of each listener, with its
    /// key in front.
    static func review(
        _ configuration: Configuration.Edge, _ listeners: [String: EdgeListenerRuntime], now: Int64
    ) -> (problems: [CertificateError], warnings: [CertificateError]) {
        let all = reviews(configuration, listeners, now: now)
        return (all.flatMap(\.problems), all.flatMap(\.warnings))
    }

    /// What clients will refuse of certificates that are not in use yet. One that is in use and has expired must not keep
    /// others from being renewed.
    static func problemsOfNew(_ next: EdgeRuntime, since present: EdgeRuntime, now: Int64) -> [CertificateError] {
        let used = fingerprints(of: present)
        return reviews(next.configuration, next.listeners, now: now)
            .filter { !used.contains($0.fingerprint) }.flatMap(\.problems)
    }

    /// The certificates that listeners show.
    static func fingerprints(of runtime: EdgeRuntime) -> Set<String> {
        Set(
            runtime.listeners.values.flatMap { $0.tls?.contexts ?? [] }
                .compactMap { $0.configuration.credentials?.leaf.fingerprintSHA256 })
    }

    /// What is to be said of one certificate.
    private struct Review {
        let fingerprint: String
        let problems: [CertificateError]
        let warnings: [CertificateError]
    }

    private static func reviews(
        _ configuration: Configuration.Edge, _ listeners: [String: EdgeListenerRuntime], now: Int64
    ) -> [Review] {
        var reviews: [Review] = []
        for (index, settings) in configuration.listeners.enumerated() {
            guard let contexts = listeners[settings.address.description]?.tls else { continue }
            let origin = settings.publicOrigin.flatMap(host(of:))
            for (number, (files, context)) in zip(settings.certificates, contexts.contexts).enumerated() {
                guard let credentials = context.configuration.credentials else { continue }
                var hosts = files.names.filter { $0 != "*" }
                // Whoever comes by the public origin is served by the certificate that its name chooses.
                if let origin, contexts.context(for: origin) === context { hosts.append(origin) }
                let review = ServerCertificateReview(
                    credentials, file: files.certificate, hosts: hosts, now: now)
                let key = "edge.listeners[\(index)].certificates[\(number)]"
                reviews.append(
                    Review(
                        fingerprint: credentials.leaf.fingerprintSHA256,
                        problems: review.problems.map { inside(key, $0) },
                        warnings: review.warnings.map { inside(key, $0) }))
            }
        }
        return reviews
    }

    private static func inside(_ key: String, _ error: CertificateError) -> CertificateError {
        var error = error
        error.message = "\(key): \(error.message)"
        return error
    }

    /// `api.example` of `https://api.example:8443`.
    static func host(of origin: String) -> String? {
        guard let mark = origin.firstRange(of: "://") else { return nil }
        let place = origin[mark.upperBound...].prefix { $0 != "/" }
        if place.hasPrefix("[") { return String(place.dropFirst().prefix { $0 != "]" }) }
        return String(place.prefix { $0 != ":" })
    }

    /// Says at start and reload what is wrong. The edge serves all the same: one certificate that has expired must not
    /// take the others down.
    static func report(_ loaded: EdgeLoader.Loaded, now: Int64, log: Log) {
        let (problems, warnings) = review(loaded.runtime.configuration, loaded.runtime.listeners, now: now)
        for error in problems { log.error("edge_certificate", error.description, fields(error)) }
        for error in warnings { log.warning("edge_certificate", error.description, fields(error)) }
    }

    private static func fields(_ error: CertificateError) -> [(String, JSONValue)] {
        [
            ("reason", .string(error.code)), ("file", .string(error.file ?? "")), ("hint", .string(error.hint)),
        ]
    }

    /// Everything that is wrong with the edge of a configuration beside missing files, a line each, as `mesh-agent --check`
    /// says it.
    static func check(_ configuration: Configuration.Edge, now: Int64, beside missing: MissingFiles) -> [String] {
        guard !configuration.listeners.isEmpty else { return [] }
        do {
            var development: [String: Credentials] = [:]
            for listener in configuration.listeners where listener.wantsDevelopmentCertificate {
                development[listener.address.description] = try DevelopmentCertificate.make(
                    name: listener.developmentNames.first ?? listener.developmentAddresses.first ?? "localhost",
                    dnsNames: listener.developmentNames, ipAddresses: listener.developmentAddresses, now: now
                ).credentials
            }
            let loaded = try EdgeLoader.load(configuration, development: development, now: now)
            let (problems, warnings) = review(configuration, loaded.runtime.listeners, now: now)
            return (problems + warnings).flatMap { Agent.lines(of: $0) }
        } catch {
            return missing.lines(of: error)
        }
    }
}
