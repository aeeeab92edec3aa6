/// The head of a response, final or interim.
public struct HTTPResponseHead: Sendable, Equatable {
    /// The status code, 100 to 599.
    public var status: Int
    /// Text after the status, for people; may be empty.
    public var reason: String
    /// The protocol version of the message.
    public var version: HTTPVersion
    /// All fields but Content-Length and Transfer-Encoding, which are in `framing`.
    public var headers: HTTPHeaders
    /// How the body ends, as the message declares it; whether there is one depends on the request as well (`hasBody`).
    public var framing: HTTPFraming

    /// A head; without a reason it gets the registered one.
    public init(
        status: Int, reason: String? = nil, version: HTTPVersion = .http11, headers: HTTPHeaders = HTTPHeaders(),
        framing: HTTPFraming = .none
    ) {
        self.status = status
        self.reason = reason ?? HTTPStatus.reason(status)
        self.version = version
        self.headers = headers
        self.framing = framing
    }

    /// Whether the connection can serve another request after this answer.
    public var keepsAlive: Bool { framing != .untilClose && headers.keepsAlive(version) }

    /// Whether a body follows this head when it answers a request with that method (RFC 9112, 6.3).
    public func hasBody(answering method: HTTPMethod) -> Bool {
        !HTTPStatus.isBodyless(status, answering: method) && framing.hasBody
    }
}

/// Facts about status codes (RFC 9110, 15).
public enum HTTPStatus {
    /// Whether a response has no body whatever its fields say.
    public static func isBodyless(_ status: Int, answering method: HTTPMethod) -> Bool {
        status < 200 || status == 204 || status == 304 || method == .head || method == .connect && status < 300
    }

    /// The registered reason phrase, or that of the class.
    public static func reason(_ status: Int) -> String {
        switch status {
        case 100: "Continue"
        case 101: "Switching Protocols"
        case 103: "Early Hints"
        case 200: "OK"
        case 201: "Created"
        case 202: "Accepted"
        case 204: "No Content"
        case 206: "Partial Content"
        case 301: "Moved Permanently"
        case 302: "Found"
        case 303: "See Other"
        case 304: "Not Modified"
        case 307: "Temporary Redirect"
        case 308: "Permanent Redirect"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 406: "Not Acceptable"
        case 408: "Request Timeout"
        case 409: "Conflict"
        case 410: "Gone"
        case 411: "Length Required"
        case 412: "Precondition Failed"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 415: "Unsupported Media Type"
        case 417: "Expectation Failed"
        case 421: "Misdirected Request"
        case 422: "Unprocessable Content"
        case 426: "Upgrade Required"
        case 428: "Precondition Required"
        case 429: "Too Many Requests"
        case 431: "Request Header Fields Too Large"
        case 500: "Internal Server Error"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        default:
            switch status / 100 {
            case 1: "Informational"
            case 2: "Success"
            case 3: "Redirection"
            case 4: "Client Error"
            default: "Server Error"
            }
        }
    }
}
