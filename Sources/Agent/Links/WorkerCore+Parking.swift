import Bytes
import Documents
import EventLoop
import JSON
import Link
import PKI
import Policy
import TLS

/// Sessions between two links.
extension WorkerCore {
    /// The link is gone for a reason that says nothing about its session: it waits here for the next one.
    /// - Returns: false when it can't; its streams are to be ended.
    func park(_ link: LinkConnection) -> Bool {
        guard shared.parking.resumeFor > 0, link.key != nil, link.session.canPark, !routing.isDraining,
            links[link.lane] === link, parked[link.lane] == nil
        else { return false }
        let bytes = max(link.session.parkedBytes, ParkingSpace.floor)
        guard shared.parking.take(bytes) else {
            counters.resumption(.noMemory)
            shared.log.warning(
                "session_ended", "parked sessions hold all the memory that they may",
                [
                    ("node", .string(link.node)), ("lane", .init(Int(link.lane.number))),
                    ("reason", .string(ResumptionOutcome.noMemory.rawValue)),
                    ("limit", .init(shared.parking.limit)),
                ])
            return false
        }
        link.session.park(now: loop.now)
        endMoves(of: link.lane, "the link was lost")
        // The peer sends a frame of which only a part has come once more.
        link.partial.removeAll()
        link.releaseIdleMemory()
        parked[link.lane] = ParkedSession(link, bytes: bytes, core: self)
        return true
    }

    /// Takes the parked session of `lane` out, to go on.
    func unpark(_ lane: Lane) -> ParkedSession? {
        guard let session = parked.removeValue(forKey: lane) else { return nil }
        session.leave()
        return session
    }

    /// The session that could go on over a new link of `lane`, parked. One whose link is still in use loses it now; one of
    /// another run of the peer's agent, or of another identity, is over.
    func heldSession(_ lane: Lane, bootID: BootID, identity: PeerIdentity) -> ParkedSession? {
        if let link = links[lane] {
            let isSame = link.session.peer.bootID == bootID
            link.close(isSame ? .replaced : .peerRestarted, "a newer link takes its place")
        }
        guard let session = parked[lane] else { return nil }
        guard session.session.peer.bootID == bootID else {
            endParked(lane, .peerRestarted, outcome: .peerRestarted, "another run of the peer's agent came")
            return nil
        }
        let known = session.link.peer
        guard known.commonName == identity.commonName, known.spiffe == identity.spiffe else {
            endParked(lane, .resumeRefused, outcome: .refused, "the peer has another identity now")
            return nil
        }
        return session
    }

    /// A parked session is over: its streams are reset, or tried elsewhere where that is allowed.
    func endParked(_ lane: Lane, _ reason: LinkReason, outcome: ResumptionOutcome, _ text: String) {
        guard let session = unpark(lane) else { return }
        counters.resumption(outcome)
        shared.log.warning(
            "session_ended", "the session with node \(lane.node) does not go on",
            [
                ("node", .string(lane.node)), ("lane", .init(Int(lane.number))), ("reason", .string(outcome.rawValue)),
                ("detail", .string(text)),
                ("streams", .init(session.session.streamCount)),
            ])
        ControlPlane.post { [shared] in shared.supervisor?.sessionEnded(lane) }
        session.link.endStreams(reason, text)
    }

    /// Policy changed: parked sessions and their streams stay under it.
    /// - Returns: how many streams were closed.
    func reevaluateParked() -> Int {
        var closed = 0
        for session in Array(parked.values) {
            let link = session.link
            if let (entry, _) = revocation(of: link.tls, isDialler: link.isDialler) {
                closed += link.session.streamCount
                noteRevoked(link, entry)
                endParked(
                    link.lane, .identityRevoked, outcome: .revoked, "the peer's certificate is revoked: \(entry.reason)"
                )
                continue
            }
            link.principal = routing.policy.principal(for: link.subject)
            let decision = routing.policy.authorizeLink(peer: link.principal, with: routing.node)
            if decision.allowed {
                closed += link.reevaluate(routing)
            } else {
                closed += link.session.streamCount
                counters.denied(decision.reason.rawValue)
                endParked(link.lane, .policyChanged, outcome: .policyChanged, decision.reason.rawValue)
            }
        }
        return closed
    }

    /// Ends all parked sessions: this agent takes no links any more.
    func endAllParked(_ text: String) {
        for lane in Array(parked.keys) { endParked(lane, .goingAway, outcome: .drained, text) }
    }

    /// Moves a setup to the worker that has the session of its peer, which then asks again by `then`.
    func moveSetup(_ id: UInt64, to index: Int, then: @escaping @Sendable (_ worker: Int) -> Void) {
        guard let setup = takeSetup(id) else { return }
        let box = Handover(setup)
        shared.handovers.begin()
        shared.workers[index].submit { core in
            core.shared.handovers.end()
            core.adopt(LinkSetup(box.value, core: core))
            then(core.index)
        }
    }
}
