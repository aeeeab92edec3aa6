import JSON

/// Where a front leads: the URL of a plain or TLS server, `ws://127.0.0.1:8690/path` or `unix:/run/app.sock`.
public struct FrontURL: Sendable, Hashable, CustomStringConvertible {
    /// How the server is spoken to. A WebSocket begins as HTTP, so `ws` and `http` differ only in what people expect.
    public enum Scheme: String, Sendable, CaseIterable {
        /// WebSocket.
        case ws
        /// WebSocket over TLS.
        case wss
        /// HTTP.
        case http
        /// HTTP over TLS.
        case https

        /// Whether TLS is spoken.
        public var isSecure: Bool { self == .wss || self == .https }
        /// The port where none is written (RFC 6455, section 3; RFC 9110, section 4.2).
        var defaultPort: UInt16 { isSecure ? 443 : 80 }
        /// Whether people expect a WebSocket.
        var isWebSocket: Bool { self == .ws || self == .wss }
    }

    /// How the server is spoken to; `http` for a Unix socket.
    public let scheme: Scheme
    /// Where it listens.
    public let address: Configuration.Address
    /// What requests' paths are put behind; "/" leaves them as they are.
    public let path: String
    /// Whether it was written `localhost`, which `address` has as a number: then that is what the server's certificate names.
    let isLocalhost: Bool

    /// The host as it was written; nil for a Unix socket.
    var host: String? { isLocalhost ? "localhost" : address.host }

    /// Whether TLS is spoken to it.
    public var isSecure: Bool { scheme.isSecure }

    /// Stands for "not given yet".
    static let unset = FrontURL(scheme: .http, address: .unset, path: "/")

    private init(scheme: Scheme, address: Configuration.Address, path: String, isLocalhost: Bool = false) {
        self.isLocalhost = isLocalhost
        self.scheme = scheme
        self.address = address
        self.path = path
    }

    /// As it was written, with the port.
    public var description: String {
        if case .unix = address { return address.description }
        let place = isLocalhost ? "localhost:\(address.port ?? scheme.defaultPort)" : "\(address)"
        return "\(scheme.rawValue)://\(place)\(path == "/" ? "" : path)"
    }

    /// Reads `SCHEME://HOST[:PORT][/PATH]` or `unix:PATH`.
    init(parsing text: String) throws(Configuration.Address.ParseError) {
        if text.hasPrefix("unix:") {
            self.init(scheme: .http, address: try Configuration.Address(parsing: text), path: "/")
            return
        }
        guard let separator = text.firstRange(of: "://") else {
            throw .init(message: "has no scheme", hint: "write ws://\(text), http://\(text), wss:// or https://")
        }
        let name = String(text[..<separator.lowerBound]).lowercased()
        guard let scheme = Scheme(rawValue: name) else {
            throw .init(message: "\"\(name)\" is no scheme of a server", hint: "write ws, wss, http or https")
        }
        let rest = text[separator.upperBound...]
        let slash = rest.firstIndex { "/?#".contains($0) } ?? rest.endIndex
        let (authority, tail) = (String(rest[..<slash]), String(rest[slash...]))
        if authority.contains("@") {
            throw .init(message: "has a user name", hint: "leave it out; clients send Authorization by themselves")
        }
        if tail.contains("?") || tail.contains("#") {
            throw .init(message: "has a query or fragment", hint: "leave it out; clients send their own")
        }
        let hasPort = authority.hasSuffix("]") ? false : authority.contains(":")
        let address = try Configuration.Address(parsing: hasPort ? authority : "\(authority):\(scheme.defaultPort)")
        if address.port == 0 { throw .init(message: "port 0 cannot be dialled", hint: nil) }
        let isLegal = tail.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }
        let segments = tail.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard isLegal, !tail.contains("%"), !segments.contains("."), !segments.contains(".."),
            !segments.dropLast().contains("")
        else {
            throw .init(message: "\"\(tail)\" is no plain path", hint: "write it decoded, without //, . and ..")
        }
        let host = authority.prefix { $0 != ":" }.lowercased()
        self.init(scheme: scheme, address: address, path: tail.isEmpty ? "/" : tail, isLocalhost: host == "localhost")
    }
}

extension Codec where Value == FrontURL {
    /// The URL of a server to lead to.
    static var frontURL: Codec {
        let words = "a URL ws://HOST:PORT, http://HOST:PORT, wss://…, https://… or unix:PATH"
        return Codec(
            decode: { node, decoding in
                guard let text = node.string else {
                    decoding.wrongType(node, words, hint: "write it like \"ws://127.0.0.1:8690\"")
                    return nil
                }
                return decoding.parsed(text, at: node, as: words) {
                    (decoding) throws(Configuration.Address.ParseError) in
                    if text.hasPrefix("unix:"), !text.hasPrefix("unix:@"), text.utf8.count > 5 {
                        return try FrontURL(parsing: "unix:" + decoding.resolved(String(text.dropFirst(5))))
                    }
                    return try FrontURL(parsing: text)
                }
            },
            encode: { .string($0.description) },
            form: ValueForm(
                words: words, schema: ["type": "string", "pattern": "^((ws|wss|http|https)://|unix:).+$"],
                placeholder: "URL"))
    }
}
