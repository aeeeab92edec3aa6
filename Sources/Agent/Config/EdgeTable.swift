import TLS

/// The keys of the edge.
enum EdgeTable {
    static let root: [Field<Configuration>] =
        [
            .elements(
                "edge.listeners", \.edge.listeners, of: listener, make: Configuration.EdgeListener.init,
                identity: \.address.description, maximum: 64,
                "Where external clients connect: browsers, scripts, partner systems. Without one there is no edge."),
            .elements(
                "edge.routes", \.edge.routes, of: route, make: Configuration.EdgeRoute.init,
                identity: { $0.host + $0.path }, maximum: 4096,
                "Which requests go to which service; the most exact host, then the longest path counts."),
        ] + authentication + limits + backend + connect

    static let listener: [Field<Configuration.EdgeListener>] = [
        .value(
            "address", \.address, .address([.anyPort, .wildcard, .unix]), "Where it listens.", required: true,
            effect: .restart),
        .value(
            "tls", \.tls, .choice,
            "Who ends TLS: this agent, a proxy in `trustedProxies`, either (by who connects and whether the first bytes "
                + "are TLS), or nobody (loopback only)."),
        .value("force", \.force, .boolean, "Allow `tls: \"disabled\"` on addresses that other hosts reach."),
        .elements(
            "certificates", \.certificates, of: certificate, make: Configuration.EdgeCertificate.init,
            identity: \.certificate, maximum: 256,
            "Certificates, chosen by the name that the client asks for (SNI); the first one serves all others."),
        .value(
            "developmentCertificate.names", \.developmentNames, .list(.hostName, "a list of DNS names", orOne: true),
            "Make a certificate for these names at start, for development only; it ends with the agent.",
            default: "none"),
        .value(
            "developmentCertificate.addresses", \.developmentAddresses,
            .list(.ipAddress, "a list of IP addresses", orOne: true),
            "IP addresses of that certificate.", default: "none"),
        .value(
            "profile", \.profile, .optional(.choice),
            "What may be negotiated here, see `docs/tls-profiles.md`. Where `tls.profile` is `hipaa`, `pci-dss` or `fips`, no "
                + "other is possible.",
            default: "`intermediate`, or `tls.profile` where that is `hipaa`, `pci-dss` or `fips`"),
        .value(
            "minimumVersion", \.minimumVersion, .choice,
            "The lowest version of TLS that is spoken, not below that of the profile.", default: "that of the profile"),
        .value(
            "cipherSuites", \.cipherSuites, .algorithms, "Cipher suites, some of those of the profile, best first.",
            default: "those of the profile"),
        .value(
            "groups", \.groups, .algorithms, "Groups of the key exchange, some of those of the profile, best first.",
            default: "those of the profile"),
        .value(
            "sessions.lifetime", \.sessionLifetime, .duration(.zero ... .seconds(TicketKeys.maximumLifetime)),
            "How long a client may resume its TLS session by ticket, from its last handshake in full, see `docs/tls.md`; zero "
                + "means never. Profiles set a bound. Nothing is kept on this side: there is no session cache."),
        .value(
            "clientCertificates.mode", \.clientCertificates, .choice,
            "Whether clients are asked for a certificate, and whether they need one."),
        .value(
            "clientCertificates.ca", \.clientCA, .list(.path, "a path or a list of paths", orOne: true),
            "PEM files with the CA certificates that clients' certificates must lead to. Only the mesh's own CA vouches for "
                + "`trust.domain`.", default: "none"),
        .value(
            "clientCertificates.commonNames", \.clientCommonNames, .boolean,
            "Map certificates of other CAs than the mesh's own by their common name, too, where they have no SPIFFE URI. "
                + "Such a CA can then name everybody whom a `cn` of the policy names."),
        .value(
            "clientCertificates.revocation.files", \.clientRevocationFiles,
            .list(.path, "a path or a list of paths", orOne: true),
            "CRLs (PEM or DER) of these CAs: connections of clients on one end. Read again on reload and when they change.",
            default: "none"),
        .value(
            "clientCertificates.revocation.mode", \.clientRevocationMode, .choice,
            "What happens where the CRL of an issuer is missing or out of date, as with `trust.revocation.mode`."),
        .value(
            "clientCertificates.ocsp.mode", \.clientOCSP, .choice,
            "Whether an OCSP responder is asked about clients' certificates, as with `ocsp.peers`."),
        .value(
            "clientCertificates.ocsp.responder", \.clientOCSPResponder, .optional(.fetchURL),
            "That responder.",
            default: "those that the certificates name, as far as `ocsp.allowedHosts` has their hosts"),
        .value(
            "clientCertificates.pins", \.clientPins, .pins,
            "Pins (`spki-sha256:…`, `cert-sha256:…`), one of which the chain of a client's certificate must match.",
            default: "none"),
        .value(
            "clientCertificates.pinMode", \.clientPinMode, .choice,
            "Whether a certificate that matches none fails the handshake, or is only logged and counted."),
        .value(
            "trustedProxies", \.trustedProxies, .list(.trustedProxy, "a list of CIDRs or \"unix\"", orOne: true),
            "Socket peers whose forwarded headers and PROXY headers count. Loopback is not among them by itself.",
            default: "none"),
        .value(
            "forwardedFields", \.forwardedFields, .choice,
            "Which fields the trusted proxies set; the others are ignored. With `any`, fields that contradict each other "
                + "are refused."),
        .value(
            "proxyProtocol", \.proxyProtocol, .choice,
            "`require`: a trusted proxy must begin with a PROXY protocol header (v1 or v2)."),
        .value(
            "allow", \.allow, .list(.cidr, "a list of CIDRs", orOne: true), "Only these addresses may connect.",
            default: "all"),
        .value(
            "deny", \.deny, .list(.cidr, "a list of CIDRs", orOne: true),
            "These addresses may not connect, also when `allow` has them.", default: "none"),
        .value(
            "hosts", \.hosts, .list(.hostPattern, "a list of hosts", orOne: true),
            "Hosts that are served here; requests for others get 421. The default keeps pages of other sites from reaching "
                + "a plain listener on loopback by a name of theirs (DNS rebinding).",
            default: "all; on loopback without TLS `localhost`, IP addresses and the hosts of routes"),
        .value(
            "plaintext", \.plaintext, .choice,
            "What plain HTTP gets on a TLS port: an answer that says so, or a redirect to https, for hosts that `hosts`, "
                + "certificates, routes or `publicOrigin` name."),
        .value(
            "hsts.maxAge", \.hstsMaxAge, .duration(.zero ... .seconds(63_072_000)),
            "How long browsers shall use https only (Strict-Transport-Security); zero sends nothing."),
        .value("hsts.includeSubDomains", \.hstsIncludeSubDomains, .boolean, "The same for all subdomains."),
        .value("hsts.preload", \.hstsPreload, .boolean, "Agree to the lists that browsers are delivered with."),
        .value(
            "publicOrigin", \.publicOrigin, .optional(.origin),
            "The origin under which clients reach this listener; redirects and DPoP proofs are made for it.",
            default: "`https` and the request's host"),
    ]

