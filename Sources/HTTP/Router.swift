/// Finds the handler for a method and a path.
///
/// Patterns are paths of literal segments, `{name}` for exactly one segment that is not empty, and `{name...}` as the last
/// one for all the rest. A literal goes before a parameter, a parameter before a rest, segment by segment from the left,
/// among the patterns that have the method. HEAD is answered by GET's handler unless it has its own. A path that only
/// other methods know is "method not allowed", with their list.
public struct Router<Handler> {
    /// What a path led to.
    public enum Match {
        /// The handler and the values of the pattern's parameters.
        case found(Handler, RouteParameters)
        /// 404: no pattern matches the path.
        case notFound
        /// 405: the path exists with these methods; for the Allow field.
        case methodNotAllowed(allow: [HTTPMethod])
        /// 400: the path itself is refused.
        case refused(HTTPError)
    }

    private var tree = RouteTree()
    private var handlers: [Handler] = []
    private let encodedSlash: HTTPPath.EncodedSlash

    /// A router without routes.
    public init(encodedSlash: HTTPPath.EncodedSlash = .refuse) { self.encodedSlash = encodedSlash }

    /// Adds a route. Throws where the pattern is malformed or the same route is there already.
    public mutating func add(_ method: HTTPMethod, _ pattern: String, _ handler: Handler) throws(RouterError) {
        let (segments, names) = try RoutePattern.parse(pattern)
        guard tree.insert(segments, method, names) else {
            throw RouterError(
                pattern: pattern, text: "\(method) \(pattern) collides with a route that is there already")
        }
        handlers.append(handler)
    }

    /// The handler for a request. `path` is raw, as `HTTPRequestHead.path` has it.
    public func match(_ method: HTTPMethod, _ path: String) -> Match {
        let segments: [String]
        do {
            segments = try HTTPPath(decoding: path, encodedSlash: encodedSlash).segments
        } catch {
            return .refused(error)
        }
        for candidate in method == .head ? [method, .get] : [method] {
            if let (route, parameters) = tree.find(candidate, segments) { return .found(handlers[route], parameters) }
        }
        var allowed = tree.methods(segments)
        if allowed.isEmpty { return .notFound }
        if allowed.contains(.get) { allowed.insert(.head) }
        return .methodNotAllowed(allow: allowed.sorted { $0.rawValue < $1.rawValue })
    }
}

extension Router: Sendable where Handler: Sendable {}
extension Router.Match: Sendable where Handler: Sendable {}

/// The values of a pattern's parameters, decoded.
public struct RouteParameters: Sendable, Equatable {
    let names: [String]
    let values: [String]

    /// The value of the parameter `name`; nil where the pattern has none of that name.
    public subscript(_ name: String) -> String? { names.firstIndex(of: name).map { values[$0] } }
}

/// A pattern that cannot be a route: a mistake of the program.
public struct RouterError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The pattern.
    public let pattern: String
    /// What is wrong with it.
    public let text: String

    /// What is wrong with it.
    public var description: String { text }
}

enum RoutePattern {
    case literal(String)
    case parameter
    case rest

    static func parse(_ pattern: String) throws(RouterError) -> ([RoutePattern], names: [String]) {
        guard pattern.hasPrefix("/") else { throw RouterError(pattern: pattern, text: "\(pattern) must begin with /") }
        var segments: [RoutePattern] = []
        var names: [String] = []
        let parts = pattern.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            guard part.hasPrefix("{"), part.hasSuffix("}") else {
                if part.contains("{") || part.contains("}") {
                    throw RouterError(pattern: pattern, text: "\(pattern): a parameter must be a whole segment")
                }
                segments.append(.literal(String(part)))
                continue
            }
            let isRest = part.hasSuffix("...}")
            let name = String(part.dropFirst().dropLast(isRest ? 4 : 1))
            guard !name.isEmpty, name.utf8.allSatisfy({ Grammar.unreserved.contains($0) }), !names.contains(name) else {
                throw RouterError(pattern: pattern, text: "\(pattern): a parameter needs a name of its own")
            }
            if isRest, index != parts.count - 1 {
                throw RouterError(pattern: pattern, text: "\(pattern): {\(name)...} must be last")
            }
            names.append(name)
            segments.append(isRest ? .rest : .parameter)
        }
        return (segments, names)
    }
}
