/// What a received frame means for the owner of the session. One frame gives one event.
///
/// The type has no references in it, so that it costs nothing to return; what is rare and long (the request of an OPEN,
/// the text of a REFUSE) is read from the session right after, see each case.
public enum SessionEvent: Sendable, Hashable {
    /// Nothing to do.
    case none
    /// The peer opened a stream; `Session.lastRequest` has what it asks for. To be answered with `accept` or `refuse`.
    /// Data may come before the answer, within the initial credit.
    case opened(StreamHandle)
    /// The peer took our stream.
    case accepted(StreamHandle)
    /// The peer declined our stream; nothing of it reached a target, so another instance may be tried. The stream is gone.
    /// `Session.lastNotice` has text and retry delay.
    case refused(StreamHandle, LinkReason)
    /// Bytes of a stream, in this range of the frame passed in. To be copied or written before the buffer is reused, and
    /// reported with `consumed` once the application took them. `finished`: and nothing comes after them.
    case data(StreamHandle, Range<Int>, finished: Bool)
    /// The peer's direction of the stream is complete.
    case finished(StreamHandle)
    /// The peer ended the stream; the application's connection is to be reset. The stream is gone. `Session.lastNotice`
    /// has the text.
    case reset(StreamHandle, LinkReason)
    /// A stream that was out of credit has some again.
    case writable(StreamHandle)
    /// The peer takes no new streams; `Session.lastNotice` has text and retry delay.
    case goAway(LinkReason)
    /// The peer answered a ping; round trip in nanoseconds.
    case pong(roundTrip: UInt64)
    /// Nothing more comes on this link: the peer's frames go on on the link to which the session moves. At the end that
    /// dialled it, this end's frames do so, too.
    case switched
    /// The peer moved to a link that this end does not have any more. This one is of no use either: it is to be given up,
    /// and the session parked.
    case moveLost
    /// The peer asks this lane to go on with a stream of another one, `Session.lastTransfer` says which. To be answered by
    /// `adopt`, with what that lane's session gave away (`give`), or with `refuse`, which changes nothing there.
    case transferOffered(StreamHandle)
    /// The peer goes on with our stream here, `Session.lastAnswer` says from where. What `depart` gives on the lane before is
    /// to be handed to `adopt`; bytes that come earlier are to be held.
    case taken(StreamHandle)
    /// The peer wants the session to move and asks this end to dial.
    case moveWanted
    /// The peer takes so many lanes from now on. To be believed on lane 0 only.
    case lanes(Int)
    /// The peer broke the protocol. A GOAWAY waits to be sent; then the link is to be closed with the reason's close code,
    /// and `linkLost` gives the streams. `Session.lastNotice` has the text.
    case violation(LinkReason)
}

/// What the passing of time asks for.
public enum SessionAlarm: Sendable, Hashable {
    /// Nothing.
    case none
    /// Control frames are due: call `flushControl` and send.
    case flush
    /// Nothing was heard from the peer for too long, or a probe was not answered: close the link with `peer_silent`.
    case peerSilent
    /// The peer broke the protocol, found while writing; to be treated as the event of the same name.
    case violation(LinkReason)
}

/// Why a stream could not be opened.
public enum SessionError: Error, Sendable, Hashable {
    /// The session has ended or the peer broke the protocol.
    case ended
    /// GOAWAY was sent or received; try another link or instance.
    case goingAway
    /// The peer takes no more streams at the moment.
    case tooManyStreams
    /// No receive budget is left for the answer.
    case overloaded
    /// The peer does not acknowledge fast enough; try again later.
    case congested
    /// A field of the request is too long or missing.
    case badRequest
    /// All 2^47 ids are used up; the session has to be replaced.
    case idsExhausted

    /// Stable name for logs and API answers.
    public var code: String {
        switch self {
        case .ended: "session_ended"
        case .goingAway: "going_away"
        case .tooManyStreams: "too_many_streams"
        case .overloaded: "overloaded"
        case .congested: "congested"
        case .badRequest: "bad_request"
        case .idsExhausted: "ids_exhausted"
        }
    }
}

/// A stream that has something to send and the credit for it.
public struct ReadyStream: Sendable, Hashable {
    /// The stream.
    public let stream: StreamHandle
    /// How many bytes to send in this turn, at most.
    public let quantum: Int

    /// A turn.
    public init(stream: StreamHandle, quantum: Int) {
        self.stream = stream
        self.quantum = quantum
    }
}

/// A stream whose link was lost. Its application's connection is to be reset, or the stream opened again elsewhere.
public struct LostStream: Sendable, Hashable {
    /// The stream; the handle is no longer valid.
    public let stream: StreamHandle
    /// Whether this end opened it.
    public let openedHere: Bool
    /// Whether the peer's ACCEPT came (or ours was given).
    public let accepted: Bool
    /// Whether the peer is known never to have processed the OPEN, the licence to try another instance whatever was sent.
    public let neverProcessed: Bool
    /// Whether nothing is left but bytes that this end's application has not taken: both directions are complete, and the peer
    /// has acknowledged everything that the stream sent.
    public let isComplete: Bool
    /// Application bytes that were sent. Where the fate of the OPEN is unknown, only a stream with zero may be retried.
    public let bytesSent: UInt64
}

/// What a session counts, all since its beginning except where said.
public struct SessionCounters: Sendable, Hashable {
    /// Frames received and sent.
    public var framesIn: UInt64 = 0, framesOut: UInt64 = 0
    /// Frame bytes received (headers of link frames included, of WebSocket not).
    public var bytesIn: UInt64 = 0
    /// Bytes given to the transport, WebSocket headers included.
    public var bytesOut: UInt64 = 0
    /// Application bytes received and sent.
    public var dataIn: UInt64 = 0, dataOut: UInt64 = 0
    /// Streams opened by this end and by the peer.
    public var opened: UInt64 = 0, accepted: UInt64 = 0
    /// Streams refused by this end and by the peer.
    public var refusedHere: UInt64 = 0, refusedByPeer: UInt64 = 0
    /// Resets sent and received.
    public var resetsOut: UInt64 = 0, resetsIn: UInt64 = 0

    /// All zero.
    public init() {}
}