    static let certificate: [Field<Configuration.EdgeCertificate>] =
        certificateFiles + PassphraseTable.fields("", of: "`key`").map { $0.inside(\.passphrase) } + certificateUse

    private static let certificateFiles: [Field<Configuration.EdgeCertificate>] = [
        .value(
            "certificate", \.certificate, .path,
            "PEM file with the certificate, then its intermediates. Read again on reload and when it changes.",
            required: true),
        .value("key", \.key, .path, "PEM file with its private key; only its owner may read it.", required: true),
    ]

    private static let certificateUse: [Field<Configuration.EdgeCertificate>] = [
        .value(
            "names", \.names, .list(.hostPattern, "a list of host names"), "Names for which it is used.",
            default: "those in the certificate"),
        .value(
            "ocspResponder", \.ocspResponder, .optional(.fetchURL),
            "Where OCSP responses to be stapled are fetched.",
            default: "what the certificate names, as far as `ocsp.allowedHosts` has its host"),
    ]

    static let route: [Field<Configuration.EdgeRoute>] = [
        .value("host", \.host, .hostPattern, "The host: exact, `*.example.com` for one label, or `*`."),
        .value("path", \.path, .pathPrefix, "The path's beginning, in whole segments."),
        .value("service", \.service, .name("a service's name", "NAME"), "The service it leads to.", required: true),
        .value(
            "rewrite", \.rewrite, .optional(.pathPrefix), "What `path` is replaced with.", default: "path stays"),
        .value(
            "serviceHost", \.serviceHost, .optional(.authority),
            "What Host says towards the service, for servers that choose by it.", default: "what the client asked for"),
        .value(
            "timeout", \.timeout, .duration(.milliseconds(100) ... .seconds(86_400)),
            "Time from the request to the first byte of the service's response; then the client gets 504."),
        .value(
            "idleTimeout", \.idleTimeout, .duration(.zero ... .seconds(604_800)),
            "Time without a byte in either direction on a response or WebSocket under way; zero means for ever."),
        .value("require", \.require, .choice, "What a client must prove; an API key counts as a token."),
        .value(
            "scopes", \.scopes, .list(.scope, "a list of scopes"),
            "Scopes that the token or key must have, all of them.", default: "none"),
        .value(
            "origins", \.origins, .list(.originPattern, "a list of origins"),
            "Origins of pages that may use it (CORS and WebSocket): `https://app.example.com`, or `*`.",
            default: "none but its own"),
        .value(
            "cors.methods", \.corsMethods, .list(.token, "a list of methods"), "Methods that pages may use.",
            default: "GET, HEAD, POST"),
        .value(
            "cors.headers", \.corsHeaders, .list(.token, "a list of field names"), "Request fields that pages may set.",
            default: "Authorization, Content-Type"),
        .value(
            "cors.exposed", \.corsExposed, .list(.token, "a list of field names"),
            "Response fields that pages may read.", default: "none"),
        .value(
            "cors.credentials", \.corsCredentials, .boolean,
            "Whether pages may send cookies and certificates; needs exact `origins`."),
        .value(
            "cors.maxAge", \.corsMaxAge, .duration(.zero ... .seconds(86_400)),
            "How long browsers may remember the answer to a preflight."),
        .value(
            "limits.body", \.maximumBody, .size(0...1 << 50), "The largest request body; larger ones get 413."),
        .value(
            "limits.rate", \.rate, .integer(0...10_000_000),
            "Requests a second for each principal (or address, without one) on this route; 0 means no limit."),
        .value(
            "limits.burst", \.burst, .integer(0...10_000_000),
            "How many of them may come at once; 0 means as many as in one second."),
        .value(
            "signCaller", \.signCaller, .boolean,
            "Sign the caller headers, so that the service can tell them from others; needs "
                + "`edge.authentication.callerSecretFile`."),
    ]

