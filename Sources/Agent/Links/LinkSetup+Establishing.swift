import Bytes
import EventLoop
import Link
import PKI
import TLS

/// A link that has come about.
extension LinkSetup {
    /// The link stands. It carries the session `held`, or a new one.
    func establish(_ hello: Hello, _ held: ParkedSession?) {
        guard let tls, let identity = tls.peerIdentity, let principal, let owned = owned.take() else { return }
        leave()
        var random = SystemRandomNumberGenerator()
        let key = held?.link.key ?? (core.shared.parking.resumeFor > 0 ? try? SessionKey(exportedFrom: tls) : nil)
        let current = core.shared.links.session
        let session =
            held?.session
            ?? Session(
                role: isDialler ? .dialler : .acceptor,
                parity: StreamParity(local: core.routing.node, peer: node), configuration: saidLimits ?? current,
                peer: hello,
                budget: core.shared.budget, quota: core.shared.streams, pool: core.segments, masks: core.maskKeys,
                seed: random.next(),
                now: core.loop.now, unixMilliseconds: UInt64(Clock.unixMilliseconds()))
        if let key, held == nil { session.name = key.name }
        if held == nil { session.use(timesOf: current, now: core.loop.now) }
        var leftover: [UInt8] = []
        plain.withReadable { leftover.append(contentsOf: $0) }
        let link = LinkConnection(
            owned, id: id, lane: lane, peer: identity, principal: principal, isDialler: isDialler, tls: tls,
            frames: frames, session: session, key: key,
            gate: DocumentGate(own: core.routing.documents, peer: documents(hello)), leftover: leftover, core: core)
        if let held {
            link.continueStreams(of: held.link)
            link.isConfirmed = !isDialler
        }
        link.isLate = isLate
        if isCatchingUp {
            link.catchUp()
            link.isGuest = isRevoked && !isDialler
            if link.isGuest || core.parked[lane] != nil { return core.visit(link) }
        }
        core.establish(link, status(of: link, hello, isResumed: held != nil))
    }

    /// What the control plane is told of the link that came of this.
    func status(of link: LinkConnection, _ hello: Hello, isResumed: Bool) -> EstablishedLink {
        EstablishedLink(
            link: id, worker: core.index, lane: lane, remote: remote, peer: PeerNames(link.peer),
            peerVersion: hello.agent, isDialler: isDialler, isResumed: isResumed, peerExpires: link.peer.notAfter,
            generation: generation, documents: documents(hello), lanes: hello.lanes, saidLanes: saidLanes,
            load: link.load, peerChain: link.tls.peerChain)
    }

    /// The setup has come to its end well; its socket goes on as a link.
    func leave() {
        leaveLoop()
        phase = .over
        core.setupEnded(self)
    }
}
