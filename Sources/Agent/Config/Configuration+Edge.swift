public import TLS

extension Configuration {
    /// The edge: where external clients come in. Without listeners there is none.
    ///
    /// A value that knows nothing of a mesh: `mesh-agent front` makes one of its flags.
    public struct Edge: Sendable, Equatable {
        /// Where external clients connect.
        public var listeners: [EdgeListener] = []
        /// Which requests go to which service.
        public var routes: [EdgeRoute] = []
        /// How clients prove who they are.
        public var authentication = EdgeAuthentication()
        /// What clients may take.
        public var limits = EdgeLimits()
        /// Connections to services.
        public var backend = EdgeBackend()
        /// TCP services as WebSockets.
        public var connect = EdgeConnect()

        /// No edge.
        public init() {}
    }

    /// Who ends TLS on an edge listener.
    public enum EdgeTLS: String, Sendable, CaseIterable {
        /// This agent, for everybody.
        case application
        /// A reverse proxy: only trusted proxies may connect, in plain HTTP.
        case behindProxy = "behind_proxy"
        /// Decided for each connection: trusted proxies may speak plain HTTP or TLS, everybody else TLS.
        case auto
        /// Nobody: plain HTTP, on loopback unless forced.
        case disabled
    }

    /// Whether the PROXY protocol is spoken.
    public enum ProxyProtocol: String, Sendable, CaseIterable {
        /// Not spoken; a header of it is a malformed request.
        case off
        /// Trusted proxies must begin with a header; nobody else may.
        case require
    }

    /// Which fields trusted proxies set.
    public enum ForwardedFields: String, Sendable, CaseIterable {
        /// Either kind; contradictions are refused.
        case any
        /// X-Forwarded-* and X-Real-IP.
        case xForwarded = "x-forwarded"
        /// Forwarded (RFC 7239).
        case forwarded
    }

    /// What a plain HTTP request on a TLS port gets.
    public enum EdgePlaintext: String, Sendable, CaseIterable {
        /// An answer that says what is wrong.
        case explain
        /// A redirect to the same URL with https.
        case redirect
    }

    /// What is asked of clients' certificates.
    public enum ClientCertificates: String, Sendable, CaseIterable {
        /// Nothing; they are not asked for.
        case none
        /// They may have one, which must be good.
        case optional
        /// Only clients with one get through the handshake.
        case required
    }

    /// One listener of the edge.
    public struct EdgeListener: Sendable, Equatable {
        /// Where it listens.
        public var address = Address.unset
        /// Who ends TLS.
        public var tls = EdgeTLS.application
        /// Allow `disabled` on addresses that other hosts reach.
        public var force = false
        /// Its certificates; the first one serves clients that name nobody.
        public var certificates: [EdgeCertificate] = []
        /// DNS names of an automatic certificate for development.
        public var developmentNames: [String] = []
        /// IP addresses of an automatic certificate for development.
        public var developmentAddresses: [String] = []
        /// What may be negotiated; the loader fills it in where nothing is given.
        public var profile: TLSProfile?
        /// The lowest version of TLS; the loader makes it the profile's where nothing is given.
        public var minimumVersion = TLSVersion.tls12
        /// Suites, a choice of the profile's; empty means all.
        public var cipherSuites: [String] = []
        /// Groups of the key exchange, a choice of the profile's; empty means all.
        public var groups: [String] = []
        /// How long a client may resume its TLS session by ticket; zero for never.
        public var sessionLifetime = Duration.zero
        /// What is asked of clients' certificates.
        public var clientCertificates = ClientCertificates.none
        /// CA certificates for clients.
        public var clientCA: [String] = []
        /// Whether certificates without SPIFFE URI that another CA than the mesh's own has issued may be mapped by their
        /// common name.
        public var clientCommonNames = false
        /// CRLs of these CAs.
        public var clientRevocationFiles: [String] = []
        /// What happens where none is up to date.
        public var clientRevocationMode = RevocationMode.soft
        /// Whether an OCSP responder is asked about clients' certificates.
        public var clientOCSP = OCSPMode.off
        /// That responder; nil leaves it to what the certificates name.
        public var clientOCSPResponder: String?
        /// Pins, one of which a client's certificate chain must match; empty means that none has to.
        public var clientPins: [String] = []
        /// What a client's certificate that matches none of them meets with.
        public var clientPinMode = PinMode.enforce
        /// Who may forward requests: CIDRs, or "unix".
        public var trustedProxies: [String] = []
        /// Which fields they set.
        public var forwardedFields = ForwardedFields.any
        /// Whether the PROXY protocol is spoken.
        public var proxyProtocol = ProxyProtocol.off
        /// Only these addresses may connect; empty means all.
        public var allow: [String] = []
        /// These addresses may not connect.
        public var deny: [String] = []
        /// Hosts that are served here; empty means the default of the listener's kind.
        public var hosts: [String] = []
        /// What plain HTTP gets on a TLS port.
        public var plaintext = EdgePlaintext.explain
        /// How long browsers shall use https only; zero sends no HSTS.
        public var hstsMaxAge: Duration = .zero
        /// HSTS for subdomains.
        public var hstsIncludeSubDomains = false
        /// HSTS for browsers' built-in lists.
        public var hstsPreload = false
        /// The origin under which clients reach this listener: `https://api.example.com`.
        public var publicOrigin: String?

