extension Connection {
    /// How data messages reach the caller.
    public enum Delivery: Sendable, Hashable {
        /// Each message as one array, when it is complete: for messages that a program works on.
        case whole
        /// Each part of a message as soon as it is here, as a range of the caller's own buffer, without a copy: for
        /// passing bytes on. With `compressed`, RSV1 of a message's first frame is let through and reported
        /// (permessage-deflate that two other parties negotiated); such a message is not checked for UTF-8.
        case streamed(compressed: Bool)

        /// Streamed, without extensions.
        public static let streamed = Delivery.streamed(compressed: false)
    }

    /// What a connection accepts and does by itself.
    public struct Options: Sendable, Hashable {
        /// The largest payload of one frame in bytes; a larger one ends the connection with 1009.
        public var maximumFramePayload: Int
        /// The largest message in bytes, over all of its frames; a larger one ends the connection with 1009.
        public var maximumMessage: Int
        /// How messages reach the caller.
        public var delivery: Delivery
        /// Whether pings are answered here (section 5.5.2). If not, the caller answers them.
        public var answersPings: Bool

        /// Options with defaults for messages that a program holds in memory: 16 MiB a message.
        public init(
            maximumFramePayload: Int = 16 << 20, maximumMessage: Int = 16 << 20, delivery: Delivery = .whole,
            answersPings: Bool = true
        ) {
            self.maximumFramePayload = maximumFramePayload
            self.maximumMessage = maximumMessage
            self.delivery = delivery
            self.answersPings = answersPings
        }
    }

    /// Where the closing handshake stands (RFC 6455 section 7).
    public enum State: Sendable, Hashable {
        /// Messages go both ways.
        case open
        /// Our close frame is queued or sent, the peer's is still to come; the caller decides how long to wait for it.
        case closing
        /// Both close frames exist, ours at the latest in the output.
        case closed
        /// The peer broke the protocol; our close frame is in the output if none was sent before.
        case failed(Violation)
    }

    /// What input led to.
    public enum Event: Sendable, Hashable {
        /// All input is taken and nothing else happened.
        case needMore
        /// A whole message (only with `Delivery.whole`).
        case message(MessageKind, [UInt8])
        /// A part of a message (only with `Delivery.streamed`).
        case piece(Piece)
        /// A ping; its answer is already queued unless `Options.answersPings` is off.
        case ping([UInt8])
        /// A pong; whether it answers a ping of ours is seen by its payload.
        case pong([UInt8])
        /// The peer's close frame; if it was the first one, the answer is queued. No event follows.
        case close(ClosePayload)
        /// The peer broke the protocol or a limit. A close frame with the violation's code is queued if none was
        /// sent before. No event follows.
        case failed(Violation)
    }

    /// A part of a message as it lies, unmasked, in the buffer that was given to `receive`.
    public struct Piece: Sendable, Hashable {
        /// The kind of the message.
        public let kind: MessageKind
        /// Where the bytes are in the buffer; empty only if the message's last part is.
        public let range: Range<Int>
        /// Whether the message begins with it.
        public let isFirst: Bool
        /// Whether the message ends with it.
        public let isLast: Bool
        /// Whether RSV1 was set on the message's first frame.
        public let isCompressed: Bool
    }

    /// The result of one call of `receive`.
    public struct Received: Sendable, Hashable {
        /// How many bytes of the input were taken; call again with the rest.
        public let consumed: Int
        /// What happened.
        public let event: Event
    }

    /// Why something cannot be sent. Nothing was queued.
    public enum SendError: String, Error, Sendable, Hashable, CaseIterable, CustomStringConvertible {
        /// A close frame is queued or the connection ended: nothing may follow it (section 5.5.1).
        case closed
        /// A fragmented message is under way: finish it first (section 5.4).
        case messageUnderWay = "message_under_way"
        /// Text that is not UTF-8, or that ends within a character.
        case invalidUTF8 = "invalid_utf8"
        /// A ping or pong payload of more than 125 bytes.
        case controlTooLong = "control_too_long"

        /// One sentence for people.
        public var description: String {
            switch self {
            case .closed: "the connection is closing: nothing can be sent after the close frame"
            case .messageUnderWay: "another message is under way: send its last fragment first"
            case .invalidUTF8: "text must be valid UTF-8: send it as a binary message"
            case .controlTooLong: "a ping or pong carries at most 125 bytes"
            }
        }
    }
}
