/// A request target in one of its four forms (RFC 9112, 3.2).
///
/// Only the syntax is checked, and nothing is normalised: path and query are as sent, so that what is relayed is what was
/// looked at. Decoding for routing is `HTTPPath`'s.
public enum HTTPTarget: Sendable, Hashable, CustomStringConvertible {
    /// `/path?query`, what clients send to a server.
    case origin(path: String, query: String?)
    /// `http://host/path?query`, what clients send to a proxy.
    case absolute(scheme: String, authority: HTTPAuthority, path: String, query: String?)
    /// `host:port`, with CONNECT only.
    case authority(HTTPAuthority)
    /// `*`, with OPTIONS only.
    case asterisk

    /// Reads the target of a request with that method.
    public init(parsing text: String, method: HTTPMethod = .get) throws(HTTPError) {
        // Through a span: a typed error cannot leave withUTF8.
        let bytes = Array(text.utf8)
        self = try bytes.span.bytes.withUnsafeBytes { (bytes) throws(HTTPError) in
            try HTTPTarget(bytes, method: method)
        }
    }

    /// The path as sent; "/" where an absolute target has none, "*" and "" for the last two forms.
    public var path: String {
        switch self {
        case .origin(let path, _): path
        case .absolute(_, _, let path, _): path.isEmpty ? "/" : path
        case .authority: ""
        case .asterisk: "*"
        }
    }

    /// What follows the "?", as sent.
    public var query: String? {
        switch self {
        case .origin(_, let query), .absolute(_, _, _, let query): query
        case .authority, .asterisk: nil
        }
    }

    /// As on the wire.
    public var description: String {
        switch self {
        case .origin(let path, let query): Self.join(path, query)
        case .absolute(let scheme, let authority, let path, let query):
            "\(scheme)://\(authority)\(Self.join(path, query))"
        case .authority(let authority): authority.description
        case .asterisk: "*"
        }
    }

    private static func join(_ path: String, _ query: String?) -> String { query.map { "\(path)?\($0)" } ?? path }
}

extension HTTPTarget {
    init(_ bytes: UnsafeRawBufferPointer, method: HTTPMethod) throws(HTTPError) {
        if method == .connect {
            let authority: HTTPAuthority
            do { authority = try HTTPAuthority(bytes) } catch {
                throw Self.badTarget("CONNECT needs host:port as target")
            }
            if authority.port == nil { throw Self.badTarget("CONNECT needs a port in its target") }
            self = .authority(authority)
            return
        }
        if bytes.first == 0x2F {
            let (path, query) = try Self.pathAndQuery(bytes[...])
            self = .origin(path: path, query: query)
            return
        }
        if bytes.count == 1, bytes[0] == 0x2A {
            guard method == .options else { throw Self.badTarget("the target * is for OPTIONS only") }
            self = .asterisk
            return
        }
        self = try Self.absolute(bytes)
    }

    private static func absolute(_ bytes: UnsafeRawBufferPointer) throws(HTTPError) -> HTTPTarget {
        guard let colon = bytes.firstIndex(of: 0x3A), bytes[colon...].starts(with: "://".utf8) else {
            throw badTarget("the target must begin with / or be an http or https URL")
        }
        let scheme = String(decoding: bytes[..<colon], as: UTF8.self).lowercased()
        guard scheme == "http" || scheme == "https" else {
            throw badTarget("the target's scheme must be http or https")
        }
        let rest = bytes[(colon + 3)...]
        let end = rest.firstIndex { $0 == 0x2F || $0 == 0x3F || $0 == 0x23 } ?? rest.endIndex
        let authority: HTTPAuthority
        do {
            authority = try HTTPAuthority(UnsafeRawBufferPointer(rebasing: rest[..<end]))
        } catch {
            throw badTarget("the target's authority must be a host with an optional port, without user information")
        }
        let (path, query) = try pathAndQuery(rest[end...])
        return .absolute(scheme: scheme, authority: authority, path: path, query: query)
    }

    private static func pathAndQuery(_ bytes: Slice<UnsafeRawBufferPointer>) throws(HTTPError) -> (String, String?) {
        let mark = bytes.firstIndex(of: 0x3F) ?? bytes.endIndex
        let path = bytes[..<mark]
        try check(path, Grammar.path)
        guard mark < bytes.endIndex else { return (String(decoding: path, as: UTF8.self), nil) }
        let query = bytes[(mark + 1)...]
        try check(query, Grammar.query)
        return (String(decoding: path, as: UTF8.self), String(decoding: query, as: UTF8.self))
    }

    private static func check(_ bytes: Slice<UnsafeRawBufferPointer>, _ allowed: ByteSet) throws(HTTPError) {
        var index = bytes.startIndex
        while index < bytes.endIndex {
            let byte = bytes[index]
            guard allowed.contains(byte) else {
                throw badTarget("the target contains a byte that must be percent-encoded")
            }
            if byte == 0x25 {
                guard index + 2 < bytes.endIndex, Grammar.hexValue(bytes[index + 1]) != nil,
                    Grammar.hexValue(bytes[index + 2]) != nil
                else {
                    throw HTTPError(.badPercentEncoding, "% in the target must be followed by two hexadecimal digits")
                }
                index += 2
            }
            index += 1
        }
    }

    private static func badTarget(_ text: String) -> HTTPError { HTTPError(.badTarget, text) }
}
