import Bytes
import Gateway
import HTTP
import Testing
import WebSocket

@Suite struct AnswerTests {
    @Test func challengesAreQuoted() {
        #expect(Challenge.bearer(realm: "mesh").description == "Bearer realm=\"mesh\"")
        #expect(
            Challenge.bearer(realm: "a\"b\\c", error: "invalid_token", description: "é\n", scope: ["a", "b"])
                .description
                == "Bearer realm=\"a\\\"b\\\\c\", error=\"invalid_token\", error_description=\"???\", scope=\"a b\"")
        #expect(
            Challenge.dpop(realm: "mesh", algorithms: ["ES256", "EdDSA"], error: "use_dpop_nonce").description
                == "DPoP realm=\"mesh\", error=\"use_dpop_nonce\", algs=\"ES256 EdDSA\"")
        #expect(Challenge.apiKey(realm: "mesh").description == "ApiKey realm=\"mesh\"")
    }

    @Test func refusalsAreAnswers() throws {
        let refusal = EdgeRefusal.unauthenticated(
            reason: "token_expired", detail: "the token has expired",
            challenges: [.bearer(realm: "mesh", error: "invalid_token"), .apiKey(realm: "mesh")])
        let response = refusal.response(requestID: "id-1")
        #expect(response.head.status == 401)
        #expect(response.head.headers.values("WWW-Authenticate").count == 2)
        #expect(response.head.headers["X-Request-Id"] == "id-1" && response.head.headers["Cache-Control"] == "no-store")
        #expect(response.head.headers["Content-Type"] == "application/problem+json")
        let text = String(decoding: response.body, as: UTF8.self)
        #expect(text.contains("\"type\":\"urn:conduit-mesh:problem:token_expired\""))
        #expect(text.contains("\"reason\":\"token_expired\"") && text.contains("\"instance\":\"id-1\""))
        #expect(refusal.closePayload.bytes == [0x11, 0x31] + Array("token_expired".utf8))
        var queue = ByteQueue()
        try response.encode(into: &queue)
        let broken = EdgeRefusal(HTTPError(.badHost, "x")).response(requestID: nil)
        #expect(broken.head.headers["Connection"] == "close")
    }

    @Test(arguments: [
        (401, 4401), (403, 4403), (429, 4429), (400, 1008), (404, 1008), (500, 1011), (502, 1014), (503, 1013),
        (504, 1014),
    ])
    func closeCodes(_ status: Int, _ code: UInt16) {
        #expect(EdgeRefusal(.noRoute, status: status, "").closeCode.rawValue == code)
        #expect(EdgeRefusal(.goingAway, status: status, "").closeCode.rawValue == (status == 503 ? 1001 : code))
        #expect(EdgeRefusal(.noRoute, status: status, "").closePayload.code?.rawValue == code)
    }

    @Test func reasonsAreWords() {
        for reason in GatewayReason.allCases {
            #expect(reason.rawValue.utf8.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 || $0 == 0x5F })
            #expect(reason.rawValue.utf8.count <= 123)
        }
    }

    @Test func plainRequestsOnATLSPort() throws {
        var hosts = HostList.all
        func answer(_ mode: PlaintextAnswer, _ head: HTTPRequestHead?, origin: String? = nil, port: UInt16 = 8443)
            -> HTTPResponse
        {
            mode.response(to: head, publicOrigin: origin, hosts: hosts, port: port, requestID: "1")
        }
        let redirect = answer(.redirect, request(.get, "/%61?x=1", host: "h:80"))
        #expect(redirect.head.status == 308 && redirect.head.headers["Location"] == "https://h:8443/a?x=1")
        #expect(redirect.head.headers["Connection"] == "close")
        #expect(answer(.redirect, request(), port: 443).head.headers["Location"] == "https://edge.example.org/")
        #expect(
            answer(.redirect, request(), origin: "https://p.example").head.headers["Location"] == "https://p.example/")
        for head in [request(.post, "/"), handshake(), request(.get, "//evil.example/"), request(.get, "/../x"), nil] {
            #expect(answer(.redirect, head).head.status == 400)
        }
        let explained = answer(.explain, request())
        #expect(explained.head.status == 400 && explained.head.headers["Connection"] == "close")
        #expect(String(decoding: explained.body, as: UTF8.self).contains("https://edge.example.org:8443"))
        let socket = String(decoding: answer(.explain, handshake()).body, as: UTF8.self)
        #expect(socket.contains("wss://edge.example.org:8443") && socket.contains("tls_required"))
        #expect(String(decoding: answer(.explain, nil).body, as: UTF8.self).contains("use https://"))
        var queue = ByteQueue()
        try PlaintextAnswer.redirect.write(to: request(), hosts: .all, port: 443, requestID: nil, into: &queue)
        #expect(queue.count > 0)
        // A host that is not ours is neither followed nor repeated; the public origin is ours whatever was asked for.
        hosts = .named(by: [.exact("edge.example.org"), .any])
        #expect(answer(.redirect, request()).head.status == 308)
        let foreign = answer(.redirect, request(host: "evil.example"))
        #expect(foreign.head.status == 400 && foreign.head.headers["Location"] == nil)
        #expect(!String(decoding: foreign.body, as: UTF8.self).contains("evil.example"))
        let own = answer(.redirect, request(host: "evil.example"), origin: "https://p.example")
        #expect(own.head.headers["Location"] == "https://p.example/")
    }
}
