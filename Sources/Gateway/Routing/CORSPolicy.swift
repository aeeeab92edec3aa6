public import HTTP

/// Cross-origin resource sharing of a route, answered by the edge (Fetch standard, 3.2).
///
/// With such a policy the service has no say: its own `Access-Control-*` fields are removed, and preflights do not reach
/// it. Preflights carry no credentials, so they are answered before anything is authenticated.
public struct CORSPolicy: Sendable, Hashable {
    /// Pages that may read answers.
    public var origins: OriginList
    /// Methods they may use besides GET, HEAD and POST.
    public var methods: [HTTPMethod]
    /// Fields they may send; `*` among them allows every one that the preflight asks for.
    public var headers: [String]
    /// Fields of answers that they may read.
    public var exposedHeaders: [String]
    /// Whether they may send cookies and Authorization. Then the answer names the page's origin, never `*`.
    public var allowsCredentials: Bool
    /// Seconds for which browsers remember the answer.
    public var maxAge: Int

    /// A policy.
    public init(
        origins: OriginList, methods: [HTTPMethod] = [.get, .head, .post, .put, .patch, .delete],
        headers: [String] = ["Authorization", "Content-Type"], exposedHeaders: [String] = [],
        allowsCredentials: Bool = false, maxAge: Int = 600
    ) {
        self.origins = origins
        self.methods = methods
        self.headers = headers
        self.exposedHeaders = exposedHeaders
        self.allowsCredentials = allowsCredentials
        self.maxAge = max(0, maxAge)
    }

    /// The answer to a preflight; nil where the request is none. A preflight that asks for what is not allowed gets the
    /// same 204 without the fields that would allow it, so that the browser says what is missing.
    public func preflight(_ head: HTTPRequestHead, requestID: String) -> HTTPResponse? {
        guard head.method == .options, let origin = head.headers["Origin"],
            let method = head.headers["Access-Control-Request-Method"]
        else { return nil }
        var answer: HTTPHeaders = ["X-Request-Id": requestID]
        Self.addVary(["Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"], to: &answer)
        if origins.contains(origin) {
            answer.append("Access-Control-Allow-Origin", allowedOrigin(origin))
            if allowsCredentials { answer.append("Access-Control-Allow-Credentials", "true") }
            let simple: [HTTPMethod] = [.get, .head, .post]
            let asked = HTTPMethod(rawValue: method)
            if simple.contains(asked) || methods.contains(asked) {
                answer.append("Access-Control-Allow-Methods", methods.map(\.rawValue).joined(separator: ", "))
            }
            let requested = head.headers.list("Access-Control-Request-Headers")
            let allowed = allowedHeaders(requested)
            if !allowed.isEmpty { answer.append("Access-Control-Allow-Headers", allowed.joined(separator: ", ")) }
            answer.append("Access-Control-Max-Age", String(maxAge))
        }
        return HTTPResponse(status: 204, headers: answer)
    }

    /// The fields of an answer that is not to a preflight, in place of the service's own.
    func write(origin: String?, into headers: inout HTTPHeaders) {
        headers.removeAll { FieldKind.begins($0, "access-control-") }
        // Without this a cache would give one page the answer for another.
        if !(origins.hasAny && !allowsCredentials) { Self.addVary(["Origin"], to: &headers) }
        guard let origin, origins.contains(origin) else { return }
        headers.append("Access-Control-Allow-Origin", allowedOrigin(origin))
        if allowsCredentials { headers.append("Access-Control-Allow-Credentials", "true") }
        if !exposedHeaders.isEmpty {
            headers.append("Access-Control-Expose-Headers", exposedHeaders.joined(separator: ", "))
        }
    }

    private func allowedOrigin(_ origin: String) -> String { origins.hasAny && !allowsCredentials ? "*" : origin }

    /// The configured names; with `*` those that were asked for, as far as they are names.
    private func allowedHeaders(_ requested: [String]) -> [String] {
        guard headers.contains("*") else { return headers }
        return requested.filter { Text.isToken($0) }
    }

    /// Adds names to Vary that it does not have.
    static func addVary(_ names: [String], to headers: inout HTTPHeaders) {
        let present = headers.list("Vary")
        if present.contains(where: { Text.equal($0, "*") }) { return }
        let missing = names.filter { name in !present.contains { Text.equalIgnoringCase($0, name) } }
        if !missing.isEmpty { headers.append("Vary", missing.joined(separator: ", ")) }
    }
}
