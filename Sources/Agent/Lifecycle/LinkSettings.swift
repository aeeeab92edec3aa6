import EventLoop
import Link

/// What the configuration says about links and a reload may change. New links go by what is in force when they are made;
/// what changes on those that stand is said beside each.
struct LinkSettings: Sendable {
    /// Limits and times of sessions. A reload changes the times of those that stand, and `maximumPeerStreams` (which HELLO has
    /// said) of new ones; the rest takes a restart.
    var session: SessionConfiguration
    /// From TCP connection to HELLO, in nanoseconds; counts for setups that begin after a reload.
    var handshakeTimeout: UInt64
    /// The most nodes to which there are links. A smaller number ends none.
    var maximumLinks: Int

    /// What the sessions of one worker may keep, in segments; takes a restart.
    let retainedSegments: Int

    /// As the configuration has it.
    init(_ configuration: Configuration) {
        session = SessionConfiguration()
        session.initialCredit = configuration.streams.initialCredit
        session.maximumWindow = configuration.streams.window
        session.pingInterval = configuration.links.pingInterval.nanoseconds
        session.deadPeerTimeout = configuration.links.idleTimeout.nanoseconds
        session.maximumPeerStreams = configuration.limits.maxStreams
        // A peer has proven who it is, and its applications may drop all their connections at once: the flood limit is
        // for agents that do nothing else.
        session.resetBurst = 20_000
        session.resetsPerSecond = 5_000
        handshakeTimeout = configuration.links.handshakeTimeout.nanoseconds
        retainedSegments = configuration.limits.retainedMemory / SegmentPool.segmentSize
        maximumLinks = configuration.limits.maxLinks
    }
}

extension LinkSupervisor.Settings {
    /// As the configuration has it.
    init(_ links: Configuration.Links) {
        self.init(
            reconnectMinimum: links.reconnectMin.nanoseconds, reconnectMaximum: links.reconnectMax.nanoseconds,
            reconnectMaximumPermanent: links.reconnectMaxPermanent.nanoseconds)
    }
}

extension Agent {
    /// Puts in force what a reload changed about links.
    func updateLinks() {
        let settings = LinkSettings(configuration)
        shared.links = settings
        shared.streams.limit = configuration.limits.maxStreams
        supervisor.use(LinkSupervisor.Settings(configuration.links))
        for worker in shared.workers { worker.submit { $0.use(settings.session) } }
    }
}

extension WorkerCore {
    /// The times of sessions that stand are others from now on.
    func use(_ session: SessionConfiguration) {
        for link in Array(links.values) + Array(retiring.values) { link.use(session) }
        for parked in parked.values { parked.session.use(timesOf: session, now: loop.now) }
    }
}

extension LinkConnection {
    /// The times of the session are others from now on.
    func use(_ configuration: SessionConfiguration) {
        guard !isClosed else { return }
        session.use(timesOf: configuration, now: core.loop.now)
        scheduleTimer()
    }
}
