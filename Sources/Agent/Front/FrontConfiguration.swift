/// Everything that `mesh-agent front` is told: an edge without a mesh, and the servers that it leads to.
///
/// Made by ``FrontLoader`` of flags, environment and files.
public struct FrontConfiguration: Sendable, Equatable {
    /// The edge and the few keys of an agent that mean something here: `edge`, `log`, `workers`, `shutdown`,
    /// `tls.acceleration`, `audit`.
    public var configuration = Configuration()
    /// The servers behind it. A route's `service` is the name of one.
    public var targets: [FrontTarget] = []
    /// What clients speak, for the URI that is printed; nil where the target's scheme says it.
    public var transport: FrontTransport?

    /// Nothing configured.
    public init() {}
}

/// What the clients of a front speak.
public enum FrontTransport: String, Sendable, CaseIterable {
    /// Server-sent events over HTTP.
    case sse
    /// HTTP, streamable MCP included.
    case http
    /// WebSocket.
    case ws
}

/// A server that a front leads to.
public struct FrontTarget: Sendable, Equatable {
    /// How routes name it.
    public var name = FrontTarget.defaultName
    /// Where it listens, and whether TLS is spoken to it.
    public var url = FrontURL.unset
    /// PEM files with the CA certificates for a TLS server; empty means the system's.
    public var ca: [String] = []
    /// PEM file: our client certificate for a TLS server.
    public var certificate: String?
    /// PEM file: its key.
    public var key: String?
    /// Where the key's passphrase is.
    public var passphrase = Configuration.PassphraseSource()
    /// The name that the server's certificate must have, where it is not the URL's host.
    public var serverName: String?
    /// The lowest version of TLS.
    public var minimumVersion = Configuration.TLSVersion.tls12
    /// Whether the server's certificate is not checked.
    public var insecure = false

    /// The name of a target that was given by flags.
    public static let defaultName = "backend"

    /// What Host says where the server shall be asked for under its own name (RFC 9110, section 7.2): without the port
    /// where it is the scheme's.
    var authority: String? {
        guard let host = url.host, let port = url.address.port else { return nil }
        let name = serverName ?? (host.contains(":") ? "[\(host)]" : host)
        return port == url.scheme.defaultPort ? name : "\(name):\(port)"
    }

    /// A target without URL, to be filled in.
    public init() {}
}

extension FrontConfiguration {
    /// Whether the front is the client side for plain programs: every target speaks TLS, no listener does.
    public var isClientSide: Bool {
        !targets.isEmpty && targets.allSatisfy(\.url.isSecure)
            && configuration.edge.listeners.allSatisfy { $0.tls == .disabled }
    }
}
