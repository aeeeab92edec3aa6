import Bytes
import EventLoop
import HTTP

/// One request of the control API as handlers see it.
struct ControlRequest: Sendable {
    /// The request's head, checked.
    let head: HTTPRequestHead
    /// Its whole body.
    let body: [UInt8]
    /// Who asks.
    var caller: ControlCaller
}

/// What a handler answers.
enum ControlAnswer: Sendable {
    /// A whole response.
    case response(HTTPResponse)
    /// A response that goes on: `start` gets the stream to write to, and must end it some time.
    case stream(contentType: String, start: @ControlPlane @Sendable (ControlStream) -> Void)
    /// The connection leaves HTTP: `take` gets the socket and what was received behind the request. It has to write the
    /// 101 itself.
    case takeOver(@ControlPlane @Sendable (consuming FileDescriptor, [UInt8]) -> Void)
}

/// Serves HTTP on one local socket: the control socket's clients, built-in services' streams, the metrics listener.
@ControlPlane
final class HTTPServerConnection: EventHandler, TimerHandler {
    /// Answers a request.
    typealias Handler = @ControlPlane @Sendable (ControlRequest) async -> ControlAnswer

    /// A registration of a large node is far below this; more is refused.
    private static let maximumBody = 8 << 20
    /// A response that a client does not read waits here at most; then the connection is dropped.
    private static let maximumWaiting = 16 << 20
    /// What a client may send ahead of its answer; then it is not read.
    private static let maximumAhead = 256 << 10
    /// Time from a request's first byte to its last.
    private static let requestTimeout: UInt64 = 15_000_000_000
    /// The tags of the connection's two timers.
    private static let requestTag = 0
    private static let idleTag = 1

    private var owned: FileDescriptor?
    private let descriptor: Int32
    private let caller: ControlCaller
    private let handler: Handler
    private let onClose: @ControlPlane @Sendable () -> Void
    private let idleTimeout: UInt64?
    private let memory: ControlMemory?
    /// Whose share of `memory` it takes.
    private let owner: String
    /// Bytes that are taken of `memory`.
    private var charged = 0
    /// Of them those of the request that is being answered.
    private var inWork = 0
    private var idleTimer: TimerID?
    private var wasActive = false
    private var registration: Registration?
    private var parser: RequestParser
    private var input = ByteQueue()
    private var output = ByteQueue()
    private var head: HTTPRequestHead?
    private var body: [UInt8] = []
    private var isAnswering = false
    private var inputEnded = false
    private var closesAfterOutput = false
    private var stream: ControlStream?
    private var timer: TimerID?
    private var wantsWritable = false
    private var isClosed = false
    private var hasAnswered = false
    private var isFinishing = false

    /// Serves `descriptor`, which is non-blocking and belongs to the connection from now on. With an `idleTimeout` a
    /// connection on which nothing moves for as long (twice as long at most) is closed, unless its client waits for an answer.
    /// What it holds is counted in `memory`.
    init(
        _ owned: consuming FileDescriptor, caller: ControlCaller, idleTimeout: UInt64? = nil,
        memory: ControlMemory? = nil,
        handler: @escaping Handler,
        onClose: @escaping @ControlPlane @Sendable () -> Void = {}
    ) {
        descriptor = owned.rawValue
        self.owned = consume owned
        self.caller = caller
        self.idleTimeout = idleTimeout
        self.memory = memory
        owner = caller.owner
        self.handler = handler
        self.onClose = onClose
        var limits = HTTPLimits()
        limits.body = Self.maximumBody
        parser = RequestParser(limits: limits)
    }

    /// Starts serving.
    func start() throws(SystemError) {
        registration = try ControlPlane.loop.register(descriptor, [.readable], self)
        watchIdle()
    }

    private func watchIdle() {
        guard let idleTimeout else { return }
        wasActive = false
        idleTimer = ControlPlane.loop.schedule(after: idleTimeout, self, tag: Self.idleTag)
    }

