import Bytes
import Foundation
import Gateway
import HTTP
import SeededRandom
import Testing

/// `docs/http-requests.md` follows the table, and the table follows the code.
@Suite struct HTTPRequestTableTests {
    private func outcomes(_ request: OddRequest) -> [String] {
        EdgeHarness().run(request.wire).map { outcome in
            switch outcome {
            case .refused(let status, let reason): "\(status) \(reason)"
            case .forwarded(let service, let head, _, _): "\(service) \(head.method) \(head.target)"
            }
        }
    }

    @Test func everyRequestGetsItsAnswer() {
        for section in HTTPRequestTable.sections {
            for request in section.requests {
                let outcomes = outcomes(request)
                #expect(outcomes == request.outcomes, "\(section.title): \(request.name)")
            }
        }
    }

    @Test func theTableIsLargeEnough() {
        #expect(HTTPRequestTable.sections.map(\.requests.count).reduce(0, +) >= 100)
    }

    /// What a service gets reads back as what was decided, and holds of the protected fields the edge's only.
    @Test func whatReachesAServiceIsWhatWasAuthorised() throws {
        for request in HTTPRequestTable.sections.flatMap(\.requests) {
            for outcome in EdgeHarness().run(request.wire) {
                if case .forwarded(_, let head, let body, let trailers) = outcome {
                    try ForwardedCheck.check(head, body, trailers)
                }
            }
        }
    }

