import Foundation
import JSON
import Testing

extension EndToEnd {
    /// External clients through the edge to a service on another node.
    @Suite struct Edge {
        @Test func requestsReachTheService() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let answer = try edge.request("GET", "/head?x=1", token: edge.token())
                try demandEqual(answer.status, 200, answer.text)
                let head = answer.text
                try demand(head.hasPrefix("GET /head?x=1 HTTP/1.1\r\n"), head)
                try demandEqual(WireReader.field("Host", head), EdgeMesh.host, "Host")
                try demandEqual(WireReader.field("X-Forwarded-Proto", head), "https", "proto")
                try demandEqual(
                    WireReader.field("Conduit-Caller", head), "jwt:\(EdgeMesh.issuerName)/alice", "caller")
                try demandEqual(WireReader.field("Authorization", head), nil, "the token stays here")
                try demand(WireReader.field("traceparent", head) != nil, "traceparent")
                try demandEqual(
                    WireReader.field("X-Request-Id", head), answer.headers["x-request-id"], "request id")
            }
        }

        @Test func whoProvesNothingGetsNothing() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let missing = try edge.request("GET", "/")
                try demandEqual(missing.status, 401, missing.text)
                try demandEqual(missing.reason, "missing_token", missing.text)
                try demand(missing.headers["www-authenticate"]?.hasPrefix("Bearer ") == true, "\(missing.headers)")
                let forged = try edge.request("GET", "/", token: edge.token().dropLast(4) + "AAAA")
                try demandEqual(forged.status, 401, forged.text)
                let other = try edge.request("GET", "/", token: edge.token("mallory"))
                try demandEqual(other.status, 403, other.text)
                let nowhere = try edge.request("TRACE", "/", token: edge.token())
                try demandEqual(nowhere.status, 405, nowhere.text)
                try demandEqual(edge.service.heads.count, 0, "requests at the service")
            }
        }

        @Test func bodiesStreamBothWays() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                try end.send(
                    "POST /echo HTTP/1.1\r\nHost: \(EdgeMesh.host)\r\nAuthorization: Bearer \(try edge.token())\r\n"
                        + "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                // The answer begins before the request has ended.
                let (status, headers) = try end.head()
                try demandEqual(status, 200, "\(headers)")
                try demandEqual(try end.chunk(), Array("first".utf8), "first")
                try end.send("6\r\nsecond\r\n")
                try demandEqual(try end.chunk(), Array("second".utf8), "second")
                try end.send("0\r\n\r\n")
                try demandEqual(try end.chunk(), [], "end")
                // The connection lives on.
                try end.sendRequest("GET", "/", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(try end.answer().text, "hello from /", "next")
            }
        }

        @Test func largeBodies() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let count = 32 << 20
                let answer = try edge.request("GET", "/big/\(count)", token: edge.token())
                try demandEqual(answer.body.count, count, "down")
                let up = try edge.request(
                    "POST", "/sink", token: edge.token(), body: [UInt8](repeating: 1, count: count))
                try demandEqual(up.text, "\(count)", "up")
            }
        }

        @Test func eventsArriveAtOnce() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                try end.sendRequest("GET", "/events", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(try end.head().status, 200, "status")
                try Deadline.until("the service sends events") { edge.service.listeners == 1 }
                for number in 1...3 {
                    edge.service.event("data: \(number)")
                    try demandEqual(try end.chunk(), Array("data: \(number)\n".utf8), "event")
                }
                end.close()
                try Deadline.until("the service learns that the client is gone") { edge.service.listeners == 0 }
            }
        }

        @Test func connectionsAreReusedAndPipelined() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                let field = "Authorization: Bearer \(try edge.token())\r\n"
                let request = { (path: String) in "GET \(path) HTTP/1.1\r\nHost: \(EdgeMesh.host)\r\n\(field)\r\n" }
                try end.send(request("/a") + request("/b") + request("/c"))
                for path in ["/a", "/b", "/c"] { try demandEqual(try end.answer().text, "hello from \(path)", path) }
                try end.send(request("/d"))
                try demandEqual(try end.answer().text, "hello from /d", "later")
                try demandEqual(edge.service.connections, 1, "connections to the service")
                // A connection that died in the pool costs nobody an answer.
                try end.send(request("/once"))
                try demandEqual(try end.answer().text, "once", "once")
                for _ in 0..<3 {
                    try end.send(request("/after"))
                    try demandEqual(try end.answer().status, 200, "after")
                }
            }
        }

        @Test func expectContinue() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                try end.sendRequest(
                    "POST", "/sink",
                    headers: [
                        ("Authorization", "Bearer \(try edge.token())"), ("Expect", "100-continue"),
                        ("Content-Length", "5"),
                    ])
                try demandEqual(try end.head().status, 100, "continue")
                try end.send("12345")
                try demandEqual(try end.answer().text, "5", "answer")
                // Who may not come in is not asked for his body.
                try end.sendRequest("POST", "/sink", headers: [("Expect", "100-continue"), ("Content-Length", "5")])
                try demandEqual(try end.head().status, 401, "refused")
            }
        }

        @Test func servicesThatFail() throws {
            try withMesh { mesh in
                // Only where the time is what counts it is short.
                let edge = try EdgeMesh(
                    mesh, route: ["limits": ["body": "1KiB"]],
                    routes: ["/silent", "/gone"].map { ["path": $0, "service": "web", "timeout": "300ms"] })
                let token = try edge.token()
                let closed = try edge.request("GET", "/close", token: token)
                try demandEqual(closed.status, 502, closed.text)
                let silent = try edge.request("GET", "/silent", token: token)
                try demandEqual(silent.status, 504, silent.text)
                let large = try edge.request(
                    "POST", "/sink", token: token, body: [UInt8](repeating: 0, count: 2000))
                try demandEqual(large.status, 413, large.text)
                let end = try edge.connect()
                try end.sendRequest("GET", "/break", headers: [("Authorization", "Bearer \(token)")])
                try demandEqual(try end.head().status, 200, "begun")
                try end.waitEnd()
                try demand(end.wasReset, "an answer that breaks off does not end in order")
                edge.server.kill()
                try Deadline.until("the service is gone") {
                    [502, 503, 504].contains(try edge.request("GET", "/gone", token: token).status)
                }
            }
        }

        /// WebSockets are not among the connections of which there is a limited number.
        @Test func webSocketsDoNotUseUpThePool() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.backend.connections", 1) }
                let field = [("Authorization", "Bearer \(try edge.token())")]
                var sockets: [EdgeEnd] = []
                for _ in 0..<6 {
                    let end = try edge.connect()
                    try demandEqual(try end.upgrade("/ws", headers: field).status, 101, "upgrade")
                    sockets.append(end)
                }
                let requests = try (0..<4).map { _ in try edge.connect() }
                for end in requests { try end.sendRequest("GET", "/", headers: field) }
                for end in requests { try demandEqual(try end.answer().status, 200, "request") }
                for end in sockets { end.close() }
                try Deadline.until("nothing is left in use") {
                    try edge.edge.metric("mesh_edge_backend_connections{state=\"busy\"}") == 0
                }
                try demandEqual(try edge.request("GET", "/", token: edge.token()).status, 200, "afterwards")
            }
        }

        @Test func webSocketsPassThrough() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                let (status, headers) = try end.upgrade(
                    "/ws", protocols: ["chat", "bearer.\(try edge.token())"])
                try demandEqual(status, 101, "\(headers)")
                try demandEqual(headers["sec-websocket-protocol"], "chat", "protocol")
                try demand(!edge.service.heads.joined().contains("bearer."), "the token does not reach the service")
                try end.sendText("hello")
                try demandEqual(try end.frame().payload, Array("hello".utf8), "echo")
                try end.sendFrame(9, [1, 2, 3])
                let pong = try end.frame()
                try demandEqual(pong.opcode, 10, "pong")
                try end.sendFrame(2, [UInt8](repeating: 7, count: 100_000))
                try demandEqual(try end.frame().payload.count, 100_000, "large")
                try end.sendFrame(8, [0x03, 0xE8])
                try demandEqual(try end.closeFrame().code, 1000, "close")
                try end.waitEnd()
            }
        }
    }
}
