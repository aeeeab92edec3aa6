/// A request method: a case-sensitive token (RFC 9110, 9.1).
public struct HTTPMethod: RawRepresentable, Hashable, Sendable, CustomStringConvertible, ExpressibleByStringLiteral {
    /// The token as sent.
    public let rawValue: String

    /// A method by its name; whether that is a token is checked when a message is parsed or encoded.
    public init(rawValue: String) { self.rawValue = rawValue }

    /// A method by its name.
    public init(stringLiteral value: String) { rawValue = value }

    /// Read (RFC 9110, 9.3.1).
    public static let get = HTTPMethod(rawValue: "GET")
    /// Read the head only.
    public static let head = HTTPMethod(rawValue: "HEAD")
    /// Process the body as the resource does.
    public static let post = HTTPMethod(rawValue: "POST")
    /// Replace the resource.
    public static let put = HTTPMethod(rawValue: "PUT")
    /// Change the resource (RFC 5789).
    public static let patch = HTTPMethod(rawValue: "PATCH")
    /// Remove the resource.
    public static let delete = HTTPMethod(rawValue: "DELETE")
    /// Ask for the communication options.
    public static let options = HTTPMethod(rawValue: "OPTIONS")
    /// Ask for a tunnel.
    public static let connect = HTTPMethod(rawValue: "CONNECT")
    /// Loop the request back.
    public static let trace = HTTPMethod(rawValue: "TRACE")

    /// The token as sent.
    public var description: String { rawValue }

    /// Longest method accepted; the longest registered one has 17 bytes.
    static let longest = 32

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count <= Self.longest, Grammar.isToken(bytes) else { return nil }
        rawValue = String(decoding: bytes, as: UTF8.self)
    }
}

/// A protocol version this codec speaks.
public enum HTTPVersion: Sendable, Hashable, CustomStringConvertible {
    /// HTTP/1.0: closes after one message unless told otherwise, knows no transfer coding.
    case http10
    /// HTTP/1.1.
    case http11

    /// The version as sent.
    public var description: String {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        }
    }

    /// Reads `HTTP/1.0` or `HTTP/1.1`, exactly (RFC 9112, 2.3).
    init(_ bytes: UnsafeRawBufferPointer) throws(HTTPError) {
        guard bytes.count == 8, bytes.starts(with: "HTTP/".utf8), bytes[6] == 0x2E, Grammar.isDigit(bytes[5]),
            Grammar.isDigit(bytes[7])
        else {
            throw HTTPError(.badVersion, "the line must carry the protocol version as HTTP/1.1, in upper case")
        }
        switch (bytes[5], bytes[7]) {
        case (0x31, 0x30): self = .http10
        case (0x31, 0x31): self = .http11
        default: throw HTTPError(.unsupportedVersion, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
    }
}

/// How the end of a body is told (RFC 9112, 6).
///
/// The framing fields live only here: parsers take Content-Length and Transfer-Encoding out of the headers, encoders
/// write them from this value. So a relayed message cannot carry two opinions about its length.
public enum HTTPFraming: Sendable, Hashable {
    /// No framing field. A request then has no body; a response only where it can have none.
    case none
    /// `Content-Length: n`. In an answer to HEAD and in a 304 it is what the body would have had.
    case length(Int)
    /// `Transfer-Encoding: chunked`.
    case chunked
    /// Responses only: the body ends with the connection.
    case untilClose
}
