/// How often a peer is dialled whose session is parked, and when it is clear that nobody will come back: an agent whose
/// address refuses connections is not running any more, and one that runs again is another one.
///
/// A refused connection alone proves little: a firewall that rejects for a moment, by a reset or by ICMP, looks the same
/// from here. What the lost link did last tells more. A kernel ends the connections of a process that is gone in order
/// (FIN), and no fault of a network does that; so refusals behind such an end count soon, and behind any other end (reset,
/// silence) only when they last.
public struct ParkedRedials {
    /// So many refusals in a row …
    private static let refusals = 3
    /// … over at least this time, in nanoseconds, behind a link that its peer ended in order.
    private static let refusalTimeAfterEnd: UInt64 = 300_000_000
    /// … or over this part of the time for which a session waits, behind any other end: five seconds of thirty. Firewalls
    /// are loaded anew and ports forwarded again in less.
    private static let refusalPart: UInt64 = 6
    /// … which is at least this time, in nanoseconds, however short sessions wait.
    private static let refusalTimeLeast: UInt64 = 2_000_000_000
    /// The first dials follow each other within this time, in nanoseconds: applications wait.
    private static let quick: UInt64 = 100_000_000
    private static let quickDials = 5
    /// The longest pause.
    private static let longest: UInt64 = 1_000_000_000
    /// How long a dial waits at least for the peer's next sign of life, in nanoseconds …
    private static let patienceLeast: UInt64 = 500_000_000
    /// … and otherwise for so many round trips, …
    private static let patienceRoundTrips: UInt64 = 4
    /// … with this on top, in nanoseconds, for the peer's work.
    private static let patienceForWork: UInt64 = 250_000_000
    /// One of so many dials has the time of any handshake: what is slow and not broken must get through.
    private static let dialsForOnePatient = 4

    /// The end that dialled the lost link dials again; the other gives it a little time before it tries as well.
    private let dialledHere: Bool
    private let refusalTime: UInt64
    private let shortest: UInt64
    private var pauses = 0
    private var dials = 0
    private var refused = 0
    private var firstRefusal: UInt64 = 0

    /// - Parameters:
    ///   - dialledHere: this end dialled the link that was lost.
    ///   - endedInOrder: the peer's kernel ended that link's connection in order, without a word of its agent.
    ///   - resumeFor: how long the session waits for its next link, in nanoseconds.
    ///   - roundTrip: the last known on the lost link, in nanoseconds; nil where there was none.
    public init(
        dialledHere: Bool = true, endedInOrder: Bool = false, resumeFor: UInt64 = 0, roundTrip: UInt64? = nil
    ) {
        self.dialledHere = dialledHere
        let (trips, isTooLong) = (roundTrip ?? 0).multipliedReportingOverflow(by: Self.patienceRoundTrips)
        let (patience, isTooLongWithWork) = trips.addingReportingOverflow(Self.patienceForWork)
        shortest = isTooLong || isTooLongWithWork ? .max : max(Self.patienceLeast, patience)
        refusalTime =
            endedInOrder ? Self.refusalTimeAfterEnd : max(resumeFor / Self.refusalPart, Self.refusalTimeLeast)
    }

    /// The pause before the next dial, in nanoseconds. `backoff` is what the peer would get without a parked session,
    /// `random` uniform over all 64-bit values.
    public mutating func delay(_ backoff: UInt64, random: UInt64) -> UInt64 {
        defer { pauses += 1 }
        guard pauses < Self.quickDials else { return min(backoff, Self.longest) }
        let jitter = random.multipliedFullWidth(by: Self.quick).high
        if pauses == 0 { return dialledHere ? jitter / 4 : Self.quick + jitter }
        return Self.quick + jitter / 2
    }

    /// How long the next dial may go on without a sign of life from the peer, in nanoseconds; nil: as long as any handshake may
    /// take. A packet of it that is lost, or a path that is not there yet, costs no more than that before the next dial, and
    /// one dial in four is for peers and paths that are slow.
    public mutating func nextPatience() -> UInt64? {
        dials += 1
        return dials % Self.dialsForOnePatient == 0 ? nil : shortest
    }

    /// A dial came to nothing at `now`, in nanoseconds. Whether the peer's agent is gone for good.
    public mutating func isGone(refused isRefused: Bool, now: UInt64) -> Bool {
        guard isRefused else {
            refused = 0
            return false
        }
        refused += 1
        if refused == 1 { firstRefusal = now }
        return refused >= Self.refusals && now - firstRefusal >= refusalTime
    }
}