        /// A listener without address, to be filled in.
        public init() {}
    }

    /// A certificate of an edge listener.
    public struct EdgeCertificate: Sendable, Equatable {
        /// PEM file: the leaf, then its intermediates.
        public var certificate = ""
        /// PEM file: the private key.
        public var key = ""
        /// Where its passphrase is.
        public var passphrase = PassphraseSource()
        /// Names for which it is used; empty means those in the certificate.
        public var names: [String] = []
        /// Where OCSP responses to be stapled are fetched; nil leaves it to what the certificate names.
        public var ocspResponder: String?

        /// A certificate without files, to be filled in.
        public init() {}
    }

    /// What a route asks of clients.
    public enum EdgeRequirement: String, Sendable, CaseIterable {
        /// A token or an API key.
        case token
        /// A client certificate.
        case certificate
        /// One of both.
        case either
        /// Both.
        case both
        /// Nothing.
        case none
    }

    /// Which requests go to which service.
    public struct EdgeRoute: Sendable, Equatable {
        /// The host: exact, `*.example.com`, or `*`.
        public var host = "*"
        /// The path prefix, whole segments.
        public var path = "/"
        /// The service.
        public var service = ""
        /// What the prefix is replaced with; nil keeps it.
        public var rewrite: String?
        /// What Host says towards the service; nil: what the client asked for.
        public var serviceHost: String?
        /// Time until the service's response begins.
        public var timeout: Duration = .seconds(60)
        /// Time without a byte in either direction, once a response or a WebSocket is under way; zero means for ever.
        public var idleTimeout: Duration = .zero
        /// What clients must prove.
        public var require = EdgeRequirement.token
        /// Scopes that a token or key must have.
        public var scopes: [String] = []
        /// Origins of browsers' pages that may use it; empty means the same origin only for WebSocket.
        public var origins: [String] = []
        /// CORS: methods allowed.
        public var corsMethods: [String] = []
        /// CORS: request fields allowed.
        public var corsHeaders: [String] = []
        /// CORS: response fields shown to pages.
        public var corsExposed: [String] = []
        /// CORS: cookies and authentication by the browser.
        public var corsCredentials = false
        /// CORS: how long browsers may remember it.
        public var corsMaxAge: Duration = .seconds(600)
        /// The largest request body.
        public var maximumBody = 1 << 40
        /// Requests a second for each principal or, without one, address; 0 means no limit.
        public var rate = 0
        /// How many of them may come at once.
        public var burst = 0
        /// Whether the caller headers are signed.
        public var signCaller = false

        /// A route without service, to be filled in.
        public init() {}
    }

