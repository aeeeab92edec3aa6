/// The public keys of one issuer that come from a configured URL: when to fetch, and what holds meanwhile. A state machine
/// without I/O; the shell fetches and tells what came. The URL is the shell's affair and never comes out of a token.
///
/// The last good set is kept whatever happens: an issuer that is down, or that answers nonsense, changes nothing.
/// Times are seconds of any clock that does not go backwards.
public struct JWKSCache: Sendable {
    /// When to fetch.
    public struct Settings: Sendable, Hashable {
        /// How long a set is fresh, in seconds, where the answer names no `max-age`.
        public var freshFor: Int64
        /// Bounds for the answer's `max-age`.
        public var freshBounds: ClosedRange<Int64>
        /// Least time between two fetches because of an unknown `kid`, in seconds: whoever invents key ids cannot make
        /// the edge hammer the issuer.
        public var unknownKeyInterval: Int64
        /// Time to the next attempt after a failure, in seconds; doubled with each up to `retryLimit`.
        public var retryAfter: Int64
        /// Longest time between attempts, in seconds.
        public var retryLimit: Int64
        /// How long a fetch may take before it counts as failed, in seconds.
        public var timeout: Int64

        /// Settings, by default ten minutes (bounds: one minute to a day), 30 s, 5 s to 5 min, 10 s.
        public init(
            freshFor: Int64 = 600, freshBounds: ClosedRange<Int64> = 60...86_400, unknownKeyInterval: Int64 = 30,
            retryAfter: Int64 = 5, retryLimit: Int64 = 300, timeout: Int64 = 10
        ) {
            self.freshFor = freshFor
            self.freshBounds = freshBounds
            self.unknownKeyInterval = unknownKeyInterval
            self.retryAfter = retryAfter
            self.retryLimit = retryLimit
            self.timeout = timeout
        }
    }

    /// What the shell has to do.
    public enum Action: Sendable, Hashable {
        /// GET the configured URL and answer with this number: `fetched` or `failed`. An answer to an earlier number is
        /// ignored.
        case fetch(number: UInt64)
    }

    /// What an unknown `kid` leads to.
    public enum UnknownKey: Sendable, Hashable {
        /// Fetch, then try the token once more.
        case fetch(number: UInt64)
        /// A fetch is under way; try the token once more when it has ended.
        case waiting
        /// It was looked for not long ago: refuse the token now.
        case refused
    }

    /// What an answer changed.
    public enum Update: Sendable {
        /// There are new keys; give them to the authenticator with `replacing(keys:of:)`.
        case replaced(KeySet)
        /// The same keys as before.
        case unchanged
        /// Not a usable key set; the last good one holds on.
        case rejected(JOSEError)
        /// An answer to a fetch that was given up; nothing changed.
        case ignored
    }

    /// How good the keys are, for metrics and logs.
    public enum Freshness: String, Sendable, CaseIterable {
        /// There are none yet.
        case empty
        /// Fetched within their time.
        case fresh
        /// Older than that, used all the same.
        case stale
    }

    /// When to fetch.
    public let settings: Settings
    /// The last good set.
    public private(set) var keys: KeySet?
    /// Its text, for a file that survives a restart.
    public private(set) var lastGood: [UInt8]?
    /// Failures since the last good answer.
    public private(set) var failures = 0

    private var freshUntil: Int64?
    private var nextAttempt = Int64.min
    private var lastUnknownKey: Int64?
    private var underWay: (number: UInt64, since: Int64)?
    private var lastNumber: UInt64 = 0

    /// A cache, empty or with the text of a set that was good before the restart; one that is not readable is left out.
    public init(settings: Settings = .init(), lastGood: [UInt8]? = nil) {
        self.settings = settings
        if let lastGood, let set = try? KeySet(reading: lastGood) {
            keys = set
            self.lastGood = lastGood
        }
    }

    /// When `tick` has to be called next. The first tick is due at once.
    public var wake: Int64 {
        underWay.map { $0.since + settings.timeout } ?? nextAttempt
    }

    /// How good the keys are.
    public func freshness(at now: Int64) -> Freshness {
        guard keys != nil else { return .empty }
        return freshUntil.map { now < $0 } ?? false ? .fresh : .stale
    }

    /// Time has passed: begins a fetch that is due, gives up one that took too long.
    public mutating func tick(at now: Int64) -> Action? {
        if let underWay {
            guard now >= underWay.since + settings.timeout else { return nil }
            failed(number: underWay.number, at: now)
        }
        guard now >= nextAttempt else { return nil }
        return .fetch(number: begin(at: now))
    }

    /// What the issuer is reached with has changed, such as the CA that its certificate must lead to: begins a fetch at once,
    /// in place of one under way. The keys hold meanwhile.
    public mutating func sourceChanged(at now: Int64) -> Action {
        failures = 0
        return .fetch(number: begin(at: now))
    }

    /// A token named a key that the set does not have.
    public mutating func unknownKey(at now: Int64) -> UnknownKey {
        if underWay != nil { return .waiting }
        // While the issuer fails, its own pace holds; without failures, one look in each interval.
        guard failures == 0 || now >= nextAttempt else { return .refused }
        if let lastUnknownKey, now < lastUnknownKey + settings.unknownKeyInterval { return .refused }
        lastUnknownKey = now
        return .fetch(number: begin(at: now))
    }

    /// The answer to fetch `number` came with status 200.
    ///
    /// - Parameter maximumAge: `max-age` of the answer's `Cache-Control`, in seconds.
    public mutating func fetched(
        _ text: [UInt8], maximumAge: Int64? = nil, number: UInt64, at now: Int64
    ) -> Update {
        guard underWay?.number == number else { return .ignored }
        let set: KeySet
        do throws(JOSEError) {
            set = try KeySet(reading: text)
        } catch {
            failed(number: number, at: now)
            return .rejected(error)
        }
        underWay = nil
        failures = 0
        let bounds = settings.freshBounds
        let time = now + min(max(maximumAge ?? settings.freshFor, bounds.lowerBound), bounds.upperBound)
        freshUntil = time
        nextAttempt = time
        if text == lastGood { return .unchanged }
        keys = set
        lastGood = text
        return .replaced(set)
    }

    /// Fetch `number` brought nothing: no connection, another status, a bad certificate, too many bytes.
    public mutating func failed(number: UInt64, at now: Int64) {
        guard underWay?.number == number else { return }
        underWay = nil
        failures += 1
        // Doubled up to 2^16 times: far beyond any limit, far below an overflow.
        let pause = settings.retryAfter << Int64(min(failures - 1, 16))
        nextAttempt = now + min(pause, settings.retryLimit)
    }

    private mutating func begin(at now: Int64) -> UInt64 {
        lastNumber += 1
        underWay = (lastNumber, now)
        return lastNumber
    }
}
