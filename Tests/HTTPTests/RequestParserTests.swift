import Bytes
import HTTP
import Testing

@Suite struct RequestParserTests {
    private func all(_ wire: String, limits: HTTPLimits = HTTPLimits()) -> [Seen] {
        let whole = parseRequests(bytes(wire), limits: limits)
        for delivery in Delivery.all {
            #expect(parseRequests(bytes(wire), delivery, limits: limits) == whole, "\(delivery)")
        }
        return whole
    }

    @Test func simpleGet() throws {
        let seen = all("GET /v1/links?state=up&x=%20 HTTP/1.1\r\nHost: mesh.agent\r\nAccept:\t*/* \t\r\nX:\r\n\r\n")
        let head = try #require(seen.requests.first)
        #expect(seen == [.request(head), .end])
        #expect(head.method == .get)
        #expect(head.path == "/v1/links")
        #expect(head.query == "state=up&x=%20")
        #expect(head.version == .http11)
        #expect(head.framing == .none)
        #expect(head.headers == ["host": "mesh.agent", "ACCEPT": "*/*", "x": ""])
        #expect(head.authority?.description == "mesh.agent")
        #expect(head.keepsAlive)
    }

    @Test func targetForms() throws {
        func head(_ line: String, host: String = "a") throws -> HTTPRequestHead {
            try #require(all("\(line) HTTP/1.1\r\nHost: \(host)\r\n\r\n").requests.first, "\(line)")
        }
        #expect(try head("GET //x//y").target == .origin(path: "//x//y", query: nil))
        #expect(try head("GET /?").target == .origin(path: "/", query: ""))
        #expect(try head("GET /a?b?c/d").query == "b?c/d")
        #expect(try head("GET /a|b[1]?q={x}|^`'").query == "q={x}|^`'")
        #expect(try head("OPTIONS *").target == .asterisk)
        let absolute = try head("GET HTTP://A:80/x?y")
        let authority = try HTTPAuthority(parsing: "A:80")
        #expect(absolute.target == .absolute(scheme: "http", authority: authority, path: "/x", query: "y"))
        #expect(absolute.authority == authority)
        #expect(try head("GET https://a").path == "/")
        #expect(try head("GET https://a?q").query == "q")
        #expect(try head("GET https://a:443/", host: "a").path == "/")
        let tunnel = try head("CONNECT [::1]:5432", host: "[::1]")
        #expect(tunnel.target == .authority(try HTTPAuthority(parsing: "[::1]:5432")))
        #expect(tunnel.path == "" && tunnel.authority?.port == 5432)
        #expect(try head("CONNECT a:1", host: "A:1").method == .connect)
        #expect(try head("purge /x").method.rawValue == "purge")
    }

    @Test func http10() throws {
        let bare = try #require(all("GET / HTTP/1.0\r\n\r\n").requests.first)
        #expect(bare.version == .http10 && bare.authority == nil && !bare.keepsAlive && bare.upgrade.isEmpty)
        let kept = all(
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\nExpect: whatever\r\nUpgrade: x\r\n\r\nGET /2 HTTP/1.0\r\n\r\nrest"
        )
        #expect(kept.requests.map(\.path) == ["/", "/2"])
        #expect(kept.requests[0].keepsAlive && kept.requests[0].upgrade.isEmpty)
    }

