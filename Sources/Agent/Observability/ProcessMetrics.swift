import Glibc

/// What `/metrics` shows of the process itself.
enum ProcessMetrics {
    /// Adds what every process shows of itself.
    static func add(_ writer: inout PrometheusWriter) {
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        writer.family(
            "process_cpu_seconds_total", .counter, "CPU time of the process.",
            seconds(usage.ru_utime) + seconds(usage.ru_stime))
        if let resident = residentBytes {
            writer.family("process_resident_memory_bytes", .gauge, "Resident memory of the process.", resident)
        }
    }

    private static var residentBytes: Double? {
        guard let file = fopen("/proc/self/statm", "r") else { return nil }
        defer { fclose(file) }
        var size: Int = 0
        var resident: Int = 0
        let found = withUnsafeMutablePointer(to: &size) { first in
            withUnsafeMutablePointer(to: &resident) { second in
                withVaList([first, second]) { vfscanf(file, "%ld %ld", $0) }
            }
        }
        return found == 2 ? Double(resident * sysconf(Int32(_SC_PAGESIZE))) : nil
    }
}
