import EventLoop
import JSON
import Link

/// Peers whose agent is taken over by another process of the same node. The old process says GOAWAY with a delay, the new one
/// comes with another boot id; until then nobody is told that the node is gone, and who wants a stream waits.
extension LinkSupervisor {
    /// So long a new run is waited for, in nanoseconds. It was ready before the old one went away.
    private nonisolated static let successorTime: UInt64 = 10_000_000_000
    /// How much longer this end waits before it dials what the peer had dialled, in milliseconds.
    private nonisolated static let politeDelay: UInt32 = 1_000
    /// When a dialler is to come again that arrived at the process which has left, in milliseconds.
    private nonisolated static let passByDelay: UInt32 = 50

    /// The peer goes away from `link`, which was in use, and another run of its agent follows. It dials by itself what the one
    /// before had dialled; this end dials then only if nothing comes, or at once when somebody wants a stream.
    func succeeded(_ peer: Peer, _ link: EstablishedLink, retryAfter: UInt32) {
        expectSuccessor(peer)
        perform(peer.arbiter.retired(LinkID(link.link)), peer)
        let delay = link.isDialler ? retryAfter : retryAfter + Self.politeDelay
        goOn(peer, nil, reason: .goingAway, retryAfter: delay)
    }

    /// Another run of the peer's agent will come soon, or can be dialled.
    func expectSuccessor(_ peer: Peer) {
        guard !isStopped else { return }
        forgetSuccessor(peer)
        peer.successor = ControlPlane.schedule(after: Self.successorTime) { [self, lane = peer.lane] in
            if let peer = peers[lane] { successorMissing(peer) }
        }
    }

    /// Nobody waits for it any more.
    func forgetSuccessor(_ peer: Peer) {
        if let timer = peer.successor { ControlPlane.loop.cancel(timer) }
        peer.successor = nil
    }

    /// This process is the successor: the nodes with which the other one had links; those that it had dialled are dialled.
    func expect(_ links: [TakeoverState.Link]) {
        for link in links where link.node != shared.node {
            let peer = peer(Lane(link.node))
            expectSuccessor(peer)
            if link.wasDialled { dial(peer) }
        }
    }

    /// Another process takes over: who arrives here still is sent there, and what is being dialled is given up.
    func handOver() {
        isHandedOver = true
        stop()
        for peer in peers.values {
            if let attempt = peer.attempt { end(attempt, .superseded, "another process took this one's place") }
        }
    }

    /// Somebody who dialled this node arrived at the process that has left.
    func passBy(_ link: IncomingLink) {
        shared.workers[link.worker].submit {
            $0.decide(
                link.link,
                .refuse(.goingAway, detail: "another process took this one's place", retryAfter: Self.passByDelay))
        }
    }

    /// The links in use, for the process that takes over.
    var takeoverLinks: [TakeoverState.Link] {
        peers.values.filter(\.lane.isFirst).compactMap { peer in
            peer.link.map { TakeoverState.Link(node: peer.node, wasDialled: $0.isDialler) }
        }
    }

    private func successorMissing(_ peer: Peer) {
        peer.successor = nil
        guard peer.link == nil, !isStopped else { return }
        shared.log.warning(
            "successor_missing", "node \(peer.node) went away for another run of its agent, which did not come",
            [("node", .string(peer.node))])
        if peer.lane.isFirst { linkStateChanged(peer.node, false) }
        goOn(peer, "another run of its agent was to come, and did not", reason: .goingAway)
    }
}
