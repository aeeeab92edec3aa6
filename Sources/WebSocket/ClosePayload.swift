internal import Bytes

/// What a close frame says: a code and a reason, or nothing (RFC 6455 section 5.5.1).
public struct ClosePayload: Sendable, Hashable {
    /// The longest reason in UTF-8 bytes: a control frame's 125 without the code's two.
    public static let maximumReason = 123

    /// The code; nil when the frame was empty (which an API reports as 1005).
    public let code: CloseCode?
    /// Text for people and logs, at most 123 bytes; empty if there is none.
    public let reason: String

    /// Nothing: a close frame without payload.
    public static let empty = ClosePayload()

    private init() {
        code = nil
        reason = ""
    }

    /// A code that may be sent (see `CloseCode.isValidOnWire`) and a reason, which is cut after the last whole
    /// character that fits.
    public init(_ code: CloseCode, reason: String = "") {
        precondition(code.isValidOnWire, "a close code that must not be sent")
        self.code = code
        self.reason = Self.fitting(reason)
    }

    private init(received code: CloseCode, reason: String) {
        self.code = code
        self.reason = reason
    }

    /// Takes the payload of a close frame apart.
    public static func parse(_ payload: UnsafeRawBufferPointer) -> Result<ClosePayload, Violation> {
        if payload.isEmpty { return .success(.empty) }
        guard payload.count >= 2 else { return .failure(.truncatedCloseCode) }
        let code = CloseCode(rawValue: payload.loadBE16())
        guard code.isValidOnWire else { return .failure(.invalidCloseCode) }
        let text = UnsafeRawBufferPointer(rebasing: payload[2...])
        guard UTF8Validator.isValid(text) else { return .failure(.invalidCloseReason) }
        return .success(ClosePayload(received: code, reason: String(decoding: text, as: UTF8.self)))
    }

    /// The payload of a close frame; at most 125 bytes.
    public var bytes: [UInt8] {
        guard let code else { return [] }
        return [UInt8(code.rawValue >> 8), UInt8(code.rawValue & 0xFF)] + Array(reason.utf8)
    }

    /// `reason` without what does not fit a close frame.
    private static func fitting(_ reason: String) -> String {
        if reason.utf8.count <= maximumReason { return reason }
        var result = ""
        var size = 0
        for scalar in reason.unicodeScalars {
            size += UTF8.width(scalar)
            if size > maximumReason { break }
            result.unicodeScalars.append(scalar)
        }
        return result
    }
}
