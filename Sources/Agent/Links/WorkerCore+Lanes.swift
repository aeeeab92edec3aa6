import EventLoop
import Link

/// Lanes that are not needed any more.
extension WorkerCore {
    /// Tells a node how many lanes this one takes.
    func announceLanes(_ count: Int, to node: String) {
        guard let link = links[Lane(node)] else { return }
        link.session.announceLanes(count)
        link.scheduleFlush()
    }

    /// A lane beyond the number that both ends take: it ends when its last stream has. First GOAWAY, so that what the peer
    /// still opens is refused and goes to another lane; then, when all is acknowledged, the link is closed.
    func retire(_ lane: Lane) {
        if let link = links[lane], link.session.streamCount == 0, link.session.canMove {
            link.session.goAway(.idle, detail: Self.laneNotNeeded)
            link.scheduleFlush()
            return linkRetiring(link, .idle, Notice(.idle, detail: Self.laneNotNeeded))
        }
        for link in retiring.values where link.lane == lane && link.session.isDrained {
            return link.close(.idle, Self.laneNotNeeded)
        }
    }

    private static let laneNotNeeded = "the lane is not needed any more"
}
