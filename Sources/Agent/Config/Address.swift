private import Glibc

extension Configuration {
    /// An address as it is configured: a legal host and port, or the path of a Unix socket. Nothing is resolved.
    public enum Address: Sendable, Hashable {
        /// An IPv4 or IPv6 literal in its canonical form (IPv6 without brackets), or a host name; and a port.
        case host(String, port: UInt16)
        /// A Unix socket.
        case unix(path: String)

        /// Stands for "not given yet" in elements that are being filled in.
        static let unset = Address.unix(path: "")
    }
}

extension Configuration.Address: CustomStringConvertible {
    /// The form that is parsed: `127.0.0.1:80`, `[::1]:80`, `db.internal:80`, `unix:/run/db.sock`.
    public var description: String {
        switch self {
        case .host(let host, let port): host.utf8.contains(UInt8(ascii: ":")) ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }

    /// The port, nil for a Unix socket.
    public var port: UInt16? {
        if case .host(_, let port) = self { port } else { nil }
    }

    /// The host, nil for a Unix socket; IPv6 without brackets.
    public var host: String? {
        if case .host(let host, _) = self { host } else { nil }
    }

    /// Whether the host is a name that must be resolved.
    public var isName: Bool {
        guard let host else { return false }
        return Self.canonicalLiteral(host) == nil
    }

    /// Whether only this host can reach it: 127.0.0.0/8, ::1 or a Unix socket. A name never counts.
    public var isLoopback: Bool {
        switch self {
        case .unix: true
        case .host(let host, _): host == "::1" || host.hasPrefix("::ffff:127.") || (host.hasPrefix("127.") && !isName)
        }
    }

    /// Whether it means every address of the host: 0.0.0.0 or ::.
    public var isWildcard: Bool {
        host == "0.0.0.0" || host == "::"
    }

    /// Why a text is no address, in words that follow "expected …".
    struct ParseError: Error {
        let message: String
        let hint: String?
    }

    /// Reads `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`; `localhost` becomes 127.0.0.1.
    init(parsing text: String) throws(ParseError) {
        if text.hasPrefix("unix:") {
            self = .unix(path: try Self.socketPath(String(text.dropFirst(5))))
            return
        }
        guard let colon = text.utf8.lastIndex(of: UInt8(ascii: ":")) else {
            throw ParseError(message: "has no port", hint: "write HOST:PORT, for example 127.0.0.1:8080")
        }
        let portText = text[text.utf8.index(after: colon)...]
        var host = String(text[..<colon])
        guard let port = Self.port(portText) else {
            throw ParseError(message: "\"\(portText)\" is no port from 0 to 65535", hint: nil)
        }
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard host.utf8.contains(UInt8(ascii: ":")), let literal = Self.canonicalLiteral(host) else {
                throw ParseError(message: "\"\(host)\" is no IPv6 address", hint: nil)
            }
            self = .host(literal, port: port)
            return
        }
        if host.isEmpty {
            throw ParseError(
                message: "has no host", hint: "write 127.0.0.1:\(port), or 0.0.0.0:\(port) for every address")
        }
        if host.utf8.contains(UInt8(ascii: ":")) {
            throw ParseError(
                message: "has more than one colon", hint: "write IPv6 addresses in brackets: [::1]:\(port)")
        }
        if let literal = Self.canonicalLiteral(host) {
            self = .host(literal, port: port)
        } else if host.lowercased() == "localhost" {
            self = .host("127.0.0.1", port: port)
        } else {
            try Self.checkName(host)
            self = .host(host, port: port)
        }
    }

    private static func socketPath(_ path: String) throws(ParseError) -> String {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw ParseError(message: "has no path", hint: "write unix:/run/app.sock")
        }
        return path
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            return nil
        }
        return UInt16(text)
    }

    private static func checkName(_ name: String) throws(ParseError) {
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isLegal =
            name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && label.utf8.first != UInt8(ascii: "-")
                    && label.utf8.last != UInt8(ascii: "-")
                    && label.utf8.allSatisfy {
                        NameRule.isLetterOrDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
                    }
            }
        guard isLegal else { throw ParseError(message: "\"\(name)\" is no host name and no IP address", hint: nil) }
        if let last = labels.last, last.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            throw ParseError(message: "\"\(name)\" is no IPv4 address", hint: nil)
        }
    }

    /// The literal as the system writes it, nil when it is none. An IPv6 zone (`%eth0`) stays as it is.
    private static func canonicalLiteral(_ host: String) -> String? {
        let isIPv6 = host.utf8.contains(UInt8(ascii: ":"))
        if isIPv6, let percent = host.utf8.firstIndex(of: UInt8(ascii: "%")) {
            let zone = host[percent...]
            guard (2...16).contains(zone.utf8.count), !zone.utf8.contains(0) else { return nil }
            return canonicalLiteral(String(host[..<percent])).map { $0 + zone }
        }
        let family = isIPv6 ? AF_INET6 : AF_INET
        return withUnsafeTemporaryAllocation(byteCount: 16, alignment: 4) { address in
            guard let pointer = address.baseAddress, inet_pton(family, host, pointer) == 1 else { return nil }
            return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
                guard let base = text.baseAddress, inet_ntop(family, pointer, base, socklen_t(text.count)) != nil
                else { return nil }
                return String(cString: base)
            }
        }
    }
}
