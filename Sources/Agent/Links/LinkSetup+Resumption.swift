import EventLoop
import JSON
import Link
import PKI
import TLS

/// The end of a setup: the session that goes on over the new link, or a new one.
extension LinkSetup {
    /// The link is wanted. Whether a session goes on is settled with the peer, then the link is established.
    func begin(_ handshake: consuming LinkHandshake, _ hello: Hello) {
        if intent == .move { return beginMove(handshake, hello) }
        guard let tls, let identity = tls.peerIdentity else { return }
        // Whoever brings documents alone has no right to a session.
        let held = isCatchingUp ? nil : core.heldSession(lane, bootID: hello.bootID, identity: identity)
        self.held = held
        if isDialler {
            guard hello.resumptionEpoch != nil else {
                endHeld("the peer does not hold the session any more")
                return establish(hello, nil)
            }
            guard let proof = proof(held?.link.key, hello) else { return }
            phase = .resuming(.awaitOffer(proof.value), hello)
            return takePlaintext()
        }
        var answer = ownHello(hello.intent)
        answer.resumptionEpoch = nil
        guard let held, let hint = hello.resumptionEpoch else {
            endHeld("the peer does not resume sessions")
            send(LinkHandshake.wireMessage(handshake.answer(answer), role: .acceptor, masks: core.maskKeys))
            return establish(hello, nil)
        }
        guard let proof = proof(held.link.key, hello)?.value else { return }
        do throws(ResumptionError) {
            let claim = try held.session.offerResumption(hint: hint)
            offer(claim, proof, handshake, hello, answer: answer)
        } catch {
            giveUp(.resumeRefused, "the session cannot be offered: \(error.code)")
        }
    }

    /// Answers the peer's HELLO with ours, `answer`, and offers to go on with a session.
    func offer(
        _ claim: ResumeClaim, _ proof: ResumptionProof, _ handshake: consuming LinkHandshake, _ hello: Hello,
        answer: Hello
    ) {
        var answer = answer
        answer.resumptionEpoch = claim.epoch
        let (resumption, frames) = LinkResumption.offer(claim, proof)
        phase = .resuming(resumption, hello)
        for frame in [handshake.answer(answer)] + frames {
            send(LinkHandshake.wireMessage(frame, role: .acceptor, masks: core.maskKeys))
        }
        takePlaintext()
    }

    /// Takes the next frame of the exchange; false when there is nothing more to do with what has arrived.
    func takeResumption(_ resumption: inout LinkResumption, _ hello: Hello) -> Bool {
        let step: LinkResumption.Step? = nextMessage(
            { resumption.received($0) }, closed: { .refused($0) }, violated: { .failed($0) })
        guard let step else { return false }
        phase = .resuming(resumption, hello)
        switch step {
        case .more: return true
        case .refused(let notice):
            if isDialler, notice.reason == .identityRevoked { saidRevoked(notice.detail) }
            failRefused(notice)
        case .failed(let text): giveUp(.resumeRefused, text)
        case .declined where intent == .move: giveUp(.resumeRefused, "a session in use cannot be declined")
        case .offered(let claim) where intent == .move: answerMove(&resumption, claim, hello)
        case .proven(let claim) where intent == .move: move(claim, hello)
        case .declined:
            endHeld("the peer does not hold the session any more")
            // The peer took its time to say so: what has been withdrawn meanwhile saw no link to close.
            guard authorize() else { return false }
            establish(hello, nil)
        case .offered(let claim): answer(&resumption, claim, hello)
        case .proven(let claim): goOn(claim, hello, first: [])
        }
        return false
    }

    /// The dialler's answer to an offer.
    private func answer(_ resumption: inout LinkResumption, _ claim: ResumeClaim, _ hello: Hello) {
        guard !isCatchingUp, let held = core.parked[lane], held.session.peer.bootID == hello.bootID else {
            guard authorize() else { return }
            send(LinkHandshake.wireMessage(resumption.decline(), role: .dialler, masks: core.maskKeys))
            return establish(hello, nil)
        }
        guard held === self.held else { return giveUp(.resumeRefused, "another session took its place") }
        do throws(ResumptionError) {
            let own = try held.session.answerResumption(claim)
            goOn(claim, hello, first: resumption.answer(own))
        } catch {
            giveUp(.resumeRefused, "the offer cannot be taken: \(error.code)")
        }
    }

    /// The peer has proven the session. Its streams are authorised again, then it goes on; `first` goes out before it.
    private func goOn(_ claim: ResumeClaim, _ hello: Hello, first: [[UInt8]]) {
        guard let held = core.parked[lane], held === self.held, held.session.peer.bootID == hello.bootID, authorize(),
            let principal
        else {
            if registration != nil { giveUp(.resumeRefused, "the session is over") }
            return
        }
        held.link.principal = principal
        let closed = held.link.reevaluate(core.routing)
        core.counters.withdrawn &+= UInt64(closed)
        do throws(ResumptionError) {
            try held.session.resume(
                claim, role: isDialler ? .dialler : .acceptor, now: core.loop.now,
                unixMilliseconds: UInt64(Clock.unixMilliseconds()))
        } catch {
            if error.isFatal {
                core.endParked(lane, .protocolError, outcome: .failed, "its counts make no sense: \(error.code)")
            }
            return giveUp(error.isFatal ? .protocolError : .resumeRefused, "no resumption: \(error.code)")
        }
        for frame in first { send(LinkHandshake.wireMessage(frame, role: .dialler, masks: core.maskKeys)) }
        _ = core.unpark(lane)
        core.counters.resumption(.resumed)
        let pause = Clock.unixMilliseconds() - held.since
        core.counters.parkedSeconds.observe(seconds: Double(max(pause, 0)) / 1e3)
        core.shared.log.info(
            "session_resumed", "the session with node \(node) goes on over a new link",
            [
                ("node", .string(node)), ("lane", .init(Int(number))), ("streams", .init(held.session.streamCount)),
                ("epoch", .init(claim.epoch)),
                ("resent_bytes", .init(held.session.unsentBytes)),
                ("parked_ms", .integer(pause)),
            ])
        establish(hello, held)
    }

    /// A session that is parked here and that the peer does not go on with is over.
    private func endHeld(_ text: String) {
        guard !isCatchingUp else { return }
        core.endParked(lane, .resumeRefused, outcome: .refused, text)
    }

    /// The link is not to be. A parked session stays.
    func giveUp(_ reason: LinkReason, _ text: String) {
        refuse(reason, text)
        fail(reason.name, text, hint: nil)
    }

    /// A proof by the key of the held session, which there may not be; nil when TLS gives none, and the setup is over.
    func proof(_ key: SessionKey?, _ hello: Hello) -> (value: ResumptionProof?, Void)? {
        guard let key, let tls else { return (nil, ()) }
        let own = core.shared.bootID
        do throws(TLSError) {
            return (
                try key.proof(
                    on: tls, dialler: isDialler ? own : hello.bootID, acceptor: isDialler ? hello.bootID : own), ()
            )
        } catch {
            giveUp(.internalError, error.message)
            return nil
        }
    }

    // MARK: - Another worker

    /// Takes the setup off its loop, to go on on another one; false unless it waits for a decision.
    func takeOff() -> Bool {
        guard case .deciding = phase else { return false }
        leaveLoop()
        return true
    }
}
