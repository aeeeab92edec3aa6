import EventLoop
import Link

/// A session whose link is gone, on its worker: waits for the next link to the same running agent, and ends when none
/// comes in time. Its streams stay in the table of the link that it lost.
final class ParkedSession: TimerHandler {
    /// The link that is gone.
    let link: LinkConnection
    /// When it went, milliseconds since 1970.
    let since: Int64
    /// What it takes of the agent's parking space, in bytes.
    let bytes: Int
    private unowned let core: WorkerCore
    private var timer: TimerID?

    init(_ link: LinkConnection, bytes: Int, core: WorkerCore) {
        self.link = link
        self.bytes = bytes
        self.core = core
        since = Clock.unixMilliseconds()
        timer = core.loop.schedule(after: core.shared.parking.resumeFor, self, tag: 0)
    }

    var session: Session { link.session }

    func timerFired(tag: Int, loop: EventLoop) {
        timer = nil
        core.endParked(link.lane, .linkLost, outcome: .timedOut, "no new link came in time")
    }

    /// The session goes on, or is over.
    func leave() {
        if let timer { core.loop.cancel(timer) }
        timer = nil
        core.shared.parking.give(bytes)
    }

    /// What operators see of it.
    var status: ParkedStatus {
        ParkedStatus(
            lane: link.lane, worker: core.index, since: since, streams: session.streamCount,
            retained: session.retainedBytes)
    }
}

/// What operators see of a parked session.
struct ParkedStatus: Sendable {
    let lane: Lane
    let worker: Int
    let since: Int64
    let streams: Int
    let retained: Int
}

/// What became of a session that had lost its link; the label of a counter.
enum ResumptionOutcome: String, Sendable {
    /// It goes on over a new link.
    case resumed
    /// No link came within `links.resumeFor`.
    case timedOut = "timed_out"
    /// The peer is another run of its agent.
    case peerRestarted = "peer_restarted"
    /// The peer does not hold the session any more, or has another identity now.
    case refused
    /// Parked sessions held all the memory that they may.
    case noMemory = "no_memory"
    /// Policy does not let the peer link any more.
    case policyChanged = "policy_changed"
    /// The peer's certificate was revoked, or nobody says whether it is.
    case revoked
    /// The peer's certificate matches no pin any more.
    case pinMismatch = "pin_mismatch"
    /// This agent drains.
    case drained
    /// The peer's agent is gone: connections to it are refused.
    case peerGone = "peer_gone"
    /// The two ends' counts contradict each other.
    case failed
}
