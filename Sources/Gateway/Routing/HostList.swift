public import HTTP

/// The hosts that are served: an allow-list of its own, in front of the routes. A request for another one gets 421, which
/// defeats DNS rebinding and keeps foreign names out of links and logs.
public struct HostList: Sendable, Hashable {
    private let exact: Set<String>
    private let wildcards: Set<String>
    private let admitsAll: Bool
    private let admitsLocal: Bool

    /// The hosts of those patterns; no pattern admits every host.
    public init(_ patterns: [HostPattern]) {
        self.init(patterns, admitsAll: patterns.isEmpty, admitsLocal: false)
    }

    /// For a plain listener on loopback: what no foreign page's name can lead to, which are `localhost`, its subdomains
    /// (RFC 6761, section 6.3) and IP addresses, requests without a host, and the hosts of those patterns. `*` among them
    /// stands for no host in particular and adds none.
    public static func loopback(and patterns: [HostPattern]) -> HostList {
        HostList(patterns.filter { $0 != .any }, admitsAll: false, admitsLocal: true)
    }

    /// The hosts of those patterns and nobody else; `*` among them stands for no host in particular and adds none.
    public static func named(by patterns: [HostPattern]) -> HostList {
        HostList(patterns.filter { $0 != .any }, admitsAll: false, admitsLocal: false)
    }

    private init(_ patterns: [HostPattern], admitsAll: Bool, admitsLocal: Bool) {
        self.admitsLocal = admitsLocal
        var exact: Set<String> = []
        var wildcards: Set<String> = []
        var admitsAll = admitsAll
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
        guard let authority else { return admitsLocal }
        guard let host = HostName.normalised(authority.host) else { return false }
        if admitsLocal, Self.isLocal(host) { return true }
        if exact.contains(host) { return true }
        guard !wildcards.isEmpty, let parent = HostName.parent(host) else { return false }
        return wildcards.contains(parent)
    }

    private static func isLocal(_ host: String) -> Bool {
        host == "localhost" || host.hasSuffix(".localhost") || host.utf8.first == 0x5B
            || IPAddress(parsing: host) != nil
    }

    /// 421 unless that host is served.
    public func check(_ authority: HTTPAuthority?) throws(EdgeRefusal) {
        if !admits(authority) {
            throw EdgeRefusal(
                .hostNotAllowed, status: 421, "this host is not served here",
                hint: "use a name under which this server is known; its operator can add one (edge.listeners[].hosts)")
        }
    }
}
