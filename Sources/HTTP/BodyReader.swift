import Bytes

/// Takes a body off its framing. The content stays in the queue until the caller takes it.
struct BodyReader {
    enum Step: Equatable {
        /// That many bytes of content lie at the front of the queue.
        case content(Int)
        case trailers(HTTPHeaders)
        case end
    }

    private enum State {
        case content(remaining: Int)
        case untilClose
        case chunkLine
        case chunkContent(remaining: Int)
        case chunkEnd
        case trailers
        case end
    }

    private var state: State
    private var scanner = LineScanner()
    private var section: FieldSection?
    private var extensionBytes = 0
    private var received = 0
    private let limits: HTTPLimits

    /// A reader for a body; throws `body_too_large` at once where its length says so.
    init(_ framing: HTTPFraming, limits: HTTPLimits) throws(HTTPError) {
        self.limits = limits
        switch framing {
        case .none: state = .end
        case .length(let length):
            if length > limits.body { throw Self.tooLarge(limits) }
            state = length == 0 ? .end : .content(remaining: length)
        case .chunked: state = .chunkLine
        case .untilClose: state = .untilClose
        }
    }

    /// Whether the body ends where the connection does.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    mutating func next(_ input: inout ByteQueue) throws(HTTPError) -> Step? {
        while true {
            switch state {
            case .end: return .end
            case .content(let remaining), .chunkContent(let remaining):
                return input.isEmpty ? nil : .content(min(remaining, input.count))
            case .untilClose:
                if input.isEmpty { return nil }
                let room = limits.body - received
                if room == 0 { throw Self.tooLarge(limits) }
                return .content(min(room, input.count))
            case .chunkLine:
                guard let size = try chunkLine(&input) else { return nil }
                if size > limits.body - received { throw Self.tooLarge(limits) }
                received += size
                if size > 0 {
                    state = .chunkContent(remaining: size)
                } else {
                    state = .trailers
                    section = FieldSection(trailers: limits)
                }
            case .chunkEnd:
                if input.isEmpty { return nil }
                guard input[0] == 0x0D else { throw Self.badEnd }
                if input.count < 2 { return nil }
                guard input[1] == 0x0A else { throw Self.badEnd }
                input.consume(2)
                state = .chunkLine
            case .trailers:
                guard try section?.advance(&input) ?? true else { return nil }
                state = .end
                let trailers = try Trailers.checked(section?.headers ?? HTTPHeaders())
                section = nil
                if !trailers.isEmpty { return .trailers(trailers) }
            }
        }
    }

    /// Takes `count` bytes of content off the queue; no more than `next` told.
    mutating func take(_ count: Int, from input: inout ByteQueue) {
        switch state {
        case .content(let remaining):
            precondition(count <= remaining, "more taken than is content")
            state = count == remaining ? .end : .content(remaining: remaining - count)
        case .chunkContent(let remaining):
            precondition(count <= remaining, "more taken than is content")
            state = count == remaining ? .chunkEnd : .chunkContent(remaining: remaining - count)
        case .untilClose: received += count
        default: precondition(count == 0, "taken where no content is")
        }
        input.consume(count)
    }

    /// The size of the chunk whose line lies at the front (RFC 9112, 7.1), and takes the line.
    private mutating func chunkLine(_ input: inout ByteQueue) throws(HTTPError) -> Int? {
        let parsed = try input.withReadable { (bytes) throws(HTTPError) -> (size: Int, line: Int, digits: Int)? in
            switch try scanner.step(bytes, limit: limits.chunkLine) {
            case .needMore: return nil
            case .tooLong:
                throw HTTPError(.chunkLineTooLong, "a chunk's first line is longer than \(limits.chunkLine) bytes")
            case .line(let count):
                let (size, digits) = try ChunkLine.parse(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
                return (size, count, digits)
            }
        }
        guard let parsed else { return nil }
        extensionBytes += parsed.line - parsed.digits
        if extensionBytes > limits.chunkExtensions {
            throw HTTPError(.chunkExtensionsTooLarge, "chunk extensions of more than \(limits.chunkExtensions) bytes")
        }
        input.consume(parsed.line + 2)
        return parsed.size
    }

    private static var badEnd: HTTPError { HTTPError(.badChunkEnd, "a chunk must be followed by CR LF") }

    private static func tooLarge(_ limits: HTTPLimits) -> HTTPError {
        HTTPError(.bodyTooLarge, "the body is larger than the \(limits.body) bytes allowed here")
    }
}

