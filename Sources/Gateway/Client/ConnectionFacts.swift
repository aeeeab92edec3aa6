/// The other end of the socket.
public enum SocketPeer: Sendable, Hashable {
    /// A TCP peer.
    case address(IPAddress, port: UInt16)
    /// A process on this machine, over a Unix socket.
    case unix

    /// The peer's address, where it has one.
    public var address: IPAddress? { if case .address(let address, _) = self { address } else { nil } }
}

/// What is known about a connection before its first request.
public struct ConnectionFacts: Sendable, Hashable {
    /// The other end of the socket.
    public var peer: SocketPeer
    /// Whether TLS ends here.
    public var isTLS: Bool
    /// Whether the peer proved who it is with a client certificate that was verified.
    public var peerHasCertificate: Bool
    /// The PROXY header, which only a trusted peer may have sent.
    public var proxyHeader: ProxyHeader?

    /// Facts about a connection.
    public init(
        peer: SocketPeer, isTLS: Bool, peerHasCertificate: Bool = false, proxyHeader: ProxyHeader? = nil
    ) {
        self.peer = peer
        self.isTLS = isTLS
        self.peerHasCertificate = peerHasCertificate
        self.proxyHeader = proxyHeader
    }
}
