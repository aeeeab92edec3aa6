import Glibc

/// Calendar time as text.
public enum Timestamp {
    /// `2026-11-21T04:32:28.123Z` (RFC 3339, UTC, milliseconds).
    ///
    /// - Parameter milliseconds: milliseconds since 1970-01-01T00:00:00Z.
    public static func rfc3339(milliseconds: Int64) -> String {
        let (seconds, fraction) = (milliseconds / 1000, milliseconds % 1000)
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "\(milliseconds)" }
        func pad(_ value: Int32, _ width: Int) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return pad(parts.tm_year + 1900, 4) + "-" + pad(parts.tm_mon + 1, 2) + "-" + pad(parts.tm_mday, 2) + "T"
            + pad(parts.tm_hour, 2) + ":" + pad(parts.tm_min, 2) + ":" + pad(parts.tm_sec, 2) + "."
            + pad(Int32(fraction), 3) + "Z"
    }
}
