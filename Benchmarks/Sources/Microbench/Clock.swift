import Glibc

/// The clocks that measurements use, in nanoseconds.
enum Clock {
    /// Time on the wall, monotonic.
    static var wall: UInt64 { read(CLOCK_MONOTONIC) }

    /// CPU time of the calling thread: what other processes do is not in it.
    static var thread: UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    /// CPU time of the whole process.
    static var process: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// Several measurements of one figure.
struct Samples {
    private var values: [Double] = []

    /// Takes in a measurement.
    mutating func add(_ value: Double) { values.append(value) }

    /// The middle one, zero without any.
    var median: Double { values.isEmpty ? 0 : values.sorted()[values.count / 2] }

    /// The smallest.
    var least: Double { values.min() ?? 0 }

    /// The largest.
    var most: Double { values.max() ?? 0 }
}
