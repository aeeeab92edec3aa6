import Bytes
import EventLoop
import HTTP
import TLS

/// One request on a connection of its own, and its whole answer: bounded in time and size, without redirects. What the answer
/// means is its user's business.
final class HTTPExchange: BackendConnecting, ByteChannelOwner, TimerHandler {
    /// What was answered.
    struct Answer {
        let head: HTTPResponseHead
        /// Empty where the user did not want it.
        let body: [UInt8]
    }

    /// Why there is no answer.
    enum Failure: Error {
        /// There was no connection.
        case connect(BackendFailure)
        /// The request could not be made.
        case request(any Error)
        /// The connection broke; `alert` is what the peer said by TLS, where that was the reason.
        case broken(ChannelError, alert: TLSAlert?)
        /// The answer is no HTTP, or too large.
        case malformed(HTTPError)
        /// The connection was closed before the answer ended.
        case closed
        /// Time is over.
        case timeout
    }

    private let parts: ChannelLoop
    private let makeRequest: (TLSSession?) throws -> HTTPRequest
    private let wantsBody: (HTTPResponseHead) -> Bool
    private var completion: ((Result<Answer, Failure>) -> Void)?
    private var attempt: DirectAttempt?
    private var channel: ByteChannel?
    private var session: TLSSession?
    private var parser: ResponseParser
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var timer: TimerID?
    /// Keeps itself alive until it has ended.
    private var own: HTTPExchange?

    /// Starts; `completion` is called once, later, unless it is cancelled before.
    ///
    /// - Parameters:
    ///   - timeout: from the connection to the whole answer, in nanoseconds.
    ///   - limits: of the answer.
    ///   - request: makes the request once there is a connection.
    ///   - wantsBody: an answer whose body is not wanted is complete with its head.
    init(
        _ target: DirectTarget, timeout: UInt64, limits: HTTPLimits, parts: ChannelLoop,
        request: @escaping (TLSSession?) throws -> HTTPRequest,
        wantsBody: @escaping (HTTPResponseHead) -> Bool = { _ in true },
        completion: @escaping (Result<Answer, Failure>) -> Void
    ) {
        self.parts = parts
        makeRequest = request
        self.wantsBody = wantsBody
        self.completion = completion
        parser = ResponseParser(limits: limits)
        own = self
        timer = parts.loop.schedule(after: timeout, self, tag: 0)
        let attempt = DirectAttempt(self, parts)
        self.attempt = attempt
        attempt.start(target, timeout: timeout)
    }

    func backendConnected(_ channel: ByteChannel) {
        self.channel = channel
        channel.owner = self
        session = channel.session
        do {
            let request = try makeRequest(session)
            try request.encode(into: &channel.output)
            parser.expect(request.head)
        } catch {
            return finish(.failure(.request(error)))
        }
        channel.flush()
    }

    func backendFailed(_ failure: BackendFailure) { finish(.failure(.connect(failure))) }

    func backendWithdrawn(reason: String) {}

    func backendLeaves() {}

    func backendBroke(reason: String) {}

    func channelSecured(_ channel: ByteChannel) {}

    func channelDrained(_ channel: ByteChannel) {}

    func channelFailed(_ channel: ByteChannel, _ error: ChannelError) {
        var alert: TLSAlert?
        if case .tls = error { alert = session?.alertReceived }
        finish(.failure(.broken(error, alert: alert)))
    }

    func channelReceived(_ channel: ByteChannel) {
        do throws(HTTPError) {
            while let event = try parser.next(&channel.input) {
                if take(event, channel) { return }
            }
            guard case .open = channel.inputEnd else {
                // A body without a length ends with the connection.
                if channel.inputEnd == .clean, let event = try parser.inputEnded(channel.input), take(event, channel) {
                    return
                }
                return finish(.failure(.closed))
            }
        } catch {
            return finish(.failure(.malformed(error)))
        }
        channel.resumeReading()
    }

    /// True when the answer is complete.
    private func take(_ event: ResponseParser.Event, _ channel: ByteChannel) -> Bool {
        switch event {
        case .interim, .trailers, .switched: return false
        case .head(let head):
            self.head = head
            guard !wantsBody(head) else { return false }
        case .body(let count):
            channel.input.withReadable { body.append(contentsOf: $0[..<count]) }
            parser.take(count, from: &channel.input)
            return false
        case .end: break
        }
        guard let head else { return false }
        finish(.success(Answer(head: head, body: body)))
        return true
    }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        finish(.failure(.timeout))
    }

    /// Gives up; the completion is not called.
    func cancel() {
        completion = nil
        finish(.failure(.closed))
    }

    private func finish(_ result: Result<Answer, Failure>) {
        if let timer { parts.loop.cancel(timer) }
        timer = nil
        attempt?.cancel()
        attempt = nil
        channel?.close()
        channel = nil
        session = nil
        let completion = completion
        self.completion = nil
        own = nil
        completion?(result)
    }
}
