/// Says whether it is worth a loop's while to look for its next event for a moment before it sleeps.
///
/// Sleeping and being woken cost more than all the rest of a small message: an interrupt to another core, on a virtual
/// machine an exit of both, and the time until the core is awake. Who expects his next event within microseconds does
/// better to look for it. Only who has had many short waits in a row expects that, and who was wrong becomes careful:
/// an idle loop, or one whose events come now and then, sleeps at once.
struct ShortWaits {
    /// How long to look, in nanoseconds.
    let budget: UInt64

    /// Waits in a row that were short before the loop looks: what is wasted by looking in vain is little beside them.
    static let minimumStreak = 16
    /// The most of them that are asked for after having looked in vain again and again.
    static let maximumStreak = 1_024

    private var streak = 0
    private var required = minimumStreak
    /// How often the loop looked and found an event or a job.
    private(set) var found: UInt64 = 0
    /// How often it looked in vain.
    private(set) var missed: UInt64 = 0

    init(budget: UInt64) { self.budget = budget }

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
        required = max(required - 1, Self.minimumStreak)
    }

    /// The loop has looked in vain: the event did not come, or others had the core for so long.
    mutating func lookedInVain() {
        missed &+= 1
        streak = 0
        required = min(required * 2, Self.maximumStreak)
    }
}
