import Agent
import Arguments
import EventLoop

/// Times as `mesh audit tail --since` takes them.
enum AuditTime {
    /// The start of RFC 3339 texts (UTC, without `Z`) that a point in time, or a span before now, stands for.
    ///
    /// Errors: `bad_time`.
    static func since(
        _ text: String, now: Int64 = Clock.unixMilliseconds()
    ) throws(CommandFailure) -> String {
        if let span = DurationText.parse(text) {
            let ago = span.components.seconds * 1000 + span.components.attoseconds / 1_000_000_000_000_000
            return Timestamp.rfc3339(milliseconds: max(0, now - ago))
        }
        let bare = text.hasSuffix("Z") ? String(text.dropLast()) : text
        guard isTime(bare) else {
            throw CommandFailure(
                .usage, "bad_time", "--since: \"\(text)\" is neither a time nor a span",
                hint: "write 2026-11-29, 2026-11-29T09:00 or 2026-11-29T09:00:30 (UTC), or how long ago: 90s, 2h, 3d")
        }
        return bare
    }

    /// Whether a text is a date, or a date and a time down to minutes, seconds or parts of them, each within its range.
    private static func isTime(_ text: String) -> Bool {
        let halves = text.split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        guard date.count == 3, number(date[0], 4, 1970...9999), number(date[1], 2, 1...12), number(date[2], 2, 1...31)
        else { return false }
        guard halves.count == 2 else { return true }
        let time = halves[1].split(separator: ":", omittingEmptySubsequences: false)
        guard (2...3).contains(time.count), number(time[0], 2, 0...23), number(time[1], 2, 0...59) else { return false }
        guard time.count == 3 else { return true }
        let second = time[2].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard number(second[0], 2, 0...60) else { return false }
        return second.count == 1 || (1...9).contains(second[1].count) && second[1].utf8.allSatisfy(isDigit)
    }

    private static func number(_ text: Substring, _ digits: Int, _ range: ClosedRange<Int>) -> Bool {
        text.utf8.count == digits && text.utf8.allSatisfy(isDigit) && Int(text).map(range.contains) ?? false
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
}
