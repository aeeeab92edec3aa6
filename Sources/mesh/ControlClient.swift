import Bytes
import EventLoop
import Glibc
import HTTP
import JSON

/// One connection to the agent's control socket. Blocking: one request, its answer, then the next.
final class ControlClient {
    private let socket: FileDescriptor
    private let path: String
    private var input = ByteQueue()
    private var parser: ResponseParser

    /// How long the agent may be silent before an answer, in milliseconds. It asks other nodes for at most ten seconds.
    private static let patience: Int32 = 30_000
    /// How often, and how long in microseconds each time, a full queue of the socket is waited for.
    private static let queueWaits = (count: 100, pause: UInt32(20_000))
    /// The directory's list of a very large mesh stays below this.
    private static let maximumBody = 256 << 20

    /// Connects to the agent that the command line means.
    init(_ context: CommandContext) throws(CommandFailure) {
        let place = try ControlSocket.find(context)
        path = place.path
        parser = ResponseParser(limits: HTTPLimits())
        do throws(SystemError) {
            socket = try Self.connect(path)
        } catch {
            throw place.failure(error)
        }
        try place.check(socket.rawValue)
    }

    private static func connect(_ path: String) throws(SystemError) -> FileDescriptor {
        for _ in 0..<queueWaits.count {
            switch try Socket.connectStart(.unix(path: path)) {
            case .connected(let descriptor): return descriptor
            case .inProgress(let descriptor): return descriptor
            case .queueFull: usleep(queueWaits.pause)
            }
        }
        throw SystemError(call: "connect", subject: path, errno: ETIMEDOUT)
    }

    // MARK: - Asking

    /// Sends a request and gives the JSON that it is answered with. A problem becomes a failure; `hint` stands in where
    /// the agent has none.
    func call(
        _ method: HTTPMethod, _ target: String, headers: HTTPHeaders = HTTPHeaders(), body: JSONValue? = nil,
        hint: String? = nil
    ) throws(CommandFailure) -> JSONValue {
        let head = try start(method, target, headers: headers, body: body)
        let bytes = try readBody()
        guard 200...299 ~= head.status else { throw ControlProblem.failure(head.status, bytes, hint: hint) }
        do throws(JSONError) {
            return try JSONReader.parse(bytes)
        } catch {
            throw CommandFailure(
                .failure, "bad_answer", "the agent's answer is not JSON: \(error)",
                hint: "do mesh and mesh-agent have the same version? mesh version; mesh status")
        }
    }

    /// Sends a request and gives the final head of its answer.
    func start(
        _ method: HTTPMethod, _ target: String, headers: HTTPHeaders = HTTPHeaders(), body: JSONValue? = nil
    ) throws(CommandFailure) -> HTTPResponseHead {
        var output = ByteQueue()
        do throws(HTTPError) {
            var headers = headers
            if body != nil { headers.set("Content-Type", "application/json") }
            // The agent is known by its socket; the name is only there because HTTP wants one.
            let request = try HTTPRequest(
                method, target, host: "mesh.agent", headers: headers, body: body?.serialized() ?? [])
            try request.encode(into: &output)
            parser.expect(request.head)
        } catch {
            throw CommandFailure(.usage, error.code.rawValue, error.text, hint: "use plain names")
        }
        try send(&output)
        while true {
            switch try event(Self.patience) {
            case .head(let head): return head
            case .interim: continue
            case .body(let count): parser.take(count, from: &input)
            case .trailers, .end, .switched, nil: throw ended()
            }
        }
    }

    /// The next piece of the answer's body, however long it takes; nil at its end.
    func piece(timeout: Int32 = -1) throws(CommandFailure) -> [UInt8]? {
        while true {
            switch try event(timeout) {
            case .body(let count):
                let bytes = input.withReadable { [UInt8]($0[..<count]) }
                parser.take(count, from: &input)
                return bytes
            case .end: return nil
            case .trailers: continue
            case .head, .interim, .switched, nil: throw ended()
            }
        }
    }

    /// The whole body of the answer.
    func readBody() throws(CommandFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        while let more = try piece(timeout: Self.patience) {
            bytes += more
            guard bytes.count <= Self.maximumBody else {
                throw CommandFailure(.failure, "answer_too_large", "the agent's answer has more than 256 MiB")
            }
        }
        return bytes
    }

    /// After a 101: gives the connection away, with the bytes that came behind the answer.
    func takeOver() throws(CommandFailure) -> (descriptor: Int32, received: [UInt8]) {
        guard case .switched? = try event(Self.patience) else { throw ended() }
        let received = input.withReadable { [UInt8]($0) }
        let copy = dup(socket.rawValue)
        guard copy >= 0 else {
            throw CommandFailure(.failure, "dup_failed", "cannot keep the connection: \(SystemError.text(errno))")
        }
        _ = fcntl(copy, F_SETFD, FD_CLOEXEC)
        _ = fcntl(copy, F_SETFL, fcntl(copy, F_GETFL) & ~O_NONBLOCK)
        return (copy, received)
    }

    // MARK: - Bytes

    private func send(_ output: inout ByteQueue) throws(CommandFailure) {
        while !output.isEmpty {
            switch output.withReadable({ Syscall.send(socket.rawValue, $0) }) {
            case .done(let count): output.consume(count)
            case .wouldBlock: try wait(POLLOUT, Self.patience)
            case .failed:
                // The agent closed already; what it answered before that says why.
                return
            }
        }
    }

    private func event(_ timeout: Int32) throws(CommandFailure) -> ResponseParser.Event? {
        while true {
            if let event = try understand({ (parser, input) throws(HTTPError) in try parser.next(&input) }) {
                return event
            }
            switch receive() {
            case .done(0):
                return try understand { (parser, input) throws(HTTPError) in try parser.inputEnded(input) }
            case .done: continue
            case .wouldBlock: try wait(POLLIN, timeout)
            case .failed: return nil
            }
        }
    }

    private func understand(
        _ body: (inout ResponseParser, inout ByteQueue) throws(HTTPError) -> ResponseParser.Event?
    ) throws(CommandFailure) -> ResponseParser.Event? {
        do throws(HTTPError) {
            return try body(&parser, &input)
        } catch {
            if error.code == .truncated { throw ended() }
            throw CommandFailure(
                .failure, error.code.rawValue, "\(path) does not answer as an agent does: \(error.text)",
                hint: "give the control socket of a mesh-agent")
        }
    }

    private func receive() -> IOResult {
        let result = Syscall.recv(socket.rawValue, input.reserve(64 << 10))
        if case .done(let count) = result { input.commit(count) }
        return result
    }

    private func wait(_ events: Int32, _ timeout: Int32) throws(CommandFailure) {
        var entry = pollfd(fd: socket.rawValue, events: Int16(events), revents: 0)
        while true {
            let count = poll(&entry, 1, timeout)
            if count > 0 { return }
            if count == 0 { throw Self.silent() }
            if errno != EINTR { return }
        }
    }

    private static func silent() -> CommandFailure {
        CommandFailure(
            .unreachable, "agent_silent", "the agent did not answer within \(patience / 1000) seconds",
            hint: "is it stopped or overloaded? Look at its log, or restart it")
    }

    private func ended() -> CommandFailure {
        CommandFailure(
            .unreachable, "agent_gone", "the agent closed the connection", hint: "was it stopped? Look at its log")
    }
}
