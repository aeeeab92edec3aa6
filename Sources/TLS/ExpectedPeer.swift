/// Whom the peer must prove to be. A dialler always means somebody; saying "anybody" is a choice that must be written
/// down.
public enum ExpectedPeer: Hashable, Sendable {
    /// The node of this name.
    case node(String)
    /// A server whose certificate names this DNS name or IP address (SAN only, never the CN).
    case host(String)
    /// The node of this name, whose certificate also names this host.
    case nodeAtHost(node: String, host: String)
    /// A server that is no node, such as a web server: a trusted CA vouches for a certificate that names this DNS name or
    /// IP address (SAN only, never the CN), or it is trusted by itself. What else is in it identifies nobody.
    case foreignServer(host: String)
    /// Any identity that our CA vouches for: what a listener expects; what it may do is then a question of policy.
    case anyIdentity

    var node: String? {
        switch self {
        case .node(let name), .nodeAtHost(let name, _): name
        case .host, .foreignServer, .anyIdentity: nil
        }
    }

    var isForeign: Bool {
        if case .foreignServer = self { true } else { false }
    }

    var host: String? {
        switch self {
        case .host(let name), .nodeAtHost(_, let name), .foreignServer(let name): name
        case .node, .anyIdentity: nil
        }
    }
}
