/// Origins of web pages that may use a route.
public struct OriginList: Sendable, Hashable {
    /// One entry.
    public enum Pattern: Sendable, Hashable {
        /// One origin.
        case exact(WebOrigin)
        /// `https://*.example.org`: exactly one label in front; the rest as an origin.
        case wildcard(WebOrigin)
        /// `null`: pages from files and sandboxes. Every one of them, from anywhere.
        case null
        /// `*`: every page.
        case any

        /// Reads `https://host[:port]`, `https://*.host[:port]`, `null` or `*`; nil for anything else.
        public init?(parsing text: String) {
            if Text.equal(text, "*") {
                self = .any
            } else if Text.equal(text, "null") {
                self = .null
            } else if let star = text.utf8.firstIndex(of: 0x2A) {
                let before = text[..<star]
                let after = Substring(text.utf8[star...].dropFirst())
                guard before.utf8.suffix(3).elementsEqual("://".utf8), after.utf8.first == 0x2E,
                    let origin = WebOrigin(parsing: "\(before)\(Substring(after.utf8.dropFirst()))"),
                    origin.host.utf8.contains(0x2E), IPAddress(parsing: origin.host) == nil
                else { return nil }
                self = .wildcard(origin)
            } else if let origin = WebOrigin(parsing: text) {
                self = .exact(origin)
            } else {
                return nil
            }
        }
    }

    private let exact: Set<WebOrigin>
    private let wildcards: Set<WebOrigin>
    /// Whether pages with the origin `null` are in the list.
    public let hasNull: Bool
    /// Whether every page is.
    public let hasAny: Bool

    /// The origins of those patterns.
    public init(_ patterns: [Pattern]) {
        var exact: Set<WebOrigin> = []
        var wildcards: Set<WebOrigin> = []
        var hasNull = false
        var hasAny = false
        for pattern in patterns {
            switch pattern {
            case .exact(let origin): exact.insert(origin)
            case .wildcard(let origin): wildcards.insert(origin)
            case .null: hasNull = true
            case .any: hasAny = true
            }
        }
        self.exact = exact
        self.wildcards = wildcards
        self.hasNull = hasNull
        self.hasAny = hasAny
    }

    /// Whether the list has no origin.
    public var isEmpty: Bool { exact.isEmpty && wildcards.isEmpty && !hasNull && !hasAny }

    /// Whether an Origin field of that value is in the list.
    public func contains(_ field: String) -> Bool {
        if hasAny { return true }
        if Text.equal(field, "null") { return hasNull }
        guard let origin = WebOrigin(parsing: field) else { return false }
        if exact.contains(origin) { return true }
        guard !wildcards.isEmpty, let parent = HostName.parent(origin.host) else { return false }
        return wildcards.contains(WebOrigin(scheme: origin.scheme, host: parent, port: origin.port))
    }
}
