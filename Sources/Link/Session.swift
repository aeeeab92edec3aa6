internal import Bytes

/// A pair of running agents and the streams of one lane between them, without sockets, threads or clocks.
///
/// **Use**, all on one worker. For each binary WebSocket message call `received` and act on its event. At the end of a
/// tick, while the transport is writable: `nextReady`, `sendRoom`, read(2) the application's socket into the room,
/// `commit`, until enough waits; then `flushControl` and `withUnsent`. Set a timer to `nextDeadline` and call `advance`
/// when it fires. Times are monotonic nanoseconds.
///
/// No call gives a callback (except the body of `withUnsent`, which must not call the session), none blocks, and none
/// allocates once streams are open. Handles whose stream is over are harmless everywhere.
public final class Session {
    /// Whether frames can still be exchanged.
    public enum State: Sendable, Hashable {
        /// Frames go both ways.
        case open
        /// The protocol was broken: what waits may be sent, then the link is to be closed with the reason.
        case failed(LinkReason)
        /// `linkLost` was called.
        case ended
    }

    /// What the peer said about itself and its limits.
    public let peer: Hello
    /// Which end of the link this is; of the last one while the session is parked.
    public internal(set) var role: LinkRole
    /// The limits in force.
    public let configuration: SessionConfiguration
    /// The configuration's, until a reload brings others. Apart from it, since a public variable costs a check with each look at it.
    var pingInterval: UInt64
    /// As `pingInterval`.
    var deadPeerTimeout: UInt64
    /// The low bit of the ids of this end's streams.
    public let parity: StreamParity

    var state: State = .open
    /// A violation that no event has told yet.
    var violationUnseen = false
    let budget: ReceiveBudget
    let quota: StreamQuota
    let tables: UnsafeMutablePointer<SessionTables>

    let maximumPayload: Int
    var now: UInt64
    /// Wall clock minus monotonic clock, in milliseconds.
    var wallOffset: Int64

    var nextLocalID: UInt64
    var lastPeerID: UInt64 = 0
    var localStreams = 0
    var peerStreams = 0
    var cachedID: UInt64 = 0
    var cachedSlot: UInt32 = 0
    /// The stream whose room is reserved in the log.
    var roomFor = StreamHandle(slot: .max, generation: 0)

    var processed: UInt64 = 0
    var acknowledgedToPeer: UInt64 = 0
    var unacknowledgedBytes = 0
    var acknowledgeAt = UInt64.max

    var lastHeard: UInt64
    /// When a frame of a stream that moves bulk was sent or received last; zero: never.
    public internal(set) var lastBulk: UInt64 = 0
    var nextPing: UInt64
    var pingToken: UInt64 = 0
    var pingDue = false
    var pingWritten = false
    var pingWall: UInt64 = 0
    var pingSequence: UInt64 = 0
    var answeredPingSequence: UInt64 = 0
    var answeredPingAt: UInt64 = 0
    var pongDue = false
    var pongToken: UInt64 = 0
    var probeDeadline = UInt64.max
    var lastRoundTrip: UInt64 = 0
    var smoothed: UInt64 = 0
    var peerClock = PeerClock()

    var goingAway = false
    /// Streams may be opened from here although this end goes away.
    var opensOn = false
    /// Answers to pings that are awaited until the peer is known to have seen GOAWAY.
    var confirmations = 0
    var goAwayDue: Notice?
    var peerGoingAway = false
    var peerLastID = UInt64.max

    var resumption = ResumptionState()
    var move: MoveState?
    /// Bytes of streams from other lanes that are to be sent again here, by slot.
    var tails: [UInt32: StreamTail] = [:]
    /// What streams that leave had sent and the peer not acknowledged, by slot.
    var kept: [UInt32: [UInt8]] = [:]
    /// TRANSFERs that are not answered yet: this end's, and the peer's.
    var transfersAsked = 0
    var transfersOffered = 0
    /// Which session this is, among all that there are or were between the two agents; the same at both ends. Zero: it has
    /// no name, and its streams keep to it.
    public var name: UInt64 = 0

