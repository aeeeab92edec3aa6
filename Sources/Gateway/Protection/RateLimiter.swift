/// How much is allowed: a token bucket of `burst` tokens that fills with `perSecond` tokens a second.
public struct RatePolicy: Sendable, Hashable {
    /// Name in the RateLimit fields: `address`, `principal`, `route` …
    public let name: String
    /// Tokens a second, more than none.
    public let perSecond: Double
    /// Size of the bucket, at least one.
    public let burst: Int

    /// A policy.
    public init(name: String, perSecond: Double, burst: Int) {
        precondition(
            perSecond > 0 && perSecond.isFinite && burst >= 1, "a rate must be positive and a burst at least 1")
        self.name = name
        self.perSecond = perSecond
        self.burst = burst
    }

    /// Nanoseconds for one token, at least one.
    var interval: UInt64 { UInt64(min(max(1, 1e9 / perSecond), 1e15)) }

    /// Nanoseconds for the whole bucket.
    var capacity: UInt64 {
        interval.multipliedReportingOverflow(by: UInt64(burst)).overflow ? .max / 4 : interval * UInt64(burst)
    }

    /// Seconds in which an empty bucket fills, rounded up: the window `w` of RateLimit-Policy.
    public var windowSeconds: Int { max(1, Int((capacity + 999_999_999) / 1_000_000_000)) }
}

/// What a limit says to one request.
public struct RateDecision: Sendable, Hashable {
    /// Whether the request may go on; if so, its tokens are taken.
    public let isAllowed: Bool
    /// Whole tokens left.
    public let remaining: Int
    /// Nanoseconds until the request would be allowed; zero if it is.
    public let retryAfter: UInt64
    /// Nanoseconds until the bucket is full again.
    public let reset: UInt64

    /// A decision.
    public init(isAllowed: Bool, remaining: Int, retryAfter: UInt64, reset: UInt64) {
        self.isAllowed = isAllowed
        self.remaining = remaining
        self.retryAfter = retryAfter
        self.reset = reset
    }

    /// For Retry-After: rounded up to seconds, at least one.
    public var retryAfterSeconds: Int { max(1, Self.seconds(retryAfter)) }

    static func seconds(_ nanoseconds: UInt64) -> Int {
        let (whole, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int(whole) + (rest > 0 ? 1 : 0)
    }
}

/// One token bucket, as the time at which it will be full (the generic cell rate algorithm): eight bytes, no timer.
public struct TokenBucket: Sendable, Hashable {
    /// When the bucket is full, on the caller's clock in nanoseconds; in the past if it is.
    var fullAt: UInt64 = 0

    /// A full bucket.
    public init() {}

    /// Takes `cost` tokens if they are there. A cost above the burst is never allowed.
    public mutating func take(_ cost: Int = 1, at now: UInt64, _ policy: RatePolicy) -> RateDecision {
        let (price, overflow) = policy.interval.multipliedReportingOverflow(by: UInt64(max(0, cost)))
        let start = max(fullAt, now)
        let debt = start - now
        if !overflow, price <= policy.capacity, debt <= policy.capacity - price {
            fullAt = start + price
            return RateDecision(
                isAllowed: true, remaining: Int((policy.capacity - debt - price) / policy.interval), retryAfter: 0,
                reset: debt + price)
        }
        let wait = overflow || price > policy.capacity ? debt + policy.capacity : debt - (policy.capacity - price)
        return RateDecision(
            isAllowed: false, remaining: Int((policy.capacity - min(debt, policy.capacity)) / policy.interval),
            retryAfter: wait, reset: debt)
    }

    /// Whether the bucket is full, so that forgetting it changes nothing.
    public func isFull(at now: UInt64) -> Bool { fullAt <= now }
}

/// A token bucket for each key, in bounded memory.
///
/// **Forgetting.** A key is forgotten only when its bucket is full again, when that changes nothing: whoever wants to be
/// forgotten must wait exactly as long as he would have had to wait anyway. Nobody can push another out, himself
/// included. Where all `capacity` keys owe something, newcomers share a fixed number of buckets, spread by a hash with
/// a seed of this process: an attacker with very many addresses makes newcomers share with each other, never the
/// keys that are known already.
///
/// Each call costs a hash and at most a few looks at old keys; there is nothing to be done by a timer.
public struct RateLimiter<Key: Hashable & Sendable>: Sendable {
    /// What is allowed to each key.
    public let policy: RatePolicy
    private var keys: BoundedKeys<Key, TokenBucket>

    /// A limiter for that many keys at a time.
    public init(_ policy: RatePolicy, capacity: Int = 16_384) {
        self.policy = policy
        keys = BoundedKeys(capacity: capacity, empty: TokenBucket())
    }

    /// Number of keys that are known.
    public var count: Int { keys.count }

    /// Takes `cost` tokens of that key if they are there.
    public mutating func take(_ key: Key, cost: Int = 1, at now: UInt64) -> RateDecision {
        keys.update(key, isIdle: { $0.isFull(at: now) }) { $0.take(cost, at: now, policy) }
    }
}
