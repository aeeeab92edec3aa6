import Foundation
import JSON

/// Reads the log that a process writes, each record once: tests ask again and again, some of them to measure how long something
/// took.
final class LogReader: @unchecked Sendable {
    // Sendable by hand: the lock guards what changes.
    private let path: String
    private let lock = NSLock()
    private var handle: FileHandle?
    /// The beginning of a line whose end is not written yet.
    private var rest = Data()
    private var known: [LogRecord] = []

    init(_ path: String) { self.path = path }

    deinit { try? handle?.close() }

    /// All records so far. Lines that are none (of a sanitizer, of a crash) are left out.
    var records: [LogRecord] {
        lock.withLock {
            if handle == nil { handle = FileHandle(forReadingAtPath: path) }
            rest.append((try? handle?.readToEnd()) ?? Data())
            guard let last = rest.lastIndex(of: UInt8(ascii: "\n")) else { return known }
            for line in rest[..<last].split(separator: UInt8(ascii: "\n")) {
                guard let value = try? JSONReader.parse(String(decoding: line, as: UTF8.self)) else { continue }
                known.append(LogRecord(value: value))
            }
            rest = Data(rest[(last + 1)...])
            return known
        }
    }
}

/// A record of an agent's log.
struct LogRecord {
    let value: JSONValue
    var event: String { value["event"]?.string ?? "" }
    subscript(_ name: String) -> String? { value[name]?.string }
}

extension LogRecord {
    /// When it was written, in seconds since 1970.
    var seconds: Double {
        let format = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        return (try? format.parse(self["time"] ?? ""))?.timeIntervalSince1970 ?? 0
    }

    /// Of `session_resumed`: the session did not wait longer than this for its link.
    func demandPause(below seconds: Double) throws {
        let pause = Double(value["parked_ms"]?.integer ?? .max) / 1_000
        try demand(pause < seconds * Deadline.slowness, "the session waited for \(pause) s")
    }
}
