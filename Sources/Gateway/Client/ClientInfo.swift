public import HTTP

/// Who the client is, after what trusted proxies say about him was taken into account, and nobody else's word.
public struct ClientInfo: Sendable, Hashable {
    /// The schemes a client can have used. WebSocket's `ws` and `wss` count as these two.
    public enum Scheme: String, Sendable, Hashable {
        /// Without TLS.
        case http
        /// With TLS, to us or to the outermost trusted proxy.
        case https

        /// 80 or 443.
        public var defaultPort: UInt16 { self == .https ? 443 : 80 }
    }

    /// The client's address; nil where he came by a Unix socket, or his proxy hides it and came by one.
    public var address: IPAddress?
    /// The client's port, where it is known.
    public var port: UInt16?
    /// How the client spoke.
    public var scheme: Scheme
    /// Whom the client asked for. Nil for an HTTP/1.0 request without Host.
    public var host: HTTPAuthority?
    /// The client's certificate in DER, from Client-Cert of an authenticated proxy (RFC 9440). It was verified by the
    /// proxy, not here. Certificates of the connection itself are the shell's.
    public var certificate: [UInt8]?
    /// The rest of his chain in DER, from Client-Cert-Chain.
    public var certificateChain: [[UInt8]]
    /// The trusted proxies on the way, the one nearest to the client first; empty for a direct client.
    public var proxies: [IPAddress]
    /// Whether a trusted proxy wrote the request, so that its word counted. Not so where a proxy only relayed the client's
    /// bytes behind a PROXY header.
    public var cameThroughProxy: Bool

    /// A client out of what is known about him.
    public init(
        address: IPAddress?, port: UInt16? = nil, scheme: Scheme, host: HTTPAuthority?, certificate: [UInt8]? = nil,
        certificateChain: [[UInt8]] = [], proxies: [IPAddress] = [], cameThroughProxy: Bool = false
    ) {
        self.address = address
        self.port = port
        self.scheme = scheme
        self.host = host
        self.certificate = certificate
        self.certificateChain = certificateChain
        self.proxies = proxies
        self.cameThroughProxy = cameThroughProxy
    }

    /// `https://host[:port]`, as browsers write the origin of pages that come from here: lower case, no default port.
    public var origin: String? {
        host.flatMap { WebOrigin(scheme: scheme.rawValue, authority: $0) }?.description
    }
}
