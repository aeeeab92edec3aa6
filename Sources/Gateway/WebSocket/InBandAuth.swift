import WebSocket

/// The client's side of a WebSocket with subprotocol `conduit.auth.v1`: finds the messages that are for the edge and lets
/// everything else pass untouched.
///
/// # The protocol conduit.auth.v1
///
/// It is active on a connection when the client offered `conduit.auth.v1` in Sec-WebSocket-Protocol, whichever subprotocol
/// was selected. A *message for the edge* is an unfragmented text message that begins with `conduit.auth.v1` and a blank.
/// Its words are separated by single blanks; there are no line breaks and nothing behind the last word.
///
/// From the client:
///
/// ```
/// conduit.auth.v1 token TOKEN            authenticate, or renew: a JWT
/// conduit.auth.v1 token TOKEN PROOF      the same with a DPoP proof
/// conduit.auth.v1 key KEY                an API key
/// ```
///
/// From the edge, as text messages:
///
/// ```
/// conduit.auth.v1 ok EXPIRES ID              accepted: Unix time in seconds at which it expires, or "never"; the
///                                            connection's id, for POST /v1/token/renew
/// conduit.auth.v1 ok EXPIRES ID PROTOCOL     the same after a first message: the subprotocol that the service selected
/// conduit.auth.v1 error REASON               not accepted; what was accepted before stays in force until it expires
/// conduit.auth.v1 error REASON NONCE         the same with a DPoP nonce to be used (RFC 9449, 8)
/// conduit.auth.v1 expires SECONDS            a renewal is due: that many seconds are left
/// ```
///
/// A renewal must be for the same principal; anything else is answered with `error` and changes nothing. When the time is
/// over, the connection closes with 4401.
///
/// **First message.** Where the route needs a token and the handshake had none, a client that offered `conduit.auth.v1`
/// gets the `101` at once, with `conduit.auth.v1` selected, and must send a message for the edge as its first message,
/// within 5 seconds and 16 KiB. Nothing reaches the service before it is accepted. Pings are answered; anything else closes
/// the connection with 4401. The other subprotocols that the client offered are offered to the service afterwards, and the
/// answer `ok` names the one it selected.
///
/// **Never compressed.** With `conduit.auth.v1` no extension is negotiated (see `WebSocketUpgrade`), so that messages for
/// the edge can be taken out of the stream.
///
/// **Fragments.** A fragmented message is never for the edge, whatever it contains.
public struct InBandAuth: Sendable {
    /// What a message for the edge asks for: a new credential for the connection.
    public enum Phase: Sendable, Hashable {
        /// Nothing is accepted yet: the next message must be for the edge.
        case first
        /// Messages for the edge are taken out, everything else passes.
        case passing
    }

    /// What the bytes at the front of the queue are.
    public enum Step: Sendable, Equatable {
        /// So many bytes are the service's: pass them on, take them off, call again.
        case pass(Int)
        /// A message for the edge: take `consumed` bytes off, check the credential, answer. In phase `first` nothing else
        /// may be read before `accepted()`.
        case credential(PresentedCredential, consumed: Int)
        /// A message for the edge that cannot be read: take `consumed` bytes off and answer `error`.
        case malformed(EdgeRefusal, consumed: Int)
        /// Phase `first` only: a ping; take `consumed` bytes off and answer with a pong.
        case ping([UInt8], consumed: Int)
        /// Phase `first` only: a pong; take `consumed` bytes off.
        case pong(consumed: Int)
        /// Phase `first` only: the client closes; answer with a close frame and end.
        case closed
        /// The connection is to be closed with the refusal's close frame.
        case failed(EdgeRefusal)
        /// More bytes are needed; keep what is there.
        case needMore
    }

    /// The longest message for the edge, in bytes: a large token and a proof.
    public static let maximumMessage = 16_384
    /// Most bytes in phase `first`, pings included.
    public static let maximumFirst = 16_384
    /// Seconds in phase `first`; the timer is the shell's.
    public static let firstTimeout = 5

    /// What every message for the edge begins with.
    static let prefix = Array("conduit.auth.v1 ".utf8)

    /// Where the connection stands.
    public private(set) var phase: Phase
    /// The frames that were passed on to the service.
    public private(set) var tracker = FrameTracker()
    private var firstBytes = 0

    /// For a connection in that phase.
    public init(_ phase: Phase) { self.phase = phase }

    /// The first message was accepted: from now on the client's bytes are the service's.
    public mutating func accepted() { phase = .passing }

    /// Looks at bytes from the client that were not taken yet. Call again after each step but `needMore`.
    public mutating func next(_ bytes: UnsafeRawBufferPointer) -> Step {
        if bytes.isEmpty { return .needMore }
        return phase == .first ? first(bytes) : passing(bytes)
    }

