/// What is wrong between the values of an edge: of an agent's, and of one that `mesh-agent front` made of flags.
struct EdgeChecks {
    private let edge: Configuration.Edge
    private let origins: [String: ConfigurationOrigin]
    /// Keys whose own value was refused: what follows from them is not reported again.
    private let refused: Set<String>
    private(set) var issues: [ConfigurationIssue] = []
    private(set) var warnings: [ConfigurationIssue] = []

    /// Checks for `edge`, whose values came from `origins`.
    init(_ edge: Configuration.Edge, origins: [String: ConfigurationOrigin], refused: Set<String>) {
        self.edge = edge
        self.origins = origins
        self.refused = refused
    }

    mutating func run() {
        for (index, listener) in edge.listeners.enumerated() { check(listener, "edge.listeners[\(index)]") }
        checkDuplicates(
            edge.listeners.map { $0.address.port == 0 ? nil : $0.address.description }, "edge.listeners", "address",
            "give each listener its own port")
        for (index, route) in edge.routes.enumerated() { check(route, "edge.routes[\(index)]") }
        checkDuplicates(
            edge.routes.map { $0.host.lowercased() + $0.path }, "edge.routes", "path",
            "two routes for the same requests: leave one out")
        checkAuthentication()
        checkRequirements()
        if !edge.listeners.isEmpty, edge.routes.isEmpty {
            warn(
                .missingKey, "edge.listeners", "there are listeners but no route: every request gets 404",
                hint: "add edge.routes")
        }
        if edge.listeners.isEmpty, !edge.routes.isEmpty {
            warn(
                .missingKey, "edge.routes", "there are routes but no listener", hint: "add edge.listeners")
        }
    }

    // MARK: - Listeners

    private mutating func check(_ listener: Configuration.EdgeListener, _ key: String) {
        let hasCertificate = !listener.certificates.isEmpty || refused.contains { $0.hasPrefix("\(key).certificates") }
        let isDevelopment = !listener.developmentNames.isEmpty || !listener.developmentAddresses.isEmpty
        switch listener.tls {
        case .application, .auto:
            if !hasCertificate, !isDevelopment, !refused.contains("\(key).tls") {
                report(
                    .missingKey, "\(key).tls", "speaks TLS and has no certificate",
                    hint: "set certificates, or developmentCertificate while developing")
            }
            if hasCertificate, isDevelopment {
                report(
                    .conflict, "\(key).developmentCertificate", "there are certificates from files already",
                    hint: "leave one of the two out")
            }
        case .behindProxy: checkUnused(listener, key, "a proxy ends TLS here")
        case .disabled:
            checkUnused(listener, key, "TLS is off here")
            if !listener.address.isLoopback, !listener.force, !refused.contains("\(key).address") {
                report(
                    .notLoopback, "\(key).address",
                    "\(listener.address) can be reached by other hosts, and TLS is off: everybody in between reads along",
                    hint: "use 127.0.0.1, switch TLS on, or set force where something else protects the connection")
            }
        }
        if listener.tls == .behindProxy || listener.tls == .auto, listener.trustedProxies.isEmpty,
            !refused.contains(where: { $0.hasPrefix("\(key).trustedProxies") })
        {
            report(
                .missingKey, "\(key).trustedProxies", "no proxy is trusted, so none can connect",
                hint: "name the proxy's address, for example [\"10.0.0.5\"]")
        }
        if listener.proxyProtocol == .require, listener.trustedProxies.isEmpty {
            report(
                .conflict, "\(key).proxyProtocol", "no proxy is trusted, so nobody may send a PROXY header",
                hint: "set trustedProxies")
        }
        for (index, certificate) in listener.certificates.enumerated() {
            guard
                let check = PassphraseCheck(
                    certificate.passphrase, "\(key).certificates[\(index)].", hasKey: true, keyName: "key")
            else { continue }
            report(.conflict, check.key, check.message, hint: check.hint)
        }
        checkClientCertificates(listener, key)
    }

    /// TLS settings of a listener that does not speak it.
    private mutating func checkUnused(_ listener: Configuration.EdgeListener, _ key: String, _ why: String) {
        if !listener.certificates.isEmpty {
            report(
                .conflict, "\(key).certificates", "\(why), so the certificates would not be used",
                hint: "remove them, or set tls to \"application\"")
        }
        if listener.clientCertificates != .none {
            report(
                .conflict, "\(key).clientCertificates.mode", "\(why), so clients cannot be asked for certificates",
                hint: "remove it, or set tls to \"application\"")
        }
        if listener.tls == .disabled, listener.hstsMaxAge != .zero {
            warn(.conflict, "\(key).hsts.maxAge", "has no effect: HSTS counts over TLS only (RFC 6797, section 7.2)")
        }
    }

    private mutating func checkClientCertificates(_ listener: Configuration.EdgeListener, _ key: String) {
        let isRefused = refused.contains { $0.hasPrefix("\(key).clientCertificates") }
        if listener.clientCertificates != .none, listener.clientCA.isEmpty, !isRefused {
            report(
                .missingKey, "\(key).clientCertificates.ca",
                "clients are asked for certificates, but no CA says which are good",
                hint: "set the CA's certificate, for example certs/ca.crt (for a front: --ca-file, or …_CA_FILE in the "
                    + "environment)")
        }
        if listener.clientCertificates == .none, listener.clientCommonNames, !isRefused {
            warn(
                .conflict, "\(key).clientCertificates.commonNames",
                "has no effect: clients are not asked for certificates",
                hint: "set clientCertificates.mode to \"required\" or \"optional\"")
        }
        if listener.clientCertificates == .none, !listener.clientPins.isEmpty, !isRefused {
            report(
                .conflict, "\(key).clientCertificates.pins", "clients are not asked for certificates that could match",
                hint: "set clientCertificates.mode to \"required\" or \"optional\"")
        }
        if listener.clientCertificates == .none, !listener.clientCA.isEmpty, !isRefused {
            warn(
                .conflict, "\(key).clientCertificates.ca", "has no effect: clients are not asked for certificates",
                hint: "set clientCertificates.mode to \"required\" or \"optional\"")
        }
    }

