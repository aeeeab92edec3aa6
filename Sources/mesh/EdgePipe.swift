import Bytes
import EventLoop
import Glibc
import WebSocket

/// Carries bytes between standard input and output and a service's WebSocket at an edge (docs/connect.md): binary messages
/// are bytes, an empty one is the end of a direction.
final class EdgePipe {
    /// Bytes that wait for the edge, beyond which our input is not read.
    private static let highMark = 256 << 10
    /// Bytes that wait for standard output, beyond which the edge is not read.
    private static let outputMark = 256 << 10
    /// One read of our input: one frame.
    private static let readSize = 64 << 10
    /// What a pipe or terminal takes for sure when it says that it takes something (PIPE_BUF).
    private static let pipeWrite = 4096
    /// How long the edge may take to answer our close frame, in nanoseconds.
    private static let closePatience: UInt64 = 2 * Clock.second
    /// How often a quiet connection is kept alive, and noticed when it is dead, in milliseconds.
    private static let pingInterval: Int32 = 30_000
    /// Quiet intervals without any answer after which the edge counts as gone.
    private static let deadIntervals = 3

    private let wire: EdgeWire
    private var socket: Connection
    private var waiting = ByteQueue()
    private var inputEnded = false
    private var outputEnded = false
    private var outputClosed = false
    private var quiet = 0
    private var close: ClosePayload?

    init(_ wire: EdgeWire) {
        self.wire = wire
        socket = Connection(
            client: Connection.Options(maximumFramePayload: 1 << 30, maximumMessage: .max, delivery: .streamed),
            maskKeys: { UInt32.random(in: .min ... .max) })
    }