    /// How clients prove who they are.
    public struct EdgeAuthentication: Sendable, Equatable {
        /// Who issues tokens.
        public var issuers: [EdgeIssuer] = []
        /// What may be negotiated where their keys are fetched: the loader takes it from `tls.profile`.
        public var fetchProfile = TLSProfile.intermediate
        /// File with API keys.
        public var apiKeys: String?
        /// Private key (Ed25519, PEM or JWK) of the local issuer, whose public half is served.
        public var localIssuerKey: String?
        /// Audiences of the local issuer's tokens.
        public var localIssuerAudiences: [String] = []
        /// What clocks may differ from the local issuer's.
        public var localIssuerLeeway: Duration = .seconds(30)
        /// File with revoked tokens, subjects and keys.
        public var revocations: String?
        /// Whether tokens in the query (`access_token`) are accepted.
        public var tokenInQuery = false
        /// File with the secret that signs caller headers.
        public var callerSecretFile: String?
        /// File with the secret of DPoP nonces, for edges that share one; nil for one of this process alone.
        public var dpopNonceSecretFile: String?
        /// Whether nonces of other edges with that secret count, too.
        public var dpopAcceptsOthers = false

        /// Nothing configured.
        public init() {}
    }

    /// Whether a proof of possession is asked for.
    public enum EdgeDPoP: String, Sendable, CaseIterable {
        /// Not spoken. Tokens that are bound to a key are refused.
        case off
        /// Tokens that are bound to a key need their proof; others do not.
        case optional
        /// Every token must be bound and proven.
        case required
    }

    /// An issuer of tokens.
    public struct EdgeIssuer: Sendable, Equatable {
        /// Its name, as tokens have it in `iss`.
        public var issuer = ""
        /// One of these must be in `aud`.
        public var audiences: [String] = []
        /// File with its keys (JWK set).
        public var jwksFile: String?
        /// Where its keys are fetched: https.
        public var jwksURL: String?
        /// CA certificates for `jwks.url`; empty means the system's.
        public var jwksCA: [String] = []
        /// Signature algorithms accepted; empty means every asymmetric one.
        public var algorithms: [String] = []
        /// File with the secret for HS256 to HS512.
        public var secretFile: String?
        /// What clocks may differ.
        public var leeway: Duration = .seconds(30)
        /// The claim that holds groups.
        public var groupsClaim = "groups"
        /// Further claims that the policy may ask for.
        public var attributeClaims: [String] = []
        /// Proof of possession.
        public var dpop = EdgeDPoP.optional

        /// An issuer without name, to be filled in.
        public init() {}
    }

    /// What clients may take.
    public struct EdgeLimits: Sendable, Equatable {
        /// Connections in total.
        public var connections = 10_000
        /// Connections of one address (IPv6: one /64).
        public var connectionsPerAddress = 1_000
        /// Connections on which one principal has authenticated.
        public var connectionsPerPrincipal = 1_000
        /// TLS handshakes a second, for each address.
        public var handshakesPerSecond = 200
        /// Requests a second for each address; 0 means no limit.
        public var addressRate = 0
        /// How many of them may come at once.
        public var addressBurst = 0
        /// Requests a second for each principal; 0 means no limit.
        public var principalRate = 0
        /// How many of them may come at once.
        public var principalBurst = 0
        /// From the TCP connection to the end of the TLS handshake.
        public var handshakeTimeout: Duration = .seconds(10)
        /// From a request's first byte (or the handshake) to the end of its head.
        public var headerTimeout: Duration = .seconds(10)
        /// Time in which at least 16 KiB of a body must move.
        public var bodyTimeout: Duration = .seconds(30)
        /// Time between two requests of a connection.
        public var idleTimeout: Duration = .seconds(60)
        /// A request's head.
        public var header = 64 << 10

        /// The limits above.
        public init() {}
    }

    /// `GET /v1/connect/SERVICE`: any TCP service of the mesh as a WebSocket.
    public struct EdgeConnect: Sendable, Equatable {
        /// Whether it is there.
        public var enabled = true
        /// What clients must prove.
        public var require = EdgeRequirement.either
        /// Scopes that a token or key must have.
        public var scopes: [String] = []
        /// Origins of browsers' pages that may use it.
        public var origins: [String] = []
        /// Time without a byte in either direction; zero means for ever.
        public var idleTimeout: Duration = .zero

        /// As above.
        public init() {}
    }

    /// Connections to services.
    public struct EdgeBackend: Sendable, Equatable {
        /// Connections for one principal to one service at a time, in use and idle, per worker.
        public var connections = 256
        /// How long an unused connection is kept.
        public var idleTimeout: Duration = .seconds(30)
        /// How long it may take until the service has accepted.
        public var connectTimeout: Duration = .seconds(5)

        /// The limits above.
        public init() {}
    }
}
