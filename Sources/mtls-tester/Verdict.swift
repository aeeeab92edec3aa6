/// What a check came to.
enum Verdict: String, Sendable, CaseIterable {
    /// As it must be.
    case ok
    /// Not as it must be.
    case failed
    /// Did not run; the detail says why.
    case skipped
    /// Worth knowing; neither right nor wrong.
    case info
}

/// What the body of a check hands back.
struct Outcome: Sendable {
    var verdict: Verdict
    /// What was found, in one line.
    var detail: String
    /// What the node answered, where it answered: an alert, a status, a reason.
    var answer: String?
    /// What to do next.
    var hint: String?

    static func ok(_ detail: String, answer: String? = nil, hint: String? = nil) -> Outcome {
        Outcome(verdict: .ok, detail: detail, answer: answer, hint: hint)
    }

    static func failed(_ detail: String, answer: String? = nil, hint: String? = nil) -> Outcome {
        Outcome(verdict: .failed, detail: detail, answer: answer, hint: hint)
    }

    static func skipped(_ detail: String, hint: String? = nil) -> Outcome {
        Outcome(verdict: .skipped, detail: detail, answer: nil, hint: hint)
    }

    static func info(_ detail: String, answer: String? = nil, hint: String? = nil) -> Outcome {
        Outcome(verdict: .info, detail: detail, answer: answer, hint: hint)
    }
}

/// A check that has run, or was skipped.
struct Check: Sendable {
    let id: CheckID
    let outcome: Outcome
    /// How long it took.
    let nanoseconds: UInt64

    var verdict: Verdict { outcome.verdict }
}
