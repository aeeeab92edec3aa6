public import HTTP

/// What happens to the path of a request on its way to the service.
public enum PathRewrite: Sendable, Hashable {
    /// It stays.
    case keep
    /// The route's prefix is taken away: under `/api`, `/api/x` becomes `/x` and `/api` becomes `/`.
    case strip
    /// The route's prefix is replaced by another path: with `/v2`, `/api/x` becomes `/v2/x` and `/api` becomes `/v2`.
    case replace(String)
}

/// Which requests a route takes.
public struct RoutePattern: Sendable, Hashable {
    /// For which hosts.
    public var host: HostPattern
    /// Prefix of the path, by whole segments: `/api` takes `/api`, `/api/` and `/api/x`, not `/apis`. `/` takes all.
    public var path: String
    /// What happens to the path.
    public var rewrite: PathRewrite

    /// A pattern.
    public init(host: HostPattern = .any, path: String = "/", rewrite: PathRewrite = .keep) {
        self.host = host
        self.path = path
        self.rewrite = rewrite
    }
}

/// The route of a request, and the path that its service gets.
public struct RouteMatch: Sendable, Hashable {
    /// Position of the route's pattern in the table.
    public let route: Int
    /// What was matched, in its canonical spelling.
    public let path: String
    /// What is forwarded: `path`, rewritten.
    public let forwardedPath: String
    /// The query as sent, without "?".
    public let query: String?

    /// Path and query as they are forwarded.
    public var forwardedTarget: HTTPTarget { .origin(path: forwardedPath, query: query) }
}

/// Hosts and path prefixes to routes.
///
/// The most specific host alone decides: the exact one, else `*.` of its parent, else the default (`any`). A path that
/// this host does not have is not looked for under a less specific one. Among the paths of the host the longest prefix
/// wins, compared segment by segment, decoded, with regard to case.
///
/// A request is refused as `ambiguous_path` where a careless service could read it as one of another route: when its path
/// without parameters (";…"), without dots and blanks at the ends of segments, or in lower case, leads to another route
/// than the path itself.
///
/// Lookup costs a hash for each segment, whatever the number of routes.
public struct RouteTable: Sendable {
    /// The routes in their order.
    public let patterns: [RoutePattern]
    private var exact: [String: PathTree] = [:]
    private var wildcards: [String: PathTree] = [:]
    private var fallback: PathTree?

    /// A table; throws where two routes cannot be told apart or a pattern is malformed.
    public init(_ patterns: [RoutePattern]) throws(RouteTableError) {
        self.patterns = patterns
        for (index, pattern) in patterns.enumerated() {
            let prefix = try Self.segments(pattern.path, index, .badPath)
            var replacement: String?
            switch pattern.rewrite {
            case .keep: break
            case .strip: replacement = ""
            case .replace(let path):
                replacement = try Self.segments(path, index, .badReplacement)?.text ?? ""
            }
            let entry = PathTree.Entry(route: index, depth: prefix?.segments.count ?? 0, replacement: replacement)
            let other: Int?
            switch pattern.host {
            case .exact(let host): other = exact[host, default: PathTree()].add(prefix, entry)
            case .wildcard(let host): other = wildcards[host, default: PathTree()].add(prefix, entry)
            case .any:
                var tree = fallback ?? PathTree()
                other = tree.add(prefix, entry)
                fallback = tree
            }
            if let other { throw RouteTableError(.duplicate(other), index, "\(pattern.host)\(pattern.path)") }
        }
    }