    private static let authentication: [Field<Configuration>] = [
        .elements(
            "edge.authentication.issuers", \.edge.authentication.issuers, of: issuer,
            make: Configuration.EdgeIssuer.init, identity: \.issuer, maximum: 64, "Whose tokens (JWT) are accepted."),
        .value(
            "edge.authentication.apiKeys", \.edge.authentication.apiKeys, .optional(.path),
            "File with API keys, as `mesh apikey create` writes it; it must exist. Looked at twice a second."),
        .value(
            "edge.authentication.localIssuer.key", \.edge.authentication.localIssuerKey, .optional(.path),
            "File of the local issuer (`mesh token init`); its public key is served at `/.well-known/jwks.json`, and its "
                + "tokens are accepted."),
        .value(
            "edge.authentication.localIssuer.audiences", \.edge.authentication.localIssuerAudiences,
            .list(.string("an audience", "AUDIENCE", maximumLength: 512), "a list of audiences"),
            "One of these must be in `aud` of the local issuer's tokens.", default: "`conduit-mesh`"),
        .value(
            "edge.authentication.localIssuer.leeway", \.edge.authentication.localIssuerLeeway,
            .duration(.zero ... .seconds(300)), "How much clocks may differ from the local issuer's."),
        .value(
            "edge.authentication.revocations", \.edge.authentication.revocations, .optional(.path),
            "File with revoked tokens and subjects, as `mesh token revoke` writes it. Looked at twice a second; what is "
                + "revoked ends at once. While there is no such file, nothing is revoked."),
        .value(
            "edge.authentication.tokenInQuery", \.edge.authentication.tokenInQuery, .boolean,
            "Accept tokens in the query (`access_token`). They end up in logs and histories: use another way."),
        .value(
            "edge.authentication.callerSecretFile", \.edge.authentication.callerSecretFile, .optional(.path),
            "File with the secret (at least 32 bytes) that signs caller headers."),
        .value(
            "edge.authentication.dpop.nonceSecretFile", \.edge.authentication.dpopNonceSecretFile, .optional(.path),
            "File with the secret (at least 32 bytes) of DPoP nonces, the same at all edges behind one address. Read again "
                + "on reload.", default: "one of this process"),
        .value(
            "edge.authentication.dpop.acceptsOthers", \.edge.authentication.dpopAcceptsOthers, .boolean,
            "Accept nonces of other edges with that secret, for balancers that send each request elsewhere. A proof that was "
                + "caught can then be replayed once at each other edge."),
    ]