    nonisolated func ready(_ readiness: Readiness, loop: EventLoop) {
        ControlPlane.assumeIsolated { handle(readiness) }
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            guard tag == Self.requestTag else {
                idleTimer = nil
                return wasActive || (isAnswering && output.isEmpty) ? watchIdle() : close()
            }
            timer = nil
            refuse(HTTPError(.truncated, status: 408, "the request did not arrive in time"))
        }
    }

    private func handle(_ readiness: Readiness) {
        guard !isClosed else { return }
        if readiness.contains(.writable) { flush() }
        guard !isClosed, !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) else { return }
        receive(hungUp: !readiness.isDisjoint(with: [.hangup, .error]))
    }

    private func receive(hungUp: Bool) {
        let room = input.reserve(64 << 10)
        switch Syscall.recv(descriptor, room) {
        case .done(0):
            inputEnded = true
            // Half-closed by a client that waits for its answer; but a stream has nobody left to tell.
            // One that is gone altogether waits for nothing, and its hang-up would be reported without rest.
            if hungUp || stream != nil || !(isAnswering || !output.isEmpty) { return close() }
            updateInterest()
        case .done(let count):
            wasActive = true
            input.commit(count)
            if stream == nil { parse() } else { updateInterest() }
        case .wouldBlock: break
        case .failed: close()
        }
    }

    private func parse() {
        while !isClosed, !isAnswering {
            do throws(HTTPError) {
                guard let event = try parser.next(&input) else { break }
                switch event {
                case .head(let parsed):
                    head = parsed
                    if parsed.expectsContinue { send(HTTPEncoder.continueResponse) }
                case .body(let count):
                    input.withReadable { body.append(contentsOf: $0[..<count]) }
                    parser.take(count, from: &input)
                    guard account() else {
                        body = []
                        return refuse(
                            Problem("overloaded", status: 503, detail: "the agent holds all the requests that it can"))
                    }
                case .trailers: break
                case .end: finishRequest()
                }
            } catch {
                return refuse(error)
            }
        }
        guard !isClosed else { return }
        if parser.isFinished, !isAnswering, stream == nil { closesAfterOutput = true }
        setTimer(!parser.isIdle && !isAnswering)
        if input.isEmpty { input.shrinkIfEmpty() }
        flush()
    }

    private func finishRequest() {
        guard let head else { return }
        let request = ControlRequest(head: head, body: body, caller: caller)
        inWork = body.count
        body = []
        isAnswering = true
        Task { @ControlPlane in
            let answer = await handler(request)
            give(answer, to: request.head)
        }
    }

    private func give(_ answer: ControlAnswer, to head: HTTPRequestHead) {
        guard !isClosed else {
            // What waits to write to the client must learn that it is gone, or it waits for ever.
            if case .stream(_, let start) = answer { start(ControlStream(nil)) }
            return
        }
        hasAnswered = true
        inWork = 0
        if isFinishing { closesAfterOutput = true }
        switch answer {
        case .stream where isFinishing:
            give(
                .response(Problem("going_away", status: 503, detail: "another process takes over").response()), to: head
            )
        case .response(let response):
            do throws(HTTPError) {
                try response.encode(answering: head.method, into: &output)
            } catch {
                return refuse(error)
            }
            guard account() else { return close() }
            isAnswering = false
            parser.proceed()
            if inputEnded { closesAfterOutput = true }
            parse()
        case .stream(let contentType, let start):
            var headers = HTTPHeaders()
            headers.set("Content-Type", contentType)
            headers.set("Cache-Control", "no-store")
            var responseHead = HTTPResponseHead(status: 200, headers: headers)
            responseHead.framing = .chunked
            do throws(HTTPError) {
                try HTTPEncoder.encode(responseHead, answering: head.method, into: &output)
            } catch {
                return refuse(error)
            }
            let stream = ControlStream(self)
            self.stream = stream
            start(stream)
            flush()
        case .takeOver(let take):
            // Answers of earlier requests that the client has not read: it cannot be told apart what belongs to which.
            guard output.isEmpty else { return close() }
            cancelTimers()
            var leftover: [UInt8] = []
            input.withReadable { leftover.append(contentsOf: $0) }
            if let registration { ControlPlane.loop.deregister(registration) }
            registration = nil
            isClosed = true
            discharge()
            onClose()
            if let taken = owned.take() { take(taken, leftover) }
        }
    }

    private func refuse(_ error: HTTPError) { refuse(Problem(error)) }

    private func refuse(_ problem: Problem) {
        guard !isClosed else { return }
        var response = problem.response()
        response.head.headers.set("Connection", "close")
        do throws(HTTPError) {
            try response.encode(into: &output)
        } catch {
            return close()
        }
        isAnswering = true
        closesAfterOutput = true
        setTimer(false)
        flush()
    }

    // MARK: - Out

    private func send(_ bytes: [UInt8]) { output.append(bytes) }

    /// A piece of a streamed response.
    fileprivate func sendChunk(_ bytes: [UInt8]) {
        guard !isClosed, !bytes.isEmpty else { return }
        output.append(String(bytes.count, radix: 16) + "\r\n")
        output.append(bytes)
        output.append("\r\n")
        if output.count > Self.maximumWaiting || !account() { return close() }
        flush()
    }

    fileprivate func endStream() {
        guard !isClosed else { return }
        output.append("0\r\n\r\n")
        stream = nil
        isAnswering = false
        parser.proceed()
        parse()
    }

    private func flush() {
        guard !isClosed else { return }
        while !output.isEmpty {
            switch output.withReadable({ Syscall.send(descriptor, $0) }) {
            case .done(let count):
                wasActive = true
                output.consume(count)
                continue
            case .wouldBlock: break
            case .failed: return close()
            }
            break
        }
        _ = account()
        if output.isEmpty {
            output.shrinkIfEmpty()
            if closesAfterOutput { return close() }
        }
        updateInterest()
    }

    /// Counts what waits here now; false where that is more than may be held, and then the count is as it was.
    private func account() -> Bool {
        guard let memory else { return true }
        let now = body.count + inWork + output.count
        guard memory.change(of: owner, from: charged, to: now) else { return false }
        charged = now
        return true
    }

    /// Nothing waits here any more.
    private func discharge() {
        body = []
        inWork = 0
        _ = memory?.change(of: owner, from: charged, to: 0)
        charged = 0
    }

    private func updateInterest() {
        guard let registration else { return }
        var interest: Interest = []
        // What is not worked on now waits in the socket, not here.
        let isAhead = (isAnswering || stream != nil) && input.count >= Self.maximumAhead
        if !inputEnded, !isAhead { interest.insert(.readable) }
        if !output.isEmpty { interest.insert(.writable) }
        ControlPlane.loop.modify(registration, interest)
    }

    private func setTimer(_ isNeeded: Bool) {
        if isNeeded, timer == nil {
            timer = ControlPlane.loop.schedule(after: Self.requestTimeout, self, tag: Self.requestTag)
        } else if !isNeeded, let running = timer {
            ControlPlane.loop.cancel(running)
            timer = nil
        }
    }

    private func cancelTimers() {
        setTimer(false)
        if let idleTimer { ControlPlane.loop.cancel(idleTimer) }
        idleTimer = nil
    }

    /// Ends the connection after the answer that is awaited; a stream ends now. A client that has just come gets one answer.
    func finish() {
        guard !isClosed else { return }
        isFinishing = true
        if stream != nil { return close() }
        if isAnswering { return }
        if !output.isEmpty { closesAfterOutput = true } else if hasAnswered, parser.isIdle, input.isEmpty { close() }
    }

    /// Ends the connection.
    func close() {
        guard !isClosed else { return }
        isClosed = true
        cancelTimers()
        if let registration { ControlPlane.loop.deregister(registration) }
        registration = nil
        owned = nil
        discharge()
        stream?.connectionClosed()
        stream = nil
        onClose()
    }
}

/// A response that goes on, in pieces.
@ControlPlane
final class ControlStream {
    private weak var connection: HTTPServerConnection?
    private var onClose: (@ControlPlane () -> Void)?

    fileprivate init(_ connection: HTTPServerConnection?) { self.connection = connection }

    /// Calls `body` once when the client is gone; at once when it is gone already.
    func whenClosed(_ body: @escaping @ControlPlane () -> Void) {
        guard connection != nil else { return body() }
        onClose = body
    }

    /// Sends a piece now. A client that does not read is dropped when too much waits.
    func send(_ bytes: [UInt8]) { connection?.sendChunk(bytes) }

    /// Ends the response; the connection can take further requests.
    func end() {
        onClose = nil
        connection?.endStream()
        connection = nil
    }

    fileprivate func connectionClosed() {
        let body = onClose
        onClose = nil
        connection = nil
        body?()
    }
}

extension HTTPResponse {
    /// Head and body as bytes; a response that cannot be written is a mistake of ours and becomes a bare 500.
    func encoded() -> [UInt8] {
        var output = ByteQueue()
        do throws(HTTPError) {
            try encode(into: &output)
        } catch {
            return Array("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n".utf8)
        }
        return output.withReadable { Array($0) }
    }
}
