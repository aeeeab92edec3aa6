import Link

/// How often a peer is dialled whose session is parked, and when it is clear that nobody will come back: an agent whose
/// address refuses connections is not running any more, and one that runs again is another one.
struct ParkedRedials {
    /// So many refusals in a row …
    private static let refusals = 3
    /// … over at least this time, in nanoseconds, are no accident of a moment.
    private static let refusalTime: UInt64 = 300_000_000
    /// The first dials follow each other within this time, in nanoseconds: applications wait.
    private static let quick: UInt64 = 100_000_000
    private static let quickDials = 5
    /// The longest pause.
    private static let longest: UInt64 = 1_000_000_000

    /// The end that dialled the lost link dials again; the other gives it a little time before it tries as well.
    var dialledHere = true
    private var dials = 0
    private var refused = 0
    private var firstRefusal: UInt64 = 0

    init(dialledHere: Bool = true) { self.dialledHere = dialledHere }

    /// The pause before the next dial, in nanoseconds. `backoff` is what the peer would get without a parked session,
    /// `random` uniform over all 64-bit values.
    mutating func delay(_ backoff: UInt64, random: UInt64) -> UInt64 {
        defer { dials += 1 }
        guard dials < Self.quickDials else { return min(backoff, Self.longest) }
        let jitter = random.multipliedFullWidth(by: Self.quick).high
        if dials == 0 { return dialledHere ? jitter / 4 : Self.quick + jitter }
        return Self.quick + jitter / 2
    }

    /// A dial came to nothing. Whether the peer's agent is gone for good.
    mutating func isGone(refused isRefused: Bool, now: UInt64) -> Bool {
        guard isRefused else {
            refused = 0
            return false
        }
        refused += 1
        if refused == 1 { firstRefusal = now }
        return refused >= Self.refusals && now - firstRefusal >= Self.refusalTime
    }
}
