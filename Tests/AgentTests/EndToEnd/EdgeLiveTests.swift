import Foundation
import JOSE
import JSON
import Testing

extension EndToEnd {
    /// What happens to live connections: tokens that end, are renewed or revoked, and policies that change.
    @Suite struct EdgeLive {
        @Test func aWebSocketEndsWithItsToken() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.localIssuer.leeway", "0s") }
                let end = try edge.connect()
                let (status, headers) = try end.upgrade(
                    "/ws", headers: [("Authorization", "Bearer \(try edge.token(lifetime: Deadline.lifetime(6)))")])
                try demandEqual(status, 101, "\(headers)")
                try end.sendText("still here")
                try demandEqual(try end.frame().payload, Array("still here".utf8), "echo")
                let (code, reason) = try end.closeFrame()
                try demandEqual(code, 4401, reason)
                try demandEqual(reason, "token_expired", "reason")
                try end.waitEnd()
            }
        }

        @Test func renewalInBand() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.localIssuer.leeway", "0s") }
                let end = try edge.connect()
                let (status, headers) = try end.upgrade(
                    "/ws", protocols: ["conduit.auth.v1", "bearer.\(try edge.token(lifetime: Deadline.lifetime(8)))"])
                try demandEqual(status, 101, "\(headers)")
                try demandEqual(headers["sec-websocket-protocol"], "conduit.auth.v1", "protocol")
                try end.sendText("conduit.auth.v1 token \(try edge.token("mallory"))")
                try demandEqual(
                    String(decoding: try end.frame().payload, as: UTF8.self), "conduit.auth.v1 error other_client",
                    "another client")
                try end.sendText("conduit.auth.v1 token \(try edge.token(lifetime: 600))")
                let answer = String(decoding: try end.frame().payload, as: UTF8.self)
                try demand(answer.hasPrefix("conduit.auth.v1 ok "), answer)
                try end.sendText("conduit.auth.v1x is for the service")
                try demandEqual(
                    String(decoding: try end.frame().payload, as: UTF8.self), "conduit.auth.v1x is for the service",
                    "echo")
                try demand(try end.isSilent(for: Double(Deadline.lifetime(8) + 1)), "it lives on")
                try demand(!edge.service.heads.joined().contains("conduit.auth"), "the service hears nothing of it")
            }
        }

        @Test func renewalByRequest() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.localIssuer.leeway", "0s") }
                let end = try edge.connect()
                let (_, headers) = try end.upgrade(
                    "/ws", headers: [("Authorization", "Bearer \(try edge.token(lifetime: Deadline.lifetime(8)))")])
                let id = headers["conduit-connection"] ?? ""
                let body = Array(#"{"connection": "\#(id)"}"#.utf8)
                let wrong = try edge.request("POST", "/v1/token/renew", token: edge.token("mallory"), body: body)
                try demandEqual(wrong.reason, "other_client", wrong.text)
                let none = try edge.request(
                    "POST", "/v1/token/renew", token: edge.token(), body: Array(#"{"connection": "0-1-x"}"#.utf8))
                try demandEqual(none.status, 404, none.text)
                let renewed = try edge.request("POST", "/v1/token/renew", token: edge.token(lifetime: 600), body: body)
                try demandEqual(renewed.status, 200, renewed.text)
                try demand((renewed.json["expires"]?.integer ?? 0) > Int64(time(nil)) + 500, renewed.text)
                try demand(try end.isSilent(for: Double(Deadline.lifetime(8) + 1)), "it lives on")
                try end.sendText("on")
                try demandEqual(try end.frame().payload, Array("on".utf8), "echo")
            }
        }

        @Test func theTokenInTheFirstMessage() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                let (status, headers) = try end.upgrade("/ws", protocols: ["conduit.auth.v1", "chat"])
                try demandEqual(status, 101, "\(headers)")
                try end.sendFrame(9, [1])
                try demandEqual(try end.frame().opcode, 10, "pong")
                try demandEqual(edge.service.heads.count, 0, "nothing reaches the service before")
                try end.sendText("conduit.auth.v1 token \(try edge.token())")
                let ok = String(decoding: try end.frame().payload, as: UTF8.self)
                try demand(ok.hasPrefix("conduit.auth.v1 ok ") && ok.hasSuffix(" chat"), ok)
                try end.sendText("hello")
                try demandEqual(try end.frame().payload, Array("hello".utf8), "echo")
                // Somebody else begins with something else.
                let other = try edge.connect()
                _ = try other.upgrade("/ws", protocols: ["conduit.auth.v1"])
                try other.sendText("hello")
                try demandEqual(try other.closeFrame().code, 4401, "first message")
                let denied = try edge.connect()
                _ = try denied.upgrade("/ws", protocols: ["conduit.auth.v1"])
                try denied.sendText("conduit.auth.v1 token \(try edge.token("mallory"))")
                try demandEqual(try denied.closeFrame().code, 4403, "not allowed")
            }
        }

        @Test func revocationWithinASecond() throws {
            try withMesh { mesh in
                let file = mesh.directory + "/revocations.json"
                let edge = try EdgeMesh(mesh) { $0.set("edge.authentication.revocations", .string(file)) }
                let socket = try edge.connect()
                _ = try socket.upgrade("/ws", headers: [("Authorization", "Bearer \(try edge.token())")])
                let events = try edge.connect()
                try events.sendRequest("GET", "/events", headers: [("Authorization", "Bearer \(try edge.token())")])
                try demandEqual(try events.head().status, 200, "events")
                var list = RevocationList()
                try list.add(
                    Revocation(
                        .subject("alice", issuer: EdgeMesh.issuerName, issuedBefore: nil),
                        revokedAt: Int64(time(nil))),
                    at: Int64(time(nil)))
                let start = Deadline.now
                try Data(list.text).write(to: URL(fileURLWithPath: file), options: .atomic)
                try demandEqual(try socket.closeFrame().code, 4401, "close")
                try events.waitEnd()
                try demand(Deadline.now - start < 1.5 * Deadline.slowness, "it took \(Deadline.now - start) s")
                let refused = try edge.request("GET", "/", token: edge.token())
                try demandEqual(refused.status, 401, refused.text)
            }
        }

        @Test func policyChangesWithinASecond() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let socket = try edge.connect()
                _ = try socket.upgrade("/ws", headers: [("Authorization", "Bearer \(try edge.token())")])
                try socket.sendText("a")
                _ = try socket.frame()
                edge.edge.policy.revoke("jwt:\(EdgeMesh.issuerName)/alice", to: "web")
                let start = Deadline.now
                try edge.edge.policy.text.write(toFile: edge.edge.policyFile, atomically: true, encoding: .utf8)
                try demandEqual(try socket.closeFrame().code, 4403, "close")
                try demand(Deadline.now - start < 1.5 * Deadline.slowness, "it took \(Deadline.now - start) s")
                let refused = try edge.request("GET", "/", token: edge.token())
                try demandEqual(refused.status, 403, refused.text)
            }
        }

        /// The serving node withdraws the right: the edge's own policy still has it.
        @Test func theServingNodeWithdraws() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let socket = try edge.connect()
                _ = try socket.upgrade("/ws", headers: [("Authorization", "Bearer \(try edge.token())")])
                edge.server.policy.revoke("jwt:\(EdgeMesh.issuerName)/alice", to: "web")
                try edge.server.policy.text.write(toFile: edge.server.policyFile, atomically: true, encoding: .utf8)
                try demandEqual(try socket.closeFrame().code, 4403, "close")
                let refused = try edge.request("GET", "/", token: edge.token())
                try demandEqual(refused.status, 403, refused.text)
            }
        }

        @Test func anyServiceAsAWebSocket() throws {
            try withMesh { mesh in
                let echo = try mesh.echo()
                mesh.policy.provide("echo", at: "Server")
                mesh.policy.connect("node:Edge", to: "echo")
                mesh.policy.connect("jwt:\(EdgeMesh.issuerName)/alice", to: "echo")
                let edge = try EdgeMesh(mesh)
                edge.server.offer("echo", echo.address)
                try edge.server.reload()
                try edge.edge.waitInstances(of: "echo", at: ["Server"])
                let field = [("Authorization", "Bearer \(try edge.token())")]
                let end = try edge.connect()
                let (status, headers) = try end.upgrade(
                    "/v1/connect/echo", protocols: ["conduit.stream.v1"], headers: field)
                try demandEqual(status, 101, "\(headers)")
                try demandEqual(headers["sec-websocket-protocol"], "conduit.stream.v1", "protocol")
                try end.sendFrame(2, Array("bytes".utf8))
                try demandEqual(try end.frame().payload, Array("bytes".utf8), "echo")
                try end.sendFrame(2, Array("last".utf8))
                try end.sendFrame(2, [])
                try demandEqual(try end.frame().payload, Array("last".utf8), "echo")
                try demandEqual(try end.frame().payload, [], "the service's end")
                try demandEqual(try end.closeFrame().code, 1000, "close")
                let plain = try edge.request("GET", "/v1/connect/echo", token: edge.token())
                try demandEqual(plain.status, 426, plain.text)
                let unknown = try edge.connect()
                try demandEqual(try unknown.upgrade("/v1/connect/nothing", headers: field).status, 403, "unknown")
                let nobody = try edge.connect()
                try demandEqual(try nobody.upgrade("/v1/connect/echo").status, 401, "nobody")
                // Through a route's back door nobody writes the caller's fields himself.
                let routed = try edge.connect()
                try demandEqual(try routed.upgrade("/v1/connect/web", headers: field).status, 403, "a routed service")
            }
        }
    }
}
