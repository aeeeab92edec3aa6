/// Says whether it is worth a loop's while to look for its next event for a moment before it sleeps.
///
/// Sleeping and being woken cost more than all the rest of a small message: an interrupt to another core, on a virtual
/// machine an exit of both, and the time until the core is awake. Who expects his next event within microseconds does
/// better to look for it. Only who has had many short waits in a row expects that, and who was wrong becomes careful:
/// an idle loop, or one whose events come now and then, sleeps at once. A single look in vain among many that found
/// something is paid for by those, and changes nothing.
///
/// Where one event comes at a time, somebody waits for each, and the loop looks twice as long: what an answer takes differs from
/// host to host, and whoever looks a little too short sleeps each time. Where many come together there is other work for the core,
/// and what waits a little is handled in one go.
struct ShortWaits {
    /// How long to look where several events come at a time, in nanoseconds.
    private let leastBudget: UInt64
    /// The same where one comes at a time.
    private let mostBudget: UInt64

    /// Waits in a row that were short before the loop looks: what is wasted by looking in vain is little beside them.
    static let minimumStreak = 16
    /// The most of them that are asked for after having looked in vain again and again.
    static let maximumStreak = 1_024
    /// So many successes pay for one look in vain.
    static let successesForMiss = 32

    /// Turns in a row with one event at most before it is taken that they come one at a time.
    static let singlesForMore = 16

    private var streak = 0
    private var singles = 0
    private var required = minimumStreak
    private var foundSinceMiss = 0
    /// How often the loop looked and found an event or a job.
    private(set) var found: UInt64 = 0
    /// How often it looked in vain.
    private(set) var missed: UInt64 = 0

    init(budget: UInt64) {
        leastBudget = budget
        mostBudget = budget <= .max / 2 ? 2 * budget : .max
    }

    /// How long to look, in nanoseconds.
    var budget: UInt64 { singles < Self.singlesForMore ? leastBudget : mostBudget }

    /// The loop has so many events to handle at once.
    mutating func fetched(_ count: Int) { singles = count > 1 ? 0 : min(singles + 1, Self.singlesForMore) }

    /// Whether the next event is expected to come soon.
    var isNext: Bool { streak >= required }

    /// The loop has slept for so long. Twice the budget counts as short: to be woken takes its time, too.
    mutating func slept(_ nanoseconds: UInt64) {
        let isShort = nanoseconds / 2 <= budget
        streak = isShort ? min(streak + 1, Self.maximumStreak) : 0
    }

    /// The loop has looked and found something.
    mutating func looked() {
        found &+= 1
        foundSinceMiss = min(foundSinceMiss + 1, Self.successesForMiss)
        required = max(required - 1, Self.minimumStreak)
    }

    /// The loop has looked in vain: the event did not come, or others had the core for so long.
    mutating func lookedInVain() {
        missed &+= 1
        defer { foundSinceMiss = 0 }
        guard foundSinceMiss < Self.successesForMiss else { return }
        streak = 0
        required = min(required * 2, Self.maximumStreak)
    }
}
