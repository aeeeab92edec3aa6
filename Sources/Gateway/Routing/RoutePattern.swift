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
