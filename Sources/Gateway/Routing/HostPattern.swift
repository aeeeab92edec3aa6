public import HTTP

/// Which hosts a route or an allow-list means.
public enum HostPattern: Sendable, Hashable, CustomStringConvertible {
    /// One host, normalised.
    case exact(String)
    /// `*.example.org`: exactly one label in front, as in certificates; the part behind the `*.`.
    case wildcard(String)
    /// Every host, and requests without one.
    case any

    /// Reads a host name, an address (IPv6 with or without brackets), `*.` and a name of at least two labels, or `*`. No port, no scheme.
    public init?(parsing text: String) {
        if text == "*" {
            self = .any
            return
        }
        if let address = IPAddress(parsing: text) {
            self = .exact(address.isIPv4 ? address.description : "[\(address)]")
            return
        }
        let isWildcard = text.hasPrefix("*.")
        guard let authority = try? HTTPAuthority(parsing: isWildcard ? String(text.dropFirst(2)) : text),
            authority.port == nil, let host = HostName.normalised(authority.host)
        else { return nil }
        if isWildcard {
            guard host.utf8.contains(0x2E), IPAddress(parsing: host) == nil, host.utf8.first != 0x5B else { return nil }
            self = .wildcard(host)
        } else {
            self = .exact(host)
        }
    }

    /// As it is written in the configuration.
    public var description: String {
        switch self {
        case .exact(let host): host
        case .wildcard(let host): "*.\(host)"
        case .any: "*"
        }
    }
}

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
