import Bytes
import HTTP

/// HTTP/1.1 as edge and control API read and write it.
enum HTTPBenchmarks {
    static var all: [Benchmark] {
        [
            Benchmark("http.request.parse", "a browser's request, ten fields, read", batch: 2_000) {
                try parseRequests()
            },
            Benchmark("http.response.parse", "a response with 1 KiB of content read", batch: 4_000) {
                try parseResponses()
            },
            Benchmark("http.response.encode", "a response's head written", batch: 4_000) { try encodeResponses() },
            Benchmark("http.route", "a path found among 40 routes", batch: 10_000) { try route() },
        ]
    }

    private static let request = [
        "GET /v1/services/web?tag=blue HTTP/1.1", "Host: mesh.example:8443",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Accept-Language: en-GB,en;q=0.7",
        "Accept-Encoding: gzip, deflate, br", "Connection: keep-alive",
        "Cookie: session=0123456789abcdef0123456789abcdef",
        "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Cache-Control: max-age=0", "", "",
    ].joined(separator: "\r\n")

    private static func parseRequests() throws -> (Int) throws -> Int {
        let bytes = Array(request.utf8)
        let connection = Connection()
        return { count in
            var fields = 0
            for _ in 0..<count { fields += try connection.read(bytes) }
            require(fields == 10 * count, "\(fields) fields in \(count) requests")
            return fields
        }
    }

    /// A server's side of a connection, kept alive.
    private final class Connection {
        private var parser = RequestParser()
        private var queue = ByteQueue()

        /// Reads one request; returns the number of its fields.
        func read(_ bytes: [UInt8]) throws -> Int {
            queue.append(bytes)
            guard case .head(let head)? = try parser.next(&queue), case .end? = try parser.next(&queue) else {
                Output.fail("no whole request")
            }
            parser.proceed()
            return head.headers.count
        }
    }

    private static func parseResponses() throws -> (Int) throws -> Int {
        let head =
            "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\nETag: \"66\"\r\n\r\n"
        let bytes = Array(head.utf8) + [UInt8](repeating: 0x6B, count: 1_024)
        let connection = ClientConnection()
        return { count in
            var content = 0
            for _ in 0..<count { content += try connection.read(bytes) }
            require(content == 1_024 * count, "\(content) bytes of content in \(count) responses")
            return content
        }
    }

    /// A client's side of a connection, kept alive.
    private final class ClientConnection {
        private var parser = ResponseParser()
        private var queue = ByteQueue()

        /// Reads one response; returns the number of bytes of its content.
        func read(_ bytes: [UInt8]) throws -> Int {
            parser.expect(.get)
            queue.append(bytes)
            var content = 0
            while let event = try parser.next(&queue) {
                switch event {
                case .body(let count):
                    content += count
                    parser.take(count, from: &queue)
                case .end: return content
                case .head, .interim, .trailers, .switched: continue
                }
            }
            Output.fail("no whole response")
        }
    }

    private static func encodeResponses() throws -> (Int) throws -> Int {
        let head = HTTPResponseHead(
            status: 200,
            headers: ["Content-Type": "application/json", "Cache-Control": "no-store", "Server": "conduit-mesh"],
            framing: .length(1_024))
        return { count in
            var bytes = 0
            var queue = ByteQueue()
            for _ in 0..<count {
                try HTTPEncoder.encode(head, into: &queue)
                bytes += queue.count
                queue.consume(queue.count)
            }
            require(count == 0 || bytes % count == 0 && bytes / count > 80, "\(bytes) bytes in \(count) heads")
            return bytes
        }
    }

    private static func route() throws -> (Int) -> Int {
        var router = Router<Int>()
        for number in 0..<10 {
            for (place, pattern) in [
                "/v1/kind-\(number)", "/v1/kind-\(number)/{name}", "/v1/kind-\(number)/{name}/health",
            ].enumerated() {
                try router.add(.get, pattern, number * 10 + place)
            }
            try router.add(.put, "/v1/kind-\(number)/{name}", number * 10 + 5)
        }
        let routes = router
        return { count in
            var sum = 0
            for number in 0..<count {
                guard
                    case .found(let handler, _) = routes.match(
                        .get, number % 2 == 0 ? "/v1/kind-7/web/health" : "/v1/kind-3/web")
                else { Output.fail("a route was not found") }
                sum += handler
            }
            require(sum == (count + 1) / 2 * 72 + count / 2 * 31, "other routes were found")
            return sum
        }
    }
}
