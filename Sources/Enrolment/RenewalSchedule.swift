/// When a certificate is renewed. Pure: times are parameters, and so is chance.
///
/// Renewal is due at half of the validity, ten per cent earlier or later, so that nodes which were made together do not
/// renew together. Attempts that fail are repeated after random pauses that grow to a twentieth of the validity: until the end
/// there are at least ten, and a CA that comes back is not asked by everybody at once.
public struct RenewalSchedule: Sendable, Equatable {
    /// First second of validity, unix seconds.
    public let notBefore: Int64
    /// End of validity, unix seconds.
    public let notAfter: Int64
    /// How long the CA may be away: so much validity shall be left whenever it is; nil where half of it is enough.
    public let absence: Int64?

    /// A schedule for a certificate; `absence` in seconds.
    public init(notBefore: Int64, notAfter: Int64, absence: Int64? = nil) {
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.absence = absence
    }

    /// The whole validity in seconds, at least 1.
    public var lifetime: Int64 { max(1, notAfter - notBefore) }

    /// When renewal is due, in unix milliseconds.
    ///
    /// - Parameter chance: from 0 to 1, drawn once for a certificate.
    public func due(chance: Double) -> Int64 {
        let life = Double(lifetime) * 1000
        var share = 0.5
        // Leaving so much takes precedence; but a certificate that is renewed before a tenth of its life is over would
        // only keep the CA busy.
        if let absence { share = min(share, max(0.1, 1 - Double(absence) / Double(lifetime))) }
        share += share * 0.2 * (min(1, max(0, chance)) - 0.5)
        return notBefore * 1000 + Int64((life * share).rounded())
    }

    /// When to ask for a certificate below the root that a list of roots made active, in unix milliseconds.
    ///
    /// Nodes ask within windows of one length, the first of which begins with the list: also in a new process, and where the list came
    /// late. Who asked in vain asks again within the next window: the CA has not changed over yet. Who begins only when two of them
    /// are over is awaited, and asks within a tenth of one.
    ///
    /// - Parameters:
    ///   - listed: when the list was made, unix milliseconds.
    ///   - now: unix milliseconds.
    ///   - window: the length of a window, milliseconds.
    ///   - isAgain: an attempt was in vain.
    ///   - chance: from 0 to 1.
    public static func rootDue(listed: Int64, now: Int64, window: Int64, isAgain: Bool, chance: Double) -> Int64 {
        let window = max(1, window)
        // A list of a clock that is ahead begins now.
        let start = min(listed, now)
        let number = (now - start) / window
        let end = start + (number + 1) * window
        let chance = min(1, max(0, chance))
        if isAgain { return end + Int64(Double(window) * chance) }
        return now + Int64(Double(number < 2 ? end - now : window / 10) * chance)
    }

    /// Whether certificates live too short for the absence that was asked for.
    public var isTooShortForAbsence: Bool { absence.map { Double($0) > 0.9 * Double(lifetime) } ?? false }

    /// The pause before attempt `attempt` (from 1) after a failure, in milliseconds.
    public func pause(attempt: Int, chance: Double) -> Int64 {
        let longest = max(500, Double(lifetime) * 1000 / 20)
        let bound = min(longest, 1000 * Double(1 << min(attempt, 20)))
        // Never at once: half of the bound is sure, the other half is chance.
        return Int64(bound * (0.5 + 0.5 * min(1, max(0, chance))))
    }

    /// How much is left when somebody is warned, in seconds, largest first: 30, 14, 7 and 1 days, but a quarter of the
    /// validity where that is less than 30 days.
    public var warnings: [Int64] {
        let first = min(lifetime / 4, 30 * 86_400)
        return [first] + [14, 7, 1].map { $0 * 86_400 }.filter { $0 < first }
    }
}
