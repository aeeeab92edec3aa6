import Bytes
import Gateway
import HTTP
import SeededRandom
import Testing

@Suite struct RequestRewriterTests {
    private func forward(
        _ head: HTTPRequestHead, _ change: (inout EdgeHarness) -> Void = { _ in }
    ) throws -> HTTPRequestHead {
        var edge = EdgeHarness()
        change(&edge)
        return try edge.decide(head).head
    }

    @Test func writesWhatTheEdgeKnows() throws {
        let head = try forward(request(.post, "/api/x?a=1", [("Accept", "*/*"), ("Cookie", "a=b")], framing: .chunked))
        #expect(head.target == .origin(path: "/api/x", query: "a=1"))
        #expect(head.method == .post && head.framing == .chunked && head.version == .http11)
        let expected: [(String, String)] = [
            ("Host", "edge.example.org"), ("Accept", "*/*"), ("Cookie", "a=b"), ("Via", "1.1 conduit"),
            ("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "edge.example.org"),
        ]
        #expect(HTTPHeaders(head.headers.prefix(7).map { ($0.name, $0.value) }) == HTTPHeaders(expected))
        #expect(head.headers["X-Request-Id"]?.utf8.count == 32)
        #expect(head.headers["traceparent"]?.utf8.count == 55)
        #expect(head.headers["Conduit-Caller"] == "jwt:https://issuer.example/alice")
        #expect(head.headers["Conduit-Caller-Groups"] == "a%2Cb,staff")
        #expect(head.headers["Conduit-Caller-CN"] == "%C3%85l%2050%25")
        #expect(EdgeHarness.signature.verify(head, service: "api", now: 1_700_000_010) == nil)
        // Each exactly once.
        for name in ["Host", "Via", "X-Forwarded-For", "X-Request-Id", "traceparent", "Conduit-Caller-Signature"] {
            #expect(head.headers.values(name).count == 1)
        }
    }

    @Test(arguments: [
        "X-Forwarded-For", "x-forwarded-for", "X_Forwarded_For", "X-Forwarded_For", "X.Forwarded.For",
        "X-Forwarded-Port",
        "X-Forwarded-User", "X-Forwarded-Prefix", "Forwarded", "X-Real-IP", "X_Real_IP", "Client-Cert", "Client_Cert",
        "Client-Cert-Chain", "X-Request-Id", "X_Request_Id", "Conduit-Caller", "conduit_caller",
        "CONDUIT-CALLER-GROUPS",
        "Conduit-Caller-CN", "Conduit-Caller-Signature", "Conduit-Anything", "Conduit+Caller", "True-Client-IP",
        "CF-Connecting-IP", "X-SSL-Client-S-DN", "X-Original-URL", "X-Rewrite-URL", "Proxy", "HTTP2-Settings",
        "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Transfer+Encoding", "Content.Length", "Expect",
        "X-Forwarded-\(String(repeating: "x", count: 200))",
    ])
    func clientCopiesAreRemoved(_ name: String) throws {
        #expect(ProtectedFields.contains("X-Thing") == false)
        let value = name == "Expect" ? "100-continue" : "evil"
        for connection in [nil, name] {
            var headers = [(name, value), ("X-Kept", "1")]
            // A field of the whole way in Connection is refused instead.
            if let connection, !["Expect", "Content.Length", "Transfer+Encoding"].contains(connection) {
                headers.append(("Connection", connection))
            }
            let head = try forward(request(.get, "/", headers))
            #expect(!head.headers.contains { $0.value == value })
            #expect(head.headers["X-Kept"] == "1")
            #expect(head.headers["X-Forwarded-For"] == "203.0.113.9")
            #expect(head.headers["Conduit-Caller"] == "jwt:https://issuer.example/alice")
        }
    }

    @Test func connectionFieldsAreRemoved() throws {
        let head = try forward(
            request(
                .get, "/",
                [("Connection", "keep-alive, X-Hop, x_other"), ("X-Hop", "1"), ("X-Other", "1"), ("X-End", "1")]))
        #expect(!head.headers.contains("Connection") && !head.headers.contains("X-Hop"))
        #expect(!head.headers.contains("X-Other"))
        #expect(head.headers["X-End"] == "1")
    }

    @Test(arguments: [
        "Host", "Authorization", "cookie", "Content-Length", "Transfer-Encoding", "Origin", "Content_Type",
        "Sec-WebSocket-Key",
    ])
    func connectionMustNotNameTheWholeWay(_ name: String) {
        let head = request(.get, "/", [("Connection", "close, \(name)")])
        #expect(refusal { _ = try forward(head) } == "connection_names_end_to_end")
    }

    /// Connection with very many options costs no more than its length.
    @Test func manyConnectionOptions() throws {
        let options = (0..<4000).map { "a\($0)" }.joined(separator: ",")
        let fields = (0..<90).map { ("X-\($0)", "1") }
        let head = try forward(request(.get, "/", fields + [("Connection", options)]))
        #expect(head.headers.contains("X-89"))
    }

    @Test func trailersAreCleaned() {
        let head: HTTPHeaders = ["Connection": "X-Hop"]
        let trailers: HTTPHeaders = [
            "X-Checksum": "1", "X-Hop": "1", "Conduit_Caller": "evil", "X-Forwarded-For": "1.1.1.1", "Cookie": "a",
            "Authorization": "x", "X-Request-Id": "1", "Connection": "x", "Content_Length": "1", "Server-Timing": "a",
        ]
        let cleaned = ProtectedFields.cleaned(trailers: trailers, head: head)
        #expect(cleaned == ["X-Checksum": "1", "Server-Timing": "a"])
    }

    @Test func hostIsTheClientsOrFixed() throws {
        let authority = try HTTPAuthority(parsing: "internal:8080")
        #expect(try forward(request()) { $0.rewriter.host = .fixed(authority) }.headers["Host"] == "internal:8080")
        let proxied = try forward(request(.get, "/", [("X-Forwarded-Host", "a.apps.example.org")])) {
            $0.trust = ProxyTrust(proxies: CIDRSet([CIDR(ip("203.0.113.9"), length: 32)].compactMap { $0 }))
        }
        #expect(proxied.headers["Host"] == "a.apps.example.org")
        #expect(proxied.headers["X-Forwarded-Host"] == "a.apps.example.org")
    }

    @Test func usedCredentialsStayAtTheEdge() throws {
        let bearer = request(.get, "/", [("Authorization", "Bearer abc"), ("DPoP", "proof"), ("X_API_Key", "k")])
        #expect(try forward(bearer) { $0.needsToken = true }.headers["Authorization"] == nil)
        #expect(try forward(bearer) { $0.needsToken = true }.headers["DPoP"] == nil)
        #expect(try forward(bearer).headers["Authorization"] == "Bearer abc")
        let passing = try forward(bearer) {
            $0.needsToken = true
            $0.rewriter.passesCredential = true
        }
        #expect(passing.headers["Authorization"] == "Bearer abc")
        let basic = request(.get, "/", [("Authorization", "Basic abc"), ("X-API-Key", "k")])
        let forwarded = try forward(basic) { $0.needsToken = true }
        #expect(forwarded.headers["Authorization"] == "Basic abc" && forwarded.headers["X-API-Key"] == nil)
        let query = request(.get, "/x?a=1&access%5Ftoken=abc&b=2&access_tokenx=1")
        #expect(try forward(query) { $0.needsToken = true }.target.description == "/x?a=1&b=2&access_tokenx=1")
        #expect(try forward(request(.get, "/x?access_token=abc")) { $0.needsToken = true }.target.description == "/x")
        #expect(try forward(query).target.description == query.target.description)
    }

    @Test func onlyWebSocketUpgradesPass() throws {
        let h2c = request(
            .get, "/", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAM")])
        let plain = try forward(h2c)
        for name in ["Connection", "Upgrade", "HTTP2-Settings"] { #expect(!plain.headers.contains(name)) }
        let socket = try forward(
            handshake(["bearer.abc", "chat", "conduit.auth.v1"], [("Sec-WebSocket-Extensions", "permessage-deflate")])
        ) {
            $0.needsToken = true
        }
        #expect(socket.headers["Connection"] == "Upgrade" && socket.headers["Upgrade"] == "websocket")
        #expect(socket.headers["Sec-WebSocket-Protocol"] == "chat")
        #expect(!socket.headers.contains("Sec-WebSocket-Extensions"))
        let deflated = try forward(handshake(["chat"], [("Sec-WebSocket-Extensions", "permessage-deflate")]))
        #expect(deflated.headers["Sec-WebSocket-Extensions"] == "permessage-deflate")
        var unchecked = EdgeHarness().rewriter
        unchecked.via = "x"
        let head = handshake()
        let match = try RouteTable([RoutePattern()]).match(head, host: nil)
        var random = SeededRandom(1)
        let context = RequestRewriter.Context(
            client: ClientInfo(address: nil, scheme: .http, host: nil), match: match, requestID: "1",
            trace: .of([:], using: &random), service: "s")
        #expect(refusal { _ = try unchecked.rewrite(head, context) } == "bad_websocket_handshake")
    }

    @Test func trailersAreAskedFor() throws {
        let head = try forward(request(.get, "/", [("TE", "trailers, deflate"), ("Connection", "TE")]))
        #expect(head.headers["TE"] == "trailers" && head.headers["Connection"] == "TE")
        #expect(try forward(request(.get, "/", [("TE", "gzip")])).headers["TE"] == nil)
    }

    @Test func loopsEnd() throws {
        let passed = Array(repeating: "1.1 conduit", count: 4).joined(separator: ", ")
        #expect(try forward(request(.get, "/", [("Via", passed)])).headers["Via"] == "\(passed), 1.1 conduit")
        let head = request(.get, "/", [("Via", passed), ("Via", "1.0 Conduit")])
        #expect(refusal { _ = try forward(head) } == "loop_detected")
    }

    @Test func tracesArePassedOnOrMade() throws {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let head = try forward(
            request(.get, "/", [("traceparent", valid), ("tracestate", "a=1"), ("tracestate", "b=2")]))
        #expect(head.headers["traceparent"] == valid && head.headers["tracestate"] == "a=1,b=2")
        var random = SeededRandom(5)
        let trace = TraceContext.of(["traceparent": valid], using: &random)
        #expect(trace.traceID == "0af7651916cd43dd8448eb211c80319c" && trace.wasPassedOn)
        for bad in [
            "", "00", valid.uppercased(), valid + "-", valid + "x", "ff" + valid.dropFirst(2), valid.dropLast() + "g",
            "00-" + String(repeating: "0", count: 32) + "-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            let made = TraceContext.of(HTTPHeaders([("traceparent", bad), ("tracestate", "a=1")]), using: &random)
            #expect(!made.wasPassedOn && made.tracestate == nil)
            #expect(made.traceparent != bad && made.traceparent.hasPrefix("00-") && made.traceparent.utf8.count == 55)
            #expect(TraceContext.of(["traceparent": made.traceparent], using: &random).wasPassedOn)
        }
        let later = "01" + valid.dropFirst(2) + "-what-the-future-brings"
        #expect(TraceContext.of(["traceparent": later], using: &random).traceparent == later)
        #expect(
            !TraceContext.of(HTTPHeaders([("traceparent", valid), ("traceparent", valid)]), using: &random).wasPassedOn)
    }

    @Test func requestIDsComeFromTrustedProxiesOnly() {
        var random = SeededRandom(5)
        let direct = ClientInfo(address: nil, scheme: .http, host: nil)
        var proxied = direct
        proxied.cameThroughProxy = true
        #expect(RequestID.of(["X-Request-Id": "abc"], client: direct, using: &random) != "abc")
        #expect(RequestID.of(["X-Request-Id": "abc-1_2.3:4"], client: proxied, using: &random) == "abc-1_2.3:4")
        for bad in ["", "a b", "a\u{e9}", String(repeating: "a", count: 129), "a,b"] {
            #expect(RequestID.of(["X-Request-Id": bad], client: proxied, using: &random).utf8.count == 32)
        }
    }
}

@Suite struct CallerSignatureTests {
    private func signed() throws -> HTTPRequestHead { try EdgeHarness().decide(request(.put, "/api/x?q=1")).head }

    @Test func coversWhatItSays() throws {
        let signature = EdgeHarness.signature
        let now: Int64 = 1_700_000_000
        let head = try signed()
        #expect(signature.verify(head, service: "api", now: now) == nil)
        #expect(signature.verify(head, service: "web", now: now) == .mismatch)
        #expect(signature.verify(head, service: "api", now: now + 31) == .expired)
        #expect(signature.verify(head, service: "api", now: now - 31) == .expired)
        #expect(signature.verify(head, service: "api", now: now + 30) == nil)
        #expect(signature.verify(head, service: "api", now: .min) == .expired)
        var changed = head
        changed.method = .post
        #expect(signature.verify(changed, service: "api", now: now) == .mismatch)
        changed = head
        changed.target = .origin(path: "/api/x", query: "q=2")
        #expect(signature.verify(changed, service: "api", now: now) == .mismatch)
        for name in ["Conduit-Caller", "Conduit-Caller-Groups", "Conduit-Caller-CN", "X-Request-Id"] {
            changed = head
            changed.headers.set(name, "other")
            #expect(signature.verify(changed, service: "api", now: now) == .mismatch)
            changed = head
            changed.headers.append(name, "other")
            #expect(signature.verify(changed, service: "api", now: now) == .malformed)
        }
        changed = head
        changed.headers.remove("Conduit-Caller-Signature")
        #expect(signature.verify(changed, service: "api", now: now) == .malformed)
        let other = CallerSignature(keyID: "edge-2") { $0 }
        #expect(other.verify(head, service: "api", now: now) == .unknownKey)
    }

    @Test(arguments: [
        "", "v1", "v2;t=1700000000;key=edge-1;mac=AAAA", "v1;t=x;key=edge-1;mac=AAAA",
        "v1;t=1700000000;key=edge-1;mac=A", "v1;t=1700000000;key=edge-1;mac=AAAA;x",
    ])
    func refusesOtherForms(_ text: String) throws {
        var head = try signed()
        head.headers.set("Conduit-Caller-Signature", text)
        #expect(EdgeHarness.signature.verify(head, service: "api", now: 1_700_000_000) == .malformed)
    }

    /// The recipe in the documentation, followed by hand.
    @Test func theRecipeIsRight() throws {
        let head = try signed()
        func value(_ name: String) -> String { head.headers[name] ?? "" }
        let text = """
            conduit-caller-v1
            1700000000
            edge-1
            api
            PUT
            /api/x?q=1
            \(value("Conduit-Caller"))
            \(value("Conduit-Caller-Groups"))
            \(value("Conduit-Caller-CN"))
            \(value("X-Request-Id"))

            """
        var mac: [UInt8] = []
        let recorder = CallerSignature(keyID: "edge-1") { $0 }
        let subject = try #require(CallerSignature.Subject(received: head, service: "api"))
        let field = recorder.field(subject, time: 1_700_000_000)
        mac = try #require(Base64URL.decode(String(field.split(separator: "=").last ?? "")))
        #expect(String(decoding: mac, as: UTF8.self) == text)
        #expect(value("Conduit-Caller-Signature").hasPrefix("v1;t=1700000000;key=edge-1;mac="))
    }
}
