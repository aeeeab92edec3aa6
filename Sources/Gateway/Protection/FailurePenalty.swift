/// A growing pause after repeated failures to authenticate, for each address (`IPAddress.limitKey`).
///
/// The first failures are free, since people mistype. Each further one bars the key for `base`, then twice that, up to
/// `maximum`. After the pause a failure fades for every `fading` without another one. Success forgives nothing:
/// otherwise one valid account would buy any number of guesses.
///
/// Memory is bounded and forgetting cannot be forced, as with `RateLimiter`: a key is forgotten when its failures have
/// faded.
public struct FailurePenalty<Key: Hashable & Sendable>: Sendable {
    /// What failures cost; times in nanoseconds.
    public struct Policy: Sendable, Hashable {
        /// Failures without consequence.
        public var free = 5
        /// The first pause.
        public var base: UInt64 = 1_000_000_000
        /// The longest pause.
        public var maximum: UInt64 = 300_000_000_000
        /// After that long without failure one failure is forgotten.
        public var fading: UInt64 = 60_000_000_000

        /// The values above: 5 failures, 1 s doubling up to 5 min, one forgotten a minute.
        public init() {}

        /// Pauses that differ: after so many the maximum is reached, and further failures make it no worse.
        var steps: UInt64 {
            var steps: UInt64 = 1
            while steps < 40, base << (steps - 1) < maximum { steps += 1 }
            return steps
        }
    }

    private struct State: Sendable {
        /// Failures at `since`, not yet faded.
        var failures: UInt64 = 0
        var since: UInt64 = 0
        var barredUntil: UInt64 = 0

        func faded(at now: UInt64, _ fading: UInt64) -> UInt64 {
            let steps = now > since ? (now - since) / max(1, fading) : 0
            return failures > steps ? failures - steps : 0
        }
    }

    /// What failures cost.
    public let policy: Policy
    private var keys: BoundedKeys<Key, State>

    /// Penalties for that many keys at a time.
    public init(_ policy: Policy = Policy(), capacity: Int = 16_384) {
        self.policy = policy
        keys = BoundedKeys(capacity: capacity, empty: State())
    }

    /// Number of keys that are known.
    public var count: Int { keys.count }

    /// Whether the key may try now; nothing changes by asking.
    public func check(_ key: Key, at now: UInt64) -> RateDecision {
        let until = keys.value(key)?.barredUntil ?? 0
        let wait = until > now ? until - now : 0
        return RateDecision(isAllowed: wait == 0, remaining: wait == 0 ? 1 : 0, retryAfter: wait, reset: wait)
    }

    /// Notes a failure and tells what follows from it. Attempts that were barred are not to be noted.
    @discardableResult
    public mutating func failed(_ key: Key, at now: UInt64) -> RateDecision {
        let policy = policy
        keys.update(key) { state in
            state.barredUntil <= now && state.faded(at: now, policy.fading) == 0
        } _: { state in
            let free = UInt64(max(0, policy.free))
            state.failures = min(state.faded(at: now, policy.fading) + 1, free + policy.steps)
            if state.failures > free {
                let pause = min(policy.maximum, policy.base << (state.failures - free - 1))
                state.barredUntil = max(state.barredUntil, now &+ pause)
            }
            // Waiting until it is allowed again must not pay off what was paid with waiting.
            state.since = max(now, state.barredUntil)
        }
        return check(key, at: now)
    }
}
