import EventLoop
import Link

/// On which lane to a node a stream is opened.
extension StreamOpening {
    /// Where a stream can be opened.
    enum LaneFound {
        /// On a link of this worker.
        case here(LinkConnection)
        /// On a link of another one.
        case elsewhere(LaneRoute)
        /// There is a link, which takes no streams of applications before both ends have the same mesh documents.
        case gated
        case none
    }

    /// The lane for a stream to `node`. The agents' own streams, few and long, keep to the first lane, which is always there.
    /// `staying`: the connection has been moved here once, and stays.
    func lane(to node: String, _ attempt: OpenAttempt, staying: Bool) -> LaneFound {
        let routes = (core.routing.links[node] ?? []).filter { isWanted($0.number, attempt) }
        // The first lane is used as soon as its link stands, others when the control plane says so.
        let links = core.links.of(node).filter { link in
            isWanted(link.lane.number, attempt)
                && (link.lane.isFirst || routes.contains { $0.number == link.lane.number })
        }
        let here = links.filter { ($0.gate.isOpen || attempt.isBuiltIn) && $0.carries(attempt.service) }
        let elsewhere = staying ? [] : routes.filter { $0.worker != core.index }
        let now = core.loop.now
        let candidates =
            here.map { link in
                LaneChoice.Candidate(
                    number: link.lane.number, isHere: true, isBulk: link.load.isBulk(now: now),
                    streams: link.session.streamCount)
            }
            + elsewhere.map { route in
                LaneChoice.Candidate(
                    number: route.number, isHere: false, isBulk: route.load.isBulk(now: now),
                    streams: route.load.count)
            }
        guard let best = LaneChoice.best(candidates) else { return links.isEmpty ? .none : .gated }
        if best.isHere, let link = here.first(where: { $0.lane.number == best.number }) { return .here(link) }
        return elsewhere.first { $0.number == best.number }.map { .elsewhere($0) } ?? .none
    }

    private func isWanted(_ number: UInt8, _ attempt: OpenAttempt) -> Bool {
        !attempt.closedLanes.contains(number) && (number == 0 || !attempt.isBuiltIn)
    }

    /// A lane did not take the stream, of which nothing reached a target: another lane to the same instance is tried, and
    /// then another instance.
    func laneFailed(_ local: LocalConnection, _ attempt: OpenAttempt, _ lane: Lane, _ detail: String) {
        attempt.closedLanes.insert(lane.number)
        let others = (core.routing.links[lane.node] ?? []).contains { isWanted($0.number, attempt) }
        guard !local.isClosed, others else { return failed(local, .unreachable, detail) }
        tryAgain(local, attempt)
    }
}
