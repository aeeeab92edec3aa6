import Bytes
import Testing
import WebSocket

/// The opening handshake (RFC 6455 section 4), both sides.
@Suite struct HandshakeTests {
    static let key = "dGhlIHNhbXBsZSBub25jZQ=="

    /// Fields of a good request; a test changes some.
    static func request(_ changes: [String: [String]] = [:]) -> [String: [String]] {
        [
            "host": ["server.example.com"], "upgrade": ["websocket"], "connection": ["Upgrade"],
            "sec-websocket-key": [key], "sec-websocket-version": ["13"],
        ].merging(changes) { $1 }
    }

    static func lookup(_ fields: [String: [String]]) -> Handshake.HeaderLookup {
        { name in fields[name.lowercased()] ?? [] }
    }

    @Test func acceptKeyOfTheRFC() {
        #expect(Handshake.acceptKey(Self.key) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    /// Digests of other lengths, around SHA-1's block boundary, made with Python's hashlib.
    @Test(arguments: [
        ("", "Kfh9QIsMVZcl6xEPYxPHzW8SZ8w="),
        (String(repeating: "a", count: 18), "5Ave8ujWOAIJFSnGl1SCdSULUzg="),
    ])
    func acceptKeyOfOtherLengths(_ key: String, _ expected: String) {
        #expect(Handshake.acceptKey(key) == expected)
    }

    @Test func keysAreSixteenBytes() {
        let key = Handshake.key(random: (0x0123_4567_89AB_CDEF, .max))
        #expect(Base64.decode(key)?.count == 16)
        #expect(Base64.decode(key)?.suffix(8) == .init(repeating: 0xFF, count: 8))
    }

    @Test func acceptsAGoodRequest() throws {
        let fields = Self.request([
            "origin": ["https://app.example"], "sec-websocket-protocol": ["chat, conduit.link.v1", "x"],
            "sec-websocket-extensions": ["permessage-deflate"],
        ])
        let request = try Handshake.checkRequest(
            method: "GET", headers: Self.lookup(fields), protocols: ["conduit.link.v1", "x"]
        ).get()
        #expect(request.accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(request.host == "server.example.com")
        #expect(request.origin == "https://app.example")
        #expect(request.offeredProtocols == ["chat", "conduit.link.v1", "x"])
        #expect(request.selectedProtocol == "conduit.link.v1")
        #expect(request.offeredExtensions == ["permessage-deflate"])
        let head = String(decoding: try Handshake.response(to: request, extraHeaders: [("X-Id", "7")]), as: UTF8.self)
        #expect(
            head == "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                + "Sec-WebSocket-Protocol: conduit.link.v1\r\nX-Id: 7\r\n\r\n")
    }

    @Test(arguments: [
        ["upgrade": ["WebSocket"]], ["upgrade": ["h2c, websocket"]], ["upgrade": ["h2c", " websocket "]],
        ["connection": ["keep-alive, Upgrade"]], ["connection": ["keep-alive", "UPGRADE"]],
        ["connection": [",upgrade,"]],
        ["sec-websocket-protocol": ["a,b"]], ["sec-websocket-protocol": ["a , ,\tb"]],
        ["sec-websocket-key": ["AAAAAAAAAAAAAAAAAAAAAA=="]],
    ])
    func acceptsVariants(_ changes: [String: [String]]) throws {
        let request = try Handshake.checkRequest(method: "GET", headers: Self.lookup(Self.request(changes))).get()
        #expect(request.selectedProtocol == nil)
        if changes.keys.contains("sec-websocket-protocol") { #expect(request.offeredProtocols == ["a", "b"]) }
    }

    typealias Reason = Handshake.Refusal.Reason

    @Test(
        arguments: [
            (["upgrade": []], Reason.notAnUpgrade, 426), (["upgrade": ["h2c"]], .notAnUpgrade, 426),
            (["upgrade": ["websocket2"]], .notAnUpgrade, 426), (["upgrade": ["web socket"]], .notAnUpgrade, 426),
            (["connection": []], .connectionHeader, 400), (["connection": ["keep-alive"]], .connectionHeader, 400),
            (["connection": ["upgraded"]], .connectionHeader, 400),
            (["sec-websocket-version": []], .versionMissing, 400),
            (["sec-websocket-version": ["13", "13"]], .versionMissing, 400),
            (["sec-websocket-version": ["8"]], .versionUnsupported, 426),
            (["sec-websocket-version": ["013"]], .versionUnsupported, 426),
            (["sec-websocket-version": ["13, 8"]], .versionUnsupported, 426),
            (["sec-websocket-key": []], .key, 400), (["sec-websocket-key": [""]], .key, 400),
            (["sec-websocket-key": [key, key]], .key, 400),
            (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZQ"]], .key, 400),
            (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25j"]], .key, 400),
            (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZTEy"]], .key, 400),
            (["sec-websocket-key": ["dGhlIHNhbXBsZSBub25jZR=="]], .key, 400),
            (["sec-websocket-key": ["dGhl!HNhbXBsZSBub25jZQ=="]], .key, 400),
            (["host": []], .host, 400), (["host": ["a", "b"]], .host, 400), (["origin": ["a", "b"]], .origin, 400),
            (["sec-websocket-protocol": ["a b"]], .protocolSyntax, 400),
            (["sec-websocket-protocol": ["a,a"]], .protocolSyntax, 400),
            (["sec-websocket-protocol": [""]], .protocolSyntax, 400),
            (["sec-websocket-protocol": ["a;b"]], .protocolSyntax, 400),
        ] as [([String: [String]], Reason, Int)])
    func refuses(_ changes: [String: [String]], _ reason: Reason, _ status: Int) throws {
        let result = Handshake.checkRequest(method: "GET", headers: Self.lookup(Self.request(changes)))
        guard case .failure(let refusal) = result else {
            Issue.record("accepted")
            return
        }
        #expect(refusal.reason == reason)
        #expect(refusal.status == status)
        let named = refusal.headers.contains { $0 == ("Sec-WebSocket-Version", "13") }
        #expect(named == (reason == .versionMissing || reason == .versionUnsupported))
        if status == 426 { #expect(refusal.headers.contains { $0 == ("Upgrade", "websocket") }) }
    }

    @Test func refusesOtherMethodsAndVersions() {
        let headers = Self.lookup(Self.request())
        for method in ["POST", "HEAD", "get", "CONNECT", ""] {
            let result = Handshake.checkRequest(method: method, headers: headers)
            #expect(result.refusal?.reason == .methodNotGet)
            #expect(result.refusal?.status == 405)
        }
        #expect(
            Handshake.checkRequest(method: "GET", isHTTP11: false, headers: headers).refusal?.reason == .httpVersion)
    }

    @Test func requiresAProtocol() {
        func check(_ offered: [String]) -> Handshake.Refusal? {
            Handshake.checkRequest(
                method: "GET", headers: Self.lookup(Self.request(["sec-websocket-protocol": offered])),
                protocols: ["conduit.link.v1"], protocolRequired: true
            ).refusal
        }
        #expect(check([])?.reason == .noCommonProtocol)
        #expect(check(["conduit.link.v2, Conduit.Link.V1"])?.reason == .noCommonProtocol)
        #expect(check(["conduit.link.v1"]) == nil)
    }

    // MARK: - Client

    @Test func writesARequest() throws {
        let bytes = try Handshake.clientRequest(
            host: "node:7400", path: "/mesh?x=1", protocols: ["conduit.link.v1", "b"], key: Self.key,
            extraHeaders: [("Origin", "https://a"), ("X-Empty", "")])
        #expect(
            String(decoding: bytes, as: UTF8.self)
                == "GET /mesh?x=1 HTTP/1.1\r\nHost: node:7400\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: \(Self.key)\r\nSec-WebSocket-Version: 13\r\n"
                + "Sec-WebSocket-Protocol: conduit.link.v1, b\r\nOrigin: https://a\r\nX-Empty: \r\n\r\n")
    }

    @Test func writesNothingThatBreaksTheHead() {
        func refused(
            host: String = "h", path: String = "/", protocols: [String] = [],
            extra: [(name: String, value: String)] = []
        ) -> Bool {
            do throws(Handshake.InvalidHeader) {
                _ = try Handshake.clientRequest(
                    host: host, path: path, protocols: protocols, key: Self.key, extraHeaders: extra)
                return false
            } catch {
                return true
            }
        }
        #expect(!refused())
        for host in ["", "a b", "a\r\nX: y", "ä"] { #expect(refused(host: host)) }
        for path in ["", "x", "/a b", "/\r\n", "/ä"] { #expect(refused(path: path)) }
        for name in ["", "a b", "a,b", "a\n"] { #expect(refused(protocols: [name])) }
        #expect(refused(protocols: ["a", "a"]))
        for name in ["", "a b", "a:", "Host", "UPGRADE", "Sec-WebSocket-Key"] { #expect(refused(extra: [(name, "v")])) }
        for value in ["a\r\nb", "a\nb", "a\0", " a", "a\t", "\u{7F}"] { #expect(refused(extra: [("X", value)])) }
    }

    static func response(_ changes: [String: [String]] = [:]) -> [String: [String]] {
        [
            "upgrade": ["websocket"], "connection": ["Upgrade"],
            "sec-websocket-accept": ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
        ].merging(changes) { $1 }
    }

    @Test func acceptsAGoodResponse() throws {
        let plain = try Handshake.checkResponse(status: 101, headers: Self.lookup(Self.response()), key: Self.key).get()
        #expect(plain.selectedProtocol == nil)
        let fields = Self.response([
            "upgrade": ["WEBSOCKET"], "connection": ["keep-alive, upgrade"], "sec-websocket-protocol": ["b"],
            "sec-websocket-extensions": ["permessage-deflate"],
        ])
        let rich = try Handshake.checkResponse(
            status: 101, headers: Self.lookup(fields), key: Self.key, protocols: ["a", "b"], protocolRequired: true,
            offeredExtensions: true
        ).get()
        #expect(rich.selectedProtocol == "b")
        #expect(rich.extensions == ["permessage-deflate"])
    }

    @Test(arguments: [
        (["upgrade": []], "upgrade_header"), (["upgrade": ["h2c"]], "upgrade_header"),
        (["upgrade": ["websocket, h2c"]], "upgrade_header"),
        (["connection": []], "connection_header"), (["connection": ["close"]], "connection_header"),
        (["sec-websocket-accept": []], "accept"),
        (["sec-websocket-accept": ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]], "accept"),
        (["sec-websocket-accept": ["S3PPLMBITXAQ9KYGZZHZRBK+XOO="]], "accept"),
        (["sec-websocket-accept": [key]], "accept"),
        (["sec-websocket-protocol": ["c"]], "protocol_not_offered"),
        (["sec-websocket-protocol": ["a, b"]], "protocol_not_offered"),
        (["sec-websocket-protocol": ["a", "b"]], "protocol_not_offered"),
        (["sec-websocket-extensions": ["permessage-deflate"]], "extension_not_offered"),
    ])
    func refusesResponses(_ changes: [String: [String]], _ code: String) {
        let result = Handshake.checkResponse(
            status: 101, headers: Self.lookup(Self.response(changes)), key: Self.key, protocols: ["a", "b"])
        guard case .failure(let error) = result else {
            Issue.record("accepted")
            return
        }
        #expect(error.code == code)
    }

    @Test func refusesOtherStatusesAndAMissingProtocol() {
        let headers = Self.lookup(Self.response())
        for status in [200, 301, 401, 426, 500] {
            #expect(
                Handshake.checkResponse(status: status, headers: headers, key: Self.key) == .failure(.status(status)))
        }
        #expect(
            Handshake.checkResponse(
                status: 101, headers: headers, key: Self.key, protocols: ["a"], protocolRequired: true)
                == .failure(.protocolMissing))
        #expect(
            Handshake.checkResponse(status: 101, headers: headers, key: Handshake.key(random: (1, 2)))
                == .failure(.accept))
    }

    /// What one side writes, the other accepts.
    @Test func bothSidesAgree() throws {
        let key = Handshake.key(random: (1, 2))
        let request = try Handshake.clientRequest(host: "h", path: "/", protocols: ["p"], key: key)
        let accepted = try Handshake.checkRequest(
            method: "GET", headers: Self.lookup(Self.fields(request)), protocols: ["p"], protocolRequired: true
        ).get()
        let response = try Handshake.response(to: accepted)
        let result = Handshake.checkResponse(
            status: 101, headers: Self.lookup(Self.fields(response)), key: key, protocols: ["p"], protocolRequired: true
        )
        #expect(try result.get().selectedProtocol == "p")
    }

    /// The fields of a head, by a parser that is good enough for what the room writes.
    static func fields(_ head: [UInt8]) -> [String: [String]] {
        var fields: [String: [String]] = [:]
        for line in String(decoding: head, as: UTF8.self).split(separator: "\r\n").dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            fields[line[..<colon].lowercased(), default: []].append(String(line[line.index(colon, offsetBy: 2)...]))
        }
        return fields
    }
}

extension Result where Success == Handshake.Request, Failure == Handshake.Refusal {
    var refusal: Handshake.Refusal? {
        if case .failure(let refusal) = self { refusal } else { nil }
    }
}
