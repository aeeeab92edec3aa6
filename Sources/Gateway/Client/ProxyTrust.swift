public import HTTP

/// Whose word about other people's addresses counts.
///
/// **Who speaks.** The socket's peer; or, where a trusted peer sent a PROXY header, the address in it, because that peer
/// only relays bytes and the one behind it wrote the request. Loopback is trusted only where it is listed.
///
/// **What counts.** X-Forwarded-For/-Proto/-Host, X-Real-IP and Forwarded (RFC 7239) from a speaker in `proxies` (or a
/// Unix peer where `trustsUnix`). From anybody else they are not read, and `RequestRewriter` removes them. Client-Cert
/// (RFC 9440) counts only from such a speaker that is itself authenticated: by a verified client certificate, or by being
/// the Unix peer itself.
///
/// **How chains are read.** From the right: each element was written by the proxy to its right. Trusted ones are stepped
/// over; the first one that is not trusted is the client, and nothing to his left is looked at. Where all are trusted, the
/// leftmost is the client. `unknown` and obfuscated names (RFC 7239, 6.3) end the chain: the client's address is then that
/// of the proxy which hides it.
///
/// **What cannot be read** in the part that counts is refused (400, `bad_forwarded_field`): a trusted proxy wrote it, so it
/// is a mistake in a configuration, and guessing would make everybody the proxy.
///
/// **Contradictions.** With `dialect` `.any`, Forwarded and X-Forwarded-For must name the same client, and X-Real-IP must
/// occur in the part of the chain that counts; otherwise the request is refused (400, `forwarded_contradiction`). A proxy
/// that sets one and passes the other on from its clients cannot be used to forge an address that way; name the dialect
/// that the proxy speaks, and the other fields are ignored. The same holds of the scheme and the host in Forwarded against
/// X-Forwarded-Proto and -Host. Every proxy must set or remove each field of its dialect itself.
public struct ProxyTrust: Sendable, Hashable {
    /// Which fields the trusted proxies set.
    public enum Dialect: String, Sendable, Hashable, CaseIterable {
        /// Either; contradictions are refused.
        case any
        /// X-Forwarded-*, X-Real-IP; Forwarded is ignored.
        case xForwarded = "x-forwarded"
        /// Forwarded; X-Forwarded-* and X-Real-IP are ignored.
        case forwarded
    }

    /// The trusted proxies.
    public let proxies: CIDRSet
    /// Whether peers on Unix sockets are trusted proxies.
    public let trustsUnix: Bool
    /// Which fields they set.
    public let dialect: Dialect

    /// Trust in those proxies.
    public init(proxies: CIDRSet, trustsUnix: Bool = false, dialect: Dialect = .any) {
        self.proxies = proxies
        self.trustsUnix = trustsUnix
        self.dialect = dialect
    }

    /// Trust in nobody.
    public static let nobody = ProxyTrust(proxies: .empty)

    /// Whether that peer's PROXY header and fields count.
    public func trusts(_ peer: SocketPeer) -> Bool {
        switch peer {
        case .address(let address, _): proxies.contains(address)
        case .unix: trustsUnix
        }
    }

    /// Who sent this request. Throws 400 where a trusted proxy's fields cannot be read or contradict each other.
    public func client(
        of connection: ConnectionFacts, request: HTTPRequestHead
    ) throws(EdgeRefusal) -> ClientInfo {
        let start = direct(connection, host: request.authority)
        guard start.speakerIsTrusted else { return start.info }
        return try ForwardedReader(trust: self, head: request, start: start).client()
    }

    /// The client of a connection as far as it is known without a request: for address lists and limits on connections.
    public func address(of connection: ConnectionFacts) -> IPAddress? { direct(connection, host: nil).info.address }

    /// Whether a trusted proxy writes the requests of this connection: what the connection itself proves, such as a client
    /// certificate, it then proves about the proxy. Not so where the proxy only relays bytes behind a PROXY header.
    public func speaksForOthers(_ connection: ConnectionFacts) -> Bool {
        direct(connection, host: nil).speakerIsTrusted
    }

    /// What is known without looking at forwarded fields.
    struct Start {
        var info: ClientInfo
        /// Whether the one who wrote the request is a trusted proxy.
        var speakerIsTrusted: Bool
        /// Whether he is authenticated as well.
        var speakerIsAuthenticated: Bool
    }

    private func direct(_ connection: ConnectionFacts, host: HTTPAuthority?) -> Start {
        var info = ClientInfo(
            address: connection.peer.address, scheme: connection.isTLS ? .https : .http, host: host)
        if case .address(_, let port) = connection.peer { info.port = port }
        let peerIsTrusted = trusts(connection.peer)
        var isTrusted = peerIsTrusted
        var isUnix = connection.peer == .unix
        if peerIsTrusted, let header = connection.proxyHeader {
            switch header.origin {
            case .relayed(let source, _):
                info.proxies = connection.peer.address.map { [$0] } ?? []
                info.address = source.address
                info.port = source.port
                if header.clientUsedTLS == true { info.scheme = .https }
                isTrusted = proxies.contains(source.address)
                isUnix = false
            case .unknown:
                // Somebody whom the proxy does not name wrote the request; he is not the proxy.
                isTrusted = false
                isUnix = false
            case .local: break
            }
        }
        return Start(
            info: info, speakerIsTrusted: isTrusted,
            speakerIsAuthenticated: isTrusted && (connection.peerHasCertificate || isUnix))
    }
}
