/// The head of a request.
public struct HTTPRequestHead: Sendable, Equatable {
    /// What to do.
    public var method: HTTPMethod
    /// With what, as sent.
    public var target: HTTPTarget
    /// The protocol version of the message.
    public var version: HTTPVersion
    /// All fields but Content-Length and Transfer-Encoding, which are in `framing`.
    public var headers: HTTPHeaders
    /// How the body ends.
    public var framing: HTTPFraming

    /// A head out of its parts.
    public init(
        method: HTTPMethod, target: HTTPTarget, version: HTTPVersion = .http11, headers: HTTPHeaders = HTTPHeaders(),
        framing: HTTPFraming = .none
    ) {
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.framing = framing
    }

    /// A head for a client: `target` is parsed, and Host is put first.
    public init(
        _ method: HTTPMethod, _ target: String, host: String, headers: HTTPHeaders = HTTPHeaders(),
        framing: HTTPFraming = .none
    ) throws(HTTPError) {
        let authority = try HTTPAuthority(parsing: host)
        var all: HTTPHeaders = ["Host": authority.description]
        for (name, value) in headers where !Grammar.equalIgnoringCase(name, "Host") { all.append(name, value) }
        self.init(
            method: method, target: try HTTPTarget(parsing: target, method: method), headers: all, framing: framing)
    }

    /// The path as sent, still percent-encoded; `HTTPPath` decodes it.
    public var path: String { target.path }

    /// The query as sent, still encoded; `HTTPQuery` decodes it.
    public var query: String? { target.query }

    /// Whom the request is for: the target's authority, else the Host field. Nil for an HTTP/1.0 request without one.
    public var authority: HTTPAuthority? {
        switch target {
        case .absolute(_, let authority, _, _), .authority(let authority): authority
        case .origin, .asterisk: headers["Host"].flatMap { try? HTTPAuthority(parsing: $0) }
        }
    }

    /// Whether the connection can serve another request after this one (RFC 9112, 9.3).
    public var keepsAlive: Bool { headers.keepsAlive(version) }

    /// Whether the client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).
    public var expectsContinue: Bool {
        version == .http11 && framing.hasBody && headers.has("100-continue", in: "Expect")
    }

    /// The protocols that the client offers to switch to, as sent, in order of preference (RFC 9110, 7.8). Empty in
    /// HTTP/1.0, and where Connection does not name Upgrade.
    public var upgrade: [String] {
        guard version == .http11, headers.contains("Upgrade"), headers.has("upgrade", in: "Connection") else {
            return []
        }
        return headers.list("Upgrade")
    }
}

extension HTTPFraming {
    /// Whether at least one byte of body may follow.
    public var hasBody: Bool {
        switch self {
        case .none, .length(0): false
        case .length, .chunked, .untilClose: true
        }
    }
}

extension HTTPHeaders {
    func keepsAlive(_ version: HTTPVersion) -> Bool {
        if has("close", in: "Connection") { return false }
        return version == .http11 || has("keep-alive", in: "Connection")
    }
}
