/// Allows `burst` events at once and `perSecond` in the long run. Time is given in nanoseconds.
struct TokenBucket: Sendable {
    private let capacity: UInt64
    private let rate: UInt64
    /// In billionths of a token.
    private var level: UInt64
    private var updated: UInt64

    private static let one: UInt64 = 1_000_000_000

    init(burst: Int, perSecond: Int, now: UInt64) {
        capacity = UInt64(max(burst, 1)) * TokenBucket.one
        rate = UInt64(max(perSecond, 0))
        level = capacity
        updated = now
    }

    /// Takes `count` tokens, of which a bucket that is full has enough for any count; false, and nothing taken, when there are fewer.
    mutating func take(_ count: Int = 1, now: UInt64) -> Bool {
        if now > updated {
            let (gain, overflow) = (now - updated).multipliedReportingOverflow(by: rate)
            level = overflow ? capacity : min(capacity, level + min(gain, capacity))
            updated = now
        }
        let (wanted, overflow) = UInt64(max(count, 0)).multipliedReportingOverflow(by: TokenBucket.one)
        let taken = overflow ? capacity : min(wanted, capacity)
        guard level >= taken else { return false }
        level -= taken
        return true
    }
}
