import Policy

/// As whom a stream is opened. The principal itself is made from the policy in force at each check.
enum ActingAs: Sendable, Hashable, CustomStringConvertible {
    /// The node itself.
    case node
    /// A service identity that the node holds or may act as.
    case service(String)
    /// A local user, by Unix credentials; opens as the service identity named, where one is.
    case user(uid: UInt32, gid: UInt32, service: String?)

    /// Whom OPEN names; `nil` for the node itself.
    var principalID: PrincipalID? {
        switch self {
        case .node: nil
        case .service(let name): .service(name)
        case .user(let uid, _, let service): service.flatMap { .service($0) } ?? .uid(uid)
        }
    }

    /// The same as OPEN writes it.
    var wireName: String? { principalID?.description }

    /// For logs.
    var description: String {
        switch self {
        case .node: "the node itself"
        case .service(let name): "service:\(name)"
        case .user(let uid, _, let service): service.map { "uid:\(uid) as service:\($0)" } ?? "uid:\(uid)"
        }
    }
}
