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
