import Policy

/// Who speaks to the control API. Only what was proven is kept; which principal that is, is asked of the policy in force
/// with every request, so that a change of policy holds for open connections too.
enum ControlCaller: Sendable {
    /// A local user, by the Unix credentials of the socket's other end.
    case user(LocalUser)
    /// A node, or whom it names and may act as: the principal as the opened stream was authorised.
    case peer(Principal, node: String)
    /// A node without a right, which may bring signed documents and nothing else.
    case bearer(node: String)
    /// The agent itself (its directory client).
    case itself
    /// The metrics listener's clients: only health and metrics.
    case loopback

    /// For logs.
    var description: String {
        switch self {
        case .user(let user): user.description
        case .peer(let principal, let node):
            principal.id.description == "node:\(node)" ? "node:\(node)" : "\(principal.id) via node:\(node)"
        case .bearer(let node): "node:\(node), which has no right to link"
        case .itself: "the agent itself"
        case .loopback: "a loopback client"
        }
    }
}
