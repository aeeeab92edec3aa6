public import Bytes

/// A server's side of a connection: reads requests, one after the other, out of a queue of bytes.
///
/// Pull style: fill the queue, call `next` until it answers nil, fill again. Content is never copied: `.body(n)` says that
/// the first `n` readable bytes are content; the caller sends or copies as many as it likes and takes those off with
/// `take`. What it does not take stays, which is its backpressure.
///
/// After `.end` nothing more is read until the server has answered and calls `proceed` (next request, pipelined or not)
/// or `switchProtocol` (after 101, or a 2xx to CONNECT: the rest of the queue belongs to the new protocol).
///
/// The grammar is read strictly; every message has one meaning or is refused. The events do not depend on how the bytes
/// were cut into pieces, except for where `.body` is cut.
public struct RequestParser: Sendable {
    /// What `next` found.
    public enum Event: Sendable, Equatable {
        /// A head, checked. Followed by any number of `.body`, at most one `.trailers`, and `.end`.
        case head(HTTPRequestHead)
        /// The first so many readable bytes are content; take some with `take`.
        case body(Int)
        /// Trailer fields, without those that are not allowed there.
        case trailers(HTTPHeaders)
        /// The request is complete.
        case end
    }

    private enum State {
        case start
        case requestLine
        case fields
        case body
        case ended
        case finished
        case failed(HTTPError)
    }

    private let limits: HTTPLimits
    private var state = State.start
    private var scanner = LineScanner()
    private var skippedEmptyLine = false
    private var line: (method: HTTPMethod, target: HTTPTarget, version: HTTPVersion)?
    private var section: FieldSection?
    private var body: BodyReader?
    private var keepsAlive = true

    /// A parser for a new connection.
    public init(limits: HTTPLimits = HTTPLimits()) { self.limits = limits }

    /// Whether no byte of a request has been taken yet: where an idle timeout applies and closing loses nothing.
    public var isIdle: Bool { if case .start = state { !skippedEmptyLine } else { false } }

    /// Whether a request is complete and `proceed` or `switchProtocol` is due.
    public var isEnded: Bool { if case .ended = state { true } else { false } }

    /// Whether this parser reads no more: the last request closed the connection, or the protocol was switched.
    public var isFinished: Bool { if case .finished = state { true } else { false } }

    /// Reads on. Nil means that more bytes are needed (or `proceed`, after `.end`).
    public mutating func next(_ input: inout ByteQueue) throws(HTTPError) -> Event? {
        do {
            return try step(&input)
        } catch {
            state = .failed(error)
            throw error
        }
    }

    /// Takes `count` bytes of content off the queue, at most as many as `.body` told.
    public mutating func take(_ count: Int, from input: inout ByteQueue) {
        precondition(body != nil, "no body is being read")
        body?.take(count, from: &input)
    }

    /// Goes on to the next request after `.end`. Where the last one closes the connection, the parser is finished instead
    /// and ignores what follows.
    public mutating func proceed() {
        guard isEnded else { return }
        state = keepsAlive ? .start : .finished
        skippedEmptyLine = false
    }

    /// Ends HTTP on this connection after `.end`: all further bytes belong to the protocol switched to.
    public mutating func switchProtocol() {
        if isEnded { state = .finished }
    }

    /// To be called when the peer has sent its last byte and `next` answered nil: throws `truncated` if that was inside
    /// a request.
    public mutating func inputEnded(_ input: borrowing ByteQueue) throws(HTTPError) {
        switch state {
        case .failed(let error): throw error
        case .ended, .finished: return
        case .start where input.isEmpty: return
        case .start, .requestLine, .fields, .body:
            let error = HTTPError(.truncated, "the connection ended inside a request")
            state = .failed(error)
            throw error
        }
    }

    private mutating func step(_ input: inout ByteQueue) throws(HTTPError) -> Event? {
        while true {
            switch state {
            case .start:
                guard try start(&input) else { return nil }
                state = .requestLine
            case .requestLine:
                guard let used = try requestLine(&input) else { return nil }
                section = FieldSection(head: limits, used: used)
                state = .fields
            case .fields:
                guard try section?.advance(&input) ?? false else { return nil }
                let head = try finishHead()
                state = .body
                return .head(head)
            case .body:
                switch try body?.next(&input) {
                case nil: return nil
                case .content(let count): return .body(count)
                case .trailers(let trailers): return .trailers(trailers)
                case .end:
                    body = nil
                    state = .ended
                    return .end
                }
            case .ended, .finished: return nil
            case .failed(let error): throw error
            }
        }
    }

