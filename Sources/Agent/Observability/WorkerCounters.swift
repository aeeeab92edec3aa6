import PKI

/// What a worker counts. Read by copying on the worker's own thread.
struct WorkerCounters: Sendable {
    /// What two ends agreed on.
    struct HandshakeKey: Hashable, Sendable {
        let version: String
        let suite: String
    }

    /// Streams of local applications that a serving agent accepted.
    var opened: UInt64 = 0
    /// Streams of peers that this agent accepted.
    var accepted: UInt64 = 0
    /// Attempts that went on to another instance.
    var retried: UInt64 = 0
    /// Streams closed because a policy change took their right.
    var withdrawn: UInt64 = 0
    /// Bytes between sockets of this node.
    var localBytes: UInt64 = 0
    var linksEstablished: UInt64 = 0
    /// Bytes on links that are gone.
    var closedLinkBytesReceived: UInt64 = 0
    var closedLinkBytesSent: UInt64 = 0
    var handshakeSeconds = Histogram()
    /// How long sessions that went on had waited for their next link.
    var parkedSeconds = Histogram()

    private(set) var denials: [String: UInt64] = [:]
    private(set) var refusals: [String: UInt64] = [:]
    private(set) var failures: [String: UInt64] = [:]
    private(set) var resets: [String: UInt64] = [:]
    private(set) var closings: [String: UInt64] = [:]
    private(set) var handshakeFailures: [String: UInt64] = [:]
    private(set) var resumptions: [String: UInt64] = [:]
    private(set) var pinChecks: [String: UInt64] = [:]
    private(set) var stapleReviews: [String: UInt64] = [:]
    private(set) var targetChecks: [[String]: UInt64] = [:]
    /// Servers whose SCTs were looked at: by use, result and action.
    private(set) var transparency: [[String]: UInt64] = [:]
    private(set) var validations: [String: UInt64] = [:]
    private(set) var negotiated: [HandshakeKey: UInt64] = [:]
    private(set) var moves: [String: UInt64] = [:]
    private(set) var streamMoves: [String: UInt64] = [:]
    private(set) var streamStays: [String: UInt64] = [:]

    /// Policy said no, with this reason.
    mutating func denied(_ reason: String) { denials[reason, default: 0] += 1 }
    /// A peer's stream was refused.
    mutating func refused(_ reason: String) { refusals[reason, default: 0] += 1 }
    /// A local application's connection was not carried.
    mutating func failed(_ reason: String) { failures[reason, default: 0] += 1 }
    /// A peer reset a stream.
    mutating func resetByPeer(_ reason: String) { resets[reason, default: 0] += 1 }
    /// A link ended.
    mutating func linkClosed(_ reason: String) { closings[reason, default: 0] += 1 }
    /// A link did not come about.
    mutating func handshakeFailed(_ reason: String) { handshakeFailures[reason, default: 0] += 1 }
    /// A session that had lost its link went on, or did not.
    mutating func resumption(_ outcome: ResumptionOutcome) { resumptions[outcome.rawValue, default: 0] += 1 }

    /// A peer's certificate was compared with its pins: `matched`, `mismatch` (only reported) or `refused`.
    mutating func pinChecked(_ result: String) { pinChecks[result, default: 0] += 1 }

    /// What a dialled node has stapled was looked at: the outcome, or why the node was refused for it.
    mutating func stapleReviewed(_ result: String) { stapleReviews[result, default: 0] += 1 }

    /// A target over TLS was dialled: what was looked at (`certificate`, `pin`, `staple`), and what came of it.
    mutating func targetChecked(_ check: String, _ result: String) { targetChecks[[check, result], default: 0] += 1 }

    /// The SCTs of a server that was dialled were looked at; `use` is `link` or `target`.
    mutating func transparencyReviewed(_ review: TransparencyReview, use: String) {
        transparency[[use, review.result.rawValue, review.action], default: 0] += 1
    }

    /// A session moved to another link on purpose, or did not.
    mutating func move(_ outcome: MoveOutcome) { moves[outcome.rawValue, default: 0] += 1 }

    /// A stream changed its lane.
    mutating func streamMoved(_ reason: TransferReason) { streamMoves[reason.rawValue, default: 0] += 1 }
    /// A stream of this node was to change its lane and did not: `refused` by the peer, `no_room` on the other lane, `no_descriptor` for
    /// the socket that its pipe has to become, `over` on its own before, or `lost` with the other lane.
    mutating func streamStayed(_ outcome: String) { streamStays[outcome, default: 0] += 1 }

    /// A peer's certificate was judged: `ok`, or why it was refused.
    mutating func validated(_ result: String) { validations[result, default: 0] += 1 }
    /// A TLS handshake succeeded with this.
    mutating func negotiated(_ version: String, _ suite: String) {
        negotiated[HandshakeKey(version: version, suite: suite), default: 0] += 1
    }

    /// Adds another worker's counts.
    mutating func add(_ other: Self) {
        opened += other.opened
        accepted += other.accepted
        retried += other.retried
        withdrawn += other.withdrawn
        localBytes += other.localBytes
        linksEstablished += other.linksEstablished
        closedLinkBytesReceived += other.closedLinkBytesReceived
        closedLinkBytesSent += other.closedLinkBytesSent
        handshakeSeconds.add(other.handshakeSeconds)
        parkedSeconds.add(other.parkedSeconds)
        denials.merge(other.denials, uniquingKeysWith: +)
        refusals.merge(other.refusals, uniquingKeysWith: +)
        failures.merge(other.failures, uniquingKeysWith: +)
        resets.merge(other.resets, uniquingKeysWith: +)
        closings.merge(other.closings, uniquingKeysWith: +)
        handshakeFailures.merge(other.handshakeFailures, uniquingKeysWith: +)
        resumptions.merge(other.resumptions, uniquingKeysWith: +)
        validations.merge(other.validations, uniquingKeysWith: +)
        negotiated.merge(other.negotiated, uniquingKeysWith: +)
        pinChecks.merge(other.pinChecks, uniquingKeysWith: +)
        targetChecks.merge(other.targetChecks, uniquingKeysWith: +)
        stapleReviews.merge(other.stapleReviews, uniquingKeysWith: +)
        transparency.merge(other.transparency, uniquingKeysWith: +)
        moves.merge(other.moves, uniquingKeysWith: +)
        streamMoves.merge(other.streamMoves, uniquingKeysWith: +)
        streamStays.merge(other.streamStays, uniquingKeysWith: +)
    }
}

/// What a worker shows of itself: copied on its thread, read anywhere.
struct WorkerReport: Sendable {
    let index: Int
    let counters: WorkerCounters
    let links: [LinkStatus]
    let parked: [ParkedStatus]
    let localConnections: Int
    let segmentsInUse: Int
    /// How often its loop looked for an event before sleeping.
    let polls: (found: UInt64, missed: UInt64)
}
