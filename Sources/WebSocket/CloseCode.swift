/// The status code of a close frame (RFC 6455 section 7.4 and IANA's registry).
///
/// It is a number and not an enumeration, because 3000 to 4999 belong to libraries and applications.
public struct CloseCode: RawRepresentable, Sendable, Hashable {
    /// The number, as on the wire.
    public let rawValue: UInt16

    /// The code with that number; whether it may appear in a frame says `isValidOnWire`.
    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// 1000: the purpose of the connection is fulfilled.
    public static let normal = CloseCode(rawValue: 1000)
    /// 1001: the server shuts down, or the browser left the page.
    public static let goingAway = CloseCode(rawValue: 1001)
    /// 1002: the peer broke RFC 6455.
    public static let protocolError = CloseCode(rawValue: 1002)
    /// 1003: the peer sent a kind of message that is not accepted here (text where only binary is understood).
    public static let unsupportedData = CloseCode(rawValue: 1003)
    /// 1005: the close frame carried no code. Never in a frame.
    public static let noStatus = CloseCode(rawValue: 1005)
    /// 1006: the connection ended without a close frame. Never in a frame.
    public static let abnormal = CloseCode(rawValue: 1006)
    /// 1007: the content of a message does not fit its kind (text that is not UTF-8).
    public static let invalidPayload = CloseCode(rawValue: 1007)
    /// 1008: refused by policy, where no better code exists.
    public static let policyViolation = CloseCode(rawValue: 1008)
    /// 1009: a frame or message is larger than this end accepts.
    public static let messageTooBig = CloseCode(rawValue: 1009)
    /// 1010: the client needed an extension that the server did not accept.
    public static let missingExtension = CloseCode(rawValue: 1010)
    /// 1011: the server met a condition that it did not expect.
    public static let internalError = CloseCode(rawValue: 1011)
    /// 1012: the service restarts; reconnect after a random delay.
    public static let serviceRestart = CloseCode(rawValue: 1012)
    /// 1013: the server is overloaded; try again later.
    public static let tryAgainLater = CloseCode(rawValue: 1013)
    /// 1014: the gateway's upstream gave an invalid answer.
    public static let badGateway = CloseCode(rawValue: 1014)
    /// 1015: the TLS handshake failed. Never in a frame.
    public static let tlsHandshake = CloseCode(rawValue: 1015)

    /// 4401, the edge: no valid token, or it expired without being renewed.
    public static let unauthenticated = CloseCode(rawValue: 4401)
    /// 4403, the edge: the principal is known and lacks the right.
    public static let forbidden = CloseCode(rawValue: 4403)
    /// 4429, the edge: a limit on connections or requests is reached.
    public static let tooManyRequests = CloseCode(rawValue: 4429)

    /// Whether the code may stand in a close frame.
    ///
    /// True for the assigned codes that are meant to be sent (1000–1003, 1007–1014), for registered ones (3000–3999) and
    /// for private ones (4000–4999); false for 1004, which is reserved, for those that only an API reports (1005, 1006,
    /// 1015) and for everything that nobody has defined.
    @inlinable
    public var isValidOnWire: Bool {
        switch rawValue {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension CloseCode: CustomStringConvertible {
    /// The number in decimal.
    public var description: String { String(rawValue) }
}
