public import Bytes

/// Writes heads. Everything is checked before the first byte is written, so an illegal name, value or target throws and
/// leaves the queue as it was: header injection is impossible, and what is written parses to what was given.
public enum HTTPEncoder {
    /// What a server sends to a client that expects `100-continue` and may send its body.
    public static let continueResponse: [UInt8] = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    /// Writes a request head. Content-Length and Transfer-Encoding come from `framing` and must not be among the headers;
    /// Host must be. A POST, PUT or PATCH without body says `Content-Length: 0`.
    public static func encode(_ head: HTTPRequestHead, into queue: inout ByteQueue) throws(HTTPError) {
        guard Grammar.isToken(head.method.rawValue.utf8), head.method.rawValue.utf8.count <= HTTPMethod.longest else {
            throw HTTPError(.badMethod, "the method must be a token of at most \(HTTPMethod.longest) letters")
        }
        let target = head.target.description
        guard try HTTPTarget(parsing: target, method: head.method) == head.target else {
            throw HTTPError(.badTarget, "the target does not read back as itself; escape it")
        }
        try check(head.headers)
        try RequestRules.check(head)
        try check(head.framing, head.version)
        if head.framing == .untilClose {
            throw HTTPError(.forbiddenBody, "a request cannot end with its connection; use chunked")
        }
        var framing = head.framing
        if framing == .none, [.post, .put, .patch].contains(head.method) { framing = .length(0) }
        queue.append("\(head.method) \(target) \(head.version)\r\n")
        write(head.headers, framing, into: &queue)
    }

    /// Writes a response head. `method` is that of the request it answers. Content-Length and Transfer-Encoding come from
    /// `framing` and must not be among the headers. Without framing, a response that could have a body says
    /// `Content-Length: 0`; with `untilClose` it says `Connection: close`.
    public static func encode(
        _ head: HTTPResponseHead, answering method: HTTPMethod = .get, into queue: inout ByteQueue
    ) throws(HTTPError) {
        guard 100...599 ~= head.status else {
            throw HTTPError(.badStatus, status: 500, "a status code must lie between 100 and 599")
        }
        guard head.reason.utf8.allSatisfy(Grammar.isFieldByte) else {
            throw HTTPError(.badStatusLine, status: 500, "a reason phrase must not contain control characters")
        }
        try check(head.headers)
        try check(head.framing, head.version)
        let isTunnel = method == .connect && 200...299 ~= head.status
        if head.status < 200 || head.status == 204 || isTunnel, head.framing != .none {
            throw HTTPError(.forbiddenBody, status: 500, "a \(head.status) response to \(method) must have no body")
        }
        var framing = head.framing
        var headers = head.headers
        if framing == .none, !HTTPStatus.isBodyless(head.status, answering: method) { framing = .length(0) }
        if framing == .untilClose, !headers.has("close", in: "Connection") { headers.append("Connection", "close") }
        queue.append("\(head.version) \(head.status) \(head.reason)\r\n")
        write(headers, framing, into: &queue)
    }

    /// Writes the line before a chunk of `count` bytes, which must be more than none; the content and CRLF must follow.
    /// For callers that read content straight into the queue.
    public static func encodeChunkStart(_ count: Int, into queue: inout ByteQueue) {
        precondition(count > 0, "an empty chunk would end the body")
        queue.append(String(count, radix: 16))
        queue.append("\r\n")
    }

    private static func check(_ framing: HTTPFraming, _ version: HTTPVersion) throws(HTTPError) {
        if framing == .chunked, version == .http10 {
            throw HTTPError(.transferEncodingInHTTP10, "HTTP/1.0 has no chunked bodies")
        }
        if case .length(let length) = framing, length < 0 {
            throw HTTPError(.badContentLength, "a length cannot be negative")
        }
    }

    /// Names are tokens, values have no control characters, framing fields are not among them.
    static func check(_ headers: HTTPHeaders) throws(HTTPError) {
        let fault = headers.text.withUnsafeBytes { text -> HTTPError.Code? in
            for field in headers.fields {
                guard Grammar.isToken(field.name(in: text)) else { return .badFieldName }
                guard field.value(in: text).allSatisfy(Grammar.isFieldByte) else { return .badFieldValue }
            }
            return nil
        }
        if let fault {
            throw HTTPError(
                fault, status: 500,
                fault == .badFieldName
                    ? "a field's name must be a token" : "a field's value must not contain control characters")
        }
        for name in ["Content-Length", "Transfer-Encoding", "Content_Length", "Transfer_Encoding"]
        where headers.contains(name) {
            throw HTTPError(.ambiguousFraming, status: 500, "\(name) is written from the framing; do not set it")
        }
    }

    /// Writes checked fields, the framing field and the empty line.
    static func write(_ headers: HTTPHeaders, _ framing: HTTPFraming, into queue: inout ByteQueue) {
        headers.text.withUnsafeBytes { text in
            for field in headers.fields {
                queue.append(field.name(in: text))
                queue.append(": ")
                queue.append(field.value(in: text))
                queue.append("\r\n")
            }
        }
        switch framing {
        case .none, .untilClose: queue.append("\r\n")
        case .length(let length): queue.append("Content-Length: \(length)\r\n\r\n")
        case .chunked: queue.append("Transfer-Encoding: chunked\r\n\r\n")
        }
    }
}
