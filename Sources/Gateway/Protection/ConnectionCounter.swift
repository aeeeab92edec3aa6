/// Counts live connections in total and for each key (address, principal). Bounded by the total.
public struct ConnectionCounter<Key: Hashable & Sendable>: Sendable {
    /// What would be exceeded.
    public enum Limit: String, Sendable, Hashable {
        /// All connections together.
        case total
        /// Those of one key.
        case perKey = "per_key"
    }

    /// Most connections in total.
    public var total: Int
    /// Most connections of one key.
    public var perKey: Int
    private var counts: [Key: Int] = [:]
    /// Connections that are open now.
    public private(set) var open = 0

    /// A counter with those limits.
    public init(total: Int = .max, perKey: Int = .max) {
        self.total = total
        self.perKey = perKey
    }

    /// Connections of that key that are open now.
    public func open(_ key: Key) -> Int { counts[key] ?? 0 }

    /// Counts a connection, or tells which limit forbids it; then nothing is counted.
    public mutating func acquire(_ key: Key) -> Limit? {
        if open >= total { return .total }
        let count = counts[key] ?? 0
        if count >= perKey { return .perKey }
        counts[key] = count + 1
        open += 1
        return nil
    }

    /// One that is counted makes room for another one, whose place nobody else can take in between. Where a limit forbids
    /// that one all the same, only the old place is given back.
    public mutating func exchange(_ old: Key, for new: Key) -> Limit? {
        release(old)
        return acquire(new)
    }

    /// A counted connection ended. Each `acquire` that answered nil must be followed by exactly one release.
    public mutating func release(_ key: Key) {
        guard let count = counts[key] else {
            assertionFailure("released what was not acquired")
            return
        }
        counts[key] = count == 1 ? nil : count - 1
        open -= 1
    }
}