    static let issuer: [Field<Configuration.EdgeIssuer>] = [
        .value(
            "issuer", \.issuer, .string("an issuer's name", "ISSUER", maximumLength: 512),
            "Its name, exactly as tokens have it in `iss`.", required: true),
        .value(
            "audiences", \.audiences,
            .list(.string("an audience", "AUDIENCE", maximumLength: 512), "a list of audiences", orOne: true),
            "One of these must be in `aud`.", default: "must be given"),
        .value("jwks.file", \.jwksFile, .optional(.path), "File with its public keys (JWK set). Read again on reload."),
        .value(
            "jwks.url", \.jwksURL, .optional(.httpsURL),
            "Where its public keys are fetched; never taken from a token."),
        .value(
            "jwks.ca", \.jwksCA, .list(.path, "a path or a list of paths", orOne: true),
            "PEM files with the CA certificates for `jwks.url`.", default: "the system's"),
        .value(
            "algorithms", \.algorithms,
            .list(.string("an algorithm", "ALG", maximumLength: 16), "a list of algorithms"),
            "Signature algorithms that are accepted, each further bound to the key's type.",
            default: "every one that the keys allow"),
        .value(
            "secretFile", \.secretFile, .optional(.path),
            "File with a shared secret of at least 32 bytes, for HS256, HS384 and HS512; instead of `jwks`."),
        .value(
            "leeway", \.leeway, .duration(.zero ... .seconds(300)), "How much clocks may differ from the issuer's."),
        .value(
            "claims.groups", \.groupsClaim, .string("a claim", "CLAIM", maximumLength: 128),
            "The claim that holds groups."),
        .value(
            "claims.attributes", \.attributeClaims,
            .list(.string("a claim", "CLAIM", maximumLength: 128), "a list of claims"),
            "Further claims that policy mappings may ask for.", default: "none"),
        .value(
            "dpop", \.dpop, .choice,
            "Proof of possession (DPoP): tokens bound to a key always need theirs; `required` refuses all others."),
    ]

