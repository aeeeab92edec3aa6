import HTTP

/// The origin of a web page: scheme, host and port (RFC 6454), in canonical form.
public struct WebOrigin: Sendable, Hashable, CustomStringConvertible {
    /// In lower case.
    public let scheme: String
    /// In lower case, without a dot at its end; IPv6 addresses in brackets and canonical.
    public let host: String
    /// The port; nil where it is the scheme's default.
    public let port: UInt16?

    /// Reads `scheme://host[:port]`: no path, no user, nothing around it. Nil for anything else, `null` included.
    public init?(parsing text: String) {
        guard let colon = text.utf8.firstIndex(of: 0x3A), text.utf8[colon...].starts(with: "://".utf8) else {
            return nil
        }
        let scheme = text[..<colon]
        guard scheme.utf8.first.map({ Text.lowered($0) &- 0x61 < 26 }) == true,
            scheme.utf8.allSatisfy({ Text.isAlphanumeric($0) || "+-.".utf8.contains($0) }),
            let authority = try? HTTPAuthority(parsing: String(Substring(text.utf8[colon...].dropFirst(3))))
        else { return nil }
        self.init(scheme: Text.lowercased(scheme), authority: authority)
    }

    /// The origin of pages that come from that authority; nil where it is no host.
    init?(scheme: String, authority: HTTPAuthority) {
        guard let host = HostName.normalised(authority.host) else { return nil }
        self.scheme = scheme
        self.host = host
        let defaultPort: UInt16? =
            switch scheme {
            case "http", "ws": 80
            case "https", "wss": 443
            default: nil
            }
        port = authority.port == defaultPort ? nil : authority.port
    }

    init(scheme: String, host: String, port: UInt16?) {
        self.scheme = scheme
        self.host = host
        self.port = port
    }

    /// As browsers write it.
    public var description: String { "\(scheme)://\(host)\(port.map { ":\($0)" } ?? "")" }
}

/// Host names as they are compared.
enum HostName {
    /// Lower case, without one dot at its end; IPv6 addresses in brackets in their canonical form, IPv4-mapped ones as
    /// IPv4. Nil where nothing is left.
    static func normalised(_ host: String) -> String? {
        if host.utf8.first == 0x5B {
            guard let address = IPAddress(parsing: String(host.dropFirst().dropLast())) else { return nil }
            return address.isIPv4 ? address.description : "[\(address)]"
        }
        let name = host.utf8.last == 0x2E ? host.dropLast() : host[...]
        return name.isEmpty ? nil : Text.lowercased(name)
    }

    /// The name without its first label; nil where it has one only.
    static func parent(_ name: String) -> String? {
        let parts = Text.split(name, at: 0x2E, most: 1)
        return parts.count == 2 ? String(parts[1]) : nil
    }
}
