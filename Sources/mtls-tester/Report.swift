import EventLoop

/// Collects the checks and tells the console as they begin and end.
final class Report {
    /// What is tested, as given.
    let target: String
    private let console: Console
    private(set) var checks: [Check] = []
    private let startedAt = Clock.monotonicNanoseconds()

    init(target: String, console: Console) {
        self.target = target
        self.console = console
        console.began(target)
    }

    /// Runs a check.
    @discardableResult
    func run(_ id: CheckID, _ body: () -> Outcome) -> Verdict {
        console.started(id)
        let start = Clock.monotonicNanoseconds()
        let outcome = body()
        return note(Check(id: id, outcome: outcome, nanoseconds: Clock.monotonicNanoseconds() - start))
    }

    /// Notes that checks do not run.
    func skip(_ ids: [CheckID], _ why: String, hint: String? = nil) {
        for id in ids { note(Check(id: id, outcome: .skipped(why, hint: hint), nanoseconds: 0)) }
    }

    /// Notes that every check that has not run does not run.
    func skipRest(_ why: String, hint: String? = nil) {
        let done = Set(checks.map(\.id))
        let left = CheckID.allCases.filter { !done.contains($0) }
        checks += left.map { Check(id: $0, outcome: .skipped(why, hint: hint), nanoseconds: 0) }
        console.skippedRest(left.count, why)
    }

    @discardableResult
    private func note(_ check: Check) -> Verdict {
        checks.append(check)
        console.ended(check)
        return check.verdict
    }

    /// Writes the summary, or the whole report where it is JSON.
    func finish() { console.finished(self) }

    /// The verdict on one check; nil where it has not come.
    func verdict(_ id: CheckID) -> Verdict? { checks.first { $0.id == id }?.verdict }

    /// The checks that are not as they must be.
    var failed: [CheckID] { checks.filter { $0.verdict == .failed }.map(\.id) }

    func count(_ verdict: Verdict) -> Int { checks.count { $0.verdict == verdict } }

    /// Since the beginning.
    var nanoseconds: UInt64 { Clock.monotonicNanoseconds() - startedAt }
}
