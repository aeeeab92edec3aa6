import Bytes
import HTTP
import SeededRandom
import Testing

/// parse(encode(x)) == x for messages made at random, several on one connection, in every delivery.
@Suite struct RoundTripTests {
    private static let tokens = Array("abcXYZ019!#$%&'*+-.^_`|~")
    private static let values = Array("abc XYZ\t019;=,\"<>(){}äß€")
    private static let pathCharacters = [
        "a", "Z", "9", "-", ".", "~", "%20", "%2F", "/", "//", ":", "@", ";", "|", "!",
    ]

    private static func text(_ characters: [Character], _ count: Int, _ random: inout SeededRandom) -> String {
        String((0..<count).map { _ in characters.randomElement(using: &random) ?? "a" })
    }

    private static func headers(_ random: inout SeededRandom, _ start: HTTPHeaders = [:]) -> HTTPHeaders {
        var headers = start
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            // "x" in front keeps clear of names with a meaning.
            headers.append(
                "x" + text(tokens, Int.random(in: 0...12, using: &random), &random),
                text(values, Int.random(in: 0...30, using: &random), &random))
        }
        return headers
    }

    private static func body(_ random: inout SeededRandom) -> [UInt8] {
        (0..<Int.random(in: 0...300, using: &random)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    }

    private static func request(_ random: inout SeededRandom) throws -> (HTTPRequestHead, [UInt8]) {
        let path =
            "/"
            + (0..<Int.random(in: 0...8, using: &random)).map { _ in pathCharacters.randomElement(using: &random) ?? ""
            }.joined()
        let query = Bool.random(using: &random) ? nil : text(Array("ab=&?/{}|%".filter { $0 != "%" }), 5, &random)
        let target: HTTPTarget =
            switch Int.random(in: 0...9, using: &random) {
            case 0:
                .absolute(
                    scheme: Bool.random(using: &random) ? "http" : "https",
                    authority: try HTTPAuthority(parsing: "h.test"),
                    path: path, query: query)
            default: .origin(path: path, query: query)
            }
        let method: HTTPMethod = [.get, .head, .post, .put, .delete, "X-OTHER"].randomElement(using: &random) ?? .get
        let body = body(&random)
        let isPost = method == .post || method == .put
        let framing: HTTPFraming =
            switch Int.random(in: 0...2, using: &random) {
            case 0 where !isPost: .none
            case 1: .chunked
            default: .length(body.count)
            }
        let head = HTTPRequestHead(
            method: method, target: target, headers: headers(&random, ["Host": "h.test"]), framing: framing)
        return (head, framing == .none ? [] : body)
    }

    @Test(arguments: 1...60)
    func requests(_ seed: Int) throws {
        var random = SeededRandom(UInt64(seed))
        var queue = ByteQueue()
        var expected: [Seen] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let (head, body) = try Self.request(&random)
            try HTTPEncoder.encode(head, into: &queue)
            var writer = HTTPBodyWriter(head)
            var rest = body[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...100, using: &random))
                try writer.write(Array(piece), into: &queue)
                rest = rest.dropFirst(piece.count)
            }
            let trailers = head.framing == .chunked ? Self.headers(&random) : [:]
            try writer.finish(trailers: trailers, into: &queue)
            expected.append(.request(head))
            if !body.isEmpty { expected.append(.body(body)) }
            if !trailers.isEmpty { expected.append(.trailers(trailers)) }
            expected.append(.end)
        }
        let wire = queue.copyBytes()
        for delivery in [.whole, .byteByByte, .random(seed: UInt64(seed))] as [Delivery] {
            #expect(parseRequests(wire, delivery) == expected, "\(delivery)")
        }
    }

    @Test(arguments: 1...60)
    func responses(_ seed: Int) throws {
        var random = SeededRandom(UInt64(seed) &+ 1000)
        var queue = ByteQueue()
        var expected: [Seen] = []
        var methods: [(HTTPMethod, Bool)] = []
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let method: HTTPMethod = [.get, .head, .post].randomElement(using: &random) ?? .get
            let status = [200, 201, 204, 304, 404, 500].randomElement(using: &random) ?? 200
            let body = Self.body(&random)
            let framing: HTTPFraming =
                status == 204 ? .none : Bool.random(using: &random) ? .chunked : .length(body.count)
            let head = HTTPResponseHead(
                status: status, reason: Self.text(Self.values, 5, &random), headers: Self.headers(&random),
                framing: framing)
            methods.append((method, false))
            try HTTPEncoder.encode(head, answering: method, into: &queue)
            var writer = HTTPBodyWriter(head, answering: method)
            if head.hasBody(answering: method) { try writer.write(body, into: &queue) }
            try writer.finish(into: &queue)
            expected.append(.response(head))
            if head.hasBody(answering: method), !body.isEmpty { expected.append(.body(body)) }
            expected.append(.end)
        }
        let wire = queue.copyBytes()
        for delivery in [.whole, .byteByByte, .random(seed: UInt64(seed))] as [Delivery] {
            #expect(parseResponses(wire, to: methods, delivery) == expected, "\(delivery)")
        }
    }

    /// Spoils one byte of a good message at a time: whatever comes of it, it does not depend on the cutting, and what is
    /// still accepted encodes and parses back to itself.
    @Test func spoiltMessages() throws {
        let good = bytes(
            "POST /a/b?c=d HTTP/1.1\r\nHost: h.test:80\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "5;e=f\r\nhello\r\n0\r\nT: u\r\n\r\n")
        var accepted = 0
        for index in good.indices {
            for byte: UInt8 in [0x00, 0x09, 0x0A, 0x0D, 0x20, 0x2C, 0x30, 0x3A, 0x3B, 0x41, 0x7F, 0xFF] {
                var spoilt = good
                spoilt[index] = byte
                let whole = parseRequests(spoilt)
                #expect(parseRequests(spoilt, .byteByByte) == whole)
                for head in whole.requests {
                    var queue = ByteQueue()
                    try HTTPEncoder.encode(head, into: &queue)
                    // A POST without body gets its length written out.
                    var expected = head
                    if head.framing == .none, head.method == .post { expected.framing = .length(0) }
                    #expect(parseRequests(queue.copyBytes(), atEnd: false).requests == [expected])
                    accepted += 1
                }
            }
        }
        #expect(accepted > 300)
    }
}
