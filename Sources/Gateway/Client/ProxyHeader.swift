/// What a PROXY protocol header says (HAProxy's specification, versions 1 and 2).
public struct ProxyHeader: Sendable, Hashable {
    /// An address with its port.
    public struct Endpoint: Sendable, Hashable {
        /// The address.
        public let address: IPAddress
        /// The port.
        public let port: UInt16

        /// An address with its port.
        public init(_ address: IPAddress, _ port: UInt16) {
            self.address = address
            self.port = port
        }
    }

    /// What the connection is.
    public enum Origin: Sendable, Hashable {
        /// Relayed for a client, from where to where.
        case relayed(source: Endpoint, destination: Endpoint)
        /// The proxy's own (LOCAL: a health check). The socket's address is the client's.
        case local
        /// Relayed for a client whose address cannot be told (v1 UNKNOWN, Unix sockets, datagrams). The socket's address
        /// stands for it, since the specification demands that UNKNOWN is accepted.
        case unknown
    }

    /// 1 or 2.
    public let version: Int
    /// What the connection is.
    public let origin: Origin
    /// Whether the client spoke TLS with the proxy, where it says so (PP2_TYPE_SSL).
    public let clientUsedTLS: Bool?
    /// Number of bytes that the header took.
    public let size: Int

    /// A header out of its parts.
    public init(version: Int, origin: Origin, clientUsedTLS: Bool? = nil, size: Int = 0) {
        self.version = version
        self.origin = origin
        self.clientUsedTLS = clientUsedTLS
        self.size = size
    }
}
