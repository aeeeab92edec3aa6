import EventLoop
import Link

/// A worker whose listeners another process has taken over.
extension WorkerCore {
    /// How long a peer waits before it dials again by itself, in milliseconds, for each link of this worker beyond that: the
    /// successor shakes hands with all of them.
    private static let retryDelay: (first: UInt32, each: UInt32, longest: UInt32) = (20, 2, 5_000)

    /// Accepts nothing more, tells peers to go on with the successor, and gives it the connections that have no stream yet.
    func handOver() {
        isHandedOver = true
        for listener in upstreams.values { listener.close() }
        upstreams = [:]
        endAllParked("another process took this one's place")
        for link in links.values { leave(link) }
        opening.passOnWaiting()
    }

    /// Takes no streams on a link any more. Those under way go on, and this end may still open some for connections that it
    /// cannot give away.
    func leave(_ link: LinkConnection) {
        let delay = Self.retryDelay
        let retryAfter = min(delay.first + UInt32(clamping: links.values.count) * delay.each, delay.longest)
        link.session.goAway(
            .goingAway, retryAfter: retryAfter, detail: "another process took this one's place", opensOn: true)
        link.session.confirm()
        link.scheduleFlush()
    }

    /// Whether nobody can come any more who does not know of the successor, and nothing is left to be told to anybody.
    var isLeft: Bool {
        setups.isEmpty
            && (Array(links.values) + Array(retiring.values)).allSatisfy {
                $0.session.isConfirmed && $0.session.isDrained
            }
    }
}
