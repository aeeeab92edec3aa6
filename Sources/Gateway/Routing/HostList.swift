public import HTTP

/// The hosts that are served: an allow-list of its own, in front of the routes. A request for another one gets 421, which
/// defeats DNS rebinding and keeps foreign names out of links and logs.
public struct HostList: Sendable, Hashable {
    private let exact: Set<String>
    private let wildcards: Set<String>
    private let admitsAll: Bool

    /// The hosts of those patterns; no pattern admits every host.
    public init(_ patterns: [HostPattern]) {
        var exact: Set<String> = []
        var wildcards: Set<String> = []
        var admitsAll = patterns.isEmpty
        for pattern in patterns {
            switch pattern {
            case .exact(let host): exact.insert(host)
            case .wildcard(let host): wildcards.insert(host)
            case .any: admitsAll = true
            }
        }
        self.exact = exact
        self.wildcards = wildcards
        self.admitsAll = admitsAll
    }

    /// Every host.
    public static let all = HostList([])

    /// Whether that host is served; nil is a request without a host.
    public func admits(_ authority: HTTPAuthority?) -> Bool {
        if admitsAll { return true }
        guard let authority, let host = HostName.normalised(authority.host) else { return false }
        if exact.contains(host) { return true }
        guard !wildcards.isEmpty, let parent = HostName.parent(host) else { return false }
        return wildcards.contains(parent)
    }

    /// 421 unless that host is served.
    public func check(_ authority: HTTPAuthority?) throws(EdgeRefusal) {
        if !admits(authority) {
            throw EdgeRefusal(.hostNotAllowed, status: 421, "this host is not served here")
        }
    }
}
