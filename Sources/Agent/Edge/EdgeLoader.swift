import EventLoop
import Gateway
import Glibc
import HTTP
import JOSE
import JSON
import PKI
import TLS

/// Makes everything that the edge decides with out of its configuration and the files that it names.
enum EdgeLoader {
    /// Largest file of keys, secrets or key sets.
    private static let maximumFile = 64 << 20
    /// Largest file of one secret or key.
    private static let maximumSecret = 64 << 10

    /// What a start or reload makes.
    struct Loaded: Sendable {
        let runtime: EdgeRuntime
        /// Where the keys of issuers are fetched, by name.
        let fetched: [String: HTTPFetch.Source]
    }

    /// Reads every file. `previous`: what is in force, whose fetched keys and DPoP nonces are kept.
    /// `mesh`: whom the mesh trusts, where there is one.
    static func load(
        _ configuration: Configuration.Edge, development: [String: Credentials] = [:], previous: EdgeRuntime? = nil,
        mesh: MeshTrust? = nil, now: Int64 = Clock.unixSeconds()
    ) throws -> Loaded {
        var listeners: [String: EdgeListenerRuntime] = [:]
        for (index, settings) in configuration.listeners.enumerated() {
            let name = settings.address.description
            listeners[name] = try inside("edge.listeners[\(index)]") {
                try listener(
                    settings, routes: configuration.routes, development: development[name],
                    tickets: previous?.listeners[name]?.tickets ?? [:], mesh: mesh)
            }
        }
        let signature = try configuration.authentication.callerSecretFile.map { file in
            try inside("edge.authentication.callerSecretFile") { try callerSignature(readSecret(file)) }
        }
        let routes = try inside("edge.routes") { try table(configuration.routes) }
        let settings = try configuration.routes.enumerated().map { index, route in
            try inside("edge.routes[\(index)]") { try EdgeLoader.route(route, signature) }
        }
        var fetched: [String: HTTPFetch.Source] = [:]
        for (index, issuer) in configuration.authentication.issuers.enumerated() {
            guard let url = issuer.jwksURL else { continue }
            fetched[issuer.issuer] = try inside("edge.authentication.issuers[\(index)].jwks.ca") {
                try HTTPFetch.Source(url: url, ca: issuer.jwksCA, under: configuration.authentication.fetchProfile)
            }
        }
        let process = previous?.process ?? DPoPProcess(startedAt: now)
        let (authenticator, keys) = try authenticator(
            configuration.authentication, previous: previous, process: process)
        let runtime = EdgeRuntime(
            configuration: configuration, listeners: listeners, routes: routes, routeSettings: settings,
            authenticator: authenticator, localKeys: keys, mesh: mesh, process: process)
        return Loaded(runtime: runtime, fetched: fetched)
    }

    /// The file's content.
    static func read(_ file: String) throws -> [UInt8] {
        do {
            return try SafeFile.read(file, limit: maximumFile)
        } catch {
            throw StartFailure(exitCode: 78, lines: [error.description], hint: hint(error), of: error)
        }
    }

    /// Reads a file only to say what is wrong with it, in the words of this room.
    static func look(at file: String) throws(CertificateError) {
        do throws(CertificateError) {
            _ = try SafeFile.read(file, limit: maximumFile)
        } catch {
            var error = error
            error.hint = hint(error)
            throw error
        }
    }

    /// The content of a file that holds a secret, in guarded memory: refused where group or others have access, as with a private
    /// key.
    private static func readSecret(_ file: String) throws -> Passphrase {
        do {
            var bytes = try SafeFile.readSecret(file, limit: maximumSecret)
            return Passphrase(wiping: &bytes)
        } catch {
            throw StartFailure(exitCode: 78, lines: [error.description], hint: hint(error), of: error)
        }
    }

    /// What helps with a file of the edge, which no command of the mesh's CA makes.
    private static func hint(_ error: CertificateError) -> String {
        guard error.reason == .unreadableFile, let file = error.file else { return error.hint }
        return "check the path and who may read it; namei -l \(file) shows how far it leads"
    }

