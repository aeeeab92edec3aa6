internal import Bytes

/// The message layer of a WebSocket after its handshake: bytes in, events out; messages in, bytes out.
///
/// Fragmentation, interleaved control frames, UTF-8, limits, pongs and the closing handshake (RFC 6455 sections 5 to 8)
/// happen here, for either role, without sockets, clocks or callbacks. The caller feeds what it received and performs what
/// it is told:
///
/// ```swift
/// var offset = 0
/// while offset < buffer.count {
///     let step = connection.receive(UnsafeMutableRawBufferPointer(rebasing: buffer[offset...]))
///     switch step.event { … }
///     offset += step.consumed
/// }
/// connection.withOutput { bytes in send(bytes) }  // returns how many bytes the socket took
/// ```
///
/// **Ending.** When `isFinished`, write the output to its end; then a server closes the transport, and a client waits for
/// the server to do so (section 7.1.1). How long a peer may take to answer a close frame, or to close, is the caller's
/// business, and so are idle times and pings.
///
/// **Memory.** A connection without message, ping or output under way holds no allocation. A message grows with the
/// bytes that have arrived, never by what a header promises. Pongs do not pile up: while more than 64 KiB of output
/// wait, only the latest ping is answered (section 5.5.3).
public struct Connection: ~Copyable {
    /// Which end this is.
    public let role: Role
    /// What is accepted and done here.
    public let options: Options
    /// Where the closing handshake stands.
    public internal(set) var state = State.open

    // What comes in; see Connection+Receive.swift.
    var partialHeader = PartialHeader()
    var frame: IncomingFrame?
    var assembly = Assembly()
    var validator = UTF8Validator()
    var control: [UInt8] = []
    var message: [UInt8] = []
    /// Whether a piece of the message under way was delivered.
    var deliveredFirst = false
    var received: ClosePayload?

    // What goes out; see Connection+Send.swift.
    var output = ByteQueue()
    var outgoing: OutgoingMessage?
    var deferredPong: [UInt8]?
    let maskKeys: () -> UInt32

    /// The server's end of a connection.
    public init(server options: Options = Options()) {
        role = .server
        self.options = options
        maskKeys = { 0 }
    }

    /// The client's end of a connection.
    ///
    /// - Parameters:
    ///   - options: what is accepted and done here.
    ///   - maskKeys: gives a fresh, unpredictable key for each frame, from a cryptographic source: see `Masking`. It is
    ///     called once for each frame that is sent and must not touch this connection.
    public init(client options: Options = Options(), maskKeys: @escaping () -> UInt32) {
        role = .client
        self.options = options
        self.maskKeys = maskKeys
    }

    /// Whether nothing will be received or sent any more, apart from what is in the output.
    public var isFinished: Bool {
        switch state {
        case .open, .closing: false
        case .closed, .failed: true
        }
    }

    /// The code to report for a transport that ended now: the one of the peer's close frame, 1005 if that had none, or
    /// 1006 if there was no close frame (section 7.1.5).
    public var closeCode: CloseCode {
        guard let received else { return .abnormal }
        return received.code ?? .noStatus
    }
}

/// The first bytes of a header that arrives in pieces.
struct PartialHeader {
    private var storage: (UInt64, UInt64) = (0, 0)
    private(set) var count = 0

    /// Adds up to `limit - count` bytes from `input` and returns how many.
    mutating func fill(upTo limit: Int, from input: UnsafeRawBufferPointer) -> Int {
        let taken = min(limit - count, input.count)
        let at = count
        withUnsafeMutableBytes(of: &storage) { bytes in
            for index in 0..<taken { bytes[at + index] = input[index] }
        }
        count += taken
        return taken
    }

    /// Reads a header out of the bytes so far.
    func parse() -> FrameHeader.Parsed {
        withUnsafeBytes(of: storage) { FrameHeader.parse(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    mutating func removeAll() { count = 0 }
}

/// The frame whose payload is arriving.
struct IncomingFrame {
    let header: FrameHeader
    /// The message that a data frame belongs to.
    let kind: MessageKind
    /// Bytes of the payload so far.
    var received = 0

    var missing: Int { header.payloadLength &- received }
}

/// The fragmented message that is being sent.
struct OutgoingMessage {
    let kind: MessageKind
    let isCompressed: Bool
    var validator = UTF8Validator()
}
