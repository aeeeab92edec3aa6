import Gateway
import HTTP

/// Requests that are malformed or could be read in two ways, and what becomes of each at the edge.
struct OddRequest: Sendable {
    /// What is odd about it.
    let name: String
    let wire: [UInt8]
    /// One for each request that was recognised: `STATUS reason`, or `SERVICE METHOD TARGET` as the service gets it.
    let outcomes: [String]

    init(_ name: String, _ wire: String, _ outcomes: String...) {
        self.name = name
        self.wire = Array(wire.utf8)
        self.outcomes = outcomes
    }

    init(_ name: String, bytes: [UInt8], _ outcomes: String...) {
        self.name = name
        wire = bytes
        self.outcomes = outcomes
    }

    /// A GET of that target.
    static func get(_ target: String, _ name: String, _ outcome: String) -> OddRequest {
        let wire = "GET \(target) HTTP/1.1\r\nHost: edge.example.org\r\n\r\n"
        return OddRequest(name, bytes: Array(wire.utf8), outcome)
    }

    /// A GET of `/` with those further field lines.
    static func fields(_ lines: String, _ name: String, _ outcome: String) -> OddRequest {
        let wire = "GET / HTTP/1.1\r\nHost: edge.example.org\r\n\(lines)\r\n\r\n"
        return OddRequest(name, bytes: Array(wire.utf8), outcome)
    }

    /// A POST to `/` with those framing lines and a second request behind, which must not be taken for a body, nor a body
    /// for it.
    static func framing(_ lines: String, _ body: String, _ name: String, _ outcomes: String...) -> OddRequest {
        let head = "POST / HTTP/1.1\r\nHost: edge.example.org\r\n\(lines)\r\n\r\n"
        let next = "GET /api/next HTTP/1.1\r\nHost: edge.example.org\r\n\r\n"
        return OddRequest(name: name, wire: Array((head + body + next).utf8), outcomes: outcomes)
    }

    private init(name: String, wire: [UInt8], outcomes: [String]) {
        self.name = name
        self.wire = wire
        self.outcomes = outcomes
    }
}

/// The sections of the table. Services: `web` has `/`, `api` has `/api`, `admin` has `/api/admin`, whose prefix is taken
/// away. Hosts: `edge.example.org` and `*.apps.example.org`. The client is nobody's proxy, over TLS.
enum HTTPRequestTable {
    static let sections: [(title: String, requests: [OddRequest])] = [
        ("Lines", lines), ("Targets", targets), ("Paths", paths), ("Hosts", hosts), ("Fields", fields),
        ("Length and end", framing), ("Connections and upgrades", connections),
        ("What only the edge may say", protected),
    ]

