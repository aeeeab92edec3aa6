import Arguments
import JSON

/// How a quantity with a unit is written, and how its mistakes are explained.
private struct QuantityNotation<Value: Sendable>: Sendable {
    let noun: String
    let example: String
    let parse: @Sendable (String) -> Value?
    let format: @Sendable (Value) -> String
    /// What to write instead of a bare number.
    let unitHint: @Sendable (Int64) -> String
    /// What to write instead of another text.
    let hint: String
    let pattern: String
    let placeholder: String
}

extension Codec where Value: Comparable {
    /// A quantity within a range.
    private static func quantity(_ notation: QuantityNotation<Value>, in range: ClosedRange<Value>) -> Codec {
        let words = "\(notation.noun) from \(notation.format(range.lowerBound)) to \(notation.format(range.upperBound))"
        return Codec(
            decode: { node, decoding in
                guard let text = node.string else {
                    let hint = node.integer.map(notation.unitHint)
                    decoding.wrongType(node, words, hint: hint ?? "write it like \"\(notation.example)\"")
                    return nil
                }
                guard let value = notation.parse(text) else {
                    decoding.report(
                        .badValue, at: node.position, "expected \(words), found \"\(text)\"", hint: notation.hint)
                    return nil
                }
                guard range.contains(value) else {
                    decoding.report(.outOfRange, at: node.position, "expected \(words), found \"\(text)\"")
                    return nil
                }
                return value
            },
            encode: { .string(notation.format($0)) },
            form: ValueForm(
                words: words, schema: ["type": "string", "pattern": .string(notation.pattern)],
                placeholder: notation.placeholder))
    }
}

extension Codec where Value == Duration {
    /// A duration such as `"30s"` within a range.
    static func duration(_ range: ClosedRange<Duration>) -> Codec {
        quantity(
            QuantityNotation(
                noun: "a duration", example: "30s", parse: { DurationText.parse($0) },
                format: { DurationText.format($0) },
                unitHint: { "write a unit: \"\($0)s\" or \"\($0)ms\"" },
                hint: "write whole numbers and units ms, s, m, h, d or w: \"250ms\", \"30s\", \"1h30m\"",
                pattern: "^([0-9]+(w|d|h|m|s|ms))+$", placeholder: "DURATION"), in: range)
    }
}

extension Codec where Value == Int {
    /// A number of bytes such as `"256MiB"` within a range.
    static func size(_ range: ClosedRange<Int>) -> Codec {
        quantity(
            QuantityNotation(
                noun: "a size", example: "256MiB", parse: { Quantity.bytes($0) }, format: { Quantity.text(bytes: $0) },
                unitHint: { "write a unit: \"\($0)B\" for bytes, or KiB, MiB, GiB" },
                hint: "write a whole number and B, KiB, MiB or GiB (powers of 1024): \"256MiB\"",
                pattern: "^[0-9]+(B|KiB|MiB|GiB)$", placeholder: "SIZE"), in: range)
    }
}

/// Numbers of bytes with units.
enum Quantity {
    private static let sizeUnits: [(name: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1),
    ]

    /// `256MiB`; nil when it is not written so or does not fit.
    static func bytes(_ text: String) -> Int? {
        guard let (number, unit) = split(text), let unit = sizeUnits.first(where: { $0.name == unit }),
            case let (bytes, overflow) = number.multipliedReportingOverflow(by: unit.bytes), !overflow
        else { return nil }
        return bytes
    }

    /// The size with the largest unit that has no remainder.
    static func text(bytes: Int) -> String {
        guard bytes > 0, let unit = sizeUnits.first(where: { bytes % $0.bytes == 0 }) else { return "0B" }
        return "\(bytes / unit.bytes)\(unit.name)"
    }

    private static func split(_ text: String) -> (Int, String)? {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        guard !digits.isEmpty, let number = Int(String(Substring(digits))) else { return nil }
        return (number, String(text.dropFirst(digits.count)))
    }
}

extension Duration {
    /// Whole nanoseconds, as the event loop counts; 0 for negative durations.
    public var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds / 1_000_000_000)
    }
}
