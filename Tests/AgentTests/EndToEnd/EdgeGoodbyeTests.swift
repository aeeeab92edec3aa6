import Foundation
import JSON
import PKI
import Testing

extension EndToEnd {
    /// What WebSocket clients learn when the time to drain is over.
    @Suite struct EdgeGoodbye {
        @Test func atTheDeadlineClientsAreToldToComeBack() throws {
            try withMesh { mesh in
                // Half of the five seconds that a first message may take.
                let edge = try EdgeMesh(mesh) { $0.set("shutdown.drainTimeout", "2500ms") }
                let fields = [("Authorization", "Bearer \(try edge.token())")]
                let (idle, waiting, halfway) = (try edge.connect(), try edge.connect(), try edge.connect())
                try demandEqual(try idle.upgrade("/ws", headers: fields).status, 101, "upgrade")
                try demandEqual(try halfway.upgrade("/ws", headers: fields).status, 101, "upgrade")
                // The service takes its time for the other half of this frame.
                try halfway.sendText("half")
                try demandEqual(try halfway.read(7), [0x81, 10] + Array("first".utf8), "half a frame")
                try demandEqual(try waiting.upgrade("/ws", protocols: ["conduit.auth.v1"]).status, 101, "first message")
                edge.edge.expectEnd()
                try edge.edge.running().signal(SIGTERM)
                try edge.edge.waitFor("draining")
                // Until then it goes on.
                try idle.sendText("still here")
                try demandEqual(try idle.frame().payload, Array("still here".utf8), "echo")
                for end in [idle, waiting] {
                    let (code, reason) = try end.closeFrame()
                    try demandEqual(code, 1001, reason)
                    try demandEqual(reason, "going_away", "reason")
                    try end.waitEnd()
                }
                // The frame is not torn by the goodbye.
                edge.service.sendOtherHalf()
                try demandEqual(try halfway.read(5), Array("other".utf8), "the other half")
                try demandEqual(try halfway.closeFrame().code, 1001, "behind it")
                try demandEqual(try edge.edge.running().wait(), 0, "status")
            }
        }

        @Test func aFrontSaysItToo() throws {
            try withMesh { mesh in
                let service = try WebService(mesh)
                let files = try mesh.serverFiles()
                let front = try TestFront(
                    mesh,
                    [
                        "--listen", mesh.anyAddress, "--to", "ws://\(service.address)", "--certificate-file",
                        files.certificate, "--private-key-file", files.key, "--shutdown-drain-timeout", "300ms",
                    ])
                let end = try front.connect([mesh.authority.root])
                try end.echoOverWebSocket()
                front.process.signal(SIGTERM)
                let (code, reason) = try end.closeFrame()
                try demandEqual(code, 1001, reason)
                try demandEqual(try front.process.wait(), 0, "status")
            }
        }
    }
}