    /// Says where a failure comes from.
    private static func inside<Result>(_ key: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as StartFailure {
            throw StartFailure(
                exitCode: error.exitCode, lines: error.lines.map { "\(key): \($0)" }, hint: error.hint,
                missingFile: error.missingFile)
        } catch let error as CertificateError {
            throw StartFailure(exitCode: 6, lines: ["\(key): \(error.description)"], hint: hint(error), of: error)
        } catch let error as TLSError {
            throw StartFailure(exitCode: 6, lines: ["\(key): \(error.message)"], hint: error.hint)
        } catch let error as JOSEError {
            throw StartFailure(exitCode: 78, lines: ["\(key): \(error.message)"], hint: error.hint)
        } catch {
            throw StartFailure(exitCode: 78, lines: ["\(key): \(error)"])
        }
    }

    // MARK: - Listeners

    private static func listener(
        _ settings: Configuration.EdgeListener, routes: [Configuration.EdgeRoute], development: Credentials?,
        tickets: [String: TicketKeys], mesh: MeshTrust?
    ) throws -> EdgeListenerRuntime {
        let speaksTLS = settings.tls == .application || settings.tls == .auto
        let hsts =
            settings.hstsMaxAge > .zero
            ? SecurityFields.HSTS(
                maxAge: Int(settings.hstsMaxAge.components.seconds), includeSubDomains: settings.hstsIncludeSubDomains,
                preload: settings.hstsPreload) : nil
        let proxies = settings.trustedProxies.filter { $0 != "unix" }
        let kept = speaksTLS ? try ticketKeys(settings, previous: tickets) : [:]
        let clientTrust = speaksTLS ? try clientTrust(settings) : nil
        let contexts =
            speaksTLS
            ? try contexts(settings, clientTrust, development: development, tickets: kept, mesh: mesh) : nil
        let hosts = EdgeHosts(settings, routes: routes, contexts: contexts)
        return EdgeListenerRuntime(
            settings: settings, tls: contexts, clientTrust: clientTrust, tickets: kept,
            trust: ProxyTrust(
                proxies: try CIDRSet(parsing: proxies), trustsUnix: settings.trustedProxies.contains("unix"),
                dialect: ProxyTrust.Dialect(rawValue: settings.forwardedFields.rawValue) ?? .any),
            filter: AddressFilter(
                allow: try CIDRSet(parsing: settings.allow), deny: try CIDRSet(parsing: settings.deny)),
            security: SecurityFields(hsts: hsts), hosts: hosts.served, redirectHosts: hosts.named)
    }

    /// What the keys of the listener's certificate for development go by; a file's path is never empty.
    private static let developmentTickets = ""

    /// Keys of tickets for each certificate of a listener, those of before where their lifetime is the same.
    private static func ticketKeys(
        _ settings: Configuration.EdgeListener, previous: [String: TicketKeys]
    ) throws -> [String: TicketKeys] {
        guard settings.sessionLifetime > .zero else { return [:] }
        let lifetime = max(1, settings.sessionLifetime.components.seconds)
        var keys: [String: TicketKeys] = [:]
        for name in settings.certificates.map(\.certificate) + [developmentTickets] {
            let known = previous[name].flatMap { $0.lifetime == lifetime ? $0 : nil }
            keys[name] = try known ?? TicketKeys(lifetime: lifetime)
        }
        return keys
    }

    /// The CAs that the listener's files name for its clients; nil where it names none.
    private static func clientTrust(_ settings: Configuration.EdgeListener) throws -> TrustBundle? {
        guard !settings.clientCA.isEmpty else { return nil }
        var roots: [Certificate] = []
        for file in settings.clientCA { roots += try TrustBundle.load(file: file).roots }
        return try TrustBundle(roots: roots)
    }

