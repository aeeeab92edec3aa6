import EventLoop
import PKI

/// Looks at the certificate files of a front before they are used, and refuses what no client would accept: a front has
/// one purpose, and does not start without it. What is wrong is said with the command that shows more.
struct FrontCertificates {
    /// One thing that is wrong with a file.
    struct Problem {
        /// What it is, and what to do.
        let error: CertificateError
        /// A command that shows more, where the hint does not have it already.
        let command: String?

        /// A line for what it is, one for what to do, one with the command.
        var lines: [String] { ["\(error)", "    \(error.hint)"] + (command.map { ["    look: \($0)"] } ?? []) }
    }

    private let front: FrontConfiguration
    /// Unix seconds.
    private let now: Int64
    private(set) var problems: [Problem] = []
    private(set) var warnings: [CertificateError] = []
    /// What was read, for `--check`: the listener or target, and the leaf.
    private(set) var leaves: [(place: String, certificate: Certificate)] = []

    init(_ front: FrontConfiguration, now: Int64) {
        self.front = front
        self.now = now
    }

    /// Reads every file.
    mutating func check() {
        for listener in front.configuration.edge.listeners {
            for files in listener.certificates { check(files, of: listener) }
            for file in listener.clientCA { checkTrust(file) }
        }
        for target in front.targets {
            for file in target.ca where !target.insecure { checkTrust(file) }
            checkClientCertificate(of: target)
        }
    }

    private mutating func check(_ files: Configuration.EdgeCertificate, of listener: Configuration.EdgeListener) {
        do throws(CertificateError) {
            let credentials = try EdgeCertificates.load(files)
            leaves.append(("listener \(listener.address)", credentials.leaf))
            var hosts = files.names.filter { $0 != "*" }
            // Of several certificates, the one that the name chooses is looked at by the edge.
            if listener.certificates.count == 1, listener.tls == .application, let origin = listener.publicOrigin,
                let host = (try? FrontURL(parsing: origin))?.address.host
            {
                hosts.append(host)
            }
            let review = ServerCertificateReview(credentials, file: files.certificate, hosts: hosts, now: now)
            for problem in review.problems { refuse(problem) }
            warnings += review.warnings
        } catch {
            refuse(error.inFile(files.certificate))
        }
    }

    private mutating func checkClientCertificate(of target: FrontTarget) {
        guard let certificate = target.certificate, let key = target.key else { return }
        var files = Configuration.EdgeCertificate()
        files.certificate = certificate
        files.key = key
        files.passphrase = target.passphrase
        do throws(CertificateError) {
            let leaf = try EdgeCertificates.load(files).leaf
            leaves.append(("target \(target.name)", leaf))
            try leaf.checkUse(asClientAt: now, file: certificate)
        } catch {
            refuse(error.inFile(certificate))
        }
    }

    private mutating func checkTrust(_ file: String) {
        do throws(CertificateError) {
            _ = try TrustBundle.load(file: file)
        } catch {
            refuse(error.inFile(file))
        }
    }

    private mutating func refuse(_ error: CertificateError) {
        let hasCommand = ["openssl ", "namei "].contains { error.hint.contains($0) }
        problems.append(Problem(error: error, command: hasCommand ? nil : Self.command(for: error)))
    }

    private static func command(for error: CertificateError) -> String? {
        guard let file = error.file else { return nil }
        switch error.reason {
        case .unreadableFile, .keyReadableByOthers: return "namei -l \(file)"
        case .emptyFile, .notPEM, .derInsteadOfPEM, .malformed, .missingKey, .missingCertificate, .tooLarge:
            return "grep -e ----- \(file); file \(file)"
        case .expired, .notYetValid: return "openssl x509 -in \(file) -noout -subject -dates"
        case .wrongOrder, .missingIntermediate:
            return "openssl crl2pkcs7 -nocrl -certfile \(file) | openssl pkcs7 -print_certs -noout"
        default: return "openssl x509 -in \(file) -noout -text"
        }
    }
}
