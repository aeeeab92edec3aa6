/// How long to wait before dialling again: full jitter, so that many peers of one node do not come back in step. All
/// times are in nanoseconds; randomness is given.
public struct Backoff: Sendable, Hashable {
    /// The first attempt after a failure waits up to this.
    public let base: UInt64
    /// No attempt waits longer than this, except where the peer asked for more.
    public let cap: UInt64
    /// Failures since the last success.
    public private(set) var failures = 0

    /// The longest delay that a peer can ask for: five minutes.
    public static let longestHint: UInt64 = 300_000_000_000

    /// A backoff. The defaults bring a permanent peer back within a second of its return.
    public init(base: UInt64 = 50_000_000, cap: UInt64 = 1_000_000_000) {
        self.base = max(base, 1)
        self.cap = max(cap, base)
    }

    /// The link is up: the next failure starts from the beginning.
    public mutating func succeeded() { failures = 0 }

    /// The delay before the next attempt, after a failure with `reason` (nil: no answer at all) and the retry delay that
    /// the peer named, in milliseconds (zero: none). `random` is uniform over all 64-bit values.
    ///
    /// - Without a hint the delay is uniform between zero and `base · 2^failures`, at most `cap`; for a reason that will
    ///   hardly go away it is uniform over the upper half of eight times the cap.
    /// - With a hint it is the hint plus a uniform extra of up to half of it, but at least `base`, so that peers that were
    ///   all told the same do not come at the same moment.
    public mutating func failed(reason: LinkReason? = nil, retryAfter: UInt32 = 0, random: UInt64) -> UInt64 {
        pause(reason: reason, retryAfter: retryAfter, wantedCap: cap, random: random).delay
    }

    /// The same, and beside it the delay under another cap, which is never longer: for the case that somebody waits.
    public mutating func pause(
        reason: LinkReason? = nil, retryAfter: UInt32 = 0, wantedCap: UInt64, random: UInt64
    ) -> (delay: UInt64, wanted: UInt64) {
        let step = min(failures, 32)
        failures += 1
        if retryAfter > 0 {
            let hint = min(UInt64(retryAfter) * 1_000_000, Backoff.longestHint)
            let delay = hint + Backoff.uniform(random, max(hint / 2, base))
            return (delay, delay)
        }
        return (
            jitter(step, cap, reason, random), jitter(step, min(cap, max(wantedCap, base)), reason, random)
        )
    }

    private func jitter(_ step: Int, _ cap: UInt64, _ reason: LinkReason?, _ random: UInt64) -> UInt64 {
        switch reason?.retry {
        case .immediately where step == 0: return Backoff.uniform(random, base)
        case .unlikely:
            let slow = min(cap, Backoff.longestHint / 8) * 8
            return slow / 2 + Backoff.uniform(random, slow / 2)
        default:
            let (grown, overflow) = base.multipliedReportingOverflow(by: 1 << UInt64(step))
            return Backoff.uniform(random, overflow ? cap : min(grown, cap))
        }
    }

    /// Maps 64 random bits to `0...bound`.
    private static func uniform(_ random: UInt64, _ bound: UInt64) -> UInt64 {
        bound == .max ? random : random.multipliedFullWidth(by: bound + 1).high
    }
}
