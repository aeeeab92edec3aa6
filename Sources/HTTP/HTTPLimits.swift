/// What a message may cost its receiver, in bytes on the wire unless said otherwise.
public struct HTTPLimits: Sendable, Hashable {
    /// Request or status line with its CRLF. 8,000 is what RFC 9112, 3 recommends as the least.
    public var startLine: Int = 8192
    /// One field line with its CRLF; room for a large token or cookie.
    public var fieldLine: Int = 16_384
    /// Number of field lines in a head.
    public var fieldCount: Int = 100
    /// A whole head: start line, fields and the empty line.
    public var head: Int = 65_536
    /// Body content, after chunked coding is taken off. Unlimited: whoever stores a body sets what he can store.
    public var body: Int = .max
    /// Line that starts a chunk, extensions included.
    public var chunkLine: Int = 512
    /// Chunk extensions of a whole body together. They mean nothing to us, and unlimited they let a body of one-byte
    /// chunks cost thousands of times its size.
    public var chunkExtensions: Int = 16_384
    /// A whole trailer section with its empty line.
    public var trailers: Int = 8192
    /// Number of trailer field lines.
    public var trailerCount: Int = 32
    /// Number of interim (1xx) responses before a final one.
    public var interimResponses: Int = 16

    /// The limits above.
    public init() {}
}