    private static func contexts(
        _ settings: Configuration.EdgeListener, _ clientTrust: TrustBundle?, development: Credentials?,
        tickets: [String: TicketKeys], mesh: MeshTrust?
    ) throws -> TLSServerContexts {
        let minimum = TLSVersion(settings.minimumVersion)
        let parameters = try (settings.profile ?? .intermediate).parameters.choosing(
            suites: settings.cipherSuites, groups: settings.groups, minimum: minimum)
        let asked: TLSContext.PeerCertificate =
            switch settings.clientCertificates {
            case .none: .none
            case .optional: .optional
            case .required: .required
            }
        let trust = try clientTrust.map { bundle in try mesh?.clients(by: bundle) ?? bundle }
        let pins =
            settings.clientPins.isEmpty
            ? PinPolicy() : PinPolicy(rules: [try .init(node: nil, settings.clientPins, settings.clientPinMode)])
        let lists = settings.clientRevocationFiles
        let revocation =
            lists.isEmpty ? nil : RevocationLists(try RevocationLists.read(lists), settings.clientRevocationMode)
        func context(_ credentials: Credentials, _ name: String) throws -> TLSContext {
            var configuration = TLSContext.Configuration.edge(
                credentials, minimumVersion: minimum, clientCertificates: asked, clientTrust: trust,
                reservedDomain: mesh?.reserved)
            configuration.pins = pins
            configuration.revocation = revocation
            configuration.parameters = parameters
            configuration.tickets = tickets[name]
            return try TLSContext(configuration)
        }
        var entries: [TLSServerContexts.Entry] = []
        for certificate in settings.certificates {
            let credentials = try EdgeCertificates.load(certificate)
            entries.append(
                .init(
                    try context(credentials, certificate.certificate),
                    names: certificate.names.isEmpty ? nil : certificate.names))
        }
        if let development { entries.append(.init(try context(development, developmentTickets))) }
        return try TLSServerContexts(entries)
    }

    // MARK: - Routes

    private static func table(_ routes: [Configuration.EdgeRoute]) throws -> RouteTable {
        try RouteTable(
            routes.map { route in
                let rewrite: PathRewrite =
                    switch route.rewrite {
                    case nil: .keep
                    case "/"?: .strip
                    case let path?: .replace(path)
                    }
                return RoutePattern(host: HostPattern(parsing: route.host) ?? .any, path: route.path, rewrite: rewrite)
            })
    }

    private static func route(
        _ settings: Configuration.EdgeRoute, _ signature: CallerSignature?
    ) throws -> EdgeRouteRuntime {
        if settings.signCaller, signature == nil {
            throw StartFailure(
                exitCode: 78, lines: ["signCaller needs edge.authentication.callerSecretFile"],
                hint: "write 32 random bytes into a file: head -c 32 /dev/urandom > caller.secret")
        }
        let origins = settings.origins.isEmpty ? nil : OriginList(settings.origins.compactMap { .init(parsing: $0) })
        let cors = origins.map { origins in
            CORSPolicy(
                origins: origins,
                methods: settings.corsMethods.isEmpty
                    ? [.get, .head, .post, .put, .patch, .delete]
                    : settings.corsMethods.map { HTTPMethod(rawValue: $0) },
                headers: settings.corsHeaders.isEmpty ? ["Authorization", "Content-Type"] : settings.corsHeaders,
                exposedHeaders: settings.corsExposed, allowsCredentials: settings.corsCredentials,
                maxAge: Int(settings.corsMaxAge.components.seconds))
        }
        let name = settings.host + settings.path
        return EdgeRouteRuntime(
            settings: settings, name: name,
            rate: EdgeShared.policy("route", settings.rate, settings.burst), origins: OriginPolicy(origins), cors: cors,
            rewriter: RequestRewriter(
                host: try settings.serviceHost.map { .fixed(try HTTPAuthority(parsing: $0)) } ?? .client,
                signature: settings.signCaller ? signature : nil))
    }

    // MARK: - Authentication

