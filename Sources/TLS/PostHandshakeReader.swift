/// Handshake messages that come after the handshake (RFC 8446, section 4.6): key updates count, tickets are passed over,
/// everything else is refused.
struct PostHandshakeReader {
    /// What the messages of one record came to.
    enum Outcome {
        case nothing
        /// The peer's next record is under its next key; it may ask for the same of us.
        case keyUpdate(requested: Bool)
        case violation(TLSAlert, String)
    }

    static let newSessionTicket: UInt8 = 4
    static let keyUpdate: UInt8 = 24
    /// Bytes of a ticket's message at most: both of its vectors at full length, and the rest (section 4.6.1).
    private static let maximumTicket = 4 + 4 + 256 + 2 * (2 + 65_535)

    /// Bytes of a ticket that are still to come.
    private var rest = 0

    /// No message has begun that is not complete: other records may come only then (section 5.1).
    var isBetweenMessages: Bool { rest == 0 }

    mutating func read(_ content: UnsafeBufferPointer<UInt8>, fromServer: Bool) -> Outcome {
        guard !content.isEmpty else { return .violation(.unexpectedMessage, "an empty handshake record") }
        var at = min(rest, content.count)
        rest -= at
        while at < content.count {
            // No implementation cuts a message inside its header; to wait for the rest would need memory for nothing.
            guard content.count - at >= 4 else {
                return .violation(.decodeError, "a handshake message cut in its header")
            }
            let type = content[at]
            let count = Int(content[at + 1]) << 16 | Int(content[at + 2]) << 8 | Int(content[at + 3])
            at += 4
            switch type {
            case Self.keyUpdate:
                guard count == 1, content.count - at == 1 else {
                    return .violation(.unexpectedMessage, "a key update that is not the end of its record")
                }
                guard content[at] <= 1 else { return .violation(.illegalParameter, "a malformed key update") }
                return .keyUpdate(requested: content[at] == 1)
            case Self.newSessionTicket where fromServer:
                guard count <= Self.maximumTicket else { return .violation(.decodeError, "a ticket of \(count) bytes") }
                let here = min(count, content.count - at)
                rest = count - here
                at += here
            default:
                return .violation(.unexpectedMessage, "a handshake message of type \(type) after the handshake")
            }
        }
        return .nothing
    }
}