    /// `MESH_WRITE_DOCS=1 swift test --filter HTTPRequestTableTests` writes the file anew.
    @Test func theDocumentationIsCurrent() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let file = root.appendingPathComponent("docs/http-requests.md")
        let text = markdown
        if ProcessInfo.processInfo.environment["MESH_WRITE_DOCS"] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let isCurrent = try String(contentsOf: file, encoding: .utf8) == text
        #expect(isCurrent, "docs/http-requests.md is not current")
    }

    private var markdown: String {
        var lines = [
            "# Odd requests at the edge", "",
            "Requests that are malformed, or that two servers could read in two ways, and what becomes of each. Written by",
            "`HTTPRequestTableTests`, which holds every row against the code; `MESH_WRITE_DOCS=1` writes it anew.", "",
            "The edge of these examples serves `edge.example.org` and `*.apps.example.org`. The route `/` leads to the service",
            "`web`, `/api` to `api`, and `/api/admin`, with its prefix taken away, to `admin`. The client is not a trusted proxy.",
            "A request that is passed on is shown as its service gets it; where several answers stand in a row, the bytes held",
            "several requests, or the fault showed behind the head.",
        ]
        for section in HTTPRequestTable.sections {
            lines += ["", "## \(section.title)", "", "| | request | what becomes of it |", "| --- | --- | --- |"]
            for request in section.requests {
                let answers = request.outcomes.map(Self.answer).joined(separator: ", then ")
                lines.append("| \(request.name) | \(Self.code(request.wire)) | \(answers) |")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func answer(_ outcome: String) -> String {
        let words = outcome.split(separator: " ", maxSplits: 1)
        return Int(words[0]) == nil ? "to `\(words[0])`: `\(words[1])`" : "\(words[0]) `\(words[1])`"
    }

    /// The bytes as one line, without what is the same in all rows.
    private static func code(_ wire: [UInt8]) -> String {
        var text = ""
        for byte in wire {
            switch byte {
            case 0x0D: text += "\\r"
            case 0x0A: text += "\\n"
            case 0x5C: text += "\\\\"
            case 0x7C: text += "\\|"
            case 0x20...0x7E: text.unicodeScalars.append(Unicode.Scalar(byte))
            default: text += "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        text = text.replacingOccurrences(of: "Host: edge.example.org\\r\\n", with: "Host: …\\r\\n")
        if text.utf8.count > 200 { text = "\(text.prefix(120))…" }
        return "`\(text)`"
    }
}

/// What must hold of every request that a service gets.
enum ForwardedCheck {
    static func check(_ head: HTTPRequestHead, _ body: [UInt8], _ trailers: HTTPHeaders) throws {
        var queue = ByteQueue()
        try HTTPEncoder.encode(head, into: &queue)
        var writer = HTTPBodyWriter(head)
        try writer.write(body, into: &queue)
        // The harness may have stopped inside of a body that was refused later.
        let isWhole =
            (try? writer.finish(trailers: head.framing == .chunked ? trailers : HTTPHeaders(), into: &queue)) != nil
        var limits = HTTPLimits()
        limits.head *= 2
        limits.fieldCount *= 2
        limits.fieldLine *= 4
        var parser = RequestParser(limits: limits)
        guard case .head(let again)? = try parser.next(&queue) else {
            Issue.record("no head comes out")
            return
        }
        #expect(again.method == head.method && again.target == head.target && again.version == .http11)
        #expect(again.headers == head.headers)
        var content: [UInt8] = []
        while isWhole, let event = try parser.next(&queue) {
            switch event {
            case .body(let count):
                content += queue.withReadable { Array($0.prefix(count)) }
                parser.take(count, from: &queue)
            case .trailers(let seen): #expect(seen == trailers)
            case .end, .head: break
            }
            if case .end = event { break }
        }
        if isWhole { #expect(content == body && queue.isEmpty) }
        try checkFields(again)
    }

    /// Fields of the edge are there once, with its values; nothing else in their disguise.
    private static func checkFields(_ head: HTTPRequestHead) throws {
        let own = [
            "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https",
            "Conduit-Caller": EdgeHarness.caller.principalField,
            "Conduit-Caller-Groups": EdgeHarness.caller.groupsField,
            "Conduit-Caller-CN": EdgeHarness.caller.commonNameField,
        ]
        for (name, value) in own { #expect(head.headers.values(name) == [value]) }
        let written = Set(own.keys).union(["X-Forwarded-Host", "X-Request-Id", "Conduit-Caller-Signature"])
        for field in head.headers where ProtectedFields.contains(field.name) {
            #expect(written.contains(field.name), "\(field.name)")
            #expect(head.headers.values(field.name).count == 1)
        }
        #expect(head.headers.values("Host").count == 1 && head.headers.values("traceparent").count == 1)
        guard case .origin(let path, _) = head.target else {
            Issue.record("\(head.target) is no path")
            return
        }
        #expect(try RequestPath(parsing: path).text == path)
    }
}

/// Random requests out of dangerous pieces: what is forwarded reads back, whatever was sent.
@Suite struct ForwardingPropertyTests {
    private static let methods = ["GET", "POST", "OPTIONS", "DELETE", "TRACE", "FETCH"]
    private static let targets = [
        "/", "/api", "/api/admin/x", "/%61pi", "/x?access_token=abc&a=1", "/api/%2e%2e/x", "//x", "/a;b",
        "http://edge.example.org/x",
        "/api/x?a=%26b", "/x%20y", "/api/ADMIN", "*", "/x/%7Euser", "/a%3Fb",
    ]
    private static let lines = [
        "Connection: close", "Connection: keep-alive, X-A", "Connection: x-forwarded-for", "X-A: 1",
        "X-Forwarded-For: 1.1.1.1",
        "X_Forwarded_Proto: http", "Conduit-Caller: evil", "CONDUIT_CALLER: evil", "Expect: 100-continue",
        "TE: trailers",
        "Trailer: X-B", "Transfer-Encoding: chunked", "Content-Length: 5", "Upgrade: websocket", "Upgrade: h2c",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "Connection: Upgrade",
        "Sec-WebSocket-Protocol: chat, bearer.abc, conduit.auth.v1", "Authorization: Bearer abc", "X-API-Key: abc",
        "Authorization: Basic abc", "Cookie: a=b", "Via: 1.0 x, 1.1 conduit", "traceparent: nonsense",
        "X-Request-Id: chosen",
        "Origin: https://edge.example.org", "X-Latin: \u{e9}", "Host: edge.example.org", "DPoP: x", "tracestate: a=1",
        "Host : x",
    ]

    @Test func whatIsForwardedIsWhatWasDecided() throws {
        var random = SeededRandom(42)
        var forwarded = 0
        for round in 0..<3000 {
            var edge = EdgeHarness()
            edge.needsToken = round % 2 == 0
            var text =
                "\(Self.methods.randomElement(using: &random) ?? "") \(Self.targets.randomElement(using: &random) ?? "") HTTP/1.1\r\n"
            text += "Host: edge.example.org\r\n"
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                text += "\(Self.lines.randomElement(using: &random) ?? "")\r\n"
            }
            text += "\r\n5\r\nhello\r\n0\r\nX-B: 1\r\nConduit-Caller: evil\r\n\r\n"
            for case .forwarded(_, let head, let body, let trailers) in edge.run(Array(text.utf8)) {
                forwarded += 1
                try ForwardedCheck.check(head, body, trailers)
                if edge.needsToken {
                    #expect(!head.headers.contains { $0.value.contains("abc") && $0.value != "Basic abc" })
                    #expect(!head.target.description.contains("access_token"))
                }
            }
        }
        #expect(forwarded > 400)
    }
}