    private mutating func passing(_ bytes: UnsafeRawBufferPointer) -> Step {
        guard tracker.canInsertMessage else {
            // Inside a frame, between fragments, behind the end: nothing can begin here that is for the edge.
            return .pass(tracker.track(bytes, until: .messageBoundary))
        }
        switch FrameHeader.parse(bytes) {
        case .incomplete: return .needMore
        case .invalid: return .pass(tracker.track(bytes))
        case .complete(let header, let size):
            guard header.masked, header.fin, header.rsv == 0, header.opcode == .text,
                header.payloadLength >= Self.prefix.count
            else { return .pass(passOne(bytes, header, size)) }
            guard bytes.count >= size + Self.prefix.count else {
                // As soon as one byte differs, it is the service's.
                return beginsOtherwise(bytes, header, size) ? .pass(passOne(bytes, header, size)) : .needMore
            }
            if beginsOtherwise(bytes, header, size) { return .pass(passOne(bytes, header, size)) }
            guard header.payloadLength <= Self.maximumMessage else { return .failed(Self.tooLarge) }
            return message(bytes, header, size)
        }
    }

    /// Passes what is there of the frame at the front, or of the message that it begins.
    private mutating func passOne(_ bytes: UnsafeRawBufferPointer, _ header: FrameHeader, _ size: Int) -> Int {
        let (end, overflow) = size.addingReportingOverflow(header.payloadLength)
        let count = overflow ? bytes.count : min(bytes.count, end)
        return tracker.track(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    }

    private func beginsOtherwise(_ bytes: UnsafeRawBufferPointer, _ header: FrameHeader, _ size: Int) -> Bool {
        for (index, byte) in bytes.dropFirst(size).prefix(Self.prefix.count).enumerated() {
            if byte ^ UInt8(truncatingIfNeeded: header.key >> UInt32(8 * (index & 3))) != Self.prefix[index] {
                return true
            }
        }
        return false
    }

    /// A whole message for the edge, when it is there.
    private func message(_ bytes: UnsafeRawBufferPointer, _ header: FrameHeader, _ size: Int) -> Step {
        let end = size + header.payloadLength
        guard bytes.count >= end else { return .needMore }
        let payload = Self.unmasked(bytes[size..<end], header.key)
        do {
            return .credential(try InBandMessage.parse(payload), consumed: end)
        } catch {
            return .malformed(error, consumed: end)
        }
    }

    private mutating func first(_ bytes: UnsafeRawBufferPointer) -> Step {
        switch FrameHeader.parse(bytes) {
        case .incomplete: return .needMore
        case .invalid: return .failed(Self.expected)
        case .complete(let header, let size):
            guard header.masked, header.rsv == 0 else { return .failed(Self.expected) }
            switch header.opcode {
            case .close: return .closed
            case .ping, .pong: break
            case .text where header.fin:
                // The length is the client's word, up to the largest number there is: nothing may be added to it.
                guard header.payloadLength <= Self.maximumFirst - firstBytes else { return .failed(Self.tooLarge) }
                if beginsOtherwise(bytes, header, size) || header.payloadLength < Self.prefix.count {
                    return .failed(Self.expected)
                }
                let step = message(bytes, header, size)
                if case .malformed(let refusal, _) = step { return .failed(refusal.asUnauthenticated) }
                return step
            default: return .failed(Self.expected)
            }
            let end = size + header.payloadLength
            guard firstBytes + end <= Self.maximumFirst else { return .failed(Self.tooLarge) }
            guard bytes.count >= end else { return .needMore }
            firstBytes += end
            if header.opcode == .pong { return .pong(consumed: end) }
            return .ping(Self.unmasked(bytes[size..<end], header.key), consumed: end)
        }
    }

    private static func unmasked(_ bytes: Slice<UnsafeRawBufferPointer>, _ key: UInt32) -> [UInt8] {
        var payload = [UInt8](bytes)
        payload.withUnsafeMutableBytes { Masking.apply(key, to: $0) }
        return payload
    }

    private static var tooLarge: EdgeRefusal {
        EdgeRefusal(.authenticationTooLarge, status: 401, "an authentication message has at most 16 KiB")
    }

    private static var expected: EdgeRefusal {
        EdgeRefusal(
            .authenticationExpected, status: 401, "the first message must be: conduit.auth.v1 token TOKEN")
    }
}

extension EdgeRefusal {
    /// The same refusal where the connection has no principal yet, so that it closes with 4401.
    fileprivate var asUnauthenticated: EdgeRefusal {
        var refusal = self
        refusal.status = 401
        return refusal
    }
}
