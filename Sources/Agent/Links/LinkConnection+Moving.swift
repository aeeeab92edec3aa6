import EventLoop
import Link
import TLS

/// A session on its way from one link to another. The new link is the one that everything else knows; the old one is kept
/// by it until both directions have crossed over.
extension LinkConnection {
    /// Takes over the session of `old`, which moves here. `isHeard`: the peer's frames come here already.
    func succeed(_ old: LinkConnection, isHeard: Bool) {
        self.isHeard = isHeard
        predecessor = old
        old.successor = self
        hasLeftover = true
        roundTrip = old.roundTrip
        isProbed = old.isProbed
        if let deadline = old.deadline { core.loop.cancel(deadline.id) }
        old.deadline = nil
        continueStreams(of: old)
    }

    /// Puts a link that a session moves to on the loop.
    func startMoved() throws(SystemError) {
        registration = try core.loop.register(descriptor, isHeard ? [.readable] : [], self)
        scheduleFlush()
    }

    /// The loop's word on one of the two links of a session that moves.
    func readyWhileMoving(_ readiness: Readiness) {
        if successor != nil {
            if !readiness.isDisjoint(with: [.readable, .hangup, .error, .readHangup]) { receive() }
            guard !isClosed, readiness.contains(.writable) else { return }
            transmit()
            successor?.scheduleFlush()
        } else if !readiness.isDisjoint(with: [.hangup, .error]) {
            lost(.linkLost, "the new link broke while the session moved to it")
        } else if readiness.contains(.writable) {
            scheduleFlush()
        }
    }

    /// The peer's SWITCH came: its frames come on the new link from now on.
    func peerSwitched() {
        // At the end that dialled the new link, the move begins here.
        guard predecessor != nil else { return core.peerSwitched(self) }
        isHeard = true
        if let registration { core.loop.modify(registration, wantsWritable ? [.readable, .writable] : [.readable]) }
        scheduleFlush()
    }

    /// Gives the old link what is its own. False while there is more of it than its socket takes.
    func crossOver() -> Bool {
        guard let predecessor, session.isCrossingOver else { return true }
        predecessor.seal()
        guard !isClosed else { return false }
        predecessor.transmit()
        guard !isClosed, session.unsentBytes == 0 else { return false }
        session.crossOver()
        return true
    }

    /// Lets the old link go when both directions have crossed over and nothing on it is left unprocessed.
    func finishMove() {
        guard session.isMoveOver else { return }
        session.finishMove()
        core.counters.move(.moved)
        guard let old = predecessor else { return }
        predecessor = nil
        old.successor = nil
        // Its socket may be broken by now, which must not look like the loss of the session.
        old.hasNoSession = true
        _ = CloseFrame.encode(.replaced, "the session moved", masked: old.isDialler).withUnsafeBytes {
            old.tls.write($0)
        }
        old.tls.shutdown()
        old.transmit()
        old.retire()
    }

    /// The old link ended. That is in order behind the peer's SWITCH; otherwise something of the session is lost with it,
    /// and only a resumption finds out what.
    func predecessorLost(_ reason: LinkReason, _ text: String) {
        guard reason == .replaced, session.isPeerSwitched, !session.isCrossingOver, let old = predecessor else {
            return lost(.linkLost, "the old link was lost while the session moved: \(text)")
        }
        predecessor = nil
        old.successor = nil
        old.retire()
    }

    /// This link is lost, and the old one is of no use without it.
    func dropPredecessor() {
        guard let old = predecessor else { return }
        predecessor = nil
        old.successor = nil
        core.counters.move(.broken)
        old.retire()
    }

    /// An old link is at its end; its session has left it.
    func retire() {
        guard !isClosed else { return }
        isClosed = true
        leaveLoop()
        core.linkClosed(self, .replaced, "the session moved", isParked: false)
    }
}

/// What became of a session that was to move to another link; the label of a counter.
enum MoveOutcome: String, Sendable {
    /// It moved.
    case moved
    /// The new link did not come about, or was refused; the session stayed on the old one.
    case failed
    /// Both ends wanted it at once, and the other's link is the one that counts.
    case superseded
    /// One of the two links was lost in the middle; the session was parked.
    case broken
}