    private static func authenticator(
        _ settings: Configuration.EdgeAuthentication, previous: EdgeRuntime?, process: DPoPProcess
    ) throws -> (Authenticator, localKeys: [UInt8]?) {
        var issuers: [TrustedIssuer] = []
        for (index, issuer) in settings.issuers.enumerated() {
            let known = previous?.authenticator.configuration.issuers.first { $0.name == issuer.issuer }
            issuers.append(
                try inside("edge.authentication.issuers[\(index)]") { try trusted(issuer, previous: known) })
        }
        var localKeys: [UInt8]?
        if let file = settings.localIssuerKey {
            try inside("edge.authentication.localIssuer.key") {
                let issuer = try tokenIssuer(readSecret(file))
                let audiences = settings.localIssuerAudiences.isEmpty ? ["conduit-mesh"] : settings.localIssuerAudiences
                localKeys = Array(try issuer.keySet.json.text().utf8)
                issuers.append(
                    try TrustedIssuer(
                        name: issuer.name, audiences: audiences, keys: .set(try issuer.keySet),
                        leeway: settings.localIssuerLeeway.components.seconds, claims: ["groups": "groups"]))
            }
        }
        let keys = try settings.apiKeys.map { file in
            try inside("edge.authentication.apiKeys") { try APIKeyStore(reading: read(file)) }
        }
        let revocations = try settings.revocations.map { file in
            try inside("edge.authentication.revocations") { try self.revocations(file) }
        }
        let dpop = try inside("edge.authentication.dpop.nonceSecretFile") {
            try process.settings(
                secret: try settings.dpopNonceSecretFile.map { try readSecret($0) },
                acceptsOthers: settings.dpopAcceptsOthers
            )
        }
        return (
            try Authenticator(
                Authenticator.Configuration(
                    issuers: issuers, apiKeys: keys, revocations: revocations ?? RevocationList(), dpop: dpop)),
            localKeys
        )
    }

    private static func tokenIssuer(_ text: Passphrase) throws -> TokenIssuer {
        var bytes = text.withBytes { Array($0) }
        defer { bytes.withUnsafeMutableBytes { if let start = $0.baseAddress { explicit_bzero(start, $0.count) } } }
        return try TokenIssuer(reading: bytes)
    }

    /// The revocations of a file; none where it is not there yet.
    static func revocations(_ file: String) throws -> RevocationList {
        FileStamp(file) == nil ? RevocationList() : try RevocationList(reading: read(file))
    }

    private static func trusted(
        _ issuer: Configuration.EdgeIssuer, previous: TrustedIssuer?
    ) throws -> TrustedIssuer {
        let keys: TrustedIssuer.Keys
        if let file = issuer.secretFile {
            keys = .secret(try SharedSecret(readSecret(file)))
        } else if let file = issuer.jwksFile {
            keys = .set(try KeySet(reading: read(file)))
        } else if case .set(let fetched)? = previous?.keys {
            keys = .set(fetched)
        } else {
            keys = .pending
        }
        let algorithms: Set<JWSAlgorithm>? =
            issuer.algorithms.isEmpty
            ? nil
            : Set(
                try issuer.algorithms.map { name in
                    guard let algorithm = JWSAlgorithm(rawValue: name) else {
                        throw StartFailure(
                            exitCode: 78, lines: ["there is no algorithm \(name)"],
                            hint: "algorithms are \(JWSAlgorithm.allCases.map(\.rawValue).joined(separator: ", "))")
                    }
                    return algorithm
                })
        var claims = ["groups": issuer.groupsClaim]
        for claim in issuer.attributeClaims { claims[claim] = claim }
        return try TrustedIssuer(
            name: issuer.issuer, audiences: issuer.audiences, keys: keys, algorithms: algorithms,
            leeway: issuer.leeway.components.seconds, claims: claims,
            dpop: TrustedIssuer.DPoPMode(rawValue: issuer.dpop.rawValue) ?? .optional)
    }

    private static func callerSignature(_ secret: Passphrase) throws -> CallerSignature {
        guard secret.count >= 32 else {
            throw StartFailure(
                exitCode: 78, lines: ["the secret has \(secret.count) bytes, and 32 are the least"],
                hint: "write 32 random bytes into it: head -c 32 /dev/urandom")
        }
        let mac = CallerMAC(secret)
        return CallerSignature(keyID: mac.keyID) { mac.authenticate($0) }
    }
}