    var resets: TokenBucket
    var pings: TokenBucket
    /// TRANSFERs of the peer.
    var transfers: TokenBucket
    /// Frames of the log that are looked through for the bytes of streams that change their lane.
    var readings: TokenBucket
    var notice = Notice(.normal)
    var request: OpenRequest?
    var transferRequest: TransferRequest?
    var transferAnswer: TransferAnswer?
    var count = SessionCounters()

    /// A session over a link whose HELLOs were exchanged.
    ///
    /// - Parameters:
    ///   - role: which end of the link this is; the dialler masks.
    ///   - parity: from the two identities, see `StreamParity`.
    ///   - configuration: must be the one whose limits this end's HELLO announced.
    ///   - peer: the peer's HELLO.
    ///   - budget: the agent's receive budget.
    ///   - quota: how many streams the agent takes of all its peers.
    ///   - pool: the worker's segments.
    ///   - masks: the worker's mask keys.
    ///   - seed: random, for the stream table.
    ///   - now: monotonic nanoseconds.
    ///   - unixMilliseconds: the wall clock at `now`.
    public init(
        role: LinkRole, parity: StreamParity, configuration: SessionConfiguration = SessionConfiguration(),
        peer: Hello, budget: ReceiveBudget, quota: StreamQuota = StreamQuota(), pool: SegmentPool, masks: MaskKeys,
        seed: UInt64, now: UInt64, unixMilliseconds: UInt64
    ) {
        self.role = role
        self.parity = parity
        self.configuration = configuration
        (pingInterval, deadPeerTimeout) = (configuration.pingInterval, configuration.deadPeerTimeout)
        self.peer = peer
        self.budget = budget
        self.quota = quota
        self.now = now
        let outbox = Outbox(
            pool: pool, masks: masks, masking: role == .dialler, limit: configuration.retentionLimit,
            controlReserve: configuration.controlReserve)
        tables = .allocate(capacity: 1)
        tables.initialize(to: SessionTables(outbox: outbox, map: StreamMap(seed: seed)))
        maximumPayload = min(Int(peer.maximumPayload), LinkFrame.maximumPayload)
        nextLocalID = parity.firstID
        wallOffset = Int64(clamping: unixMilliseconds) - Int64(now / 1_000_000)
        lastHeard = now
        nextPing = now
        resets = TokenBucket(burst: configuration.resetBurst, perSecond: configuration.resetsPerSecond, now: now)
        pings = TokenBucket(burst: configuration.pingBurst, perSecond: configuration.pingsPerSecond, now: now)
        transfers = TokenBucket(
            burst: configuration.transferBurst, perSecond: configuration.transfersPerSecond, now: now)
        readings = TokenBucket(
            burst: configuration.readingBurst, perSecond: configuration.readingsPerSecond, now: now)
    }

    deinit {
        for slot in 0..<UInt32(slab.capacity) where slab[slot].pointee.phase != .free {
            budget.release(Int(slab[slot].pointee.window))
            if slab[slot].pointee.marks.contains(.counted) { quota.give() }
        }
        tables.deinitialize(count: 1)
        tables.deallocate()
    }

    // MARK: What it knows

    /// Whether frames can still be exchanged.
    public var currentState: State { state }

    /// Streams that live now, opened by either end.
    public var streamCount: Int { slab.count }

    /// Memory of the tables of streams, in bytes.
    public var tableBytes: Int { slab.byteCount + map.byteCount }

    /// Bytes that are kept for the peer's acknowledgement or wait to be sent.
    public var retainedBytes: Int { outbox.retained + transferBytes }

    /// Bytes that wait to be sent on the link in use: until `crossOver` the old one, while the session moves.
    public var unsentBytes: Int { outbox.lendable }

    /// Sequenced frames sent that the peer has not acknowledged yet.
    public var unacknowledgedFrames: UInt64 { outbox.sequence - outbox.acknowledged }

    /// Sequenced frames sent so far, acknowledged or not.
    public var sentFrames: UInt64 { outbox.sequence }

