public import HTTP
public import WebSocket

/// A refusal of the edge, with everything that any way of telling it needs: an HTTP answer before a WebSocket is open, a
/// close frame afterwards, a log record and a metric always.
///
/// Texts for the client say no more than he may know; what only operators may know goes into the log elsewhere.
public struct EdgeRefusal: Error, Sendable, Equatable {
    /// Stable code in snake_case.
    public var reason: String
    /// Status of the HTTP answer.
    public var status: Int
    /// What happened, for people; contains no bytes of the request.
    public var detail: String
    /// What to do next.
    public var hint: String?
    /// Fields that the answer needs: WWW-Authenticate, Retry-After, Allow …
    public var headers: HTTPHeaders
    /// Whether the connection must be closed behind the answer: it is not known where the message ends, or the client is
    /// not to be heard further.
    public var closesConnection: Bool

    /// A refusal for a reason of the edge itself.
    public init(
        _ reason: GatewayReason, status: Int, _ detail: String, hint: String? = nil,
        headers: HTTPHeaders = HTTPHeaders(), closesConnection: Bool = false
    ) {
        self.init(
            reason: reason.rawValue, status: status, detail: detail, hint: hint, headers: headers,
            closesConnection: closesConnection)
    }

    /// A refusal for a reason of another room: the policy's, the authenticator's.
    public init(
        reason: String, status: Int, detail: String, hint: String? = nil, headers: HTTPHeaders = HTTPHeaders(),
        closesConnection: Bool = false
    ) {
        self.reason = reason
        self.status = status
        self.detail = detail
        self.hint = hint
        self.headers = headers
        self.closesConnection = closesConnection
    }

    /// A message that the HTTP codec refused. Where it ends is not known, so the connection closes.
    public init(_ error: HTTPError) {
        self.init(reason: error.code.rawValue, status: error.status, detail: error.text, closesConnection: true)
    }

    /// 401: no credential, or none that counts. `challenges` become the WWW-Authenticate fields (RFC 9110, 11.6.1).
    public static func unauthenticated(
        reason: String, detail: String, challenges: [Challenge], hint: String? = nil
    ) -> EdgeRefusal {
        var headers = HTTPHeaders()
        for challenge in challenges { headers.append("WWW-Authenticate", challenge.description) }
        return EdgeRefusal(reason: reason, status: 401, detail: detail, hint: hint, headers: headers)
    }

    /// 403: the principal is known and lacks the right. `challenges` may name missing scopes (RFC 6750, 3.1).
    public static func forbidden(
        reason: String, detail: String, challenges: [Challenge] = [], hint: String? = nil
    ) -> EdgeRefusal {
        var refusal = unauthenticated(reason: reason, detail: detail, challenges: challenges, hint: hint)
        refusal.status = 403
        return refusal
    }

    /// 429 with Retry-After and, where a policy is given, the RateLimit fields.
    public static func tooMany(_ reason: GatewayReason, _ decision: RateDecision, policy: RatePolicy?) -> EdgeRefusal {
        var headers: HTTPHeaders = ["Retry-After": String(decision.retryAfterSeconds)]
        if let policy { decision.write(policy, into: &headers) }
        let detail =
            switch reason {
            case .tooManyFailures: "too many failed authentications; wait \(decision.retryAfterSeconds) s"
            case .tooManyConnections: "too many connections at once; close some, or wait"
            default: "too many requests; wait \(decision.retryAfterSeconds) s"
            }
        return EdgeRefusal(reason, status: 429, detail, headers: headers)
    }

    /// The code of the close frame that says the same on an open WebSocket: 4401, 4403, 4429; 1008 for the rest of the
    /// client's faults, 1011 for ours and 1014 for the service's; 1001 where the edge stops.
    public var closeCode: CloseCode {
        switch status {
        case 503 where reason == GatewayReason.goingAway.rawValue: .goingAway
        case 401: .unauthenticated
        case 403: .forbidden
        case 429: .tooManyRequests
        case 502, 504: .badGateway
        case 503: .tryAgainLater
        case 500...: .internalError
        default: .policyViolation
        }
    }

    /// Payload of that close frame: the code, and the reason's code as text.
    public var closePayload: ClosePayload { ClosePayload(closeCode, reason: reason) }

    /// The problem document (RFC 9457) with the request's id.
    public func problem(requestID: String?) -> Problem {
        Problem(reason, status: status, detail: detail, hint: hint, instance: requestID)
    }

    /// The HTTP answer: problem document, fields of the refusal, X-Request-Id, and Connection: close where due.
    public func response(requestID: String?) -> HTTPResponse {
        var headers = headers
        if let requestID { headers.set("X-Request-Id", requestID) }
        if closesConnection { headers.set("Connection", "close") }
        return problem(requestID: requestID).response(headers: headers)
    }
}
