import Bytes
import HTTP
import Testing

/// A request that must be refused, and the exact answer it gets.
struct Malformed: Sendable, CustomTestStringConvertible {
    let name: String
    let wire: [UInt8]
    let code: HTTPError.Code
    let status: Int
    /// How many requests are accepted before the fault shows.
    let heads: Int

    init(_ name: String, _ wire: String, _ code: HTTPError.Code, _ status: Int = 400, heads: Int = 0) {
        self.init(name, bytes: Array(wire.utf8), code, status, heads: heads)
    }

    init(_ name: String, bytes: [UInt8], _ code: HTTPError.Code, _ status: Int = 400, heads: Int = 0) {
        self.name = name
        wire = bytes
        self.code = code
        self.status = status
        self.heads = heads
    }

    /// A request line in front of good fields.
    static func line(_ name: String, _ line: String, _ code: HTTPError.Code, _ status: Int = 400) -> Malformed {
        Malformed(name, "\(line)\r\nHost: a\r\n\r\n", code, status)
    }

    /// Fields of a GET that has its Host.
    static func field(_ name: String, _ fields: String, _ code: HTTPError.Code, _ status: Int = 400) -> Malformed {
        Malformed(name, "GET / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n", code, status)
    }

    /// A value of Host.
    static func host(_ value: String) -> Malformed {
        Malformed("Host: \(value.debugDescription)", "GET / HTTP/1.1\r\nHost: \(value)\r\n\r\n", .badHost)
    }

