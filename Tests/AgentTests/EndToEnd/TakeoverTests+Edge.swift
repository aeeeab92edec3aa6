import Foundation
import JSON
import Testing

/// Takeovers of the edge's agent.
extension EndToEnd.Takeovers {
    /// Each request on a connection of its own, and all on one until the agent closes it after an answer.
    @Test func requestsAreAnsweredUnderTakeovers() throws {
        try withMesh { mesh in
            nonisolated(unsafe) let edge = try EdgeMesh(mesh)
            let fields = [("Authorization", "Bearer \(try edge.token())")]
            let stop = Counter()
            let clients = (0..<4).map { number in
                Background { () -> Int in
                    var answers = 0
                    var end = try edge.connect()
                    while stop.value == 0 {
                        try end.sendRequest("GET", "/head", headers: fields)
                        let answer = try end.answer()
                        try demandEqual(answer.status, 200, answer.text)
                        answers += 1
                        guard number % 2 == 0 || answer.headers["connection"]?.lowercased() == "close" else {
                            continue
                        }
                        end.close()
                        end = try edge.connect()
                    }
                    return answers
                }
            }
            var olds: [Child] = []
            for _ in 1...3 {
                olds.append(try edge.edge.takeOver())
                try edge.edge.waitReady()
                usleep(100_000)
            }
            olds.append(try edge.server.takeOver())
            stop.add(1)
            let answers = try clients.map { try $0.value(within: Deadline.patience) }
            print("the edge: \(answers) requests were answered")
            for old in olds { try demandEqual(try old.wait(), 0, "exit status") }
        }
    }

    @Test func theEdgesConnectionsGetTheirAnswers() throws {
        try withMesh { mesh in
            let edge = try EdgeMesh(mesh)
            let fields = [("Authorization", "Bearer \(try edge.token())")]
            let (socket, fresh) = (try edge.connect(), try edge.connect())
            try demandEqual(try socket.upgrade("/ws", headers: fields).status, 101, "upgrade")
            let old = try edge.edge.takeOver()
            try socket.sendText("still here")
            try demandEqual(try socket.frame().payload, Array("still here".utf8), "echo")
            // It had not asked yet when the other process came.
            try demandEqual(try fresh.upgrade("/ws", headers: fields).status, 101, "upgrade")
            let new = try edge.connect()
            try demandEqual(try new.upgrade("/ws", headers: fields).status, 101, "upgrade")
            try demand(old.isRunning, "the old process has ended")
            old.signal(SIGTERM)
            try demandEqual(try socket.closeFrame().code, 1001, "goodbye")
            try demandEqual(try fresh.closeFrame().code, 1001, "goodbye")
            try demandEqual(try old.wait(), 0, "exit status")
            try new.sendText("goes on")
            try demandEqual(try new.frame().payload, Array("goes on".utf8), "echo")
        }
    }
}
