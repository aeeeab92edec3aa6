internal import Bytes

// A session that moves from a link in use to another one (`docs/link-protocol.md`, "Moving").

/// How far a session is on its way to another link.
struct MoveState {
    enum Stage {
        /// The acceptor has offered; the dialler's proof is awaited.
        case offered
        /// The dialler has answered; the acceptor's SWITCH is awaited.
        case answered
        /// This end's SWITCH is written. The session cannot stay on the old link any more.
        case committed
    }

    let epoch: UInt64
    var stage: Stage
    /// How many sequenced frames this end had written with its SWITCH.
    var switchedAt: UInt64 = 0
    /// The peer's SWITCH has come.
    var isPeerSwitched = false
}

extension Session {
    /// Whether a move can begin: the session has a link, no end goes away, and no other move is beyond return.
    public var canMove: Bool { canPark && !isParked && !isMoveCommitted }

    /// Whether this end's frames go to the new link from now on: the session moves, or is parked when either link breaks.
    public var isMoveCommitted: Bool { move?.stage == .committed }

    /// Whether the peer's SWITCH has come: its frames come on the new link now.
    public var isPeerSwitched: Bool { move?.isPeerSwitched == true }

    /// Whether frames are left, or SWITCH, that only the old link may be lent.
    public var isCrossingOver: Bool { outbox.boundary != nil }

    /// Whether the old link is of no more use: nothing comes on it, and everything that went there was processed.
    public var isMoveOver: Bool {
        guard let move, move.stage == .committed, move.isPeerSwitched else { return false }
        return outbox.boundary == nil && outbox.acknowledged >= move.switchedAt
    }

    /// To the acceptor of a link with intent `move`: the claim for its RESUME, with an epoch that is used up by this. The
    /// session stays on its link; an offer before, whose link came to nothing, is void. Not while this end has answered an
    /// offer of the peer, who may have begun to move. `hint`: see `offerResumption`.
    public func offerMove(hint: UInt64) throws(ResumptionError) -> ResumeClaim {
        guard canMove, move?.stage != .answered else { throw .notMovable }
        let claim = nextEpoch(hint)
        move = MoveState(epoch: claim.epoch, stage: .offered)
        return claim
    }

    /// To the dialler: the claim for its answer to a proven offer, whose epoch must be news. The acceptor's SWITCH follows
    /// on the old link (`SessionEvent.switched`).
    public func answerMove(_ offer: ResumeClaim) throws(ResumptionError) -> ResumeClaim {
        guard canMove else { throw .notMovable }
        guard offer.epoch > resumption.epoch else { throw .staleEpoch }
        guard isPossible(offer) else { throw .impossibleCounts }
        resumption.epoch = offer.epoch
        move = MoveState(epoch: offer.epoch, stage: .answered)
        return ownClaim
    }

    /// To the acceptor: the dialler has proven the session. SWITCH is written, and what is written after it goes to the new
    /// link.
    public func beginMove(_ answer: ResumeClaim, now: UInt64) throws(ResumptionError) {
        self.now = max(self.now, now)
        guard canMove, let move, move.stage == .offered else { throw .notMovable }
        guard answer.epoch == move.epoch, answer.epoch == resumption.epoch else { throw .staleEpoch }
        guard isPossible(answer) else { throw .impossibleCounts }
        guard commitMove(as: .acceptor) else { throw .outOfMemory }
    }

    /// The new link came to nothing before this end's SWITCH was written: the session stays where it is. Harmless for an
    /// epoch that is not the newest.
    public func moveFailed(_ epoch: UInt64) {
        guard let move, move.epoch == epoch, move.stage != .committed else { return }
        self.move = nil
    }

    /// The old link has taken everything up to SWITCH (`unsentBytes` is zero); what follows goes to the new one.
    public func crossOver() { outbox.crossBoundary() }

    /// The move is over (`isMoveOver`); another one can begin.
    public func finishMove() {
        precondition(isMoveOver, "a move that is not over")
        move = nil
    }

    /// Asks the peer to dial a link to which the session moves. It may be lost; whoever still wants it asks again.
    public func askForMove() {
        guard canMove else { return }
        _ = write(.move, payload: [])
    }

    /// Counts of a session in use; frames may have come since they were written.
    private func isPossible(_ peer: ResumeClaim) -> Bool {
        peer.processed <= outbox.sequence
    }

    /// Writes SWITCH, whatever is retained: a move that both ends have proven cannot be left half done for want of room.
    private func commitMove(as newRole: LinkRole) -> Bool {
        guard let epoch = move?.epoch else { return false }
        let isWritten = withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { buffer in
            buffer.storeBE64(epoch)
            return outbox.appendUnbounded(LinkFrame(type: .switchLink), payload: UnsafeRawBufferPointer(buffer))
        }
        guard isWritten else { return false }
        outbox.beginMove(masking: newRole == .dialler)
        role = newRole
        move?.stage = .committed
        move?.switchedAt = outbox.sequence
        return true
    }

    func receivedSwitch(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.count == 8 else { return fail(.protocolError, "SWITCH with \(payload.count) bytes") }
        let epoch = payload.loadBE64()
        if let move, move.epoch == epoch, !move.isPeerSwitched {
            switch move.stage {
            case .answered:
                guard commitMove(as: .dialler) else { return .moveLost }
                self.move?.isPeerSwitched = true
                return .switched
            case .committed:
                self.move?.isPeerSwitched = true
                return .switched
            case .offered: return fail(.protocolError, "SWITCH before this end's")
            }
        }
        // A link that was lost at this end after its answer, and not at the peer's.
        guard epoch <= resumption.epoch, !isPeerSwitched else {
            return fail(.protocolError, "SWITCH without a link to move to")
        }
        return .moveLost
    }

    func receivedMove(_ payload: UnsafeRawBufferPointer) -> SessionEvent {
        guard payload.isEmpty else { return fail(.protocolError, "MOVE with a payload") }
        guard pings.take(now: now) else { return fail(.flood, "too many wishes to move") }
        return .moveWanted
    }
}
