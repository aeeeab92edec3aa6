public import Bytes

/// A client's side of a connection: reads responses out of a queue of bytes, in the order the requests were sent.
///
/// Used as `RequestParser` is. Each request that is sent must be announced with `expect`, because what a response means
/// depends on its request (HEAD, CONNECT, an offered upgrade), and because bytes that answer no request poison a pooled
/// connection: they are refused.
public struct ResponseParser: Sendable {
    /// What `next` found.
    public enum Event: Sendable, Equatable {
        /// An interim response (1xx): the final one is still to come.
        case interim(HTTPResponseHead)
        /// A final head, checked. Followed by any number of `.body`, at most one `.trailers`, and `.end`; or by
        /// `.switched` after a 101 or a 2xx to CONNECT.
        case head(HTTPResponseHead)
        /// The first so many readable bytes are content; take some with `take`.
        case body(Int)
        /// Trailer fields, without those that are not allowed there.
        case trailers(HTTPHeaders)
        /// The response is complete.
        case end
        /// HTTP ends here; the rest of the queue belongs to the other protocol.
        case switched
    }

    private enum State {
        case statusLine
        case fields
        case body
        case switching
        case finished
        case failed(HTTPError)
    }

    private struct Expectation: Sendable {
        let method: HTTPMethod
        let offersUpgrade: Bool
    }

    private let limits: HTTPLimits
    private var state = State.statusLine
    private var scanner = LineScanner()
    private var line: (version: HTTPVersion, status: Int, reason: String)?
    private var section: FieldSection?
    private var body: BodyReader?
    private var keepsAlive = true
    private var interim = 0
    private var expected: [Expectation] = []

    /// A parser for a new connection.
    public init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

    /// Announces that a request was sent. A 101 is accepted only for one that offers an upgrade.
    public mutating func expect(_ method: HTTPMethod, offersUpgrade: Bool = false) {
        expected.append(Expectation(method: method, offersUpgrade: offersUpgrade))
    }

    /// Announces that this request was sent.
    public mutating func expect(_ head: HTTPRequestHead) { expect(head.method, offersUpgrade: !head.upgrade.isEmpty) }

    /// Number of requests whose answers are not complete.
    public var outstanding: Int { expected.count }

    /// Whether the connection may be used for another request: every answer is complete and none closes it.
    public var canBeReused: Bool {
        if case .statusLine = state { expected.isEmpty && keepsAlive } else { false }
    }

    /// Whether this parser reads no more: a response closed the connection, or the protocol was switched.
    public var isFinished: Bool { if case .finished = state { true } else { false } }

    /// Reads on. Nil means that more bytes are needed, or that nothing is expected.
    public mutating func next(_ input: inout ByteQueue) throws(HTTPError) -> Event? {
        do {
            return try step(&input)
        } catch {
            // Whoever asked us is told that the server behind us is at fault.
            let error = HTTPError(error.code, status: 502, error.text)
            state = .failed(error)
            throw error
        }
    }

    /// Takes `count` bytes of content off the queue, at most as many as `.body` told.
    public mutating func take(_ count: Int, from input: inout ByteQueue) {
        precondition(body != nil, "no body is being read")
        body?.take(count, from: &input)
    }

    /// To be called when the peer has sent its last byte and `next` answered nil. Answers `.end` if that completes a
    /// response, nil if no response was due, and throws `truncated` otherwise.
    public mutating func inputEnded(_ input: borrowing ByteQueue) throws(HTTPError) -> Event? {
        switch state {
        case .failed(let error): throw error
        case .finished, .switching: return nil
        case .statusLine where expected.isEmpty && input.isEmpty:
            state = .finished
            return nil
        case .body where body?.endsWithConnection == true && input.isEmpty:
            complete()
            return .end
        case .statusLine, .fields, .body:
            let error = HTTPError(.truncated, status: 502, "the connection ended before the response was complete")
            state = .failed(error)
            throw error
        }
    }

    private mutating func step(_ input: inout ByteQueue) throws(HTTPError) -> Event? {
        while true {
            switch state {
            case .statusLine:
                if input.isEmpty { return nil }
                if expected.isEmpty {
                    throw HTTPError(.unexpectedResponse, "the server sent bytes that answer no request")
                }
                guard let used = try statusLine(&input) else { return nil }
                section = FieldSection(head: limits, used: used)
                state = .fields
            case .fields:
                guard try section?.advance(&input) ?? false else { return nil }
                return try finishHead()
            case .body:
                switch try body?.next(&input) {
                case nil: return nil
                case .content(let count): return .body(count)
                case .trailers(let trailers): return .trailers(trailers)
                case .end:
                    complete()
                    return .end
                }
            case .switching:
                state = .finished
                expected.removeFirst()
                return .switched
            case .finished: return nil
            case .failed(let error): throw error
            }
        }
    }