    /// Sequenced frames received and processed: what a resumption would tell the peer.
    public var processedFrames: UInt64 { processed }

    /// Streams that wait for their turn in the scheduler.
    public var readyStreams: Int { ready.count + writableTails }

    /// Whether no application data can be written until the peer acknowledges some.
    public var isRetentionFull: Bool { outbox.isFull }

    /// What the last REFUSE, RESET, GOAWAY or violation said.
    public var lastNotice: Notice { notice }

    /// What the last OPEN asked for.
    public var lastRequest: OpenRequest? { request }

    /// What the last TRANSFER asked for.
    public var lastTransfer: TransferRequest? { transferRequest }

    /// What the last TAKEN said.
    public var lastAnswer: TransferAnswer? { transferAnswer }

    /// The last round trip and the smoothed one (RFC 6298's α = 1/8) in nanoseconds; zero before the first PONG.
    public var roundTrip: (last: UInt64, smoothed: UInt64) { (lastRoundTrip, smoothed) }

    /// How far the peer's clock is from ours, as far as pings tell.
    public var clockEstimate: PeerClock.Estimate? { peerClock.estimate }

    /// Whether application data can be written now: neither the session's limit nor that of its worker's memory is reached.
    public var acceptsData: Bool { outbox.acceptsData }

    /// Whether GOAWAY was sent or received.
    public var isGoingAway: Bool { goingAway || peerGoingAway || state != .open }

    /// Whether nothing is left: no stream, nothing to send, nothing to be acknowledged. A session that is going away and
    /// drained can be closed without loss.
    public var isDrained: Bool {
        slab.count == 0 && control.count == 0 && goAwayDue == nil && outbox.unsent == 0
            && outbox.sequence == outbox.acknowledged
    }

    /// Numbers for metrics.
    public var counters: SessionCounters {
        var result = count
        result.framesOut = outbox.framesWritten
        result.bytesOut = outbox.bytesSent
        return result
    }

    /// Whether the stream still lives.
    public func isLive(_ stream: StreamHandle) -> Bool { slab.find(stream) != nil }

    /// Bytes the peer would take on the stream now; zero for a stream that is over.
    public func credit(of stream: StreamHandle) -> Int {
        slab.find(stream).map { Int(clamping: $0.pointee.credit) } ?? 0
    }

    /// Bytes received on the stream that the application has not consumed.
    public func unconsumed(of stream: StreamHandle) -> Int {
        slab.find(stream).map { Int(clamping: $0.pointee.unread) } ?? 0
    }

    /// The id on the wire, for logs; nil for a stream that is over.
    public func id(of stream: StreamHandle) -> UInt64? { slab.find(stream)?.pointee.id }

    /// The wall clock was set: `unixMilliseconds` is the time at `now`.
    public func setWallClock(unixMilliseconds: UInt64, now: UInt64) {
        wallOffset = Int64(clamping: unixMilliseconds) - Int64(now / 1_000_000)
    }

    /// The time between pings and the time after which a silent peer is dead are those of `other` from now on. Everything
    /// else of the configuration stays.
    public func use(timesOf other: SessionConfiguration, now: UInt64) {
        pingInterval = other.pingInterval
        // A peer that was asked less often than the new time wants has not been silent for it.
        if other.deadPeerTimeout < deadPeerTimeout { lastHeard = max(self.now, now) }
        deadPeerTimeout = other.deadPeerTimeout
        nextPing = min(nextPing, max(self.now, now) + other.pingInterval)
    }

    var wallClock: UInt64 { UInt64(clamping: Int64(now / 1_000_000) + wallOffset) }

    // MARK: Ending

