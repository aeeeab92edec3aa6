internal import Glibc

/// The clocks of the system. Protocol code takes times as parameters and never asks here.
public enum Clock {
    /// Nanoseconds in a microsecond.
    public static let microsecond: UInt64 = 1_000
    /// Nanoseconds in a millisecond.
    public static let millisecond: UInt64 = 1_000_000
    /// Nanoseconds in a second.
    public static let second: UInt64 = 1_000_000_000

    /// Nanoseconds since some point before the start of the process; never goes back (CLOCK_MONOTONIC).
    public static func monotonicNanoseconds() -> UInt64 {
        let time = read(CLOCK_MONOTONIC)
        return UInt64(time.tv_sec) * second + UInt64(time.tv_nsec)
    }

    /// Seconds since 1970 (UTC, CLOCK_REALTIME); may jump when the clock is set.
    public static func unixSeconds() -> Int64 {
        Int64(read(CLOCK_REALTIME).tv_sec)
    }

    /// Milliseconds since 1970 (UTC, CLOCK_REALTIME); may jump when the clock is set.
    public static func unixMilliseconds() -> Int64 {
        let time = read(CLOCK_REALTIME)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    /// Reads a clock; the two used here always exist, so that the call cannot fail.
    private static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}
