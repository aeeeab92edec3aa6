import Bytes
import HTTP
import Testing

@Suite struct HeadersTests {
    @Test func lookUp() throws {
        var headers: HTTPHeaders = ["Accept": "a, b", "X": " \ty \t", "accept": "\"c,\\\"d\" , ,e"]
        #expect(headers["ACCEPT"] == "a, b" && headers["x"] == "y" && headers["none"] == nil)
        #expect(headers.values("accept").count == 2)
        #expect(headers.list("accept") == ["a", "b", "\"c,\\\"d\"", "e"])
        #expect(headers.has("B", in: "accept") && !headers.has("c", in: "accept"))
        #expect(
            headers.has("E", in: "accept") && headers.has("\"C,\\\"d\"", in: "accept") && !headers.has("", in: "accept")
        )
        #expect(throws: HTTPError.self) { try headers.single("accept") }
        #expect(try headers.single("x") == "y" && headers.single("none") == nil)
        headers.set("accept", "z")
        #expect(headers.map(\.name) == ["X", "accept"] && headers.count == 2)
        #expect(headers.remove("X") == 1 && headers.remove("X") == 0)
        headers.append("X-A", "1")
        headers.append("X_A", "2")
        headers.removeAll { name, _ in name.contains("_") }
        #expect(headers == ["accept": "z", "x-a": "1"])
        #expect(headers != ["x-a": "1", "accept": "z"] && headers != ["accept": "z", "x-a": "2"])
    }

    @Test func hopByHop() {
        var headers: HTTPHeaders = [
            "Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "5", "TE": "trailers", "Upgrade": "x",
            "X-End": "2",
            "connection": "X-Other", "x-other": "3", "Proxy-Connection": "y",
        ]
        headers.removeHopByHop()
        #expect(headers == ["X-End": "2"])
    }

    @Test(arguments: [
        "a", "a.b", "a.", "A-1_b", "127.0.0.1", "a:1", "a:65535", "[::]", "[::1]:443", "[1:2:3:4:5:6:7:8]",
        "[::ffff:1.2.3.4]",
        "[1::]", "[1:2:3:4:5:6:1.2.3.4]", "[fe80::a:B]",
    ])
    func authorities(_ text: String) throws {
        let authority = try HTTPAuthority(parsing: text)
        #expect(authority.description == text)
    }

    @Test func problems() throws {
        let problem = Problem(
            "denied", status: 403, detail: "node:web may not\nconnect <db>", hint: "mesh why \"db\"", instance: "req-1",
            members: [
                .init("rule", .integer(7)), .init("status", .integer(1)), .init("missing", .strings(["a", "\u{1}"])),
                .init("final", .bool(true)), .init("decision", .json("{\"x\":null}")),
            ])
        #expect(problem.type == "urn:conduit-mesh:problem:denied")
        #expect(
            problem.json
                == #"{"type":"urn:conduit-mesh:problem:denied","title":"Forbidden","status":403,"reason":"denied","#
                + #""detail":"node:web may not\nconnect \u003cdb>","hint":"mesh why \"db\"","instance":"req-1","#
                + #""rule":7,"missing":["a","\u0001"],"final":true,"decision":{"x":null}}"#)
        let response = problem.response(headers: ["Allow": "GET"])
        #expect(response.head.status == 403 && response.head.headers["Content-Type"] == "application/problem+json")
        #expect(response.head.headers["Allow"] == "GET" && response.head.headers["cache-control"] == "no-store")
        #expect(response.body.last == 0x0A)
        let refused = Problem(HTTPError(.bodyTooLarge, "too much"))
        #expect(refused.reason == "body_too_large" && refused.status == 413 && refused.title == "Content Too Large")
    }

    /// Every code has a status that can be sent.
    @Test func statuses() throws {
        for code in HTTPError.Code.allCases {
            var queue = ByteQueue()
            try Problem(HTTPError(code, "x")).response().encode(into: &queue)
            #expect(400...599 ~= code.status && !queue.isEmpty)
        }
    }
}
