import EventLoop
import JSON
import PKI
import TLS

/// Makes the servers behind a front ready for use: reads their CA certificates and our certificates for them.
enum FrontTargets {
    /// The targets by name.
    ///
    /// Where a server's certificate is not checked, what would have been refused goes to `log`, for every connection.
    static func load(_ front: FrontConfiguration, log: Log) throws -> [String: DirectTarget] {
        var targets: [String: DirectTarget] = [:]
        for target in front.targets {
            let endpoint = try Endpoint(parsing: target.url.address.description)
            let security = target.url.isSecure ? try security(target, endpoint, log) : nil
            targets[target.name] = DirectTarget(endpoint: endpoint, security: security)
        }
        return targets
    }

    private static func security(
        _ target: FrontTarget, _ endpoint: Endpoint, _ log: Log
    ) throws -> DirectTarget.Security {
        var credentials: Credentials?
        if let certificate = target.certificate, let key = target.key {
            credentials = try Credentials.load(
                certificateFile: certificate, keyFile: key, passphrase: try target.passphrase.load())
        }
        var configuration = TLSContext.Configuration.foreignServer(
            trust: try trust(target), credentials: credentials,
            minimumVersion: TLSVersion(target.minimumVersion))
        let name = target.serverName ?? target.url.host ?? endpoint.host
        let isAddress = target.serverName == nil && !target.url.isLocalhost && endpoint.address != nil
        guard target.insecure else {
            return DirectTarget.Security(
                context: try TLSContext(configuration), expecting: .foreignServer(host: name),
                serverName: isAddress ? nil : name)
        }
        configuration.peerCertificate = .none
        let url = target.url.description
        return DirectTarget.Security(
            context: try TLSContext(configuration), expecting: .foreignServer(host: name),
            serverName: isAddress ? nil : name,
            unchecked: { error in
                log.warning(
                    "insecure_connection", "the server's certificate would be refused, but is not checked",
                    [
                        ("target", .string(url)), ("reason", .string(error.reason.rawValue)),
                        ("detail", .string(error.message)),
                    ])
            })
    }

    private static func trust(_ target: FrontTarget) throws -> TrustBundle {
        guard let first = target.ca.first else { return try TrustBundle.system() }
        var bundle = try TrustBundle.load(file: first)
        for file in target.ca.dropFirst() { bundle = bundle.merging(try TrustBundle.load(file: file)) }
        return bundle
    }
}
