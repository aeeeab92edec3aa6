import EventLoop
import HTTP

/// Streams in the node's own name, to built-in services.
extension Agent {
    /// Opens a stream in the node's own name to a built-in service of `node`; it speaks HTTP.
    func open(node: String, service: String) throws -> HTTPClientConnection {
        let worker = worker(for: node)
        let answers = OpenAttempt.Answers(accepted: [], failed: { Problem.response(for: $0) })
        let ours = try Socket.pair().split { ours, theirs in
            let raw = theirs.release()
            worker.submit { core in
                core.open(
                    FileDescriptor(owning: raw),
                    OpenAttempt(
                        service: service, acting: .node, node: node, origin: "the agent", timeout: 5_000_000_000,
                        answers: answers))
            }
            return ours.release()
        }
        return try HTTPClientConnection(FileDescriptor(owning: ours))
    }

    /// Sends one request to a built-in service of `node`.
    func ask(
        node: String, service: String, _ method: HTTPMethod, _ target: String, body: [UInt8] = []
    ) async throws -> HTTPResponse {
        let connection = try open(node: node, service: service)
        defer { connection.close("done") }
        return try await connection.send(try HTTPRequest(method, target, host: service, body: body))
    }
}

extension Problem {
    /// The whole HTTP response that tells of a failed stream, for clients that speak HTTP on it.
    static func response(for failure: OpenFailure) -> [UInt8] {
        var fields = HTTPHeaders()
        fields.set("Connection", "close")
        let problem = Problem(failure.reason, status: failure.status, detail: failure.detail)
        return problem.response(headers: fields).encoded()
    }
}