    /// The route for a request to `host`, which is `ClientInfo.host`.
    public func match(_ head: HTTPRequestHead, host: HTTPAuthority?) throws(EdgeRefusal) -> RouteMatch {
        try MethodRules.check(head)
        switch head.target {
        case .origin, .absolute: break
        case .authority, .asterisk:
            throw EdgeRefusal(.badTarget, status: 400, "the target must be a path or an http URL")
        }
        let path = try RequestPath(parsing: head.path)
        guard let tree = tree(for: host) else {
            throw EdgeRefusal(.noRoute, status: 404, "nothing is served for this host")
        }
        let found = tree.find(path)
        guard tree.findFolded(path)?.route == found?.route else {
            throw EdgeRefusal(
                .ambiguousPath, status: 400, "the path could be read as another one; send it in its plain spelling")
        }
        guard let found else { throw EdgeRefusal(.noRoute, status: 404, "nothing is served under this path") }
        return RouteMatch(
            route: found.route, path: path.text, forwardedPath: Self.rewritten(path, found), query: head.query)
    }

    private func tree(for host: HTTPAuthority?) -> PathTree? {
        guard let host, let name = HostName.normalised(host.host) else { return fallback }
        if let tree = exact[name] { return tree }
        if !wildcards.isEmpty, let parent = HostName.parent(name), let tree = wildcards[parent] { return tree }
        return fallback
    }

    private static func rewritten(_ path: RequestPath, _ entry: PathTree.Entry) -> String {
        guard let replacement = entry.replacement else { return path.text }
        let rest = path.spelled.dropFirst(entry.depth)
        // The prefix itself, without a slash behind: "/" only where nothing else is left.
        if rest.isEmpty { return replacement.isEmpty ? "/" : replacement }
        return "\(replacement)/\(rest.joined(separator: "/"))"
    }

    /// A pattern's path: canonical, a slash at its end aside. Nil for "/", which has no segments.
    private static func segments(
        _ path: String, _ index: Int, _ code: RouteTableError.Code
    ) throws(RouteTableError) -> RequestPath? {
        // A slash at the end changes nothing: prefixes are whole segments.
        let path = path.utf8.count > 1 && path.utf8.last == 0x2F ? String(Substring(path.utf8.dropLast())) : path
        guard path.utf8.first == 0x2F, path.utf8.allSatisfy({ 0x21...0x7E ~= $0 && !"?#;\\\"<>".utf8.contains($0) }),
            let parsed = try? RequestPath(parsing: path), parsed.text == path
        else { throw RouteTableError(code, index, path) }
        return path == "/" ? nil : parsed
    }
}

/// Why a table of routes is no good.
public struct RouteTableError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong.
    public enum Code: Sendable, Hashable {
        /// The path is not a canonical one: `/`, or segments without query, dots, double slashes and needless escapes.
        case badPath
        /// The path that replaces the prefix is not a canonical one.
        case badReplacement
        /// An earlier route, at that position, has the same host and path, or one that differs in case only.
        case duplicate(Int)
    }

    /// What is wrong.
    public let code: Code
    /// Position of the route.
    public let route: Int
    /// The text that is wrong.
    public let text: String

    init(_ code: Code, _ route: Int, _ text: String) {
        self.code = code
        self.route = route
        self.text = text
    }

    /// Stable code for logs.
    public var reason: String {
        switch code {
        case .badPath: "bad_route_path"
        case .badReplacement: "bad_route_rewrite"
        case .duplicate: "duplicate_route"
        }
    }

    /// What is wrong and what to write.
    public var description: String {
        switch code {
        case .badPath: "\"\(text)\" is no path prefix; write / or /name/name"
        case .badReplacement: "\"\(text)\" cannot replace a prefix; write / or /name/name"
        case .duplicate(let other):
            "the route for \(text) cannot be told from routes[\(other)]; change its host or path"
        }
    }
}

/// Methods that are not relayed.
enum MethodRules {
    /// CONNECT would ask for a tunnel, TRACE would show what was added on the way, secrets included.
    static func check(_ head: HTTPRequestHead) throws(EdgeRefusal) {
        if head.method == .connect || head.method == .trace {
            throw EdgeRefusal(
                .methodNotAllowed, status: 405, "\(head.method) is not relayed",
                headers: ["Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"])
        }
    }
}
