/// One challenge of WWW-Authenticate: a scheme and its parameters (RFC 9110, 11.3).
public struct Challenge: Sendable, Hashable, CustomStringConvertible {
    /// The scheme: Bearer (RFC 6750), DPoP (RFC 9449), ApiKey.
    public let scheme: String
    /// Names and values in order.
    public let parameters: [(name: String, value: String)]

    /// A challenge. Values are quoted when they are written; control characters and what is not ASCII become "?".
    public init(_ scheme: String, _ parameters: [(name: String, value: String)] = []) {
        precondition(Text.isToken(scheme) && parameters.allSatisfy { Text.isToken($0.name) }, "names must be tokens")
        self.scheme = scheme
        self.parameters = parameters
    }

    /// A Bearer challenge (RFC 6750, 3). Without `error` where the request had no credential at all.
    public static func bearer(
        realm: String, error: String? = nil, description: String? = nil, scope: [String] = []
    ) -> Challenge {
        Challenge("Bearer", common(realm, error, description, scope))
    }

    /// A DPoP challenge (RFC 9449, 7.1) with the proof algorithms that are accepted.
    public static func dpop(
        realm: String, algorithms: [String], error: String? = nil, description: String? = nil, scope: [String] = []
    ) -> Challenge {
        let algorithms = algorithms.joined(separator: " ")
        return Challenge("DPoP", common(realm, error, description, scope) + [("algs", algorithms)])
    }

    /// A challenge for API keys.
    public static func apiKey(realm: String) -> Challenge { Challenge("ApiKey", [("realm", realm)]) }

    private static func common(
        _ realm: String, _ error: String?, _ description: String?, _ scope: [String]
    ) -> [(name: String, value: String)] {
        var parameters = [(name: "realm", value: realm)]
        if let error { parameters.append(("error", error)) }
        if let description { parameters.append(("error_description", description)) }
        if !scope.isEmpty { parameters.append(("scope", scope.joined(separator: " "))) }
        return parameters
    }

    /// As in the field: `Bearer realm="mesh", error="invalid_token"`.
    public var description: String {
        if parameters.isEmpty { return scheme }
        return "\(scheme) \(parameters.map { "\($0.name)=\(Text.quoted($0.value))" }.joined(separator: ", "))"
    }

    /// Same scheme and parameters in the same order.
    public static func == (a: Challenge, b: Challenge) -> Bool { a.description == b.description }

    /// Hashes what is written.
    public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}