    /// Framing fields of a POST, with a body behind.
    static func framing(_ fields: String, _ code: HTTPError.Code, _ status: Int = 400) -> Malformed {
        Malformed(
            fields.debugDescription,
            "POST / HTTP/1.1\r\nHost: a\r\n\(fields)\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            code, status)
    }

    /// A chunked body.
    static func chunks(_ body: String, _ code: HTTPError.Code, _ status: Int = 400) -> Malformed {
        Malformed(
            "chunked \(body.prefix(40).debugDescription)",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\(body)", code, status, heads: 1)
    }

    var testDescription: String { name }
}

private let requestLines: [Malformed] = [
    Malformed("TLS on the plain port", bytes: [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00], .notHTTP),
    Malformed("binary", bytes: [0x00, 0x01, 0x02], .notHTTP),
    Malformed("blank first", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", .notHTTP),
    Malformed("UTF-8 byte order mark", "\u{FEFF}GET / HTTP/1.1\r\nHost: a\r\n\r\n", .notHTTP),
    Malformed("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .notHTTP),
    Malformed("bare LF first", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareLF),
    Malformed("bare CR first", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", .bareCR),
    Malformed("bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", .bareLF),
    Malformed("bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", .bareLF),
    Malformed("bare LF as empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", .bareLF),
    Malformed("CR CR LF behind a field", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", .bareCR),
    Malformed("bare CR in the request line", "GET /\rHTTP/1.1\r\nHost: a\r\n\r\n", .bareCR),
    Malformed("bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", .bareCR),
    .line("HTTP/0.9", "GET /", .badRequestLine),
    .line("method alone", "GET", .badRequestLine),
    .line("no target", "GET HTTP/1.1", .badRequestLine),
    .line("two blanks, no target", "GET  HTTP/1.1", .badRequestLine),
    .line("blank behind the version", "GET / HTTP/1.1 ", .badVersion),
    .line("two blanks before the version", "GET /  HTTP/1.1", .badTarget),
    .line("two blanks before the target", "GET  / HTTP/1.1", .badTarget),
    .line("tab before the target", "GET\t/ HTTP/1.1", .badRequestLine),
    .line("tab before the version", "GET /\tHTTP/1.1", .badRequestLine),
    .line("blank in the target", "GET /a b HTTP/1.1", .badTarget),
    .line("method is no token", "G@T / HTTP/1.1", .badMethod),
    .line("method in parentheses", "GET() / HTTP/1.1", .badMethod),
    .line("method of 33 letters", "\(String(repeating: "A", count: 33)) / HTTP/1.1", .badMethod),
    .line("version in lower case", "GET / http/1.1", .badVersion),
    .line("version without a minor", "GET / HTTP/1", .badVersion),
    .line("version of three digits", "GET / HTTP/1.10", .badVersion),
    .line("version with a comma", "GET / HTTP/1,1", .badVersion),
    .line("another protocol", "GET / HTCPCP/1.0", .badVersion),
    .line("HTTP/1.2", "GET / HTTP/1.2", .unsupportedVersion, 505),
    .line("HTTP/2.0", "GET / HTTP/2.0", .unsupportedVersion, 505),
    Malformed("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion, 505),
    .line("HTTP/0.9 spelled out", "GET / HTTP/0.9", .unsupportedVersion, 505),
]

private let targets: [Malformed] = [
    .line("relative target", "GET a/b HTTP/1.1", .badTarget),
    .line("target is a query", "GET ?a=b HTTP/1.1", .badTarget),
    .line("asterisk with GET", "GET * HTTP/1.1", .badTarget),
    .line("two asterisks", "OPTIONS ** HTTP/1.1", .badTarget),
    .line("authority with GET", "GET a:80 HTTP/1.1", .badTarget),
    .line("fragment", "GET /a#b HTTP/1.1", .badTarget),
    .line("fragment in the query", "GET /a?b#c HTTP/1.1", .badTarget),
    .line("backslash", "GET /a\\b HTTP/1.1", .badTarget),
    .line("quote in the path", "GET /a\"b HTTP/1.1", .badTarget),
    .line("angle bracket in the query", "GET /?<script> HTTP/1.1", .badTarget),
    .line("braces in the path", "GET /{a} HTTP/1.1", .badTarget),
    .line("NUL in the target", "GET /a\0b HTTP/1.1", .badTarget),
    .line("DEL in the target", "GET /a\u{7F} HTTP/1.1", .badTarget),
    .line("raw UTF-8 in the path", "GET /ä HTTP/1.1", .badTarget),
    .line("% at the end", "GET /a% HTTP/1.1", .badPercentEncoding),
    .line("% with one digit", "GET /a%4 HTTP/1.1", .badPercentEncoding),
    .line("% without digits", "GET /a%zz HTTP/1.1", .badPercentEncoding),
    .line("% broken in the query", "GET /?a=%u1234 HTTP/1.1", .badPercentEncoding),
    .line("ftp target", "GET ftp://a/ HTTP/1.1", .badTarget),
    .line("file target", "GET file:///etc/passwd HTTP/1.1", .badTarget),
    .line("target without host", "GET http:///x HTTP/1.1", .badTarget),
    .line("target with one slash", "GET http:/a HTTP/1.1", .badTarget),
    .line("target with user", "GET http://u@a/ HTTP/1.1", .badTarget),
    .line("target with user and password", "GET http://u:p@a/ HTTP/1.1", .badTarget),
    .line("target with an empty port", "GET http://a:/ HTTP/1.1", .badTarget),
    .line("target and Host differ", "GET http://b/ HTTP/1.1", .hostMismatch),
    .line("target and Host differ in port", "GET http://a:81/ HTTP/1.1", .hostMismatch),
    .line("target and Host differ in default port", "GET https://a:80/ HTTP/1.1", .hostMismatch),
    .line("CONNECT without port", "CONNECT a HTTP/1.1", .badTarget),
    .line("CONNECT with a path", "CONNECT /a HTTP/1.1", .badTarget),
    .line("CONNECT with a URL", "CONNECT http://a:80/ HTTP/1.1", .badTarget),
    .line("CONNECT to port 0", "CONNECT a:0 HTTP/1.1", .badTarget),
    .line("CONNECT to another host than Host", "CONNECT b:80 HTTP/1.1", .hostMismatch),
]

private let fields: [Malformed] = [
    .field("no colon", "abc", .missingColon),
    .field("empty name", ": b", .badFieldName),
    .field("blank in the name", "a b: c", .badFieldName),
    .field("NUL in the name", "a\0b: c", .badFieldName),
    .field("parenthesis in the name", "a(b): c", .badFieldName),
    .field("UTF-8 in the name", "ä: c", .badFieldName),
    .field("blank before the colon", "X : b", .whitespaceBeforeColon),
    .field("tab before the colon", "X\t: b", .whitespaceBeforeColon),
    .field("Content-Length with blank before the colon", "Content-Length : 5", .whitespaceBeforeColon),
    .field("Transfer-Encoding with blank before the colon", "Transfer-Encoding : chunked", .whitespaceBeforeColon),
    .field("NUL in the value", "X: a\0b", .badFieldValue),
    .field("escape in the value", "X: \u{1B}[31m", .badFieldValue),
    .field("vertical tab in the value", "X: a\u{0B}b", .badFieldValue),
    .field("DEL in the value", "X: a\u{7F}", .badFieldValue),
    .field("folded with a blank", "X: a\r\n b", .foldedField),
    .field("folded with a tab", "X: a\r\n\tb", .foldedField),
    .field("folded framing", "Transfer-Encoding:\r\n chunked", .foldedField),
    Malformed("blank before the first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", .foldedField),
    Malformed("line of blanks as empty line", "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", .foldedField),
    Malformed("no Host", "GET / HTTP/1.1\r\n\r\n", .missingHost),
    Malformed("Host under another name", "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", .missingHost),
    Malformed("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", .duplicateHost),
    Malformed("two equal Hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", .duplicateHost),
    Malformed("two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", .duplicateHost),
    .host(""), .host("a b"), .host("a,b"), .host("a/b"), .host("a@b"), .host("u@a"), .host("a:"), .host("a:0"),
    .host("a:65536"), .host("a:+80"), .host("a:80:80"), .host(":80"), .host("a:8O"), .host("http://a"), .host("a?b"),
    .host("a%2eb"), .host("a..b"), .host(".a"), .host("["), .host("[]"), .host("[::1"), .host("::1"), .host("[::1]x"),
    .host("[::1]:"), .host("[1:2:3:4:5:6:7:8:9]"), .host("[1::2::3]"), .host("[12345::]"), .host("[fe80::1%25eth0]"),
    .host("[::1.2.3]"), .host("[::1.2.3.256]"), .host("[v1.x]"), .host("a\tb"), .host("a#"), .host("a;b"), .host("ä"),
    .host(String(repeating: "a", count: 256)),
    .field("unknown expectation", "Expect: 200-ok", .expectationFailed, 417),
    .field("one expectation of two unknown", "Expect: 100-continue, x", .expectationFailed, 417),
]

private let framings: [Malformed] = [
    .framing("Content-Length: 5\r\nTransfer-Encoding: chunked", .ambiguousFraming),
    .framing("Transfer-Encoding: chunked\r\nContent-Length: 0", .ambiguousFraming),
    .framing("Transfer-Encoding: identity\r\nContent-Length: 5", .ambiguousFraming),
    .framing("Content-Length: 5\r\nContent-Length: 5", .duplicateContentLength),
    .framing("Content-Length: 5\r\ncontent-length: 6", .duplicateContentLength),
    .framing("Content-Length: 5, 5", .badContentLength),
    .framing("Content-Length: 5,6", .badContentLength),
    .framing("Content-Length:", .badContentLength),
    .framing("Content-Length: +5", .badContentLength),
    .framing("Content-Length: -5", .badContentLength),
    .framing("Content-Length: -0", .badContentLength),
    .framing("Content-Length: 0x5", .badContentLength),
    .framing("Content-Length: 5.0", .badContentLength),
    .framing("Content-Length: 5 5", .badContentLength),
    .framing("Content-Length: 5;", .badContentLength),
    .framing("Content-Length: five", .badContentLength),
    .framing("Content-Length: \"5\"", .badContentLength),
    .framing("Content-Length: 9223372036854775808", .badContentLength),
    .framing("Content-Length: 18446744073709551621", .badContentLength),
    .framing("Content-Length: 00000000000000000005", .badContentLength),
    .framing("Content-Length: ٥", .badContentLength),
    .framing("Content_Length: 5", .ambiguousFraming),
    .framing("Transfer_Encoding: chunked", .ambiguousFraming),
    .framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .duplicateTransferEncoding),
    .framing("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", .duplicateTransferEncoding),
    .framing("Transfer-Encoding: gzip, chunked", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: gzip", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: identity", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: xchunked", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: identity, chunked", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: chunked, gzip", .badTransferEncoding),
    .framing("Transfer-Encoding: chunked, chunked", .badTransferEncoding),
    .framing("Transfer-Encoding: chunked,", .badTransferEncoding),
    .framing("Transfer-Encoding: ,chunked", .badTransferEncoding),
    .framing("Transfer-Encoding: chunked;a=b", .badTransferEncoding),
    .framing("Transfer-Encoding: \"chunked\"", .badTransferEncoding),
    .framing("Transfer-Encoding: 'chunked'", .unsupportedTransferEncoding, 501),
    .framing("Transfer-Encoding: chunked x", .badTransferEncoding),
    .framing("Transfer-Encoding:", .badTransferEncoding),
    .framing("Transfer-Encoding: \u{0B}chunked", .badFieldValue),
    .framing("Transfer-Encoding: ｃhunked", .badTransferEncoding),
    Malformed(
        "chunked in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        .transferEncodingInHTTP10),
    Malformed("CONNECT with length", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", .forbiddenBody),
    Malformed(
        "CONNECT chunked", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        .forbiddenBody),
    Malformed("TRACE with length", "TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", .forbiddenBody),
]

private let chunkedBodies: [Malformed] = [
    .chunks("\r\n", .badChunkSize),
    .chunks("x\r\n", .badChunkSize),
    .chunks("-1\r\n", .badChunkSize),
    .chunks("+1\r\n", .badChunkSize),
    .chunks("0x1\r\n", .badChunkSize),
    .chunks(" 1\r\na\r\n", .badChunkSize),
    .chunks("1 \r\na\r\n0\r\n\r\n", .badChunkSize),
    .chunks("1\t\r\na\r\n0\r\n\r\n", .badChunkSize),
    .chunks("1 ;a\r\na\r\n0\r\n\r\n", .badChunkSize),
    .chunks("1_0\r\n", .badChunkSize),
    .chunks("1,1\r\n", .badChunkSize),
    .chunks("1000000000000000\r\n", .badChunkSize),
    .chunks("ffffffffffffffff\r\n", .badChunkSize),
    .chunks("0000000000000001\r\na\r\n", .badChunkSize),
    .chunks("1\na\r\n0\r\n\r\n", .bareLF),
    .chunks("1\r\na\n0\r\n\r\n", .badChunkEnd),
    .chunks("1\r\na\r0\r\n\r\n", .badChunkEnd),
    .chunks("1\r\nab\r\n0\r\n\r\n", .badChunkEnd),
    .chunks("1\r\na0\r\n\r\n", .badChunkEnd),
    .chunks("1\r\r\na\r\n", .bareCR),
    .chunks("1;a\rb\r\na\r\n", .bareCR),
    .chunks("1;a\nb\r\na\r\n", .bareLF),
    .chunks("1;\r\na\r\n", .badChunkExtension),
    .chunks("1; a\r\na\r\n", .badChunkExtension),
    .chunks("1;a=\r\na\r\n", .badChunkExtension),
    .chunks("1;a=\"b\r\na\r\n", .badChunkExtension),
    .chunks("1;a=\"b\\\r\na\r\n", .badChunkExtension),
    .chunks("1;a=\"b\"c\r\na\r\n", .badChunkExtension),
    .chunks("1;a=\"\u{01}\"\r\na\r\n", .badChunkExtension),
    .chunks("1;a b\r\na\r\n", .badChunkExtension),
    .chunks("1;\(String(repeating: "a", count: 600))\r\na\r\n", .chunkLineTooLong),
    .chunks(String(repeating: "1;aaaaaaaaaaaaaaa\r\nx\r\n", count: 1025), .chunkExtensionsTooLarge),
    .chunks("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer),
    .chunks("0\r\nTransfer-Encoding: chunked\r\n\r\n", .forbiddenTrailer),
    .chunks("0\r\nHost: b\r\n\r\n", .forbiddenTrailer),
    .chunks("0\r\nX : 1\r\n\r\n", .whitespaceBeforeColon),
    .chunks("0\r\nX\r\n\r\n", .missingColon),
    .chunks("0\r\nX: 1\n\r\n", .bareLF),
    .chunks("0\r\n X: 1\r\n\r\n", .foldedField),
    .chunks("0\r\nX: \0\r\n\r\n", .badFieldValue),
    .chunks("0\r\n\n", .bareLF),
    .chunks("0\r\n" + String(repeating: "X: 1\r\n", count: 33) + "\r\n", .tooManyFields, 431),
    .chunks("0\r\nX: \(String(repeating: "a", count: 8192))\r\n\r\n", .trailersTooLarge, 431),
]

private let tooLarge: [Malformed] = [
    Malformed(
        "request line over the limit", "GET /\(String(repeating: "a", count: 8192)) HTTP/1.1\r\nHost: a\r\n\r\n",
        .requestLineTooLong, 414),
    Malformed("method that never ends", String(repeating: "A", count: 8193), .requestLineTooLong, 414),
    .field("field over the limit", "X: \(String(repeating: "a", count: 16_384))", .fieldTooLong, 431),
    .field("101 fields", (1...100).map { "X\($0): 1" }.joined(separator: "\r\n"), .tooManyFields, 431),
    .field(
        "head over the limit",
        (1...5).map { "X\($0): \(String(repeating: "a", count: 14_000))" }.joined(separator: "\r\n"),
        .headTooLarge, 431),
]

private let endings: [Malformed] = [
    Malformed("ends in the method", "GE", .truncated),
    Malformed("ends behind the request line", "GET / HTTP/1.1\r\n", .truncated),
    Malformed("ends before the empty line", "GET / HTTP/1.1\r\nHost: a\r\n", .truncated),
    Malformed("ends in the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\r", .truncated),
    Malformed("ends in the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab", .truncated, heads: 1),
    .chunks("", .truncated), .chunks("1", .truncated), .chunks("1\r\n", .truncated), .chunks("1\r\na", .truncated),
    .chunks("1\r\na\r\n", .truncated), .chunks("0\r\n", .truncated), .chunks("0\r\nX: 1\r\n", .truncated),
    Malformed(
        "second of two is cut", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HT", .truncated, heads: 1),
    Malformed(
        "second of two is bad", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n\r\n", .missingHost, heads: 1),
]

private let table = requestLines + targets + fields + framings + chunkedBodies + tooLarge + endings

@Suite struct MalformedRequestTests {
    @Test(arguments: table)
    func isRefused(_ request: Malformed) {
        let whole = parseRequests(request.wire)
        #expect(whole.errors.map(\.code) == [request.code])
        #expect(whole.errors.map(\.status) == [request.status])
        #expect(whole.requests.count == request.heads)
        for delivery in Delivery.all {
            #expect(parseRequests(request.wire, delivery) == whole, "\(delivery)")
        }
    }

    @Test func tableIsLarge() {
        #expect(table.count >= 150)
        #expect(Set(table.map(\.name)).count == table.count, "a name occurs twice")
    }

    /// Every text is one line for people and repeats nothing of the message.
    @Test func textsAreReadable() {
        for request in table {
            for error in parseRequests(request.wire).errors {
                #expect(error.text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "\(request.name)")
                #expect(error.text.count < 120)
            }
        }
    }

    /// A parser that refused a message says the same again and takes nothing more.
    @Test func errorIsFinal() {
        var parser = RequestParser()
        var queue = ByteQueue()
        queue.append("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let first = #expect(throws: HTTPError.self) { try parser.next(&queue) }
        let left = queue.count
        let second = #expect(throws: HTTPError.self) { try parser.next(&queue) }
        #expect(first == second)
        #expect(queue.count == left)
    }
}
