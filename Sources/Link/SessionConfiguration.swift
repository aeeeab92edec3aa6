/// Limits and times of a session. Times are in nanoseconds.
public struct SessionConfiguration: Sendable, Hashable {
    /// Streams that the peer may have open at once.
    public var maximumPeerStreams = 16_384
    /// Credit granted to each stream at OPEN and ACCEPT, the floor of its window. 16 KiB hold a request and most answers.
    public var initialCredit = 16 << 10
    /// The widest a stream's window grows. 1 MiB fills 200 Mbit/s at 40 ms, and far more on a local network.
    public var maximumWindow = 1 << 20
    /// Bytes of frames kept for the peer's acknowledgement before streams have to wait.
    public var retentionLimit = 16 << 20
    /// Bytes beyond the retention limit that control frames may take: some 70,000 of them.
    public var controlReserve = 1 << 20
    /// Longest frame payload taken from the peer.
    public var maximumPayload = LinkFrame.maximumPayload
    /// Frame payload for a stream that is alone in having something to send, or moves bulk (`SendRound`).
    public var bulkQuantum = LinkFrame.maximumPayload
    /// Frame payload for a sparse stream while others wait, one TLS record. A turn that fills it makes the stream bulk.
    public var sharedQuantum = 16 << 10
    /// A received frame is acknowledged within this time …
    public var acknowledgementDelay: UInt64 = 25_000_000
    /// … or at once when so many bytes wait for acknowledgement …
    public var acknowledgementBytes = 64 << 10
    /// … or with whatever else is sent, from so many bytes on.
    public var piggybackBytes = 4 << 10
    /// Time between pings. They measure the round trip and keep middleboxes awake.
    public var pingInterval: UInt64 = 15_000_000_000
    /// A peer from which nothing was heard for this long is dead.
    public var deadPeerTimeout: UInt64 = 40_000_000_000
    /// Control frames are not written while more than this waits to be sent; what they would say stays coalesced.
    public var controlBacklog = 256 << 10
    /// Streams of the peer that end in a reset before they were of any use: so many at once …
    public var resetBurst = 1_000
    /// … and so many a second.
    public var resetsPerSecond = 200
    /// Pings of the peer: so many at once …
    public var pingBurst = 64
    /// … and so many a second.
    public var pingsPerSecond = 8

    /// TRANSFERs of the peer: so many may be unanswered at once. A working peer keeps to `Session.transfersAtOnce`.
    public var maximumTransfers = 4_096
    /// So many TRANSFERs of the peer at once …
    public var transferBurst = 4_096
    /// … and so many a second.
    public var transfersPerSecond = 4_096
    /// Frames of the log that are looked through for unacknowledged bytes of streams that change their lane: so many at once …
    public var readingBurst = 2 << 20
    /// … and so many a second, some 20 ms of a core. Streams for which that is not enough stay for now.
    public var readingsPerSecond = 2 << 20

    /// The defaults.
    public init() {}
}
