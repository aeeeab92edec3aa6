import Link

/// Instances whose agents refused a stream and named a delay: until it is over others are preferred. Times are monotonic
/// nanoseconds.
struct RestingInstances {
    /// A peer's word counts for so long at most: a minute.
    private static let longest: UInt64 = 60_000_000_000
    /// So many are remembered; of more, those that refuse are asked again sooner.
    static let maximum = 1_024

    private var until: [String: UInt64] = [:]

    /// The agent of `instance` named `milliseconds`.
    mutating func rest(_ instance: String, milliseconds: UInt32, now: UInt64) {
        guard milliseconds > 0, !instance.isEmpty else { return }
        if until.count >= Self.maximum { until = until.filter { $0.value > now } }
        guard until.count < Self.maximum || until[instance] != nil else { return }
        until[instance] = now + min(UInt64(milliseconds) * 1_000_000, Self.longest)
    }

    /// Whether it is better to ask another one.
    mutating func isResting(_ instance: String, now: UInt64) -> Bool {
        guard !until.isEmpty, let end = until[instance] else { return false }
        if now < end { return true }
        until[instance] = nil
        return false
    }

    /// Whether any is known.
    var isEmpty: Bool { until.isEmpty }
}
