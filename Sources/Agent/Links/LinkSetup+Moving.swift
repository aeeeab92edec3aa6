import Bytes
import EventLoop
import JSON
import Link
import PKI
import TLS

/// A move that an end has offered or answered, and that may still come to nothing.
struct PendingMove {
    /// The link that carries the session.
    let link: UInt64
    /// The epoch under which both ends prove it.
    let epoch: UInt64
}

/// The end of a setup whose link the session of another one moves to. That one goes on meanwhile, and stays when this comes
/// to nothing.
extension LinkSetup {
    /// Bytes that are held while the old link is not at its end, or the control plane has not decided; beyond that the peer has to
    /// wait.
    private static let heldBytes = 1 << 20

    /// The link whose session could move to this one: of the same running agent and the same identity.
    private func movable(_ hello: Hello) -> LinkConnection? {
        guard let identity = tls?.peerIdentity, let link = core.links[lane], link.key != nil, link.session.canMove,
            link.session.peer.bootID == hello.bootID, link.peer.commonName == identity.commonName,
            link.peer.spiffe == identity.spiffe
        else { return nil }
        return link
    }

    /// The link is wanted.
    func beginMove(_ handshake: consuming LinkHandshake, _ hello: Hello) {
        guard let hint = hello.resumptionEpoch, let link = movable(hello) else {
            return giveUp(.resumeRefused, "there is no session that could move")
        }
        guard let proof = proof(link.key, hello)?.value else { return }
        guard !isDialler else {
            phase = .resuming(.awaitOffer(proof), hello)
            return takePlaintext()
        }
        do throws(ResumptionError) {
            let claim = try link.session.offerMove(hint: hint)
            move = PendingMove(link: link.id, epoch: claim.epoch)
            offer(claim, proof, handshake, hello, answer: ownHello(.move))
        } catch {
            giveUp(.resumeRefused, "the session cannot move: \(error.code)")
        }
    }

    /// The dialler's answer to an offer. What follows on this link waits for the end of the old one.
    func answerMove(_ resumption: inout LinkResumption, _ claim: ResumeClaim, _ hello: Hello) {
        guard let link = movable(hello), authorize() else {
            if registration != nil { giveUp(.resumeRefused, "there is no session that could move") }
            return
        }
        do throws(ResumptionError) {
            let own = try link.session.answerMove(claim)
            move = PendingMove(link: link.id, epoch: claim.epoch)
            phase = .switching(hello)
            // The peer's SWITCH comes behind what it has sent before, which may be much on a slow path. A link that is dead
            // is found by its own means.
            if let timer { core.loop.cancel(timer) }
            timer = core.loop.schedule(after: core.shared.links.session.deadPeerTimeout, self, tag: 0)
            for frame in resumption.answer(own) {
                send(LinkHandshake.wireMessage(frame, role: .dialler, masks: core.maskKeys))
            }
        } catch {
            giveUp(.resumeRefused, "the session cannot move: \(error.code)")
        }
    }

    /// To the acceptor: the dialler has proven the session. It moves, its streams under the new certificate.
    func move(_ claim: ResumeClaim, _ hello: Hello) {
        guard let link = movable(hello), link.id == move?.link, authorize() else {
            if registration != nil { giveUp(.resumeRefused, "there is no session that could move") }
            return
        }
        do throws(ResumptionError) {
            try link.session.beginMove(claim, now: core.loop.now)
        } catch {
            return giveUp(.resumeRefused, "the session cannot move: \(error.code)")
        }
        take(over: link, hello, isHeard: false)
    }

    /// To the dialler: the peer's SWITCH came on the old link.
    func peerSwitched(_ link: LinkConnection) {
        guard case .switching(let hello) = phase else { return }
        // The peer has moved already, and so has the session here: a node that drains does so on the new link.
        guard authorize(whileDraining: true) else {
            return link.close(.linkDenied, "the peer's new certificate has no right to link")
        }
        take(over: link, hello, isHeard: true)
    }

    /// The session goes on over this link; what is under way on the old one still counts.
    private func take(over old: LinkConnection, _ hello: Hello, isHeard: Bool) {
        guard let tls, let identity = tls.peerIdentity, let principal, let owned = owned.take() else { return }
        leave()
        var leftover: [UInt8] = []
        plain.withReadable { leftover.append(contentsOf: $0) }
        let link = LinkConnection(
            owned, id: id, lane: lane, peer: identity, principal: principal, isDialler: isDialler, tls: tls,
            frames: frames, session: old.session, key: old.key, gate: old.gate, leftover: leftover,
            core: core)
        link.succeed(old, isHeard: isHeard)
        let epoch = move?.epoch ?? 0
        core.shared.log.info(
            "session_moving", "the session with node \(node) moves to a new link",
            [
                ("node", .string(node)), ("lane", .init(Int(number))), ("streams", .init(link.session.streamCount)),
                ("epoch", .init(epoch)),
                ("dialled", .bool(isDialler)), ("fingerprint", .string(identity.fingerprint)),
            ])
        let status = status(of: link, hello, isResumed: false)
        ControlPlane.post { [shared = core.shared] in shared.supervisor?.moved(status) }
        core.moved(link)
        core.counters.withdrawn &+= UInt64(link.reevaluate(core.routing))
    }

    /// The setup came to nothing: the session stays on its link.
    func moveFailed(_ code: String) {
        guard intent == .move else { return }
        core.counters.move(code == LinkReason.superseded.name ? .superseded : .failed)
        guard let move, let link = core.links[lane], link.id == move.link else { return }
        link.session.moveFailed(move.epoch)
    }

    /// Whether the peer's SWITCH on the old link is all that is missing.
    var isSwitching: Bool {
        if case .switching = phase { true } else { false }
    }

    /// Keeps what comes before it can be worked on, within bounds.
    func holdBack() {
        guard plain.count > Self.heldBytes, let registration else { return }
        // What is still to be said goes on.
        core.loop.modify(registration, (tls?.pendingOutput ?? 0) > 0 ? .writable : [])
    }
}
