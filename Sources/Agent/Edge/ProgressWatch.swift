/// Judges, from one body timeout to the next, whether a client moves enough bytes to keep its connection.
struct ProgressWatch {
    /// What was seen since the last look.
    enum Finding {
        /// The client takes less than it must of what waits for it.
        case takesTooLittle
        /// The client sends less than it must of its body.
        case sendsTooLittle
        /// Enough moves, and there is reason to look again.
        case moves
        /// There is nothing to look at any more.
        case idle
    }

    /// What must move within the body timeout, in bytes.
    static let leastProgress: UInt64 = 16 << 10

    private var received: UInt64 = 0
    private var sent: UInt64 = 0
    private var wasStalled = false

    init() {}

    /// Begins with what has moved so far.
    init(_ channel: ByteChannel) {
        note(channel)
    }

    /// Compares with the last look; `awaitsBody`: the client is expected to send.
    mutating func look(_ channel: ByteChannel, awaitsBody: Bool) -> Finding {
        let isStalled = channel.waitingBytes > 0
        if wasStalled, isStalled, channel.bytesSent &- sent < Self.leastProgress { return .takesTooLittle }
        if awaitsBody, channel.bytesReceived &- received < Self.leastProgress { return .sendsTooLittle }
        note(channel)
        return isStalled || awaitsBody ? .moves : .idle
    }

    private mutating func note(_ channel: ByteChannel) {
        received = channel.bytesReceived
        sent = channel.bytesSent
        wasStalled = channel.waitingBytes > 0
    }
}