    /// The session is over, with its link or after it was parked. Ends all streams, gives memory and budget back, and returns
    /// the streams whose applications are to be told.
    public func linkLost() -> [LostStream] {
        resumption.isParked = false
        move = nil
        var lost: [LostStream] = []
        for slot in 0..<UInt32(slab.capacity) {
            let stream = slab[slot].pointee
            guard stream.phase != .free else { continue }
            if stream.phase != .ending {
                lost.append(
                    LostStream(
                        stream: StreamHandle(slot: slot, generation: stream.generation),
                        openedHere: stream.isLocal, accepted: stream.phase == .open,
                        neverProcessed: stream.isLocal && stream.id > peerLastID,
                        isComplete: stream.sendFinished && stream.receiveFinished && stream.pending.isEmpty
                            && !stream.marks.contains(.leaving) && stream.endWritten <= outbox.acknowledged,
                        bytesSent: stream.sendOffset))
            }
            free(slot)
            if slab.count == 0 { break }
        }
        outbox.removeAll()
        goAwayDue = nil
        pongDue = false
        acknowledgeAt = .max
        state = .ended
        return lost
    }

    /// Takes no new streams from now on: OPENs that the peer sent before it hears of it are refused. Running streams go on.
    ///
    /// - Parameter opensOn: this end may still open streams; the peer takes them.
    public func goAway(_ reason: LinkReason, retryAfter: UInt32 = 0, detail: String = "", opensOn: Bool = false) {
        guard state == .open, !goingAway else { return }
        goingAway = true
        self.opensOn = opensOn
        goAwayDue = Notice(reason, retryAfter: retryAfter, detail: detail)
        writeGoAway()
    }

    func writeGoAway() {
        guard let due = goAwayDue else { return }
        if write(.goAway, payload: due.encodedPayload(for: .goAway, lastStreamID: lastPeerID)) { goAwayDue = nil }
    }

    /// The peer broke the protocol.
    func fail(_ reason: LinkReason, _ detail: String) -> SessionEvent {
        guard state == .open else { return .none }
        notice = Notice(reason, detail: detail)
        goAwayDue = notice
        writeGoAway()
        goingAway = true
        state = .failed(reason)
        return .violation(reason)
    }

    // MARK: Shared by the extensions

    /// Writes a frame with a rare payload; false when its share of the log is used up.
    func write(_ type: FrameType, id: UInt64 = 0, payload: [UInt8]) -> Bool {
        payload.withUnsafeBytes { outbox.append(LinkFrame(type: type, streamID: id), payload: $0) }
    }

    /// Writes a frame whose payload is one or two integers.
    func write(_ type: FrameType, id: UInt64 = 0, _ first: UInt64, _ second: UInt64? = nil) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { buffer in
            buffer.storeBE64(first)
            if let second { buffer.storeBE64(second, at: 8) }
            let payload = UnsafeRawBufferPointer(rebasing: buffer[..<(second == nil ? 8 : 16)])
            return outbox.append(LinkFrame(type: type, streamID: id), payload: payload)
        }
    }

    func handle(_ slot: UInt32) -> StreamHandle {
        StreamHandle(slot: slot, generation: slab[slot].pointee.generation)
    }

    /// Takes a stream out of all lists and gives its place and its budget back.
    func free(_ slot: UInt32) {
        ready.remove(slot, slab)
        control.remove(slot, slab)
        map.remove(slot, slab)
        let stream = slab[slot]
        if stream.pointee.pending.contains(.tail) { tails[slot] = nil }
        if stream.pointee.marks.contains(.leaving) { kept[slot] = nil }
        if stream.pointee.marks.contains(.asked) { answered(stream) }
        budget.release(Int(stream.pointee.window))
        if stream.pointee.isLocal {
            localStreams -= 1
        } else {
            peerStreams -= 1
        }
        if stream.pointee.marks.contains(.counted) { quota.give() }
        if cachedID == stream.pointee.id { cachedID = 0 }
        slab.release(slot)
    }

    /// Frees a stream that has nothing more to do: both directions complete, everything consumed, nothing to write.
    func freeIfComplete(_ slot: UInt32) {
        let stream = slab[slot]
        if stream.pointee.phase == .open, stream.pointee.sendFinished, stream.pointee.receiveFinished,
            stream.pointee.unread == 0, stream.pointee.pending.isEmpty, !stream.pointee.marks.contains(.leaving)
        {
            free(slot)
        }
    }
}
