import HTTP

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
