import EventLoop

/// Hosts, origins, paths and networks as the edge's keys have them.
extension Codec where Value == String {
    /// A DNS name.
    static var hostName: Codec {
        .string("a DNS name", "NAME", pattern: "^[A-Za-z0-9.-]{1,253}$", maximumLength: 253) { HostText.problem($0) }
    }

    /// An IP address without port.
    static var ipAddress: Codec {
        .string("an IP address", "IP", maximumLength: 45) { text in
            IPv4Address(parsing: text) != nil || IPv6Address(parsing: text) != nil
                ? nil : "write it like \"192.0.2.1\" or \"2001:db8::1\""
        }
    }

    /// A DNS name or an IP address.
    static var hostPatternless: Codec {
        .string("a DNS name or an IP address", "HOST", maximumLength: 253) { text in
            IPv6Address(parsing: text) != nil ? nil : HostText.problem(text)
        }
    }

    /// A host, a host with `*` for its first label, or `*`.
    static var hostPattern: Codec {
        .string("a host, *.DOMAIN or *", "HOST", maximumLength: 255) { text in
            if text == "*" || IPv6Address(parsing: text) != nil { return nil }
            if text.contains(":") { return "write it without scheme and port" }
            return HostText.problem(text.hasPrefix("*.") ? String(text.dropFirst(2)) : text)
        }
    }

    /// A host with an optional port, as a request names it.
    static var authority: Codec {
        .string("a host with an optional port", "HOST[:PORT]", maximumLength: 262) { text in
            (try? Endpoint(parsing: text)) != nil || (try? Endpoint(parsing: text + ":1")) != nil
                ? nil : "write it like \"app.example.com\" or \"app.example.com:8080\""
        }
    }

    /// The beginning of a path.
    static var pathPrefix: Codec {
        .string("a path", "PATH", pattern: "^/[!-~]*$", maximumLength: 1024) { text in
            guard text.hasPrefix("/") else { return "it must begin with /" }
            if text.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || "?#%\\".utf8.contains($0) }) {
                return "write it decoded, in visible ASCII, without ?, #, % and \\"
            }
            let segments = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            if segments.contains(where: { $0 == "." || $0 == ".." }) { return "it must not have . or .. as segments" }
            if text != "/", segments.last == "" { return "it has no slash at its end" }
            return segments.dropLast().contains("") ? "it must not contain //" : nil
        }
    }

    /// An origin (RFC 6454): scheme and host, a port where it is not the scheme's own.
    static var origin: Codec {
        .string("an origin https://HOST[:PORT]", "ORIGIN", pattern: "^https?://[^/]+$", maximumLength: 512) {
            HostText.originProblem($0)
        }
    }

    /// An origin, or `*`.
    static var originPattern: Codec {
        .string("an origin https://HOST[:PORT] or *", "ORIGIN", maximumLength: 512) {
            $0 == "*" || $0 == "null" ? nil : HostText.originProblem($0)
        }
    }

    /// A URL that is fetched over TLS.
    static var httpsURL: Codec {
        .string("a URL https://…", "URL", pattern: "^https://", maximumLength: 2048) { text in
            guard text.hasPrefix("https://") else { return "only https is fetched" }
            let rest = text.dropFirst("https://".count)
            guard let host = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).first,
                !host.isEmpty, !host.contains("@")
            else { return "it names no host" }
            return text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F } ? nil : "it has characters that must be escaped"
        }
    }

    /// A scope (RFC 6749, 3.3).
    static var scope: Codec {
        .string("a scope", "SCOPE", maximumLength: 256) { text in
            let isLegal =
                !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != 0x22 && $0 != 0x5C }
            return isLegal ? nil : "it has visible ASCII characters but \" and \\"
        }
    }

    /// A token (RFC 9110, 5.6.2): methods and field names.
    static var token: Codec {
        .string("a token", "TOKEN", maximumLength: 64) { text in
            let isLegal =
                !text.isEmpty
                && text.utf8.allSatisfy { NameRule.isLetterOrDigit($0) || "!#$%&'*+-.^_`|~".utf8.contains($0) }
            return isLegal ? nil : "it has letters, digits and !#$%&'*+-.^_`|~"
        }
    }

    /// A network or a single address.
    static var cidr: Codec {
        .string("a CIDR", "CIDR", maximumLength: 64) { HostText.networkProblem($0) }
    }

    /// A network, or `unix` for callers on a Unix socket.
    static var trustedProxy: Codec {
        .string("a CIDR or \"unix\"", "CIDR", maximumLength: 64) { $0 == "unix" ? nil : HostText.networkProblem($0) }
    }
}

/// What is wrong with host names and networks; nil when nothing is.
private enum HostText {
    static func problem(_ text: String) -> String? {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        guard text.utf8.count <= 253, !text.isEmpty else { return "a name has 1 to 253 characters" }
        for label in labels {
            guard (1...63).contains(label.utf8.count) else { return "every label has 1 to 63 characters" }
            guard label.utf8.allSatisfy({ NameRule.isLetterOrDigit($0) || $0 == 0x2D || $0 == 0x5F }) else {
                return "a label has letters, digits and hyphens"
            }
            guard label.utf8.first != 0x2D, label.utf8.last != 0x2D else {
                return "a label does not begin or end with a hyphen"
            }
        }
        return nil
    }

    static func originProblem(_ text: String) -> String? {
        guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else {
            return "it begins with https:// or http://"
        }
        let rest = String(text.dropFirst(scheme.count))
        if rest.contains("/") { return "it has no path, also no final /" }
        if rest != rest.lowercased() { return "write it in lower case, as browsers send it" }
        return (try? Endpoint(parsing: rest)) != nil || (try? Endpoint(parsing: rest + ":1")) != nil
            ? nil : "it names no host"
    }

    static func networkProblem(_ text: String) -> String? {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let bits: Int
        if IPv4Address(parsing: parts[0]) != nil {
            bits = 32
        } else if IPv6Address(parsing: parts[0]) != nil {
            bits = 128
        } else {
            return "it begins with an IP address: \"192.0.2.0/24\" or \"2001:db8::/32\""
        }
        guard parts.count == 2 else { return nil }
        guard let length = Int(parts[1]), (0...bits).contains(length), String(length) == parts[1] else {
            return "the prefix length is 0 to \(bits)"
        }
        return nil
    }
}
