import Bytes
import HTTP
import Testing

@Suite struct ResponseParserTests {
    private func all(
        _ wire: String, to requests: [(HTTPMethod, Bool)] = [(.get, false)], limits: HTTPLimits = HTTPLimits()
    ) -> [Seen] {
        let whole = parseResponses(bytes(wire), to: requests, limits: limits)
        for delivery in Delivery.all {
            #expect(parseResponses(bytes(wire), to: requests, delivery, limits: limits) == whole, "\(delivery)")
        }
        return whole
    }

    @Test func length() {
        let seen = all("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello")
        #expect(
            seen == [
                .response(HTTPResponseHead(status: 200, headers: ["X": "y"], framing: .length(5))),
                .body(bytes("hello")), .end,
            ])
    }

    @Test func reasons() {
        #expect(all("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").responses[0].reason == "")
        #expect(all("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n").responses[0].reason == "")
        #expect(all("HTTP/1.1 404 Not  here\t!\r\nContent-Length: 0\r\n\r\n").responses[0].reason == "Not  here\t!")
        #expect(all("HTTP/1.1 599 \u{E9}\r\nContent-Length: 0\r\n\r\n").responses[0].reason == "\u{E9}")
    }

    @Test func chunked() {
        let seen = all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: 1\r\n\r\n")
        #expect(seen[1...] == [.body(bytes("abc")), .trailers(["X": "1"]), .end])
    }

    @Test func untilClose() {
        let seen = all("HTTP/1.0 200 OK\r\n\r\nall of it")
        #expect(seen.responses[0].framing == .untilClose && !seen.responses[0].keepsAlive)
        #expect(seen.body == bytes("all of it") && seen.last == .end)
        #expect(all("HTTP/1.1 200 OK\r\n\r\n").count == 2)
        var limits = HTTPLimits()
        limits.body = 4
        let cut = all("HTTP/1.1 200 OK\r\n\r\nabcde", limits: limits)
        #expect(cut.body == bytes("abcd") && cut.errors.map(\.code) == [.bodyTooLarge])
    }

    @Test func bodyless() {
        let head = all("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to: [(.head, false)])
        #expect(head.responses[0].framing == .length(5) && head.count == 2)
        let chunked = all("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", to: [(.head, false)])
        #expect(chunked.responses[0].framing == .chunked && chunked.last == .end)
        let undeclared = all("HTTP/1.1 200 OK\r\n\r\n", to: [(.head, false)])
        #expect(undeclared.responses[0].framing == .none && undeclared.last == .end)
        #expect(all("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n").last == .end)
        #expect(all("HTTP/1.1 204 No Content\r\n\r\n").count == 2)
        #expect(all("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n").count == 2)
    }

    @Test func interim() {
        let seen = all("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 N\r\n\r\n")
        #expect(seen.count == 4)
        #expect(seen[1] == .interim(HTTPResponseHead(status: 103, reason: "Early", headers: ["Link": "x"])))
        #expect(seen.responses.map(\.status) == [204])
        let flood = all(String(repeating: "HTTP/1.1 100 C\r\n\r\n", count: 17))
        #expect(flood.errors.map(\.code) == [.tooManyInterim])
    }

    @Test func pipelined() {
        let seen = all(
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 204 N\r\n\r\n",
            to: [(.head, false), (.get, false), (.delete, false)])
        #expect(seen.responses.map(\.status) == [200, 200, 204])
        #expect(seen.body == bytes("x") && seen.errors.isEmpty)
    }

    @Test func switching() {
        let upgraded = all(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: conduit-stream\r\n\r\nHTTP/raw",
            to: [(.get, true)])
        #expect(upgraded.responses[0].status == 101 && upgraded.last == .switched(bytes("HTTP/raw")))
        let tunnel = all("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nraw!", to: [(.connect, false)])
        #expect(tunnel.responses[0].framing == .none && tunnel.last == .switched(bytes("raw!")))
        let refused = all("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", to: [(.connect, false)])
        #expect(refused.body == bytes("no") && refused.last == .end)
    }

    @Test func reuse() throws {
        func parser(after wire: String) throws -> ResponseParser {
            var parser = ResponseParser()
            parser.expect(.get)
            #expect(!parser.canBeReused && parser.outstanding == 1)
            var queue = ByteQueue()
            queue.append(wire)
            while let event = try parser.next(&queue) {
                if case .body(let count) = event { parser.take(count, from: &queue) }
            }
            return parser
        }
        #expect(try parser(after: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").canBeReused)
        #expect(try !parser(after: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx").canBeReused)
        let closed = try parser(after: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        #expect(!closed.canBeReused && closed.isFinished)
        #expect(try !parser(after: "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx").canBeReused)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let wire: String
        let code: HTTPError.Code
        let request: (HTTPMethod, Bool)
        var testDescription: String { "\(code.rawValue) \(wire.prefix(60).debugDescription)" }

        init(_ wire: String, _ code: HTTPError.Code, _ method: HTTPMethod = .get, upgrade: Bool = false) {
            self.wire = wire
            self.code = code
            request = (method, upgrade)
        }

        static func fields(_ fields: String, _ code: HTTPError.Code) -> Case {
            Case("HTTP/1.1 200 OK\r\n\(fields)\r\n\r\n", code)
        }
    }

    static let refused: [Case] = [
        Case("\u{15}\u{03}\u{03}", .notHTTP), Case("SSH-2.0-x\r\n", .notHTTP),
        Case("\r\nHTTP/1.1 200 OK\r\n\r\n", .notHTTP),
        Case(" HTTP/1.1 200 OK\r\n\r\n", .notHTTP), Case("http/1.1 200 OK\r\n\r\n", .notHTTP),
        Case("HTTP/1.1 20 OK\r\n\r\n", .badStatusLine), Case("HTTP/1.1 2000 OK\r\n\r\n", .badStatusLine),
        Case("HTTP/1.1  200 OK\r\n\r\n", .badStatusLine), Case("HTTP/1.1 2x0 OK\r\n\r\n", .badStatusLine),
        Case("HTTP/1.1 -20 OK\r\n\r\n", .badStatusLine), Case("HTTP/1.1 200OK\r\n\r\n", .badStatusLine),
        Case("HTTP/1.1 200\tOK\r\n\r\n", .badStatusLine), Case("HTTP/1.1\r\n\r\n", .badStatusLine),
        Case("HTTP/1.1 200 \u{1}\r\n\r\n", .badStatusLine), Case("HTTP/1.1 200 a\0\r\n\r\n", .badStatusLine),
        Case("HTTQ/1.1 200 OK\r\n\r\n", .badVersion), Case("HTTP/1.2 200 OK\r\n\r\n", .unsupportedVersion),
        Case("HTTP/2.0 200 OK\r\n\r\n", .unsupportedVersion), Case("HTTP/1.1 099 OK\r\n\r\n", .badStatus),
        Case("HTTP/1.1 600 OK\r\n\r\n", .badStatus), Case("HTTP/1.1 000 OK\r\n\r\n", .badStatus),
        Case("HTTP/1.1 200 OK\n\n", .bareLF), Case("HTTP/1.1 200 O\rK\r\n\r\n", .bareCR),
        Case("HTTP/1.1 200 \(String(repeating: "a", count: 8192))\r\n\r\n", .statusLineTooLong),
        .fields("X : 1", .whitespaceBeforeColon), .fields("X: 1\r\n 2", .foldedField), .fields("X", .missingColon),
        .fields("X: 1\n", .bareLF), .fields("X: \0", .badFieldValue), .fields("\u{E9}: 1", .badFieldName),
        .fields("Content-Length: 1\r\nTransfer-Encoding: chunked", .ambiguousFraming),
        .fields("Content-Length: 1\r\nContent-Length: 1", .duplicateContentLength),
        .fields("Content-Length: 1, 1", .badContentLength), .fields("Content-Length: +1", .badContentLength),
        .fields("Transfer-Encoding: gzip, chunked", .unsupportedTransferEncoding),
        .fields("Transfer-Encoding: chunked, identity", .badTransferEncoding),
        .fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", .duplicateTransferEncoding),
        .fields("Content_Length: 1", .ambiguousFraming),
        Case("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncodingInHTTP10),
        Case("HTTP/1.1 204 N\r\nContent-Length: 1\r\n\r\nx", .forbiddenBody),
        Case("HTTP/1.1 204 N\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .forbiddenBody),
        Case("HTTP/1.1 100 C\r\nContent-Length: 1\r\n\r\nx", .forbiddenBody),
        Case("HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n", .unexpectedUpgrade),
        Case("HTTP/1.1 101 S\r\n\r\n", .unexpectedUpgrade, upgrade: true),
        Case("HTTP/1.0 101 S\r\nUpgrade: x\r\n\r\n", .unexpectedUpgrade, upgrade: true),
        Case("HTTP/1.1 204 N\r\n\r\nHTTP/1.1 204 N\r\n\r\n", .unexpectedResponse),
        Case("HTTP/1.1 204 N\r\n\r\n\r\n", .unexpectedResponse),
        Case("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", .unexpectedResponse),
        Case("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx", .unexpectedResponse, .head),
        Case("HTTP/1.1 304 N\r\nContent-Length: 1\r\n\r\nx", .unexpectedResponse),
        Case("", .truncated), Case("HTTP/1.1 200", .truncated), Case("HTTP/1.1 200 OK\r\n", .truncated),
        Case("HTTP/1.1 100 C\r\n\r\n", .truncated), Case("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx", .truncated),
        Case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", .truncated),
        Case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", .badChunkSize),
        Case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", .badChunkEnd),
        Case("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n", .forbiddenTrailer),
    ]

    @Test(arguments: refused)
    func isRefused(_ response: Case) {
        let seen = all(response.wire, to: [response.request])
        #expect(seen.errors.map(\.code) == [response.code])
        #expect(seen.errors.map(\.status) == [502])
    }
}
