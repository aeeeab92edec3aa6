public import Bytes

/// A whole response with its body in memory: what handlers of the control API return.
public struct HTTPResponse: Sendable, Equatable {
    /// Status, fields; the framing is set from the body when it is encoded.
    public var head: HTTPResponseHead
    /// The content.
    public var body: [UInt8]

    /// A response with that content.
    public init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
        head = HTTPResponseHead(status: status, headers: headers)
        self.body = body
    }

    /// A response with JSON text.
    public static func json(_ text: String, status: Int = 200, headers: HTTPHeaders = HTTPHeaders()) -> HTTPResponse {
        content(text, type: "application/json", status: status, headers: headers)
    }

    /// A response with plain text.
    public static func text(_ text: String, status: Int = 200, headers: HTTPHeaders = HTTPHeaders()) -> HTTPResponse {
        content(text, type: "text/plain; charset=utf-8", status: status, headers: headers)
    }

    private static func content(_ text: String, type: String, status: Int, headers: HTTPHeaders) -> HTTPResponse {
        var headers = headers
        headers.set("Content-Type", type)
        return HTTPResponse(status: status, headers: headers, body: Array(text.utf8))
    }

    /// Writes head and body with Content-Length; an answer to HEAD gets the length and no body.
    public func encode(answering method: HTTPMethod = .get, into queue: inout ByteQueue) throws(HTTPError) {
        var head = head
        if head.status >= 200, head.status != 204, head.status != 304, !(method == .connect && head.status < 300) {
            head.framing = .length(body.count)
        }
        try HTTPEncoder.encode(head, answering: method, into: &queue)
        if !HTTPStatus.isBodyless(head.status, answering: method) { queue.append(body) }
    }
}

/// A whole request with its body in memory: what the CLI sends.
public struct HTTPRequest: Sendable, Equatable {
    /// Method, target, fields; the framing is set from the body when it is encoded.
    public var head: HTTPRequestHead
    /// The content.
    public var body: [UInt8]

    /// A request with that content.
    public init(
        _ method: HTTPMethod, _ target: String, host: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []
    ) throws(HTTPError) {
        head = try HTTPRequestHead(method, target, host: host, headers: headers)
        self.body = body
    }

    /// Writes head and body, with Content-Length where there is a body.
    public func encode(into queue: inout ByteQueue) throws(HTTPError) {
        var head = head
        head.framing = body.isEmpty ? .none : .length(body.count)
        try HTTPEncoder.encode(head, into: &queue)
        queue.append(body)
    }
}
