import Glibc

/// Writing to standard output and error, unbuffered, so that progress shows at once.
enum Terminal {
    /// Columns: the terminal's, between 40 and 120; `COLUMNS` where it is no terminal; else 100.
    static func width(_ descriptor: Int32) -> Int {
        var size = winsize()
        if ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 {
            return min(max(Int(size.ws_col), 40), 120)
        }
        if let text = getenv("COLUMNS"), let columns = Int(String(cString: text)) { return min(max(columns, 40), 120) }
        return 100
    }

    static func write(_ text: String, to descriptor: Int32 = STDOUT_FILENO) {
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress! + offset, $0.count - offset) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            offset += count
        }
    }

    static func complain(_ text: String) { write(text + "\n", to: STDERR_FILENO) }
}

/// Times as people read them.
enum Times {
    /// Milliseconds with three digits after the point.
    static func roundedMilliseconds(_ nanoseconds: UInt64) -> Double {
        Double((nanoseconds + 500) / 1000) / 1000
    }

    /// "0.31 ms", "12.4 ms", "3.20 s".
    static func milliseconds(_ nanoseconds: UInt64) -> String {
        if nanoseconds >= 1_000_000_000 { return "\(digits(nanoseconds / 10_000_000, 2)) s" }
        if nanoseconds >= 10_000_000 { return "\(digits(nanoseconds / 100_000, 1)) ms" }
        return "\(digits(nanoseconds / 10_000, 2)) ms"
    }

    private static func digits(_ value: UInt64, _ places: Int) -> String {
        let scale: UInt64 = places == 2 ? 100 : 10
        let rest = String(value % scale)
        return "\(value / scale).\(String(repeating: "0", count: places - rest.count))\(rest)"
    }
}
