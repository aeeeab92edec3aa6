import Glibc

/// Lines for people and for the scripts that read them.
enum Output {
    /// Writes a line.
    static func line(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// Writes a line to the error output.
    static func error(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Writes why the measurement ended and ends the program with code 3.
    static func fail(_ reason: String) -> Never {
        error("microbench: \(reason)")
        exit(3)
    }

    private static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array((text + "\n").utf8)
        var start = 0
        while start < bytes.count {
            let written = bytes[start...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written <= 0 { return }
            start += written
        }
    }

    /// `text` with blanks before it up to `width`.
    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// `text` with blanks after it up to `width`.
    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    /// A number with a fixed number of decimals.
    static func number(_ value: Double, _ decimals: Int) -> String {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let scaled = Int((value * scale).rounded())
        guard decimals > 0 else { return String(scaled) }
        let whole = abs(scaled) / Int(scale)
        let rest = String(abs(scaled) % Int(scale))
        return (scaled < 0 ? "-" : "") + "\(whole)." + String(repeating: "0", count: decimals - rest.count) + rest
    }
}