    static let lines: [OddRequest] = [
        OddRequest("a TLS handshake", bytes: [0x16, 0x03, 0x01, 0x02, 0x00], "400 not_http"),
        OddRequest("HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 unsupported_version"),
        OddRequest("HTTP/0.9", "GET /\r\n\r\n", "400 bad_request_line"),
        OddRequest(
            "a bare LF behind the request line", "GET / HTTP/1.1\nHost: edge.example.org\r\n\r\n", "400 bare_lf"),
        OddRequest("a bare LF behind a field", "GET / HTTP/1.1\r\nHost: edge.example.org\n\r\n", "400 bare_lf"),
        OddRequest(
            "a bare CR in a value", "GET / HTTP/1.1\r\nHost: edge.example.org\r\nX: a\rY: b\r\n\r\n", "400 bare_cr"),
        OddRequest(
            "two blanks before the target", "GET  / HTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "400 bad_target"),
        OddRequest("a tab as separator", "GET\t/\tHTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "400 bad_request_line"),
        OddRequest("a lower-case version", "GET / http/1.1\r\nHost: edge.example.org\r\n\r\n", "400 bad_version"),
        OddRequest("HTTP/1.2", "GET / HTTP/1.2\r\nHost: edge.example.org\r\n\r\n", "505 unsupported_version"),
        OddRequest("a blank in the method", "GE T / HTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "400 bad_target"),
        OddRequest("a method of its own", "FETCH /x HTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "web FETCH /x"),
        OddRequest(
            "an empty line in front, as old clients send", "\r\nGET /x HTTP/1.1\r\nHost: edge.example.org\r\n\r\n",
            "web GET /x"),
        OddRequest("the end in the middle of the head", "GET / HTTP/1.1\r\nHost: edge.exa", "400 truncated"),
    ]

    static let targets: [OddRequest] = [
        OddRequest(
            "CONNECT", "CONNECT edge.example.org:443 HTTP/1.1\r\nHost: edge.example.org\r\n\r\n",
            "405 method_not_allowed"),
        OddRequest("TRACE", "TRACE / HTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "405 method_not_allowed"),
        OddRequest("OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: edge.example.org\r\n\r\n", "400 bad_target"),
        .get("http://edge.example.org/api/x?y", "an absolute target", "api GET /api/x?y"),
        .get("http://evil.example/api/x", "an absolute target for another host than Host", "400 host_mismatch"),
        .get("http://user@edge.example.org/", "user information in the target", "400 bad_target"),
        .get("ftp://edge.example.org/", "another scheme", "400 bad_target"),
        .get("edge.example.org/", "a target without slash", "400 bad_target"),
        .get("/a#b", "a fragment", "400 bad_target"),
        .get("/a%zz", "a broken escape", "400 bad_percent_encoding"),
        .get("/caf\u{e9}", "bytes that must be escaped", "400 bad_target"),
        .get("/x?a=/../api/admin", "dots in the query, which is no path", "web GET /x?a=/../api/admin"),
    ]

    static let paths: [OddRequest] = [
        .get("/x/../api/admin/users", "dot segments", "400 dot_segment"),
        .get("/x/%2e%2e/api/admin/users", "escaped dot segments", "400 dot_segment"),
        .get("/x/..;a=b/api/admin/users", "dot segments with parameters", "400 dot_segment"),
        .get("/api%2Fadmin/users", "an escaped slash", "400 encoded_slash"),
        .get("/api%5Cadmin/users", "an escaped backslash", "400 encoded_slash"),
        .get("/api\\admin/users", "a backslash", "400 bad_target"),
        .get("//api/admin/users", "two slashes in front", "400 empty_segment"),
        .get("/api//admin/users", "two slashes inside", "400 empty_segment"),
        .get("/api/%61dmin/users", "a needless escape", "admin GET /users"),
        .get("/api/%2561dmin/users", "an escape that is escaped", "400 double_encoding"),
        .get("/api/%00admin", "an escaped NUL", "400 forbidden_path_byte"),
        .get("/api/x%0d%0aX-Evil:%201", "an escaped line break", "400 forbidden_path_byte"),
        .get("/api/%c0%afadmin", "an overlong slash", "400 not_utf8"),
        .get("/api/ADMIN/users", "another case of a route", "400 ambiguous_path"),
        .get("/api/admin;v=1/users", "parameters in a route's segment", "400 ambiguous_path"),
        .get("/api/admin%20/users", "a blank at the end of a route's segment", "400 ambiguous_path"),
        .get("/api/;/admin/users", "a segment of parameters only", "400 ambiguous_path"),
        .get("/api/administrators", "a longer segment than the route's", "api GET /api/administrators"),
        .get("/api/admin/", "the route itself, with a slash", "admin GET /"),
        .get("/x/a;v=1", "parameters where they change no route", "web GET /x/a;v=1"),
    ]

    static let hosts: [OddRequest] = [
        OddRequest("no Host", "GET / HTTP/1.1\r\n\r\n", "400 missing_host"),
        OddRequest(
            "two Hosts", "GET / HTTP/1.1\r\nHost: edge.example.org\r\nHost: edge.example.org\r\n\r\n",
            "400 duplicate_host"),
        OddRequest("an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400 bad_host"),
        OddRequest("a list in Host", "GET / HTTP/1.1\r\nHost: edge.example.org, evil\r\n\r\n", "400 bad_host"),
        OddRequest("a path in Host", "GET / HTTP/1.1\r\nHost: edge.example.org/x\r\n\r\n", "400 bad_host"),
        OddRequest("user information in Host", "GET / HTTP/1.1\r\nHost: a@edge.example.org\r\n\r\n", "400 bad_host"),
        OddRequest("a port of letters", "GET / HTTP/1.1\r\nHost: edge.example.org:http\r\n\r\n", "400 bad_host"),
        OddRequest("a foreign host", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421 host_not_allowed"),
        OddRequest("an address as host", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "421 host_not_allowed"),
        OddRequest("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", "421 host_not_allowed"),
        OddRequest(
            "a dot at the end, and capitals", "GET /x HTTP/1.1\r\nHost: EDGE.example.org.:8443\r\n\r\n", "web GET /x"),
        OddRequest(
            "two labels for a wildcard", "GET / HTTP/1.1\r\nHost: a.b.apps.example.org\r\n\r\n", "421 host_not_allowed"),
    ]

    static let fields: [OddRequest] = [
        .fields("X-A : 1", "a blank before the colon", "400 whitespace_before_colon"),
        .fields("X-A: 1\r\n folded", "a folded field", "400 folded_field"),
        .fields("X-A", "a line without colon", "400 missing_colon"),
        .fields(": 1", "a field without name", "400 bad_field_name"),
        .fields("X A: 1", "a blank in a name", "400 bad_field_name"),
        .fields("X-A: 1\0", "a NUL in a value", "400 bad_field_value"),
        .fields("X-\u{e9}: 1", "a name that is not ASCII", "400 bad_field_name"),
        .fields("X-A: caf\u{e9}", "a value that is not ASCII", "web GET /"),
        .fields((0..<120).map { "X-\($0): 1" }.joined(separator: "\r\n"), "121 fields", "431 too_many_fields"),
        .fields("X-A: " + String(repeating: "a", count: 20_000), "a field of 20,000 bytes", "431 field_too_long"),
        .fields("Expect: 200-maybe", "an expectation that does not exist", "417 expectation_failed"),
        .fields("Origin: https://a.example\r\nOrigin: https://b.example", "two Origins", "400 bad_origin"),
    ]

    static let framing: [OddRequest] = [
        .framing(
            "Content-Length: 4\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "both lengths", "400 ambiguous_framing"),
        .framing("Content-Length: 4\r\nContent-Length: 5", "abcd", "two lengths", "400 duplicate_content_length"),
        .framing(
            "Content-Length: 4\r\nContent-Length: 4", "abcd", "twice the same length", "400 duplicate_content_length"),
        .framing("Content-Length: 4, 4", "abcd", "a list of lengths", "400 bad_content_length"),
        .framing("Content-Length: +4", "abcd", "a sign", "400 bad_content_length"),
        .framing("Content-Length: 0x4", "abcd", "a hexadecimal length", "400 bad_content_length"),
        .framing("Content-Length: -1", "", "a negative length", "400 bad_content_length"),
        .framing("Content-Length: 99999999999999999999", "", "a length beyond all numbers", "400 bad_content_length"),
        .framing("Content_Length: 4", "abcd", "a length with an underscore", "400 ambiguous_framing"),
        .framing("Content-Length : 4", "abcd", "a blank before the colon of a length", "400 whitespace_before_colon"),
        .framing("Transfer-Encoding: identity", "", "a coding that is gone", "501 unsupported_transfer_encoding"),
        .framing(
            "Transfer-Encoding: gzip, chunked", "", "a coding that is not spoken", "501 unsupported_transfer_encoding"),
        .framing("Transfer-Encoding: chunked, chunked", "0\r\n\r\n", "chunked twice", "400 bad_transfer_encoding"),
        .framing(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n", "two codings",
            "400 duplicate_transfer_encoding"),
        .framing(
            "Transfer-Encoding: \u{b}chunked", "0\r\n\r\n", "a control character before chunked", "400 bad_field_value"),
        .framing("Transfer-Encoding: xchunked", "0\r\n\r\n", "an unknown coding", "501 unsupported_transfer_encoding"),
        .framing("Transfer_Encoding: chunked", "0\r\n\r\n", "a coding with an underscore", "400 ambiguous_framing"),
        OddRequest(
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: edge.example.org\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400 transfer_encoding_in_http10"),
        .framing(
            "Transfer-Encoding: chunked", "5 \r\nhello\r\n0\r\n\r\n", "a blank behind a chunk's size", "web POST /",
            "400 bad_chunk_size"),
        .framing(
            "Transfer-Encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n", "a prefix before a chunk's size", "web POST /",
            "400 bad_chunk_size"),
        .framing(
            "Transfer-Encoding: chunked", "5\r\nhello!\r\n0\r\n\r\n", "a chunk longer than its size", "web POST /",
            "400 bad_chunk_end"),
        .framing(
            "Transfer-Encoding: chunked", "5\nhello\r\n0\r\n\r\n", "a bare LF behind a chunk's size", "web POST /",
            "400 bare_lf"),
        .framing(
            "Transfer-Encoding: chunked", "0\r\nContent-Length: 9\r\n\r\n", "a length in the trailers", "web POST /",
            "400 forbidden_trailer"),
        .framing(
            "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "an ordinary chunked body", "web POST /",
            "api GET /api/next"),
        .framing("Content-Length: 5", "hello", "an ordinary body", "web POST /", "api GET /api/next"),
        .framing(
            "Content-Length: 3", "abcGET /api/admin/x HTTP/1.1\r\nHost: edge.example.org\r\n\r\n",
            "a request behind a short body", "web POST /", "admin GET /x", "api GET /api/next"),
    ]

    static let connections: [OddRequest] = [
        .fields("Connection: Host", "Connection names Host", "400 connection_names_end_to_end"),
        .fields("Connection: close, Content-Length", "Connection names the length", "400 connection_names_end_to_end"),
        .fields(
            "Connection: Authorization\r\nAuthorization: Bearer a", "Connection names the credential",
            "400 connection_names_end_to_end"),
        .fields("Connection: Conduit-Caller, X-Forwarded-For", "Connection names what the edge writes", "web GET /"),
        .fields(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk", "an upgrade to HTTP/2",
            "web GET /"),
        .fields(
            "Connection: Upgrade\r\nUpgrade: websocket", "a WebSocket handshake without key",
            "400 bad_websocket_handshake"),
        .fields(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "an old WebSocket", "426 bad_websocket_handshake"),
        .fields(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: 4",
            "a WebSocket handshake with a body", "400 bad_websocket_handshake"),
        .fields(
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://evil.example",
            "a WebSocket from a foreign page", "403 origin_not_allowed"),
        .fields("Upgrade: websocket", "Upgrade without Connection", "web GET /"),
        .fields("Via: 1.1 conduit, 1.1 conduit, 1.1 conduit, 1.1 conduit, 1.1 conduit", "a loop", "508 loop_detected"),
        .fields("TE: trailers, gzip\r\nTrailer: X", "TE and Trailer", "web GET /"),
    ]

    /// All of these are forwarded; that the service sees the edge's fields only is checked for every row.
    static let protected: [OddRequest] = [
        .fields("X-Forwarded-For: 10.0.0.1", "X-Forwarded-For", "web GET /"),
        .fields("X_Forwarded_For: 10.0.0.1", "the same with underscores", "web GET /"),
        .fields("Forwarded: for=10.0.0.1;proto=http;host=evil", "Forwarded", "web GET /"),
        .fields("X-Forwarded-Host: evil.example", "X-Forwarded-Host", "web GET /"),
        .fields("X-Real-IP: 10.0.0.1", "X-Real-IP", "web GET /"),
        .fields("Client-Cert: :AAAA:", "Client-Cert", "web GET /"),
        .fields("Conduit-Caller: jwt:https://issuer/root", "the caller's field", "web GET /"),
        .fields("conduit_caller_groups: admins", "the caller's groups with underscores", "web GET /"),
        .fields("X-Original-URL: /api/admin", "a path for careless frameworks", "web GET /"),
        .fields("Proxy: http://evil.example", "a proxy for CGI programs", "web GET /"),
        .fields(
            "traceparent: 00-00000000000000000000000000000000-0000000000000000-00", "a trace of zeros", "web GET /"),
    ]
}
