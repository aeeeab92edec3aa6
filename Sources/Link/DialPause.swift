/// The pause between two dials of one peer, and what a wish for the link makes of it.
///
/// Whoever wants a link does not end the pause: else an application that connects in a loop would make a handshake each time,
/// and many nodes that lost one peer would come back to it at the same moment. All times are monotonic nanoseconds.
public struct DialPause: Sendable, Hashable {
    /// What a pause is for.
    public enum Cause: Sendable, Hashable {
        /// A link that had stood was lost, or its agent leaves for another run: nothing was tried since, so the first wish
        /// ends the pause.
        case linkLost
        /// A dial came to nothing. A wish shortens the pause to the pace of a link that is always kept.
        case failed
        /// The peer named the delay: no wish shortens it.
        case hint
    }

    /// What somebody who wants the link has to do.
    public enum Answer: Sendable, Hashable {
        /// Dial now.
        case dial
        /// Dial after so many nanoseconds; whoever waits for a link can wait for that.
        case wait(UInt64)
        /// The same, but nobody is to wait so long.
        case refuse(UInt64)
    }

    /// The longest rest of a pause that somebody who wants a link waits for: a second.
    public static let patience: UInt64 = 1_000_000_000

    /// What it is for.
    public private(set) var cause = Cause.linkLost
    private var end: UInt64 = 0
    private var endForWishes: UInt64 = 0

    /// No pause.
    public init() {}

    /// Begins a pause.
    /// - Parameters:
    ///   - delay: how long it lasts while nobody wants the link.
    ///   - wanted: how long it lasts when somebody does; counts for `Cause.failed`.
    public mutating func begin(_ cause: Cause, now: UInt64, delay: UInt64, wanted: UInt64) {
        self.cause = cause
        // Delays are bounded (`Backoff`), clocks begin at the start of the host.
        end = now + delay
        switch cause {
        case .linkLost: endForWishes = now
        case .failed: endForWishes = now + min(wanted, delay)
        case .hint: endForWishes = end
        }
    }

    /// Whether it lasts.
    public func lasts(_ now: UInt64) -> Bool { now < end }

    /// It is over before its time: a link stands, or the peer has another address.
    public mutating func over() { self = DialPause() }

    /// Somebody wants the link at `now`.
    public func wish(now: UInt64) -> Answer {
        guard now < endForWishes else { return .dial }
        let rest = endForWishes - now
        return rest <= Self.patience ? .wait(rest) : .refuse(rest)
    }
}
