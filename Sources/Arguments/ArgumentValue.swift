/// A value that was checked against its kind.
public enum ArgumentValue: Sendable, Hashable {
    /// Text, path or choice.
    case string(String)
    /// A whole number.
    case integer(Int)
    /// A span of time.
    case duration(Duration)
    /// A switch.
    case bool(Bool)

    /// Checks `text`; what is wrong with it comes back as text, together with what would be right.
    static func parse(_ text: String, _ kind: ValueKind) -> Result<ArgumentValue, Fault> {
        switch kind {
        case .string: return .success(.string(text))
        case .path:
            if text.isEmpty { return .failure(Fault(what: "is an empty path", hint: "give the path of a file")) }
            return .success(.string(text))
        case .integer(let range):
            guard let number = Int(text) else {
                return .failure(Fault(what: "is not a whole number: \(text)", hint: hint(range)))
            }
            guard range.contains(number) else {
                return .failure(Fault(what: "is out of range: \(text)", hint: hint(range)))
            }
            return .success(.integer(number))
        case .duration:
            guard let duration = DurationText.parse(text) else {
                return .failure(
                    Fault(
                        what: "is not a duration: \(text)", hint: "give a number with a unit: 500ms, 30s, 5m, 24h, 90d")
                )
            }
            return .success(.duration(duration))
        case .choice(let words, let instead):
            if words.contains(text) { return .success(.string(text)) }
            let hint =
                instead[text] ?? Suggestion.closest(to: text, among: words).map { "did you mean \($0)?" }
                ?? "choose one of: \(words.joined(separator: ", "))"
            return .failure(Fault(what: "is not one of \(words.joined(separator: ", ")): \(text)", hint: hint))
        }
    }

    private static func hint(_ range: ClosedRange<Int>) -> String {
        switch (range.lowerBound, range.upperBound) {
        case (.min, .max): "give digits, with - in front for a negative number"
        case (let low, .max): "give a number of at least \(low)"
        case (.min, let high): "give a number of at most \(high)"
        case (let low, let high): "give a number from \(low) to \(high)"
        }
    }

    struct Fault: Error {
        let what: String
        let hint: String
    }
}

/// Spans of time as people write them.
public enum DurationText {
    /// Units in seconds, with the millisecond apart; from large to small, the order in which they may be combined.
    private static let units: [(name: String, milliseconds: Int64)] = [
        ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
    ]

    /// Longest span: more than any setting needs, and safe in nanoseconds of 64 bits.
    private static let longest: Int64 = 36_500 * 86_400_000

    /// Reads `30s`, `5m`, `24h`, `90d`, `2w`, `500ms`, and combinations from large to small (`1h30m`). Nil for anything
    /// else: no blanks, signs, fractions or bare numbers. At most 100 years.
    public static func parse(_ text: String) -> Duration? {
        var rest = text.utf8[...]
        var total: Int64 = 0
        var nextUnit = 0
        if rest.isEmpty { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0 >= 0x30 && $0 <= 0x39 }
            rest = rest.dropFirst(digits.count)
            let letters = rest.prefix { $0 < 0x30 || $0 > 0x39 }
            rest = rest.dropFirst(letters.count)
            guard let number = Int64(String(Substring(digits))), let name = String(letters),
                let unit = units[nextUnit...].firstIndex(where: { $0.name == name })
            else { return nil }
            let (value, overflow) = number.multipliedReportingOverflow(by: units[unit].milliseconds)
            if overflow || value > longest - total { return nil }
            total += value
            nextUnit = unit + 1
        }
        return .milliseconds(total)
    }

    /// The shortest text that `parse` reads as that span; parts under a millisecond are cut off, negative ones are `0s`.
    public static func format(_ duration: Duration) -> String {
        let parts = duration.components
        var rest = parts.seconds * 1000 + parts.attoseconds / 1_000_000_000_000_000
        if rest <= 0 { return "0s" }
        var text = ""
        // Weeks are read but not written: 90d says more than 12w6d.
        for unit in units.dropFirst() where rest >= unit.milliseconds {
            text += "\(rest / unit.milliseconds)\(unit.name)"
            rest %= unit.milliseconds
        }
        return text
    }
}