    // MARK: - Routes

    private mutating func check(_ route: Configuration.EdgeRoute, _ key: String) {
        if route.corsCredentials, route.origins.contains("*") {
            report(
                .conflict, "\(key).cors.credentials", "every page of every site could act for its visitors",
                hint: "name the pages in origins, without *")
        }
        if !route.scopes.isEmpty, route.require == .none || route.require == .certificate {
            report(
                .conflict, "\(key).scopes", "only tokens have scopes, and the route asks for none",
                hint: "set require to \"token\" or \"both\"")
        }
        if route.signCaller, edge.authentication.callerSecretFile == nil {
            report(
                .conflict, "\(key).signCaller", "needs a secret",
                hint: "set edge.authentication.callerSecretFile: head -c 32 /dev/urandom > FILE")
        }
        if route.burst > 0, route.rate == 0 {
            warn(.conflict, "\(key).limits.burst", "has no effect without limits.rate")
        }
    }

    /// A route must be passable: what it asks for must be something that a client can show.
    private mutating func checkRequirements() {
        let authentication = edge.authentication
        let knowsTokens =
            !authentication.issuers.isEmpty || authentication.apiKeys != nil || authentication.localIssuerKey != nil
            || refused.contains { $0.hasPrefix("edge.authentication") }
        let knowsCertificates =
            edge.listeners.isEmpty
            || edge.listeners.contains { $0.clientCertificates != .none || !$0.trustedProxies.isEmpty }
        for (index, route) in edge.routes.enumerated() where !refused.contains("edge.routes[\(index)].require") {
            let key = "edge.routes[\(index)].require"
            let needsToken = route.require == .token || route.require == .both
            let needsCertificate = route.require == .certificate || route.require == .both
            if needsToken, !knowsTokens {
                report(
                    .conflict, key, "the route asks for a token, but no token would be accepted",
                    hint: "set edge.authentication (issuers, apiKeys or localIssuer.key), or require to \"none\"")
            }
            if needsCertificate, !knowsCertificates {
                report(
                    .conflict, key, "the route asks for a client certificate, but no listener does",
                    hint: "set clientCertificates on the listener")
            }
            if route.require == .either, !knowsTokens, !knowsCertificates {
                report(
                    .conflict, key, "neither tokens nor client certificates are accepted",
                    hint: "set edge.authentication or the listener's clientCertificates")
            }
        }
    }

    // MARK: - Authentication

    private mutating func checkAuthentication() {
        if edge.authentication.dpopAcceptsOthers, edge.authentication.dpopNonceSecretFile == nil {
            report(
                .conflict, "edge.authentication.dpop.acceptsOthers",
                "other edges have other secrets, so their nonces mean "
                    + "nothing here",
                hint:
                    "set edge.authentication.dpop.nonceSecretFile, the same file at all edges: head -c 32 /dev/urandom > "
                    + "FILE")
        }
        checkDuplicates(
            edge.authentication.issuers.map(\.issuer), "edge.authentication.issuers", "issuer",
            "put the audiences and keys of one issuer together")
        for (index, issuer) in edge.authentication.issuers.enumerated() {
            let key = "edge.authentication.issuers[\(index)]"
            if refused.contains(where: { $0.hasPrefix(key) }) { continue }
            if issuer.audiences.isEmpty {
                report(
                    .missingKey, "\(key).audiences", "tokens for anybody else would be accepted",
                    hint: "set what the issuer writes in `aud` for this edge")
            }
            let sources = [issuer.jwksFile, issuer.jwksURL, issuer.secretFile].compactMap { $0 }.count
            if sources == 0 {
                report(
                    .missingKey, "\(key).jwks", "the issuer has no keys",
                    hint: "set jwks.url or jwks.file, or secretFile for HS256")
            } else if sources > 1 {
                report(
                    .conflict, "\(key).jwks", "keys come from one place: jwks.file, jwks.url or secretFile",
                    hint: "leave the others out")
            }
        }
    }

    // MARK: - Help

    private mutating func checkDuplicates(_ names: [String?], _ list: String, _ member: String, _ hint: String) {
        var seen: [String: Int] = [:]
        for (index, name) in names.enumerated() {
            guard let name else { continue }
            if let earlier = seen[name] {
                report(
                    .duplicate, "\(list)[\(index)].\(member)", "is the same as in \(list)[\(earlier)]", hint: hint)
            } else {
                seen[name] = index
            }
        }
    }

    /// Where a value came from; for one that was not written, where the object is in which it would stand.
    private func origin(_ key: String) -> ConfigurationOrigin? {
        var key = key[...]
        while true {
            if let origin = origins[String(key)] { return origin }
            guard let dot = key.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
            key = key[..<dot]
        }
    }

    private mutating func report(
        _ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil
    ) {
        issues.append(ConfigurationIssue(code, origin(key), key, message, hint: hint))
    }

    private mutating func warn(_ code: ConfigurationIssue.Code, _ key: String, _ message: String, hint: String? = nil) {
        warnings.append(ConfigurationIssue(code, origin(key), key, message, hint: hint))
    }
}