    private mutating func complete() {
        body = nil
        interim = 0
        expected.removeFirst()
        state = keepsAlive ? .statusLine : .finished
    }

    private mutating func statusLine(_ input: inout ByteQueue) throws(HTTPError) -> Int? {
        let limit = min(limits.startLine, limits.head)
        let count = try input.withReadable { (bytes) throws(HTTPError) -> Int? in
            if let first = bytes.first, first != 0x48 {
                let isTLS = first == 0x15 || first == 0x16
                throw HTTPError(
                    .notHTTP, isTLS ? "the server speaks TLS on this port" : "the server's answer is not HTTP")
            }
            switch try scanner.step(bytes, limit: limit) {
            case .needMore: return nil
            case .tooLong: throw HTTPError(.statusLineTooLong, "the status line is longer than \(limit) bytes")
            case .line(let count):
                line = try StatusLine.parse(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return count
            }
        }
        guard let count else { return nil }
        input.consume(count + 2)
        return count + 2
    }

    private mutating func finishHead() throws(HTTPError) -> Event {
        guard let line, var headers = section?.headers, let request = expected.first else {
            throw HTTPError(.badStatusLine, "no status line")
        }
        section = nil
        self.line = nil
        let declared = try ResponseRules.framing(&headers, line.version, line.status, answering: request.method)
        let head = HTTPResponseHead(
            status: line.status, reason: line.reason, version: line.version, headers: headers, framing: declared)
        if line.status == 101 {
            guard request.offersUpgrade, head.headers.contains("Upgrade"), line.version == .http11 else {
                throw HTTPError(.unexpectedUpgrade, "the server switched protocols without being asked")
            }
            state = .switching
            return .head(head)
        }
        if line.status < 200 {
            interim += 1
            if interim > limits.interimResponses {
                throw HTTPError(.tooManyInterim, "more than \(limits.interimResponses) interim responses")
            }
            state = .statusLine
            return .interim(head)
        }
        if request.method == .connect, line.status < 300 {
            state = .switching
            return .head(head)
        }
        keepsAlive = head.keepsAlive
        let bodyless = HTTPStatus.isBodyless(line.status, answering: request.method)
        body = try BodyReader(bodyless ? .none : declared, limits: limits)
        state = .body
        return .head(head)
    }
}

enum StatusLine {
    /// version SP status [SP reason] (RFC 9112, 4). The blank before an absent reason is missing in many servers.
    static func parse(_ line: UnsafeRawBufferPointer) throws(HTTPError) -> (HTTPVersion, Int, String) {
        guard line.count >= 12, line[8] == 0x20, line[9...11].allSatisfy(Grammar.isDigit),
            line.count == 12 || line[12] == 0x20, line.dropFirst(13).allSatisfy(Grammar.isFieldByte)
        else {
            throw HTTPError(
                .badStatusLine, "a response must begin with: HTTP/1.1, one blank, three digits, one blank, text")
        }
        let version = try HTTPVersion(UnsafeRawBufferPointer(rebasing: line[..<8]))
        let status = line[9...11].reduce(0) { $0 * 10 + Int($1 & 0x0F) }
        guard 100...599 ~= status else { throw HTTPError(.badStatus, "a status code must lie between 100 and 599") }
        return (version, status, String(decoding: line.dropFirst(13), as: UTF8.self))
    }
}

enum ResponseRules {
    /// The framing that a response declares (RFC 9112, 6.3); the fields are taken out.
    static func framing(
        _ headers: inout HTTPHeaders, _ version: HTTPVersion, _ status: Int, answering method: HTTPMethod
    ) throws(HTTPError) -> HTTPFraming {
        if method == .connect, 200...299 ~= status {
            // A client must ignore them here (RFC 9110, 9.3.6).
            headers.remove("Content-Length")
            headers.remove("Transfer-Encoding")
            return .none
        }
        let declared = try Framing.extract(&headers, version)
        if status < 200 || status == 204 {
            // Content-Length: 0 is common there and harmless; anything else contradicts the status.
            guard declared == nil || declared == .length(0) else {
                throw HTTPError(.forbiddenBody, "a \(status) response must not announce a body")
            }
            return .none
        }
        return declared ?? (HTTPStatus.isBodyless(status, answering: method) ? .none : .untilClose)
    }
}
