import Arguments
import EventLoop
import JSON

/// Quantities as people read them in listings.
enum Format {
    /// `-` for what is not there.
    static let none = "-"

    /// `512 B`, `1.2 MiB`.
    static func bytes(_ count: Int64?) -> String {
        guard let count else { return none }
        var value = Double(count)
        for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
            if value < 1024 || unit == "TiB" {
                return unit == "B" || value >= 100 ? "\(Int64(value)) \(unit)" : "\(tenths(value)) \(unit)"
            }
            value /= 1024
        }
        return "\(count) B"
    }

    /// A round-trip time: `0.4 ms`.
    static func roundTrip(microseconds: Int64?) -> String {
        guard let microseconds else { return none }
        return microseconds >= 100_000 ? "\(microseconds / 1000) ms" : "\(tenths(Double(microseconds) / 1000)) ms"
    }

    /// A span in its two largest units: `3d4h`, `5m2s`.
    static func span(seconds: Int64?) -> String {
        guard let seconds else { return none }
        let length = max(0, seconds)
        let rounded =
            switch length {
            case 86_400...: length / 3600 * 3600
            case 3600...: length / 60 * 60
            default: length
            }
        return DurationText.format(.seconds(rounded))
    }

    /// How long ago a time in unix milliseconds was.
    static func age(sinceMilliseconds time: Int64?) -> String {
        time.map { span(seconds: (Clock.unixMilliseconds() - $0) / 1000) } ?? none
    }

    /// Names in a row.
    static func list(_ value: JSONValue?) -> String {
        let texts = value?.array?.compactMap(\.string) ?? []
        return texts.isEmpty ? none : texts.joined(separator: ", ")
    }

    /// `key=value` in a row.
    static func map(_ value: JSONValue?) -> String {
        let members = value?.object?.members ?? []
        let texts = members.map { "\($0.key)=\($0.value.string ?? $0.value.text())" }
        return texts.isEmpty ? none : texts.joined(separator: ", ")
    }

    /// One decimal place, cut off.
    private static func tenths(_ value: Double) -> String {
        let tenths = Int64(value * 10)
        return "\(tenths / 10).\(tenths % 10)"
    }
}

extension JSONValue {
    /// The text of a member, `-` where there is none.
    func text(of key: String) -> String { self[key]?.string ?? Format.none }

    /// The number of a member as text, `-` where there is none.
    func number(of key: String) -> String { self[key]?.integer.map(String.init) ?? Format.none }

    /// The elements of a member.
    func elements(of key: String) -> [JSONValue] { self[key]?.array ?? [] }
}
