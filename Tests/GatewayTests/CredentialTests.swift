import Gateway
import HTTP
import Testing

@Suite struct CredentialTests {
    private func read(_ head: HTTPRequestHead, query: Bool = false) throws -> PresentedCredential? {
        try CredentialReader(readsQuery: query).read(head, upgrade: try WebSocketUpgrade(head, readsToken: true))
    }

    @Test func findsCredentials() throws {
        #expect(try read(request()) == nil)
        #expect(
            try read(request(.get, "/", [("Authorization", "Bearer a.b-c_d~e+f/g==")]))
                == PresentedCredential(kind: .bearer, secret: "a.b-c_d~e+f/g==", source: .authorization))
        #expect(try read(request(.get, "/", [("Authorization", "bEaReR  abc")]))?.secret == "abc")
        #expect(
            try read(request(.get, "/", [("Authorization", "DPoP abc"), ("DPoP", "proof")]))
                == PresentedCredential(kind: .dpop, secret: "abc", proof: "proof", source: .authorization))
        #expect(try read(request(.get, "/", [("Authorization", "Bearer abc"), ("DPoP", "proof")]))?.proof == "proof")
        #expect(try read(request(.get, "/", [("Authorization", "ApiKey abc")]))?.kind == .apiKey)
        #expect(
            try read(request(.get, "/", [("X-API-Key", "abc")]))
                == PresentedCredential(kind: .apiKey, secret: "abc", source: .apiKeyField))
        #expect(try read(request(.get, "/", [("Authorization", "Basic abc")])) == nil)
        #expect(
            try read(handshake(["chat", "bearer.abc"]))
                == PresentedCredential(kind: .bearer, secret: "abc", source: .subprotocol))
        let query = request(.get, "/?a=1&access_token=abc")
        #expect(try read(query) == nil)
        #expect(
            try read(query, query: true)
                == PresentedCredential(kind: .bearer, secret: "abc", source: .query(rest: "a=1")))
        #expect("\(PresentedCredential(kind: .bearer, secret: "abc", source: .message))".contains("abc") == false)
    }

    @Test func severalAreRefused() {
        for headers in [
            [("Authorization", "Bearer a"), ("Authorization", "Bearer a")],
            [("Authorization", "Bearer a"), ("X-API-Key", "a")],
            [("X-API-Key", "a"), ("X-API-Key", "b")], [("Authorization", "Basic a"), ("Authorization", "Bearer a")],
        ] {
            #expect(refusal { _ = try read(request(.get, "/", headers)) } == "multiple_credentials")
        }
        #expect(refusal { _ = try read(handshake(["bearer.a", "bearer.b"])) } == "multiple_credentials")
        #expect(
            refusal { _ = try read(handshake(["bearer.a"], [("Authorization", "Bearer a")])) } == "multiple_credentials"
        )
        for target in ["/?access_token=a&access_token=b", "/?access_token=a&%61ccess_token=a"] {
            #expect(refusal { _ = try read(request(.get, target), query: true) } == "multiple_credentials")
        }
        let both = request(.get, "/?access_token=a", [("Authorization", "Bearer a")])
        #expect(refusal { _ = try read(both, query: true) } == "multiple_credentials")
    }

    @Test(arguments: [
        "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \"a\"", "Bearer a=b", "DPoP a;b", "ApiKey",
        "Bearer a, Bearer b", "Bearer \u{e9}", "Bearer =",
    ])
    func malformedOnesAreRefused(_ field: String) {
        #expect(refusal { _ = try read(request(.get, "/", [("Authorization", field)])) } == "malformed_credential")
    }

    @Test func moreMalformedOnes() {
        #expect(refusal { _ = try read(request(.get, "/", [("X-API-Key", "")])) } == "malformed_credential")
        #expect(refusal { _ = try read(handshake(["bearer."])) } == "malformed_credential")
        for target in ["/?access_token", "/?access_token=", "/?access_token=a%20b"] {
            #expect(refusal { _ = try read(request(.get, target), query: true) } == "malformed_credential")
        }
        let proofs = request(.get, "/", [("Authorization", "DPoP a"), ("DPoP", "p"), ("DPoP", "q")])
        #expect(refusal { _ = try read(proofs) } == "malformed_credential")
    }

    @Test func handshakesAreTakenApart() throws {
        let head = handshake(["a", "bearer.tok", "conduit.auth.v1", "b"], [("Origin", "https://x.example")])
        let upgrade = try #require(try WebSocketUpgrade(head, readsToken: true))
        #expect(upgrade.protocols == ["a", "b"] && upgrade.token == "tok" && upgrade.offersEdgeProtocol)
        #expect(upgrade.origin == "https://x.example" && !upgrade.passesExtensions)
        #expect(upgrade.edgeAnswer().headers["Sec-WebSocket-Protocol"] == "conduit.auth.v1")
        #expect(upgrade.edgeAnswer().headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        let untouched = try #require(try WebSocketUpgrade(handshake(["bearer.tok"]), readsToken: false))
        #expect(untouched.protocols == ["bearer.tok"] && untouched.token == nil && untouched.passesExtensions)
        #expect(try WebSocketUpgrade(request(), readsToken: true) == nil)
    }

    @Test func handshakesMustBeInOrder() {
        func reason(_ change: (inout HTTPRequestHead) -> Void) -> String? {
            var head = handshake()
            change(&head)
            return refusal { _ = try WebSocketUpgrade(head, readsToken: true) }
        }
        #expect(reason { _ in } == nil)
        #expect(reason { $0.headers.set("Sec-WebSocket-Version", "8") } == "bad_websocket_handshake")
        #expect(reason { $0.headers.set("Sec-WebSocket-Key", "short") } == "bad_websocket_handshake")
        #expect(
            reason { $0.headers.append("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==") } == "bad_websocket_handshake")
        #expect(reason { $0.method = .post } == "bad_websocket_handshake")
        #expect(reason { $0.framing = .length(3) } == "bad_websocket_handshake")
        #expect(reason { $0.framing = .chunked } == "bad_websocket_handshake")
        #expect(reason { $0.headers.append("Sec-WebSocket-Protocol", "a, a") } == "bad_websocket_handshake")
        #expect(reason { $0.headers.append("Sec-WebSocket-Protocol", "a b") } == "bad_websocket_handshake")
    }
}
