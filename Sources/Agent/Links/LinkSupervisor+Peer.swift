import EventLoop
import Link
import PKI

extension LinkSupervisor {
    /// One lane to a node: which of its links is in use, and what becomes of its session between two of them.
    final class Peer {
        let lane: Lane
        var node: String { lane.node }
        var arbiter: LinkArbiter
        var isPermanent = false
        var configured: Endpoint?
        var backoff: Backoff
        /// Since the last dial that came to nothing, or since the link was lost.
        var pause = DialPause()
        var link: EstablishedLink? { didSet { if let link { chain = link.peerChain } } }
        /// What it proved itself with last; empty where it never did since this agent started.
        private(set) var chain: [Certificate] = []
        /// When the link in use was established, in monotonic nanoseconds.
        var linkedAt: UInt64 = 0
        var attempt: UInt64?
        var timer: TimerID?
        var isWanted = false
        /// The link is still there but takes no new streams.
        var isRetiring = false
        var lastError: LinkFailure? { didSet { failedAt = lastError == nil ? nil : Clock.monotonicNanoseconds() } }
        /// When the last attempt failed; nil where none did since the last link.
        private(set) var failedAt: UInt64?
        /// The session waits for a new link, on this worker.
        var parkedOn: Int? { didSet { if parkedOn != nil { parkedAt = Clock.monotonicNanoseconds() } } }
        /// Since when, on the monotonic clock.
        private(set) var parkedAt: UInt64 = 0
        /// Where the node could be reached when that was last known: with its link, or when its session was parked. The directory
        /// forgets a node that is gone, and only at its address can be seen that nobody is coming back.
        private(set) var knownEndpoints: [Endpoint] = []
        /// Until then another run of its agent is expected, after the one before has said that it goes away. Dials that fail
        /// meanwhile are repeated, and who waits for a link goes on waiting.
        var successor: TimerID?
        /// Workers are told soon that the link is there.
        var telling: TimerID?
        var redials = ParkedRedials()
        /// When its agent, which stops, wants to be dialled again after the end of the link, in milliseconds; 0: at any time.
        var returnsAfter: UInt32 = 0
        var resumptions = 0
        var move = MoveWish()
        /// What is agreed with the node about lanes; of the first one only.
        var lanes = LaneAgreement()
        /// Where bulk is in the way of others; of the first one only.
        var balance = LaneBalance()

        func remember(_ endpoints: [Endpoint]) {
            if !endpoints.isEmpty { knownEndpoints = endpoints }
        }

        init(_ lane: Lane, own: String, backoff: Backoff) {
            self.lane = lane
            self.backoff = backoff
            arbiter = LinkArbiter(local: own, peer: lane.node)
        }
    }
}
