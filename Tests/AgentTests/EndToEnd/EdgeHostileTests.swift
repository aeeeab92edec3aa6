import Foundation
import JSON
import TLS
import Testing

extension EndToEnd {
    /// Clients that mean harm: what they send must cost them more than the edge.
    @Suite struct EdgeHostile {
        @Test func aMessageWithoutEndBehindAPing() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                try demandEqual(try end.upgrade("/ws", protocols: ["conduit.auth.v1"]).status, 101, "upgrade")
                try end.sendFrame(9, [])
                try demandEqual(try end.frame().opcode, 10, "pong")
                // The largest length that a frame can announce.
                try end.send([0x81, 0xFF, 0x7F] + [UInt8](repeating: 0xFF, count: 7) + [0, 0, 0, 0])
                try demandEqual(try end.closeFrame().reason, "authentication_too_large", "close frame")
                try demandEqual(try edge.request("GET", "/", token: edge.token()).status, 200, "others")
            }
        }

        @Test func whoIsClosedToMakeRoomGivesHisPlaceBack() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh) {
                    $0.set("edge.limits.connections", 64)
                    $0.set("edge.limits.connectionsPerAddress", 4)
                }
                // Twice as many as may wait for their first message on all loops together.
                var open: [EdgeEnd] = []
                var upgraded = 0
                for _ in 0..<80 {
                    guard let end = try? edge.connect(),
                        let (status, _) = try? end.upgrade("/ws", protocols: ["conduit.auth.v1"])
                    else { continue }
                    try demandEqual(status, 101, "after \(upgraded)")
                    upgraded += 1
                    open.append(end)
                }
                try demand(upgraded > 50, "\(upgraded)")
            }
        }

        /// The edge comes to the message when the service takes bytes again, and not when the client has sent it.
        @Test func aMessageThatIsRefusedWhenTheServiceWakesUp() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                let protocols = ["conduit.auth.v1", "bearer.\(try edge.token())"]
                try demandEqual(try end.upgrade("/ws", protocols: protocols).status, 101, "upgrade")
                try end.sendText("sleep")
                let large = Array("conduit.auth.v1 token ".utf8) + [UInt8](repeating: 0x61, count: 20_000)
                let mask: [UInt8] = [1, 2, 3, 4]
                try end.send(
                    WebFrame.encode(2, [UInt8](repeating: 0, count: 12 << 20), mask: mask)
                        + WebFrame.encode(1, large, mask: mask))
                try? end.waitEnd()
                try demandEqual(try edge.request("GET", "/", token: edge.token()).status, 200, "others")
            }
        }

        @Test func aBodyThatNobodyWantsIsNotWaitedFor() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh)
                let end = try edge.connect()
                try end.sendRequest("GET", "/.well-known/jwks.json", headers: [("Content-Length", "100")])
                let answer = try end.answer()
                try demandEqual(answer.status, 200, answer.text)
                try demandEqual(answer.headers["connection"], "close", "Connection")
                try end.waitEnd()
            }
        }

        @Test func requestsOfSomebodyWhoReadsNothing() throws {
            try withMesh { mesh in
                let edge = try EdgeMesh(mesh, listener: ["tls": "disabled", "certificates": []])
                let before = try edge.edge.running().residentBytes
                let wire = try Wire(edge.address)
                wire.setTimeouts(1)
                let requests = String(
                    repeating: "GET /.well-known/jwks.json HTTP/1.1\r\nHost: \(edge.address)\r\n\r\n", count: 2_000)
                for _ in 0..<100 {
                    do { try wire.send(Array(requests.utf8)) } catch { break }
                }
                let grown = try edge.edge.running().residentBytes - before
                try demandGrowth(grown, below: 12 << 20, "the edge")
                wire.close()
            }
        }
    }
}
