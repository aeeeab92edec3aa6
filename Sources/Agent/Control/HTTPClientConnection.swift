import Bytes
import EventLoop
import HTTP

/// Why a request got no answer.
struct HTTPClientError: Error, CustomStringConvertible {
    /// What happened.
    let description: String
    /// When to ask again, as the other end wants it, in nanoseconds from now; 0: it did not say.
    var retryAfter: UInt64 = 0
}

/// The client's side of HTTP on a socket of the control plane: one request after the other, or one response that goes
/// on for ever.
@ControlPlane
final class HTTPClientConnection: EventHandler, TimerHandler {
    /// Time without a byte of the response that is awaited. Not for the whole of it: a large directory's snapshot may take
    /// longer on a slow path, and would be fetched in vain for ever.
    private static let responseTimeout: UInt64 = 10_000_000_000
    /// The largest response that is taken into memory: a directory of a hundred thousand instances.
    private static let maximumBody = 256 << 20

    private struct Exchange {
        let request: HTTPRequest
        let continuation: CheckedContinuation<HTTPResponse, any Error>
    }

    private var owned: FileDescriptor?
    private let descriptor: Int32
    private var registration: Registration?
    private var parser: ResponseParser
    private var input = ByteQueue()
    private var output = ByteQueue()
    private var queue: [Exchange] = []
    private var current: CheckedContinuation<HTTPResponse, any Error>?
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var timer: TimerID?
    private var onBody: (@ControlPlane (UnsafeRawBufferPointer) -> Void)?
    private var onClose: (@ControlPlane (String) -> Void)?
    private(set) var isClosed = false

    /// Speaks HTTP on `descriptor`, which is non-blocking and belongs to the connection from now on.
    init(_ owned: consuming FileDescriptor) throws(SystemError) {
        descriptor = owned.rawValue
        self.owned = consume owned
        var limits = HTTPLimits()
        limits.body = Self.maximumBody
        parser = ResponseParser(limits: limits)
        registration = try ControlPlane.loop.register(descriptor, [.readable], self)
    }

    /// Calls `body` once when the connection ends, with the reason.
    func whenClosed(_ body: @escaping @ControlPlane (String) -> Void) {
        if isClosed { body("the connection is closed") } else { onClose = body }
    }

    /// Sends `request` and waits for its whole answer.
    func send(_ request: HTTPRequest) async throws -> HTTPResponse {
        try await withCheckedThrowingContinuation { continuation in
            guard !isClosed else {
                return continuation.resume(throwing: HTTPClientError(description: "the connection is closed"))
            }
            queue.append(Exchange(request: request, continuation: continuation))
            startNext()
        }
    }

    /// Sends `request`, whose answer goes on: its content is given to `onBody` as it arrives. Nothing else can be sent
    /// afterwards. Returns the head of a good answer, or the whole of another one.
    func stream(
        _ request: HTTPRequest, onBody: @escaping @ControlPlane (UnsafeRawBufferPointer) -> Void
    ) async throws -> HTTPResponse {
        self.onBody = onBody
        return try await send(request)
    }

    private func startNext() {
        guard current == nil, !isClosed, !queue.isEmpty else { return }
        let exchange = queue.removeFirst()
        current = exchange.continuation
        do throws(HTTPError) {
            try exchange.request.encode(into: &output)
        } catch {
            current = nil
            exchange.continuation.resume(throwing: HTTPClientError(description: error.text))
            return startNext()
        }
        parser.expect(exchange.request.head)
        startTimer()
        flush()
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = nil
            close("no answer within 10 s")
        }
    }

    nonisolated func ready(_ readiness: Readiness, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            guard !isClosed else { return }
            if readiness.contains(.writable) { flush() }
            guard !isClosed, !readiness.isDisjoint(with: [.readable, .readHangup, .hangup, .error]) else { return }
            receive()
        }
    }

    private func receive() {
        let room = input.reserve(256 << 10)
        switch Syscall.recv(descriptor, room) {
        case .done(0): close("the other end closed the connection")
        case .done(let count):
            input.commit(count)
            if timer != nil { startTimer() }
            parse()
        case .wouldBlock: break
        case .failed(let errno): close(SystemError.text(errno))
        }
    }

    private func parse() {
        while !isClosed {
            do throws(HTTPError) {
                guard let event = try parser.next(&input) else { break }
                switch event {
                case .head(let parsed):
                    head = parsed
                    body = []
                    if onBody != nil, parsed.status == 200 { finishResponse() }
                case .body(let count):
                    if let onBody, head?.status == 200 {
                        input.withReadable { onBody(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                    } else {
                        input.withReadable { body.append(contentsOf: $0[..<count]) }
                    }
                    guard !isClosed else { return }
                    parser.take(count, from: &input)
                case .end:
                    if onBody != nil, head?.status == 200 { return close("the answer ended") }
                    finishResponse()
                case .interim, .trailers, .switched: break
                }
            } catch {
                return close(error.text)
            }
        }
        if input.isEmpty { input.shrinkIfEmpty() }
    }

    private func finishResponse() {
        guard let head, let continuation = current else { return }
        current = nil
        cancelTimer()
        var response = HTTPResponse(status: head.status, headers: head.headers, body: body)
        response.head.reason = head.reason
        body = []
        continuation.resume(returning: response)
        startNext()
    }

    private func flush() {
        while !output.isEmpty {
            switch output.withReadable({ Syscall.send(descriptor, $0) }) {
            case .done(let count):
                output.consume(count)
                continue
            case .wouldBlock: break
            case .failed:
                // The other end has closed, perhaps after telling why: reading will show.
                output.removeAll(keepingCapacity: false)
            }
            break
        }
        guard let registration else { return }
        ControlPlane.loop.modify(registration, output.isEmpty ? [.readable] : [.readable, .writable])
    }

    private func startTimer() {
        cancelTimer()
        timer = ControlPlane.loop.schedule(after: Self.responseTimeout, self, tag: 0)
    }

    private func cancelTimer() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }

    /// Ends the connection; requests without answer fail with `reason`.
    func close(_ reason: String) {
        guard !isClosed else { return }
        isClosed = true
        cancelTimer()
        if let registration { ControlPlane.loop.deregister(registration) }
        registration = nil
        owned = nil
        let error = HTTPClientError(description: reason)
        current?.resume(throwing: error)
        current = nil
        for exchange in queue { exchange.continuation.resume(throwing: error) }
        queue = []
        onBody = nil
        let body = onClose
        onClose = nil
        body?(reason)
    }
}
