/// Whom the peer must prove to be. A dialler always means somebody; saying "anybody" is a choice that must be written
/// down.
public enum ExpectedPeer: Hashable, Sendable {
    /// The node of this name.
    case node(String)
    /// A server whose certificate names this DNS name or IP address (SAN only, never the CN).
    case host(String)
    /// The node of this name, whose certificate also names this host.
    case nodeAtHost(node: String, host: String)
    /// Any identity that our CA vouches for: what a listener expects; what it may do is then a question of policy.
    case anyIdentity

    var node: String? {
        switch self {
        case .node(let name), .nodeAtHost(let name, _): name
        case .host, .anyIdentity: nil
        }
    }

    var host: String? {
        switch self {
        case .host(let name), .nodeAtHost(_, let name): name
        case .node, .anyIdentity: nil
        }
    }
}