    @Test func lengthBody() {
        let seen = all(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhelloGET / HTTP/1.1\r\nHost: b\r\n\r\n")
        #expect(seen.count == 5)
        #expect(seen.requests[0].framing == .length(5))
        #expect(!seen.requests[0].headers.contains("content-length"))
        #expect(seen[1] == .body(bytes("hello")) && seen[2] == .end)
        #expect(seen.requests[1].headers["Host"] == "b")
    }

    @Test func emptyLength() {
        let seen = all("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        #expect(seen.requests.map(\.framing) == [.length(0)] && seen.count == 2)
    }

    @Test func chunkedBody() {
        let good = all(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nTrailer: X-Sum\r\n\r\n"
                + "5;a;b=c;d=\"e\\\"; f\"\r\nhello\r\n00C\r\n, wide world\r\n0;last\r\nX-Sum: 1\r\nCookie: no\r\n\r\n"
                + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(good.requests.map(\.path) == ["/", "/next"])
        #expect(good[1...3] == [.body(bytes("hello, wide world")), .trailers(["X-Sum": "1"]), .end])
        #expect(good.requests[0].framing == .chunked && !good.requests[0].headers.contains("Transfer-Encoding"))
    }

    @Test func oneEmptyLineIsSkippedBeforeEachRequest() {
        let seen = all("\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(seen.requests.map(\.path) == ["/1", "/2"] && seen.errors.isEmpty)
    }

    @Test func closeEndsReading() {
        let seen = all("GET /1 HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(seen.requests.map(\.path) == ["/1"] && seen.errors.isEmpty)
        #expect(!seen.requests[0].keepsAlive)
    }

    @Test func valuesKeepForeignBytes() {
        let wire = bytes("GET / HTTP/1.1\r\nHost: a\r\nX: ") + [0xE9, 0xFF] + bytes("\r\n\r\n")
        let head = parseRequests(wire).requests[0]
        #expect(head.headers["X"] == "\u{FFFD}\u{FFFD}")
        var queue = ByteQueue()
        #expect(throws: Never.self) { try HTTPEncoder.encode(head, into: &queue) }
        #expect(queue.copyBytes() == wire)
    }

    @Test func expectationIsSurfaced() {
        func head(_ fields: String, _ version: String = "1.1") -> HTTPRequestHead {
            parseRequests(bytes("POST / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n\r\nabc"), atEnd: false).requests[0]
        }
        #expect(head("Content-Length: 3\r\nExpect: 100-Continue").expectsContinue)
        #expect(!head("Content-Length: 0\r\nExpect: 100-continue").expectsContinue)
        #expect(!head("Content-Length: 3").expectsContinue)
        #expect(!head("Content-Length: 3\r\nExpect: 100-continue", "1.0").expectsContinue)
    }

    @Test func upgradeIsSurfacedAndStopsTheParser() throws {
        var parser = RequestParser()
        var queue = ByteQueue()
        queue.append(
            "GET /v1/connect/db HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n"
                + "Upgrade: conduit-stream, websocket\r\n\r\n\u{1}raw GET")
        guard case .head(let head)? = try parser.next(&queue) else { return #expect(Bool(false), "no head") }
        #expect(head.upgrade == ["conduit-stream", "websocket"])
        #expect(try parser.next(&queue) == .end)
        #expect(parser.isEnded)
        #expect(try parser.next(&queue) == nil)
        #expect(queue.count == 8, "nothing behind the request may be touched before the server decides")
        parser.switchProtocol()
        #expect(try parser.next(&queue) == nil)
        #expect(parser.isFinished && queue.count == 8)
        try parser.inputEnded(queue)
    }

    @Test func upgradeNeedsConnection() {
        let head = parseRequests(bytes("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\n\r\n")).requests[0]
        #expect(head.upgrade.isEmpty)
    }

    @Test func contentStaysUntilItIsTaken() throws {
        var parser = RequestParser()
        var queue = ByteQueue()
        queue.append("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcdEXTRA")
        _ = try parser.next(&queue)
        #expect(try parser.next(&queue) == .body(4))
        #expect(try parser.next(&queue) == .body(4), "asking again changes nothing")
        parser.take(3, from: &queue)
        #expect(try parser.next(&queue) == .body(1))
        parser.take(1, from: &queue)
        #expect(try parser.next(&queue) == .end)
        #expect(queue.copyBytes() == bytes("EXTRA"))
    }

    @Test func idleness() throws {
        var parser = RequestParser()
        var queue = ByteQueue()
        #expect(parser.isIdle)
        try parser.inputEnded(queue)
        queue.append("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try parser.next(&queue)
        #expect(!parser.isIdle)
        #expect(try parser.next(&queue) == .end)
        parser.proceed()
        #expect(parser.isIdle)
        queue.append("GE")
        _ = try parser.next(&queue)
        #expect(!parser.isIdle)
    }
}

@Suite struct LimitTests {
    private func code(_ wire: String, _ limits: HTTPLimits) -> HTTPError.Code? {
        let whole = parseRequests(bytes(wire), limits: limits)
        for delivery in Delivery.all {
            #expect(parseRequests(bytes(wire), delivery, limits: limits) == whole, "\(delivery)")
        }
        return whole.errors.first?.code
    }

    private let line = "GET /abcd HTTP/1.1\r\n"
    private let host = "Host: a\r\n"

    @Test func startLine() {
        var limits = HTTPLimits()
        limits.startLine = line.utf8.count
        #expect(code(line + host + "\r\n", limits) == nil)
        limits.startLine -= 1
        #expect(code(line + host + "\r\n", limits) == .requestLineTooLong)
    }

    @Test func fieldLine() {
        var limits = HTTPLimits()
        limits.fieldLine = host.utf8.count
        #expect(code(line + host + "\r\n", limits) == nil)
        limits.fieldLine -= 1
        #expect(code(line + host + "\r\n", limits) == .fieldTooLong)
    }

    @Test func fieldCount() {
        var limits = HTTPLimits()
        limits.fieldCount = 2
        #expect(code(line + host + "a:\r\n\r\n", limits) == nil)
        #expect(code(line + host + "a:\r\nb:\r\n\r\n", limits) == .tooManyFields)
    }

    @Test func head() {
        var limits = HTTPLimits()
        limits.head = (line + host + "\r\n").utf8.count
        #expect(code(line + host + "\r\n", limits) == nil)
        limits.head -= 1
        #expect(code(line + host + "\r\n", limits) == .headTooLarge)
        limits.head = line.utf8.count
        #expect(code(line + host + "\r\n", limits) == .headTooLarge)
        limits.head -= 1
        #expect(code(line + host + "\r\n", limits) == .requestLineTooLong)
    }

    @Test func bodyByLength() {
        var limits = HTTPLimits()
        limits.body = 3
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "
        #expect(code(head + "3\r\n\r\nabc", limits) == nil)
        #expect(code(head + "4\r\n\r\nabcd", limits) == .bodyTooLarge)
    }

    @Test func bodyByChunks() {
        var limits = HTTPLimits()
        limits.body = 3
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(code(head + "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", limits) == nil)
        #expect(code(head + "1\r\na\r\n3\r\nbcd\r\n0\r\n\r\n", limits) == .bodyTooLarge)
        #expect(code(head + "fffffffffffffff\r\n", limits) == .bodyTooLarge)
        #expect(code(head + "fffffffffffffff\r\na", HTTPLimits()) == .truncated)
    }

    @Test func chunkLine() {
        var limits = HTTPLimits()
        limits.chunkLine = 5
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(code(head + "1;a\r\nx\r\n0\r\n\r\n", limits) == nil)
        #expect(code(head + "1;ab\r\nx\r\n0\r\n\r\n", limits) == .chunkLineTooLong)
        limits.chunkExtensions = 4
        #expect(code(head + "1;a\r\nx\r\n0;b\r\n\r\n", limits) == nil)
        limits.chunkExtensions = 3
        #expect(code(head + "1;a\r\nx\r\n0;b\r\n\r\n", limits) == .chunkExtensionsTooLarge)
    }

    @Test func trailers() {
        var limits = HTTPLimits()
        limits.trailers = 6
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        #expect(code(head + "a:\r\n\r\n", limits) == nil)
        #expect(code(head + "a:b\r\n\r\n", limits) == .trailersTooLarge)
        limits.trailerCount = 0
        #expect(code(head + "a:\r\n\r\n", limits) == .tooManyFields)
        #expect(code(head + "\r\n", limits) == nil)
    }

    /// The search for the end of a line goes on where it stopped: a slow client costs no more than a fast one.
    @Test func longLineByteByByte() {
        let wire = bytes("GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 16_000))\r\n\r\n")
        #expect(parseRequests(wire, .byteByByte).requests.count == 1)
    }
}