/// The line that starts a chunk: hexadecimal size and extensions (RFC 9112, 7.1.1).
enum ChunkLine {
    /// Size and number of its digits. No blanks are accepted anywhere outside quoted strings.
    static func parse(_ line: UnsafeRawBufferPointer) throws(HTTPError) -> (size: Int, digits: Int) {
        var size = 0
        var index = 0
        while index < line.count, let digit = Grammar.hexValue(line[index]) {
            // 15 digits cannot overflow; nobody sends chunks of an exabyte.
            if index == 15 { throw HTTPError(.badChunkSize, "a chunk's size has more than 15 digits") }
            size = size << 4 | Int(digit)
            index += 1
        }
        if index == 0 { throw HTTPError(.badChunkSize, "a chunk must begin with its size in hexadecimal digits") }
        let digits = index
        while index < line.count {
            guard line[index] == 0x3B else {
                throw index == digits
                    ? HTTPError(.badChunkSize, "a chunk's size must be followed by CR LF or ;extension") : badExtension
            }
            index += 1
            try token(line, &index)
            if index < line.count, line[index] == 0x3D {
                index += 1
                if index < line.count, line[index] == 0x22 { try quoted(line, &index) } else { try token(line, &index) }
            }
        }
        return (size, digits)
    }

    private static func token(_ line: UnsafeRawBufferPointer, _ index: inout Int) throws(HTTPError) {
        let start = index
        while index < line.count, Grammar.token.contains(line[index]) { index += 1 }
        if index == start { throw badExtension }
    }

    private static func quoted(_ line: UnsafeRawBufferPointer, _ index: inout Int) throws(HTTPError) {
        index += 1
        while index < line.count, line[index] != 0x22 {
            if line[index] == 0x5C { index += 1 }
            guard index < line.count, Grammar.isFieldByte(line[index]) else { throw badExtension }
            index += 1
        }
        guard index < line.count else { throw badExtension }
        index += 1
    }

    private static var badExtension: HTTPError {
        HTTPError(.badChunkExtension, "a chunk extension must be ;name or ;name=value")
    }
}

/// What may come after the last chunk (RFC 9110, 6.5.1).
enum Trailers {
    /// Fields that would change where a message ends or whom it is for: a sender of these in trailers is attacking.
    static let refused = ["Content-Length", "Transfer-Encoding", "Host", "Content_Length", "Transfer_Encoding"]

    /// Fields that must have been known with the head: routing, authentication, content description, connection.
    static let dropped = [
        "Authorization", "Cache-Control", "Connection", "Content-Encoding", "Content-Range", "Content-Type", "Cookie",
        "Expect", "Forwarded", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
        "Keep-Alive", "Max-Forwards", "Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
        "Range",
        "Set-Cookie", "TE", "Trailer", "Upgrade", "Via", "WWW-Authenticate",
    ]

    /// The trailers that may be handed on; throws `forbidden_trailer`.
    static func checked(_ trailers: HTTPHeaders) throws(HTTPError) -> HTTPHeaders {
        if trailers.isEmpty { return trailers }
        if refused.contains(where: { trailers.contains($0) }) {
            throw HTTPError(.forbiddenTrailer, "Content-Length, Transfer-Encoding and Host are not allowed in trailers")
        }
        var trailers = trailers
        for name in dropped { trailers.remove(name) }
        return trailers
    }
}
