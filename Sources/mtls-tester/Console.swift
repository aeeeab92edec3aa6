import Arguments
import Glibc
import JSON

/// Where the report goes: text as it comes about, or one JSON document at the end.
final class Console {
    private let json: Bool
    private let verbose: Bool
    private let width: Int
    private let isTerminal: Bool
    private let colours: Bool
    private var stage: Stage?
    /// The last skipped check's reason, so that a row of them says it once.
    private var lastSkip: String?

    /// Columns before a check's title.
    private static let indent = 10

    init(json: Bool, verbose: Bool, environment: [String: String]) {
        self.json = json
        self.verbose = verbose
        let output = json ? STDERR_FILENO : STDOUT_FILENO
        isTerminal = isatty(output) == 1
        width = Terminal.width(output)
        colours = isTerminal && environment["NO_COLOR", default: ""].isEmpty && environment["TERM"] != "dumb"
    }

    // MARK: - As it comes about

    func began(_ target: String) {
        guard !json else { return }
        Terminal.write("\(DisplayWidth.sanitized(target))\n")
    }

    func started(_ id: CheckID) {
        if !json, id.stage != stage {
            stage = id.stage
            lastSkip = nil
            Terminal.write("\n\(bold(id.stage.title))\n")
        }
        guard isTerminal else { return }
        let line = DisplayWidth.truncated("  …       \(json ? id.rawValue : id.title)", to: width - 1)
        Terminal.write("\r\(line)\u{1B}[K", to: json ? STDERR_FILENO : STDOUT_FILENO)
    }

    func ended(_ check: Check) {
        if isTerminal { Terminal.write("\r\u{1B}[K", to: json ? STDERR_FILENO : STDOUT_FILENO) }
        guard !json else { return }
        if check.id.stage != stage {
            stage = check.id.stage
            lastSkip = nil
            Terminal.write("\n\(bold(check.id.stage.title))\n")
        }
        Terminal.write(text(of: check))
    }

    /// Everything that is left does not run, for one cause.
    func skippedRest(_ count: Int, _ why: String) {
        guard !json else { return }
        let text = DisplayWidth.wrapped("everything else (\(count) checks): \(why)", to: width - Self.indent)
        let margin = String(repeating: " ", count: Self.indent)
        Terminal.write("\n  \(paint("skipped", "33")) \(text.joined(separator: "\n\(margin)"))\n")
    }

    private func text(of check: Check) -> String {
        let outcome = check.outcome
        let mark =
            switch check.verdict {
            case .ok: paint("ok", "32")
            case .failed: paint("FAILED", "1;31")
            case .skipped: paint("skipped", "33")
            case .info: paint("info", "36")
            }
        let markWidth = check.verdict == .failed ? 6 : check.verdict.rawValue.count
        let margin = String(repeating: " ", count: Self.indent)
        let body = width - Self.indent
        var first = check.id.title
        var rest: [String] = []
        // What was found stands beside the title where both fit, else below it; in a row of skips it is said once.
        let said = DisplayWidth.sanitized(outcome.detail)
        let isRepeated = check.verdict == .skipped && said == lastSkip
        lastSkip = check.verdict == .skipped ? said : nil
        if !said.isEmpty, !isRepeated {
            if DisplayWidth.of(first) + 2 + DisplayWidth.of(said) <= body {
                first += ": \(said)"
            } else {
                rest += DisplayWidth.wrapped(said, to: body - 2)
            }
        }
        if let answer = outcome.answer, check.verdict == .failed || verbose, !outcome.detail.contains(answer) {
            rest += DisplayWidth.wrapped("the node answered: \(DisplayWidth.sanitized(answer))", to: body - 2)
        }
        if let hint = outcome.hint, verbose || !isRepeated {
            rest += DisplayWidth.wrapped("→ \(DisplayWidth.sanitized(hint))", to: body - 2)
        }
        if verbose { rest.append("\(check.id.rawValue), \(Times.milliseconds(check.nanoseconds))") }
        let title = DisplayWidth.wrapped(first, to: body).joined(separator: "\n\(margin)")
        let lines =
            ["  \(mark)\(String(repeating: " ", count: Self.indent - 2 - markWidth))\(title)"]
            + rest.map { "\(margin)  \($0)" }
        return lines.map { $0 + "\n" }.joined()
    }

    // MARK: - At the end

    func finished(_ report: Report) {
        if json { return Terminal.write(Self.document(report).text(.pretty) + "\n") }
        let parts = [
            "\(report.count(.ok)) ok", "\(report.count(.failed)) failed", "\(report.count(.skipped)) skipped",
            "\(report.count(.info)) for information",
        ]
        var lines = DisplayWidth.wrapped(
            "\(report.checks.count) checks: \(parts.joined(separator: ", ")), in \(Times.milliseconds(report.nanoseconds)).",
            to: width)
        if report.failed.isEmpty {
            let skipped = report.count(.skipped) > 0 ? " Skipped checks prove nothing; the lines above say why." : ""
            lines += DisplayWidth.wrapped("Every check that ran is as it must be.\(skipped)", to: width)
        } else {
            lines.append(paint("FAILED:", "1;31"))
            lines += report.failed.map { "  \($0.rawValue)" }
        }
        Terminal.write("\n\(lines.joined(separator: "\n"))\n")
    }

    private static func document(_ report: Report) -> JSONValue {
        let checks = report.checks.map { check -> JSONValue in
            [
                "id": .string(check.id.rawValue), "stage": .string(check.id.stage.rawValue),
                "title": .string(check.id.title), "verdict": .string(check.verdict.rawValue),
                "detail": .string(check.outcome.detail), "answer": check.outcome.answer.map { .string($0) } ?? .null,
                "hint": check.outcome.hint.map { .string($0) } ?? .null,
                "milliseconds": .number(Times.roundedMilliseconds(check.nanoseconds)),
            ]
        }
        return [
            "target": .string(report.target),
            "checks": .array(checks),
            "summary": [
                "ok": .init(report.count(.ok)), "failed": .init(report.count(.failed)),
                "skipped": .init(report.count(.skipped)), "info": .init(report.count(.info)),
                "failedChecks": .init(report.failed.map(\.rawValue)), "passed": .bool(report.failed.isEmpty),
                "milliseconds": .number(Times.roundedMilliseconds(report.nanoseconds)),
            ],
        ]
    }

    private func paint(_ text: String, _ code: String) -> String { colours ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
    private func bold(_ text: String) -> String { paint(text, "1") }
}
