import Link

/// The end of a worker's links with their agent, and connections that outlive their links.
extension WorkerCore {
    /// When peers may dial again, in milliseconds behind the end of their links: the first, each further one, the last. A link costs
    /// its acceptor some 1.2 ms of a core, so that an agent that comes back shakes hands for a quarter of its time.
    private static let returns: (first: UInt32, each: UInt32, last: UInt32) = (100, 5, 10_000)

    /// Takes no new streams, and tells each peer another moment to come back, should this agent do so.
    func sayFarewell() {
        let returns = Self.returns
        // The other workers' peers come back at the same time.
        let each = returns.each * UInt32(clamping: shared.workers.count)
        for (number, link) in links.values.enumerated() {
            let (later, isLate) = UInt32(clamping: number).multipliedReportingOverflow(by: each)
            let retryAfter = isLate ? returns.last : min(returns.first + min(later, returns.last), returns.last)
            link.session.goAway(.stopping, retryAfter: retryAfter, detail: "the agent stops")
        }
    }

    /// The stream of a connection is complete and its link gone; its application has still to take what came.
    func linger(_ local: LocalConnection) {
        guard !local.isClosed else { return }
        lingering[ObjectIdentifier(local)] = local
    }

    /// The agent ends: what an application has not taken it never will, which must not look like the end.
    func resetLingering() {
        for local in Array(lingering.values) { local.reset() }
    }
}
