import EventLoop
import JSON
import PKI

/// Certificates for development: made at start for listeners that want one, gone with the agent.
enum EdgeDevelopment {
    /// A certificate for each listener that wants one and has none in `known`; says so loudly. Its CA is written to the
    /// state directory, so that clients can be told to trust it.
    static func certificates(
        for configuration: Configuration.Edge, directory: String, log: Log, known: [String: Credentials] = [:]
    ) throws -> [String: Credentials] {
        var made: [String: Credentials] = [:]
        for (index, listener) in configuration.listeners.enumerated() {
            let name = listener.address.description
            guard listener.wantsDevelopmentCertificate, known[name] == nil else { continue }
            let development = try DevelopmentCertificate.make(
                name: listener.developmentNames.first ?? listener.developmentAddresses.first ?? "localhost",
                dnsNames: listener.developmentNames, ipAddresses: listener.developmentAddresses,
                now: Clock.unixSeconds())
            made[name] = development.credentials
            let file = files(directory, index).authority
            do throws(CertificateError) {
                try SafeFile.write(Array(development.authority.pem.utf8), to: file, mode: 0o644)
            } catch {
                throw StartFailure(exitCode: 1, lines: [error.description], hint: error.hint)
            }
            log.warning(
                "development_certificate",
                "THIS LISTENER USES A CERTIFICATE THAT WAS MADE JUST NOW, FOR DEVELOPMENT ONLY: nobody trusts it unless he "
                    + "is given its CA",
                [("listener", .string(name)), ("ca", .string(file))])
        }
        return made
    }

    /// Removes what was written for this configuration.
    static func remove(for configuration: Configuration.Edge, directory: String) {
        for (index, listener) in configuration.listeners.enumerated() where listener.wantsDevelopmentCertificate {
            files(directory, index).remove()
        }
    }

    private static func files(_ directory: String, _ index: Int) -> DevelopmentCertificate.Files {
        DevelopmentCertificate.Files(directory: directory, name: "edge-development-\(index)")
    }
}

extension Configuration.EdgeListener {
    /// Whether a certificate is made at start.
    var wantsDevelopmentCertificate: Bool { !developmentNames.isEmpty || !developmentAddresses.isEmpty }
}
