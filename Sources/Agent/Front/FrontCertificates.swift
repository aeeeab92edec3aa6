import EventLoop
import PKI

/// Looks at the certificate files of a front before they are used: what is wrong is said precisely, with the command that
/// shows more.
struct FrontCertificates {
    /// One thing that is wrong with a file.
    struct Problem: Error {
        /// What it is, and what to do.
        let error: CertificateError
        /// A command that shows more.
        let command: String

        /// A line for what it is, one for what to do, one with the command.
        var lines: [String] {
            ["\(error)", "    \(error.hint)", "    look: \(command)"]
        }
    }

    private let front: FrontConfiguration
    /// Unix seconds.
    private let now: Int64
    private(set) var problems: [Problem] = []
    private(set) var warnings: [String] = []
    /// What was read, for `--check`: the listener or target, and the leaf.
    private(set) var leaves: [(place: String, certificate: Certificate)] = []

    /// Certificates that end within this time are warned of; certbot renews a month before the end.
    private static let warningTime: Int64 = 14 * 86_400

    init(_ front: FrontConfiguration, now: Int64) {
        self.front = front
        self.now = now
    }

    /// Reads every file.
    mutating func check() {
        for listener in front.configuration.edge.listeners {
            let place = "listener \(listener.address)"
            for pair in listener.certificates { check(pair.certificate, pair.key, place, listener) }
            for file in listener.clientCA { checkTrust(file) }
        }
        for target in front.targets {
            for file in target.ca where !target.insecure { checkTrust(file) }
            if let certificate = target.certificate, let key = target.key {
                check(certificate, key, "target \(target.name)", nil)
            }
        }
    }

    private mutating func check(
        _ file: String, _ key: String, _ place: String, _ listener: Configuration.EdgeListener?
    ) {
        do throws(CertificateError) {
            let credentials = try Credentials.load(certificateFile: file, keyFile: key)
            leaves.append((place, credentials.leaf))
            try checkTime(credentials, file)
            try checkUse(credentials.leaf, file, isServer: listener != nil)
            if let listener { try checkName(credentials.leaf, file, listener) }
        } catch {
            problems.append(Self.explain(error, certificate: file, key: key))
        }
    }

    private mutating func checkTime(_ credentials: Credentials, _ file: String) throws(CertificateError) {
        for certificate in credentials.chain {
            if certificate.notAfter <= now {
                throw CertificateError(
                    .expired,
                    "\(certificate.subject) has expired: it was valid until "
                        + "\(Timestamp.rfc3339(milliseconds: certificate.notAfter * 1000))",
                    hint: "put a new one in its place (with Let's Encrypt: certbot renew), then send SIGHUP", file: file
                )
            }
            if certificate.notBefore > now {
                throw CertificateError(
                    .notYetValid,
                    "\(certificate.subject) is valid from "
                        + "\(Timestamp.rfc3339(milliseconds: certificate.notBefore * 1000)) on",
                    hint: "check this host's clock: timedatectl", file: file)
            }
        }
        let left = credentials.leaf.notAfter - now
        if left < Self.warningTime, credentials.leaf.notAfter - credentials.leaf.notBefore > 2 * Self.warningTime {
            warnings.append("\(file): \(credentials.leaf.subject) expires in \(left / 86_400) days")
        }
    }

    private func checkUse(_ leaf: Certificate, _ file: String, isServer: Bool) throws(CertificateError) {
        guard let usages = leaf.extendedKeyUsage else { return }
        let needed: ExtendedKeyUsage = isServer ? .serverAuth : .clientAuth
        guard !usages.contains(needed), !usages.contains(.any) else { return }
        throw CertificateError(
            .wrongUsage,
            "\(leaf.subject) is not for \(isServer ? "servers" : "clients"), only for "
                + usages.map(\.description).joined(separator: ", "),
            hint: "take a certificate with the extended key usage \(needed)", file: file)
    }

    /// The origin that clients use must be one of the certificate's names; a listener may have several certificates.
    private func checkName(
        _ leaf: Certificate, _ file: String, _ listener: Configuration.EdgeListener
    ) throws(CertificateError) {
        guard listener.tls == .application, listener.certificates.count == 1, let origin = listener.publicOrigin,
            let url = try? FrontURL(parsing: origin), let host = url.address.host
        else { return }
        let isNamed =
            url.address.isName
            ? leaf.dnsNames.contains { PeerVerification.matchesHost($0, host) } : leaf.ipAddresses.contains(host)
        guard !isNamed else { return }
        let names = (leaf.dnsNames + leaf.ipAddresses).joined(separator: ", ")
        throw CertificateError(
            .wrongName,
            "clients come to \(origin), but the certificate is for \(names.isEmpty ? "no host at all" : names)",
            hint: "take a certificate that has \(host) among its names (subjectAltName; the CN does not count)",
            file: file)
    }

    private mutating func checkTrust(_ file: String) {
        do throws(CertificateError) {
            _ = try TrustBundle.load(file: file)
        } catch {
            problems.append(Self.explain(error, certificate: file, key: nil))
        }
    }

    // MARK: - Words

    /// Adds the command that shows more.
    static func explain(_ error: CertificateError, certificate: String, key: String?) -> Problem {
        var error = error.inFile(certificate)
        let file = error.file ?? certificate
        let command: String
        switch error.reason {
        case .keyMismatch:
            error.hint = "take the key that this certificate was requested with; the two outputs must be the same"
            command =
                "openssl x509 -in \(certificate) -noout -pubkey | openssl sha256; "
                + "openssl pkey -in \(key ?? "KEY") -pubout | openssl sha256"
        case .unreadableFile, .keyReadableByOthers: command = "namei -l \(file)"
        case .emptyFile, .notPEM, .derInsteadOfPEM, .malformed, .missingKey, .missingCertificate, .tooLarge:
            if error.reason == .derInsteadOfPEM {
                error.hint = "convert it: openssl x509 -inform DER -in \(file) -out \(file).pem"
            }
            command = "head -c 200 \(file); grep -c BEGIN \(file)"
        case .badPassphrase:
            error.hint = "write the key without a passphrase, for its owner only: openssl pkey -in \(file) -out NEW"
            command = "openssl pkey -in \(file) -noout -text"
        case .expired, .notYetValid: command = "openssl x509 -in \(file) -noout -subject -dates"
        case .wrongName, .ambiguousName: command = "openssl x509 -in \(file) -noout -subject -ext subjectAltName"
        case .wrongOrder, .missingIntermediate:
            command = "openssl crl2pkcs7 -nocrl -certfile \(file) | openssl pkcs7 -print_certs -noout"
        default: command = "openssl x509 -in \(file) -noout -text"
        }
        return Problem(error: error, command: command)
    }
}
