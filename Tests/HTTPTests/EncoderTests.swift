import Bytes
import HTTP
import Testing

private func encoded(_ head: HTTPRequestHead) throws(HTTPError) -> String {
    var queue = ByteQueue()
    try HTTPEncoder.encode(head, into: &queue)
    return String(decoding: queue.copyBytes(), as: UTF8.self)
}

private func encoded(_ head: HTTPResponseHead, _ method: HTTPMethod = .get) throws(HTTPError) -> String {
    var queue = ByteQueue()
    try HTTPEncoder.encode(head, answering: method, into: &queue)
    return String(decoding: queue.copyBytes(), as: UTF8.self)
}

@Suite struct EncoderTests {
    private let host: HTTPHeaders = ["Host": "a"]

    private func code(_ head: HTTPRequestHead) -> HTTPError.Code? {
        do { _ = try encoded(head) } catch { return error.code }
        return nil
    }

    private func code(_ head: HTTPResponseHead, _ method: HTTPMethod = .get) -> HTTPError.Code? {
        do { _ = try encoded(head, method) } catch { return error.code }
        return nil
    }

    @Test func requests() throws {
        let get = try HTTPRequestHead(.get, "/v1/nodes?a=b", host: "mesh.agent", headers: ["Accept": "*/*"])
        #expect(try encoded(get) == "GET /v1/nodes?a=b HTTP/1.1\r\nHost: mesh.agent\r\nAccept: */*\r\n\r\n")
        let post = try HTTPRequestHead(.post, "/", host: "a", headers: ["Host": "ignored"])
        #expect(try encoded(post) == "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        let chunked = try HTTPRequestHead(.put, "/", host: "a", framing: .chunked)
        #expect(try encoded(chunked) == "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    }

    @Test func responses() throws {
        #expect(try encoded(HTTPResponseHead(status: 200)) == "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        #expect(try encoded(HTTPResponseHead(status: 200), .head) == "HTTP/1.1 200 OK\r\n\r\n")
        #expect(try encoded(HTTPResponseHead(status: 204)) == "HTTP/1.1 204 No Content\r\n\r\n")
        #expect(try encoded(HTTPResponseHead(status: 200), .connect) == "HTTP/1.1 200 OK\r\n\r\n")
        #expect(try encoded(HTTPResponseHead(status: 299, reason: "")) == "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n")
        let open = HTTPResponseHead(status: 200, framing: .untilClose)
        #expect(try encoded(open) == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        let switching = HTTPResponseHead(status: 101, headers: ["Connection": "Upgrade", "Upgrade": "x"])
        #expect(try encoded(switching).hasSuffix("Upgrade: x\r\n\r\n"))
        #expect(HTTPEncoder.continueResponse == bytes("HTTP/1.1 100 Continue\r\n\r\n"))
    }

    /// Nothing that could start another line, and nothing about the length, gets out by way of the headers.
    @Test(arguments: [
        ("X", "a\r\nY: b", HTTPError.Code.badFieldValue), ("X", "a\nb", .badFieldValue), ("X", "a\rb", .badFieldValue),
        ("X", "a\0", .badFieldValue), ("X", "a\u{1B}", .badFieldValue), ("X\r\nY", "a", .badFieldName),
        ("X:", "a", .badFieldName), ("X ", "a", .badFieldName), ("", "a", .badFieldName), ("Ä", "a", .badFieldName),
        ("Content-Length", "1", .ambiguousFraming), ("transfer-encoding", "chunked", .ambiguousFraming),
        ("Content_Length", "1", .ambiguousFraming),
    ])
    func injection(_ name: String, _ value: String, _ expected: HTTPError.Code) {
        var headers = host
        headers.append(name, value)
        let request = HTTPRequestHead(method: .get, target: .origin(path: "/", query: nil), headers: headers)
        #expect(code(request) == expected)
        #expect(code(HTTPResponseHead(status: 200, headers: headers)) == expected)
        var queue = ByteQueue()
        queue.append("before")
        #expect(throws: HTTPError.self) { try HTTPEncoder.encode(request, into: &queue) }
        #expect(queue.copyBytes() == bytes("before"), "a refused head leaves the queue as it was")
    }

    @Test func badRequests() {
        func head(
            _ method: HTTPMethod = .get, _ target: HTTPTarget = .origin(path: "/", query: nil),
            _ headers: HTTPHeaders = ["Host": "a"],
            _ framing: HTTPFraming = .none, _ version: HTTPVersion = .http11
        ) -> HTTPRequestHead {
            HTTPRequestHead(method: method, target: target, version: version, headers: headers, framing: framing)
        }
        #expect(code(head("GET /x HTTP/1.1\r\nX:")) == .badMethod)
        #expect(code(head("")) == .badMethod)
        #expect(code(head(.get, .origin(path: "/ HTTP/1.1\r\n", query: nil))) == .badTarget)
        #expect(code(head(.get, .origin(path: "/a?b", query: nil))) == .badTarget, "would read back as path and query")
        #expect(code(head(.get, .origin(path: "a", query: nil))) == .badTarget)
        #expect(code(head(.get, .asterisk)) == .badTarget)
        #expect(code(head(.get, .origin(path: "/", query: nil), [:])) == .missingHost)
        #expect(code(head(.get, .origin(path: "/", query: nil), ["Host": "a", "host": "a"])) == .duplicateHost)
        #expect(code(head(.get, .origin(path: "/", query: nil), ["Host": "a b"])) == .badHost)
        #expect(code(head(.post, .origin(path: "/", query: nil), host, .untilClose)) == .forbiddenBody)
        #expect(code(head(.post, .origin(path: "/", query: nil), host, .chunked, .http10)) == .transferEncodingInHTTP10)
        #expect(code(head(.post, .origin(path: "/", query: nil), host, .length(-1))) == .badContentLength)
        #expect(code(head(.trace, .origin(path: "/", query: nil), host, .length(1))) == .forbiddenBody)
        #expect(throws: HTTPError.self) { try HTTPRequestHead(.get, "/a b", host: "a") }
        #expect(throws: HTTPError.self) { try HTTPRequestHead(.get, "/", host: "a\r\nX: b") }
    }

    @Test func badResponses() {
        #expect(code(HTTPResponseHead(status: 99)) == .badStatus)
        #expect(code(HTTPResponseHead(status: 600)) == .badStatus)
        #expect(code(HTTPResponseHead(status: 200, reason: "OK\r\nX: y")) == .badStatusLine)
        #expect(code(HTTPResponseHead(status: 204, framing: .length(0))) == .forbiddenBody)
        #expect(code(HTTPResponseHead(status: 101, framing: .chunked)) == .forbiddenBody)
        #expect(code(HTTPResponseHead(status: 200, framing: .length(1)), .connect) == .forbiddenBody)
        #expect(code(HTTPResponseHead(status: 200, version: .http10, framing: .chunked)) == .transferEncodingInHTTP10)
    }

    @Test func bodyWriterKeepsToItsLength() throws {
        let head = HTTPResponseHead(status: 200, framing: .length(3))
        var queue = ByteQueue()
        var writer = HTTPBodyWriter(head, answering: .get)
        try writer.write(bytes("ab"), into: &queue)
        #expect(throws: HTTPError.self) { try writer.write(bytes("cd"), into: &queue) }
        #expect(throws: HTTPError.self) { try writer.finish(into: &queue) }
        try writer.write(bytes("c"), into: &queue)
        #expect(throws: HTTPError.self) { try writer.finish(trailers: ["X": "1"], into: &queue) }
        try writer.finish(into: &queue)
        #expect(queue.copyBytes() == bytes("abc"))
        var silent = HTTPBodyWriter(head, answering: .head)
        try silent.write(bytes("abc"), into: &queue)
        try silent.finish(into: &queue)
        #expect(queue.count == 3)
    }

    @Test func bodyWriterChunks() throws {
        var queue = ByteQueue()
        var writer = HTTPBodyWriter(HTTPResponseHead(status: 200, framing: .chunked), answering: .get)
        try writer.write([], into: &queue)
        try writer.write([UInt8](repeating: 0x61, count: 26), into: &queue)
        #expect(throws: HTTPError.self) { try writer.finish(trailers: ["Content-Type": "x"], into: &queue) }
        #expect(throws: HTTPError.self) { try writer.finish(trailers: ["X": "1\r\n\r\nGET"], into: &queue) }
        try writer.finish(trailers: ["X": "1"], into: &queue)
        #expect(queue.copyBytes() == bytes("1a\r\n\(String(repeating: "a", count: 26))\r\n0\r\nX: 1\r\n\r\n"))
        #expect(throws: HTTPError.self) { try writer.write([1], into: &queue) }
    }

    @Test func wholeMessages() throws {
        var queue = ByteQueue()
        try HTTPResponse.json("{}", status: 201, headers: ["X": "y"]).encode(into: &queue)
        #expect(
            queue.copyBytes()
                == bytes(
                    "HTTP/1.1 201 Created\r\nX: y\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"))
        queue.removeAll()
        try HTTPResponse.text("hello").encode(answering: .head, into: &queue)
        #expect(
            queue.copyBytes()
                == bytes("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\n"))
        queue.removeAll()
        try HTTPRequest(.put, "/v1/services/db", host: "mesh.agent", body: bytes("{}")).encode(into: &queue)
        #expect(
            queue.copyBytes()
                == bytes("PUT /v1/services/db HTTP/1.1\r\nHost: mesh.agent\r\nContent-Length: 2\r\n\r\n{}"))
    }
}