    /// Skips one empty line before a request (RFC 9112, 2.2) and looks at the first byte, so that a peer speaking
    /// something else is told at once instead of timing out.
    private mutating func start(_ input: inout ByteQueue) throws(HTTPError) -> Bool {
        if input.isEmpty { return false }
        let first = input[0]
        if first == 0x0D, !skippedEmptyLine {
            if input.count < 2 { return false }
            if input[1] != 0x0A { throw HTTPError(.bareCR, "CR may stand only before LF at the end of a line") }
            input.consume(2)
            skippedEmptyLine = true
            return try start(&input)
        }
        if first == 0x0A { throw HTTPError(.bareLF, "lines must end with CR LF, not with LF alone") }
        if first == 0x16 { throw HTTPError(.notHTTP, "this port speaks plain HTTP, and the bytes look like TLS") }
        if !Grammar.token.contains(first) {
            throw HTTPError(.notHTTP, "a request must begin with its method")
        }
        return true
    }

    /// Reads the request line; returns its length with CRLF.
    private mutating func requestLine(_ input: inout ByteQueue) throws(HTTPError) -> Int? {
        let limit = min(limits.startLine, limits.head)
        let count = try input.withReadable { (bytes) throws(HTTPError) -> Int? in
            switch try scanner.step(bytes, limit: limit) {
            case .needMore: return nil
            case .tooLong:
                throw HTTPError(.requestLineTooLong, "the request line is longer than \(limit) bytes; shorten the URL")
            case .line(let count):
                line = try RequestLine.parse(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return count
            }
        }
        guard let count else { return nil }
        input.consume(count + 2)
        return count + 2
    }

    private mutating func finishHead() throws(HTTPError) -> HTTPRequestHead {
        guard let line, var headers = section?.headers else {
            throw HTTPError(.badRequestLine, "no request line")
        }
        section = nil
        self.line = nil
        let framing = try Framing.extract(&headers, line.version) ?? .none
        let head = HTTPRequestHead(
            method: line.method, target: line.target, version: line.version, headers: headers, framing: framing)
        try RequestRules.check(head)
        body = try BodyReader(framing, limits: limits)
        keepsAlive = head.keepsAlive
        return head
    }
}

enum RequestLine {
    /// method SP target SP version, with single blanks (RFC 9112, 3).
    static func parse(
        _ line: UnsafeRawBufferPointer
    ) throws(HTTPError) -> (HTTPMethod, HTTPTarget, HTTPVersion) {
        guard let first = line.firstIndex(of: 0x20), let last = line.lastIndex(of: 0x20), last > first + 1 else {
            throw HTTPError(
                .badRequestLine, "a request must begin with: method, one blank, target, one blank, HTTP/1.1")
        }
        let version = try HTTPVersion(UnsafeRawBufferPointer(rebasing: line[(last + 1)...]))
        guard let method = HTTPMethod(UnsafeRawBufferPointer(rebasing: line[..<first])) else {
            throw HTTPError(.badMethod, "the method must be a token of at most \(HTTPMethod.longest) letters")
        }
        let target = try HTTPTarget(UnsafeRawBufferPointer(rebasing: line[(first + 1)..<last]), method: method)
        return (method, target, version)
    }
}

/// What must hold of a request head as a whole; for parser and encoder alike.
enum RequestRules {
    static func check(_ head: HTTPRequestHead) throws(HTTPError) {
        try checkHost(head)
        if head.method == .connect || head.method == .trace, head.framing != .none {
            throw HTTPError(
                .forbiddenBody, "\(head.method) has no body; leave Content-Length and Transfer-Encoding out")
        }
        if head.version == .http11 {
            for expectation in head.headers.list("Expect") where !Grammar.equalIgnoringCase(expectation, "100-continue")
            {
                throw HTTPError(.expectationFailed, "the only expectation met here is 100-continue")
            }
        }
    }

    /// Exactly one valid Host in HTTP/1.1, at most one in 1.0, and no contradiction to the target (RFC 9112, 3.2).
    private static func checkHost(_ head: HTTPRequestHead) throws(HTTPError) {
        var count = 0
        var parsed: HTTPAuthority?
        head.headers.visit("Host") { value in
            count += 1
            if count == 1 { parsed = HTTPAuthority.parse(value) }
            return count == 1
        }
        if count > 1 { throw HTTPError(.duplicateHost, "Host may be sent only once") }
        if count == 0 {
            if head.version == .http10 { return }
            throw HTTPError(.missingHost, "HTTP/1.1 requires a Host field")
        }
        guard let host = parsed else { throw HTTPAuthority.error }
        let matches =
            switch head.target {
            case .origin, .asterisk: true
            case .absolute(let scheme, let authority, _, _):
                host.matches(authority, defaultPort: scheme == "https" ? 443 : 80)
            // Clients differ on whether Host repeats the port.
            case .authority(let authority): host.matches(authority, defaultPort: authority.port)
            }
        if !matches { throw HTTPError(.hostMismatch, "Host must be the same as the target's host") }
    }
}
