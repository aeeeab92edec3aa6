public import Bytes

/// Writes a body behind its head, in the framing that the head declared, and refuses to write more or less than that.
public struct HTTPBodyWriter: Sendable {
    private let framing: HTTPFraming
    private let isSuppressed: Bool
    private var written = 0
    private var isFinished = false

    /// A writer for the body behind `head`.
    public init(_ head: HTTPRequestHead) {
        framing = head.framing == .none ? .length(0) : head.framing
        isSuppressed = false
    }

    /// A writer for the body behind `head`, which answers a request with that method. Where the answer has no body (HEAD,
    /// 304), everything is accepted and nothing written.
    public init(_ head: HTTPResponseHead, answering method: HTTPMethod) {
        framing = head.framing == .none ? .length(0) : head.framing
        isSuppressed = HTTPStatus.isBodyless(head.status, answering: method)
    }

    /// Writes content; throws `length_mismatch` where it would be more than announced.
    public mutating func write(_ content: UnsafeRawBufferPointer, into queue: inout ByteQueue) throws(HTTPError) {
        if isSuppressed || content.isEmpty { return }
        if isFinished { throw HTTPError(.lengthMismatch, "the body is finished already") }
        switch framing {
        case .length(let length):
            guard content.count <= length - written else {
                throw HTTPError(.lengthMismatch, "the body is longer than the \(length) bytes announced")
            }
            queue.append(content)
        case .chunked:
            HTTPEncoder.encodeChunkStart(content.count, into: &queue)
            queue.append(content)
            queue.append("\r\n")
        case .untilClose, .none: queue.append(content)
        }
        written += content.count
    }

    /// Writes content; throws `length_mismatch` where it would be more than announced.
    public mutating func write(_ content: [UInt8], into queue: inout ByteQueue) throws(HTTPError) {
        try content.span.bytes.withUnsafeBytes { (bytes) throws(HTTPError) in try write(bytes, into: &queue) }
    }

    /// Ends the body; throws `length_mismatch` where less than announced was written. Trailers need chunked framing; those
    /// that are not allowed as trailers throw `forbidden_trailer`.
    public mutating func finish(
        trailers: HTTPHeaders = HTTPHeaders(), into queue: inout ByteQueue
    ) throws(HTTPError) {
        if isSuppressed || isFinished { return }
        if case .length(let length) = framing, written != length {
            throw HTTPError(.lengthMismatch, "the body has \(written) bytes where \(length) were announced")
        }
        if framing == .chunked {
            try HTTPEncoder.check(trailers)
            guard try Trailers.checked(trailers).count == trailers.count else {
                throw HTTPError(.forbiddenTrailer, status: 500, "a field among the trailers must be sent with the head")
            }
            queue.append("0\r\n")
            HTTPEncoder.write(trailers, .none, into: &queue)
        } else if !trailers.isEmpty {
            throw HTTPError(.forbiddenTrailer, status: 500, "trailers need a chunked body")
        }
        isFinished = true
    }
}
