import Bytes
import Link

/// The simulated agent's session on its way from one link to another, as the agent's shell does it.
extension ResumptionEnd {
    /// The peer dialled a link to which the session shall move.
    func offerMove(_ link: SimulatedLink, _ attempt: inout Attempt, hint: UInt64, now: UInt64) {
        attempt.isMove = true
        let claim: ResumeClaim
        do throws(ResumptionError) {
            guard attached != nil else { throw .notMovable }
            claim = try node.session.offerMove(hint: hint)
        } catch {
            return close(link, now: now)
        }
        attempt.epoch = claim.epoch
        var answer = hello
        answer.resumptionEpoch = claim.epoch
        send(attempt.handshake.answer(answer), on: link)
        let (resumption, frames) = LinkResumption.offer(claim, proof(link))
        attempt.resumption = resumption
        for frame in frames { send(frame, on: link) }
    }

    /// This end's SWITCH is written: from here on the session needs both links, until the move is over.
    func move(to link: SimulatedLink) {
        attempts[link.number] = nil
        old = attached
        attached = link
        if node.session.unsentBytes > 0 { coverage.movesInTraffic += 1 }
    }

    /// What the session says about a move.
    func moving(_ event: SessionEvent) throws {
        if event == .moveLost {
            coverage.movesLost += 1
            guard let attached else { throw Broken(description: "\(node.name): a move of a parked session") }
            return isLost = attached
        }
        // The dialler's part begins with the acceptor's SWITCH.
        guard old == nil else { return }
        guard let link = attempts.values.first(where: \.isAnswered)?.link else {
            throw Broken(description: "\(node.name): moved to a link that it does not have")
        }
        move(to: link)
    }

    /// Lets the old link go when everything on it was processed.
    func finishMove() {
        guard node.session.isMoveOver else { return }
        node.session.finishMove()
        coverage.moved += 1
        guard let old else { return }
        readers[old.number] = nil
        retired.append(old)
        self.old = nil
    }

    /// The peer closed the old link behind its SWITCH: nothing more comes on it.
    func oldLinkRetired(_ link: SimulatedLink) {
        guard old === link, node.session.isPeerSwitched, !node.session.isCrossingOver else { return }
        readers[link.number] = nil
        old = nil
    }
}
