import Bytes
import Gateway
import HTTP
import Testing

@Suite struct ResponseRewriterTests {
    private func context(
        _ scheme: ClientInfo.Scheme = .https, version: HTTPVersion = .http11, origin: String? = nil,
        upgrade: WebSocketUpgrade? = nil, keepsAlive: Bool = true
    ) -> ResponseRewriter.Context {
        ResponseRewriter.Context(
            method: .get, version: version, scheme: scheme, requestID: "id-1", origin: origin, upgrade: upgrade,
            keepsAlive: keepsAlive)
    }

    @Test func removesWhatIsOfTheConnection() throws {
        let answer = HTTPResponseHead(
            status: 200,
            headers: [
                "Connection": "close, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "Conduit-Caller": "x",
                "Server": "s",
                "X-Request-Id": "other", "X-End": "1", "Set-Cookie": "a=b", "Via": "1.0 inner",
            ], framing: .length(3))
        let head = try ResponseRewriter(security: SecurityFields(fields: [])).rewrite(answer, context())
        let expected: HTTPHeaders = [
            "Server": "s", "X-End": "1", "Set-Cookie": "a=b", "Via": "1.0 inner", "Via": "1.1 conduit",
            "X-Request-Id": "id-1",
        ]
        #expect(head.headers == expected)
        #expect(head.framing == .length(3) && head.status == 200)
        #expect(try ResponseRewriter(server: .remove).rewrite(answer, context()).headers["Server"] == nil)
        #expect(
            try ResponseRewriter(server: .fixed("conduit")).rewrite(answer, context()).headers["Server"] == "conduit")
    }

    @Test func securityFieldsOverTLSOnly() throws {
        let hsts = SecurityFields.HSTS(maxAge: 31_536_000, includeSubDomains: true, preload: true)
        let rewriter = ResponseRewriter(security: SecurityFields(hsts: hsts))
        let plain = try rewriter.rewrite(HTTPResponseHead(status: 200), context(.http))
        #expect(!plain.headers.contains("Strict-Transport-Security") && !plain.headers.contains("X-Frame-Options"))
        let secure = try rewriter.rewrite(HTTPResponseHead(status: 404), context())
        #expect(secure.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload")
        #expect(secure.headers["X-Content-Type-Options"] == "nosniff")
        #expect(secure.headers["X-Frame-Options"] == "SAMEORIGIN")
        let own = HTTPResponseHead(
            status: 200,
            headers: ["x-frame-options": "DENY", "strict-transport-security": "max-age=0", "Referrer-Policy": "origin"])
        let kept = try rewriter.rewrite(own, context())
        #expect(kept.headers.values("X-Frame-Options") == ["DENY"])
        #expect(kept.headers.values("Strict-Transport-Security") == ["max-age=0"])
        #expect(kept.headers.values("Referrer-Policy") == ["origin"])
        let policy = HTTPResponseHead(status: 200, headers: ["Content-Security-Policy": "frame-ancestors *"])
        #expect(try !rewriter.rewrite(policy, context()).headers.contains("X-Frame-Options"))
    }

    @Test func oldClientsGetOldAnswers() throws {
        let chunked = HTTPResponseHead(status: 200, framing: .chunked)
        let head = try ResponseRewriter().rewrite(chunked, context(version: .http10))
        #expect(head.framing == .untilClose && head.headers["Connection"] == "close")
        let sized = try ResponseRewriter().rewrite(
            HTTPResponseHead(status: 200, framing: .length(1)), context(version: .http10))
        #expect(sized.headers["Connection"] == "keep-alive")
        let last = try ResponseRewriter().rewrite(
            HTTPResponseHead(status: 200, framing: .length(1)), context(keepsAlive: false))
        #expect(last.headers["Connection"] == "close" && last.keepsAlive == false)
    }

    private func accept(_ more: [(String, String)] = [], key: String = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        -> HTTPResponseHead
    {
        HTTPResponseHead(
            status: 101,
            headers: HTTPHeaders(
                [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", key)] + more))
    }

    private func selected(_ offered: [String], _ chosen: String?) throws -> String? {
        let upgrade = try #require(try WebSocketUpgrade(handshake(offered), readsToken: true))
        let answer = accept(chosen.map { [("Sec-WebSocket-Protocol", $0)] } ?? [])
        let head = try ResponseRewriter().rewrite(answer, context(upgrade: upgrade))
        #expect(head.headers["Connection"] == "Upgrade" && head.headers["Upgrade"] == "websocket")
        #expect(head.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(!head.headers.contains { $0.value.contains("secret") })
        return head.headers["Sec-WebSocket-Protocol"]
    }

    @Test func subprotocolsAreSelectedByTheServiceElseByTheEdge() throws {
        #expect(try selected([], nil) == nil)
        #expect(try selected(["chat"], "chat") == "chat")
        #expect(try selected(["bearer.secret", "chat"], "chat") == "chat")
        #expect(try selected(["bearer.secret", "chat"], nil) == nil)
        #expect(try selected(["bearer.secret"], nil) == nil)
        #expect(try selected(["bearer.secret", "conduit.auth.v1"], nil) == "conduit.auth.v1")
        #expect(try selected(["conduit.auth.v1", "chat"], "chat") == "chat")
        #expect(try selected(["conduit.auth.v1", "chat"], nil) == "conduit.auth.v1")
    }

    @Test func answersThatDoNotFitAreRefused() throws {
        let upgrade = try #require(
            try WebSocketUpgrade(handshake(["bearer.secret", "chat", "conduit.auth.v1"]), readsToken: true))
        let context = context(upgrade: upgrade)
        for answer in [
            accept([("Sec-WebSocket-Protocol", "bearer.secret")]),
            accept([("Sec-WebSocket-Protocol", "conduit.auth.v1")]),
            accept([("Sec-WebSocket-Protocol", "other")]),
            accept([("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "chat")]),
            accept(key: "wrong"), accept([("Sec-WebSocket-Extensions", "permessage-deflate")]),
            HTTPResponseHead(status: 101, headers: ["Upgrade": "h2c", "Connection": "Upgrade"]),
        ] {
            #expect(refusal { _ = try ResponseRewriter().rewrite(answer, context) } == "bad_service_answer")
        }
        #expect(refusal { _ = try ResponseRewriter().rewrite(accept(), self.context()) } == "bad_service_answer")
    }

    @Test func interimAnswersStayInterim() throws {
        let head = try ResponseRewriter().rewrite(
            HTTPResponseHead(status: 103, headers: ["Link": "</a>", "Connection": "close"]), context(keepsAlive: false))
        #expect(head.status == 103 && head.headers["Link"] == "</a>" && !head.headers.contains("Connection"))
    }

    /// Every rewritten answer encodes and reads back.
    @Test func answersReadBack() throws {
        for framing in [HTTPFraming.none, .length(5), .chunked] {
            let answer = HTTPResponseHead(status: 200, headers: ["A": "b", "Connection": "a"], framing: framing)
            let head = try ResponseRewriter().rewrite(answer, context())
            var queue = ByteQueue()
            try HTTPEncoder.encode(head, into: &queue)
            var parser = ResponseParser()
            parser.expect(.get)
            guard case .head(let again)? = try parser.next(&queue) else {
                Issue.record("no head")
                return
            }
            #expect(again.headers == head.headers)
        }
    }
}

@Suite struct CORSTests {
    private func list(_ texts: String...) -> OriginList {
        OriginList(texts.compactMap { OriginList.Pattern(parsing: $0) })
    }

    private func preflight(_ policy: CORSPolicy, origin: String, method: String = "PUT", headers: String? = nil)
        -> HTTPHeaders?
    {
        var fields = [("Origin", origin), ("Access-Control-Request-Method", method)]
        if let headers { fields.append(("Access-Control-Request-Headers", headers)) }
        return policy.preflight(request(.options, "/x", fields), requestID: "1")?.head.headers
    }

    @Test func preflightsAreAnswered() throws {
        let policy = CORSPolicy(origins: list("https://app.example.org"), allowsCredentials: true, maxAge: 60)
        let answer = try #require(preflight(policy, origin: "https://app.example.org", headers: "content-type"))
        #expect(answer["Access-Control-Allow-Origin"] == "https://app.example.org")
        #expect(answer["Access-Control-Allow-Credentials"] == "true")
        #expect(answer["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE")
        #expect(answer["Access-Control-Allow-Headers"] == "Authorization, Content-Type")
        #expect(answer["Access-Control-Max-Age"] == "60")
        #expect(answer.has("Origin", in: "Vary"))
        for foreign in [
            "https://evil.example", "http://app.example.org", "https://app.example.org.evil.example", "null",
            "https://app.example.org:444",
        ] {
            let answer = try #require(preflight(policy, origin: foreign))
            #expect(!answer.contains { $0.name.hasPrefix("Access-Control") } && answer.has("Origin", in: "Vary"))
        }
        #expect(
            try #require(preflight(policy, origin: "https://app.example.org", method: "LINK"))[
                "Access-Control-Allow-Methods"] == nil)
        #expect(
            policy.preflight(request(.options, "/x", [("Origin", "https://app.example.org")]), requestID: "1") == nil)
        #expect(
            policy.preflight(
                request(.get, "/x", [("Origin", "a"), ("Access-Control-Request-Method", "PUT")]), requestID: "1") == nil
        )
    }

    /// What the edge adds to its own answers leaves a preflight's fields alone.
    @Test func preflightsReachTheBrowser() throws {
        let policy = CORSPolicy(origins: list("https://app.example.org"), maxAge: 60)
        let asked = [("Origin", "https://app.example.org"), ("Access-Control-Request-Method", "PUT")]
        let answer = try #require(policy.preflight(request(.options, "/x", asked), requestID: "1"))
        let context = ResponseRewriter.Context(
            method: .options, scheme: .https, requestID: "1", origin: "https://app.example.org")
        let sent = ResponseRewriter(cors: policy).decorate(answer, context).head.headers
        #expect(sent["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT, PATCH, DELETE")
        #expect(sent["Access-Control-Allow-Headers"] == "Authorization, Content-Type")
        #expect(sent["Access-Control-Max-Age"] == "60")
        #expect(sent.values("Access-Control-Allow-Origin") == ["https://app.example.org"])
        // Other answers of the edge get what lets the page read them.
        let refusal = ResponseRewriter(cors: policy).decorate(HTTPResponse(status: 403), context).head.headers
        #expect(refusal.values("Access-Control-Allow-Origin") == ["https://app.example.org"])
    }

    @Test func everythingIsWrittenAsAsked() throws {
        let policy = CORSPolicy(origins: list("*"), headers: ["*"])
        let answer = try #require(preflight(policy, origin: "https://any.example", headers: "X-A, x-b, <bad>"))
        #expect(answer["Access-Control-Allow-Origin"] == "*")
        #expect(answer["Access-Control-Allow-Headers"] == "X-A, x-b")
        var credentials = policy
        credentials.allowsCredentials = true
        #expect(
            try #require(preflight(credentials, origin: "https://any.example"))["Access-Control-Allow-Origin"]
                == "https://any.example")
    }

    @Test func theServicesOwnFieldsAreReplaced() throws {
        let policy = CORSPolicy(origins: list("https://app.example.org"), exposedHeaders: ["X-A"])
        let rewriter = ResponseRewriter(cors: policy)
        let answer = HTTPResponseHead(
            status: 200,
            headers: [
                "Access-Control-Allow-Origin": "*", "access-control-allow-credentials": "true",
                "Vary": "Accept-Encoding",
            ])
        func headers(_ origin: String?) throws -> HTTPHeaders {
            try rewriter.rewrite(
                answer, ResponseRewriter.Context(method: .get, scheme: .http, requestID: "1", origin: origin)
            ).headers
        }
        let own = try headers("https://app.example.org")
        #expect(own.values("Access-Control-Allow-Origin") == ["https://app.example.org"])
        #expect(own["Access-Control-Expose-Headers"] == "X-A" && !own.contains("Access-Control-Allow-Credentials"))
        #expect(own.list("Vary") == ["Accept-Encoding", "Origin"])
        for origin in [nil, "https://evil.example"] {
            let foreign = try headers(origin)
            #expect(!foreign.contains { $0.name.lowercased().hasPrefix("access-control") })
            #expect(foreign.has("Origin", in: "Vary"))
        }
    }

    @Test func refusalsCanBeReadByPages() {
        let rewriter = ResponseRewriter(cors: CORSPolicy(origins: list("https://app.example.org")))
        let refusal = EdgeRefusal(.noRoute, status: 404, "nothing").response(requestID: "1")
        let answer = rewriter.decorate(
            refusal,
            ResponseRewriter.Context(
                method: .get, scheme: .https, requestID: "1", origin: "https://app.example.org", keepsAlive: false))
        #expect(answer.head.headers["Access-Control-Allow-Origin"] == "https://app.example.org")
        #expect(answer.head.headers["X-Content-Type-Options"] == "nosniff")
        #expect(answer.head.headers["Connection"] == "close")
    }

    @Test func originsAreComparedCanonically() {
        let origins = list("https://App.Example.org:443", "https://*.example.net:8443", "null", "http://[::1]:80")
        for good in [
            "https://app.example.org", "https://app.example.org:443", "https://a.example.net:8443", "null",
            "http://[0:0::1]",
        ] {
            #expect(origins.contains(good), "\(good)")
        }
        for bad in [
            "http://app.example.org", "https://app.example.org/", "https://app.example.org ",
            "https://x@app.example.org",
            "https://a.example.net", "https://a.b.example.net:8443", "https://example.net:8443", "NULL", "", "*",
            "app.example.org", "https://", "://app.example.org",
        ] { #expect(!origins.contains(bad), "\(bad)") }
        for bad in [
            "https://*", "https://*.org", "*.example.org", "https://a.*.org", "https://**.a.org", "", "https://a b",
        ] {
            #expect(OriginList.Pattern(parsing: bad) == nil, "\(bad)")
        }
        #expect(list("*").contains("null") && OriginList([]).isEmpty)
    }

    @Test func foreignPagesCannotOpenWebSockets() throws {
        let client = ClientInfo(address: nil, scheme: .https, host: try HTTPAuthority(parsing: "Edge.example.org:443"))
        func reason(_ policy: OriginPolicy, _ head: HTTPRequestHead) -> String? {
            refusal { try policy.check(head, client: client) }
        }
        let foreign = [("Origin", "https://evil.example")]
        let own = [("Origin", "https://edge.example.org")]
        let none = OriginPolicy()
        #expect(reason(none, handshake()) == nil)
        #expect(reason(none, handshake([], own)) == nil)
        #expect(reason(none, handshake([], foreign)) == "origin_not_allowed")
        #expect(reason(none, handshake([], [("Origin", "null")])) == "origin_not_allowed")
        #expect(reason(none, handshake([], [("Origin", "http://edge.example.org")])) == "origin_not_allowed")
        #expect(reason(none, request(.post, "/", foreign)) == nil)
        #expect(reason(none, request(.post, "/", own + own)) == "bad_origin")
        let listed = OriginPolicy(list("https://app.example.org"))
        #expect(reason(listed, handshake([], [("Origin", "https://app.example.org")])) == nil)
        #expect(reason(listed, handshake([], own)) == nil)
        #expect(reason(listed, handshake([], foreign)) == "origin_not_allowed")
        #expect(reason(listed, request(.post, "/", foreign)) == "origin_not_allowed")
        #expect(reason(listed, request(.post, "/")) == nil)
    }
}
