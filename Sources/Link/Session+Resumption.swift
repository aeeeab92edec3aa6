// A session between two links: parked when one is lost, resumed on the next.

/// Where a session is between its links.
struct ResumptionState {
    /// The highest epoch that this end has chosen or accepted.
    var epoch: UInt64 = 0
    var isParked = false
    /// Streams that lost their right while the session was parked: their retained bytes are not sent.
    var withheld: Set<UInt64> = []
}

/// Why a session does not go on over a new link.
public enum ResumptionError: Error, Sendable, Hashable {
    /// The session is not parked (any more).
    case notParked
    /// The session cannot move: it is parked, ends, or moves already.
    case notMovable
    /// The attempt is older than another one; the session stays as it is.
    case staleEpoch
    /// Counts that contradict what this end knows. The session cannot go on: `linkLost`.
    case impossibleCounts
    /// The system has no memory. The session cannot go on: `linkLost`.
    case outOfMemory

    /// Whether the session is beyond help.
    public var isFatal: Bool {
        switch self {
        case .notParked, .notMovable, .staleEpoch: false
        case .impossibleCounts, .outOfMemory: true
        }
    }

    /// Stable name for logs.
    public var code: String {
        switch self {
        case .notParked: "not_parked"
        case .notMovable: "not_movable"
        case .staleEpoch: "stale_epoch"
        case .impossibleCounts: "impossible_counts"
        case .outOfMemory: "out_of_memory"
        }
    }
}

extension LinkReason {
    /// Whether a link that ended with this reason leaves its session parked: the reason speaks of the link only.
    public var leavesSession: Bool {
        switch self {
        case .linkLost, .peerSilent, .replaced, .superseded, .identityExpired: true
        default: false
        }
    }
}

extension Session {
    /// Whether the session could wait for another link: nothing was violated, and no end has said that it goes away.
    public var canPark: Bool { state == .open && !goingAway && !peerGoingAway }

    /// Whether the session waits for another link. Streams can be read, ended and answered meanwhile; nothing is sent.
    public var isParked: Bool { resumption.isParked }

    /// The highest epoch that this end knows: the hint for the dialler's HELLO.
    public var resumptionEpoch: UInt64 { resumption.epoch }

    /// Memory that the session holds while parked, in bytes: frames not acknowledged and bytes that applications did not
    /// take yet.
    public var parkedBytes: Int {
        var bytes = retainedBytes
        for slot in 0..<UInt32(slab.capacity) where slab[slot].pointee.phase != .free {
            bytes += Int(clamping: slab[slot].pointee.unread)
        }
        return bytes
    }

    /// The link is gone, the session waits for another one. No frame of the old link may be passed to `received` any more.
    /// To be called only if `canPark`.
    public func park(now: UInt64) {
        precondition(canPark, "park of a session that is over")
        self.now = max(self.now, now)
        resumption.isParked = true
        move = nil
        probeDeadline = .max
    }

    /// To the acceptor: the claim for its RESUME, with an epoch that is used up by this. `hint` is the one in the dialler's
    /// HELLO; it counts only up to 2^32 beyond what this end knows, so that nobody can use the epochs up.
    public func offerResumption(hint: UInt64) throws(ResumptionError) -> ResumeClaim {
        guard isParked else { throw .notParked }
        return nextEpoch(hint)
    }

    /// Uses an epoch up.
    func nextEpoch(_ hint: UInt64) -> ResumeClaim {
        let (bound, overflow) = resumption.epoch.addingReportingOverflow(1 << 32)
        resumption.epoch = max(resumption.epoch, min(hint, overflow ? .max : bound)) &+ 1
        return ownClaim
    }

    /// To the dialler: the claim for its answer to a proven offer. The offer's epoch must be news.
    public func answerResumption(_ offer: ResumeClaim) throws(ResumptionError) -> ResumeClaim {
        guard isParked else { throw .notParked }
        guard offer.epoch > resumption.epoch else { throw .staleEpoch }
        resumption.epoch = offer.epoch
        return ownClaim
    }

    var ownClaim: ResumeClaim {
        ResumeClaim(epoch: resumption.epoch, processed: processed, sent: outbox.sequence)
    }

    /// The session goes on over a new link, as the peer claimed and proved: what it has not processed waits to be sent again,
    /// in order, behind nothing else. Streams that lost their right must have been reset before.
    ///
    /// - Parameters:
    ///   - peer: the peer's claim, of the epoch that this end offered or answered last.
    ///   - role: which end of the new link this is.
    ///   - unixMilliseconds: the wall clock at `now`.
    public func resume(
        _ peer: ResumeClaim, role newRole: LinkRole, now: UInt64, unixMilliseconds: UInt64
    ) throws(ResumptionError) {
        guard isParked else { throw .notParked }
        guard peer.epoch == resumption.epoch else { throw .staleEpoch }
        guard peer.processed >= outbox.acknowledged, peer.processed <= outbox.sequence, peer.sent >= processed else {
            throw .impossibleCounts
        }
        guard outbox.rebase(processed: peer.processed, masking: newRole == .dialler, withheld: resumption.withheld)
        else { throw .outOfMemory }
        role = newRole
        resumption.isParked = false
        resumption.withheld = []
        self.now = max(self.now, now)
        setWallClock(unixMilliseconds: unixMilliseconds, now: self.now)
        // RESUME was the acknowledgement of everything so far.
        acknowledgedToPeer = processed
        unacknowledgedBytes = 0
        acknowledgeAt = .max
        // Pings and their answers are of the old link.
        lastHeard = self.now
        nextPing = self.now
        pingToken = 0
        pingDue = false
        answeredPingAt = 0
        pongDue = false
        probeDeadline = .max
    }
}