    /// Carries until both directions have ended, or the connection broke.
    func run() throws(CommandFailure) -> ExitCode {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readSize, alignment: 16)
        defer { buffer.deallocate() }
        try take()
        while true {
            if close != nil { return try ended() }
            // The service has said everything; somebody at a terminal has nothing to add.
            if outputEnded, waiting.isEmpty, !inputEnded, isatty(STDIN_FILENO) == 1 { try finishInput() }
            if outputEnded, waiting.isEmpty, !outputClosed {
                outputClosed = true
                Glibc.close(STDOUT_FILENO)
            }
            if inputEnded, outputEnded, waiting.isEmpty { return try goodbye() }
            move()
            guard wire.flush() else { throw Self.broken(nil) }
            try turn(buffer)
        }
    }

    /// Waits for something to do, and does it.
    private func turn(_ buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) {
        let readsInput = !inputEnded && wire.pendingOutput < Self.highMark
        let readsEdge = waiting.count < Self.outputMark
        var entries = [
            pollfd(fd: readsInput ? STDIN_FILENO : -1, events: Int16(POLLIN), revents: 0),
            pollfd(
                fd: wire.descriptor, events: Int16((readsEdge ? POLLIN : 0) | (wire.pendingOutput > 0 ? POLLOUT : 0)),
                revents: 0),
            pollfd(fd: waiting.isEmpty ? -1 : STDOUT_FILENO, events: Int16(POLLOUT), revents: 0),
        ]
        let count = poll(&entries, nfds_t(entries.count), Self.pingInterval)
        guard count != 0 else { return try keepAlive() }
        guard count > 0 else { return }
        if entries[0].revents != 0 { try readInput(buffer) }
        if entries[1].revents != 0, readsEdge { try readEdge() }
        if entries[2].revents != 0 { writeOutput() }
    }

    // MARK: - To the edge

    private func readInput(_ buffer: UnsafeMutableRawBufferPointer) throws(CommandFailure) {
        let count = read(STDIN_FILENO, buffer.baseAddress, buffer.count)
        if count < 0 {
            if errno == EINTR || errno == EAGAIN { return }
            return try finishInput()
        }
        guard count > 0 else { return try finishInput() }
        try send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    /// Our input has ended: the service is told.
    private func finishInput() throws(CommandFailure) {
        inputEnded = true
        try send(UnsafeRawBufferPointer(start: nil, count: 0))
    }

    private func send(_ bytes: UnsafeRawBufferPointer) throws(CommandFailure) {
        do throws(Connection.SendError) {
            try socket.send(.binary, bytes)
        } catch {
            throw Self.broken(close)
        }
    }

    /// Moves the WebSocket's output to the wire.
    private func move() {
        socket.withOutput { bytes in
            wire.send(bytes)
            return bytes.count
        }
    }

    private func keepAlive() throws(CommandFailure) {
        quiet += 1
        guard quiet <= Self.deadIntervals else {
            throw CommandFailure(
                .unreachable, "edge_silent", "the edge does not answer any more", hint: "is the network down?")
        }
        do throws(Connection.SendError) { try socket.ping() } catch { throw Self.broken(close) }
    }

    // MARK: - From the edge

    private func readEdge() throws(CommandFailure) {
        switch wire.receive() {
        case .some: try take()
        case .nothing: return
        case .end, .broken: throw Self.broken(close)
        }
    }

    /// Takes what the wire has received.
    private func take() throws(CommandFailure) {
        while !wire.input.isEmpty, close == nil {
            quiet = 0
            var event = Connection.Event.needMore
            wire.input.withMutableReadable { (bytes: UnsafeMutableRawBufferPointer) in
                let received = socket.receive(bytes)
                event = received.event
                if case .piece(let piece) = received.event, piece.kind == .binary {
                    waiting.append(UnsafeRawBufferPointer(rebasing: bytes[piece.range]))
                }
                consumed = received.consumed
            }
            wire.input.consume(consumed)
            switch event {
            case .piece(let piece):
                guard piece.kind == .binary else { throw Self.wrong("it sent text") }
                if piece.isFirst, piece.isLast, piece.range.isEmpty { outputEnded = true }
            case .close(let payload): close = payload
            case .failed(let violation): throw Self.wrong("\(violation)")
            case .needMore, .message, .ping, .pong: break
            }
        }
    }

    private var consumed = 0

    /// Writes what standard output takes without waiting.
    private func writeOutput() {
        let count = waiting.withReadable { bytes in
            let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(Self.pipeWrite))
            return write(STDOUT_FILENO, part.baseAddress, part.count)
        }
        if count > 0 {
            waiting.consume(count)
        } else if errno != EINTR, errno != EAGAIN {
            // Nobody reads it any more; what is still sent is for the service alone.
            waiting.removeAll()
        }
    }

    // MARK: - The end

    /// Both directions have ended: the orderly close.
    private func goodbye() throws(CommandFailure) -> ExitCode {
        do throws(Connection.SendError) { try socket.close() } catch { return .ok }
        move()
        wire.flush()
        let deadline = Clock.monotonicNanoseconds() + Self.closePatience
        while close == nil, EdgeWire.wait(wire.descriptor, POLLIN, until: deadline) {
            guard case .some = wire.receive() else { break }
            try take()
        }
        wire.close()
        return .ok
    }

    /// The edge has closed.
    private func ended() throws(CommandFailure) -> ExitCode {
        move()
        wire.flush()
        while !waiting.isEmpty {
            var entry = pollfd(fd: STDOUT_FILENO, events: Int16(POLLOUT), revents: 0)
            _ = poll(&entry, 1, -1)
            writeOutput()
        }
        wire.close()
        guard close?.code == .normal else { throw Self.broken(close) }
        return .ok
    }

    private static func wrong(_ text: String) -> CommandFailure {
        CommandFailure(
            .failure, "bad_answer", "the edge breaks the protocol of a service's stream: \(text)",
            hint: "do mesh and the edge have the same version?")
    }

    private static func broken(_ close: ClosePayload?) -> CommandFailure {
        let said = close.map(\.reason).flatMap { $0.isEmpty ? nil : $0 }
        switch close?.code {
        case .unauthenticated? where said == "certificate_expired":
            return CommandFailure(
                .denied, "certificate_expired", "the edge closed the connection: the certificate has expired",
                hint: "renew the certificate and connect again")
        case .unauthenticated?:
            return CommandFailure(
                .denied, said ?? "token_ended", "the edge closed the connection: the token has expired or was revoked",
                hint: "get a new token and connect again", showsReason: said != nil)
        case .forbidden?:
            return CommandFailure(
                .denied, said ?? "access_withdrawn", "the edge closed the connection: the right to it was withdrawn",
                hint: "ask whoever writes the mesh's policy", showsReason: said != nil)
        case .tooManyRequests?:
            return CommandFailure(
                .denied, said ?? "too_many", "the edge closed the connection: there are too many",
                hint: "try again later", showsReason: said != nil)
        case .goingAway?:
            return CommandFailure(
                .unreachable, "going_away", "the edge shuts down", hint: "connect again in a moment")
        default:
            return CommandFailure(
                .unreachable, said ?? "connection_reset", "the connection was broken off",
                hint: "the service, its node or the edge ended it; the agents' logs say which", showsReason: said != nil
            )
        }
    }
}
