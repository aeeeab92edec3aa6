public import HTTP

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
            let parsed = try? RequestPath(parsing: path), parsed.text == path,
            path == "/" || !parsed.foldedKeys.contains("")
        else { throw RouteTableError(code, index, path) }
        return path == "/" ? nil : parsed
    }
}
