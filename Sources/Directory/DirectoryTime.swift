internal import JSON

/// The two clocks of one moment. Leases run on the monotonic one, which nobody sets; what people see on the other.
public struct DirectoryTime: Sendable, Hashable {
    /// Milliseconds of a clock that only ever runs forward.
    public let monotonic: Int64
    /// Milliseconds of Unix time.
    public let unix: Int64

    /// A moment from both clocks.
    public init(monotonic: Int64, unix: Int64) {
        self.monotonic = monotonic
        self.unix = unix
    }

    /// The moment this many milliseconds later.
    public func advanced(by milliseconds: Int64) -> DirectoryTime {
        DirectoryTime(monotonic: monotonic + milliseconds, unix: unix + milliseconds)
    }
}

/// How long leases and their grace periods are, in milliseconds.
public struct LeaseSettings: Sendable, Hashable {
    /// A lease without renewal. Agents renew at a third of it, so that two renewals may be lost.
    public var lease: Int64
    /// After the link or the lease was lost: long enough for an agent to restart or redial.
    public var grace: Int64
    /// After the directory itself restarted: long enough for every agent to find it again.
    public var restartGrace: Int64

    /// Settings, by default 30 s, 15 s and 60 s.
    public init(lease: Int64 = 30_000, grace: Int64 = 15_000, restartGrace: Int64 = 60_000) {
        self.lease = lease
        self.grace = grace
        self.restartGrace = restartGrace
    }

    /// The lease in seconds, as agents are told.
    var leaseSeconds: JSONValue {
        lease % 1000 == 0 ? .integer(lease / 1000) : .number(Double(lease) / 1000)
    }
}