    private static let limits: [Field<Configuration>] = [
        .value(
            "edge.limits.connections", \.edge.limits.connections, .integer(1...10_000_000),
            "The most connections. At the limit a newcomer takes the place of the one that has gone longest without "
                + "proving who it is, or has been idle longest."),
        .value(
            "edge.limits.connectionsPerAddress", \.edge.limits.connectionsPerAddress, .integer(1...10_000_000),
            "The most connections of one address (of one /64 with IPv6)."),
        .value(
            "edge.limits.connectionsPerPrincipal", \.edge.limits.connectionsPerPrincipal, .integer(1...10_000_000),
            "The most connections of one principal; further requests get 429."),
        .value(
            "edge.limits.handshakesPerSecond", \.edge.limits.handshakesPerSecond, .integer(0...1_000_000),
            "TLS handshakes a second for each address; 0 means no limit."),
        .value(
            "edge.limits.addressRate", \.edge.limits.addressRate, .integer(0...10_000_000),
            "Requests a second for each address; 0 means no limit."),
        .value(
            "edge.limits.addressBurst", \.edge.limits.addressBurst, .integer(0...10_000_000),
            "How many of them may come at once; 0 means as many as in one second."),
        .value(
            "edge.limits.principalRate", \.edge.limits.principalRate, .integer(0...10_000_000),
            "Requests a second for each principal; 0 means no limit."),
        .value(
            "edge.limits.principalBurst", \.edge.limits.principalBurst, .integer(0...10_000_000),
            "How many of them may come at once; 0 means as many as in one second."),
        .value(
            "edge.limits.handshakeTimeout", \.edge.limits.handshakeTimeout,
            .duration(.milliseconds(100) ... .seconds(300)),
            "From the TCP connection to the end of the TLS handshake."),
        .value(
            "edge.limits.headerTimeout", \.edge.limits.headerTimeout,
            .duration(.milliseconds(100) ... .seconds(300)),
            "From a request's first byte, or the handshake before the first one, to the end of its head."),
        .value(
            "edge.limits.bodyTimeout", \.edge.limits.bodyTimeout, .duration(.milliseconds(100) ... .seconds(3600)),
            "Time in which at least 16 KiB of a body, or all of the rest, must move in either direction."),
        .value(
            "edge.limits.idleTimeout", \.edge.limits.idleTimeout, .duration(.milliseconds(100) ... .seconds(3600)),
            "Time that a connection may wait for its next request."),
        .value(
            "edge.limits.header", \.edge.limits.header, .size(1 << 10...1 << 20),
            "The largest head of a request; larger ones get 431."),
    ]

    private static let connect: [Field<Configuration>] = [
        .value(
            "edge.connect.enabled", \.edge.connect.enabled, .boolean,
            "Whether `GET /v1/connect/SERVICE` gives any TCP service as a WebSocket, to those whom policy lets connect."
        ),
        .value(
            "edge.connect.require", \.edge.connect.require, .choice,
            "What a client must prove there; with `none` nobody gets in."),
        .value(
            "edge.connect.scopes", \.edge.connect.scopes, .list(.scope, "a list of scopes"),
            "Scopes that the token or key must have, all of them.", default: "none"),
        .value(
            "edge.connect.origins", \.edge.connect.origins, .list(.originPattern, "a list of origins"),
            "Origins of pages that may use it.", default: "none but its own"),
        .value(
            "edge.connect.idleTimeout", \.edge.connect.idleTimeout, .duration(.zero ... .seconds(604_800)),
            "Time without a byte in either direction; zero means for ever."),
    ]

    private static let backend: [Field<Configuration>] = [
        .value(
            "edge.backend.connections", \.edge.backend.connections, .integer(1...1_000_000),
            "The most connections for one principal to one service, on each worker; further requests wait."),
        .value(
            "edge.backend.idleTimeout", \.edge.backend.idleTimeout, .duration(.zero ... .seconds(3600)),
            "How long a connection to a service is kept for the next request; zero keeps none."),
        .value(
            "edge.backend.connectTimeout", \.edge.backend.connectTimeout,
            .duration(.milliseconds(10) ... .seconds(300)),
            "How long it may take until an instance has accepted a connection, other instances included."),
    ]
}
