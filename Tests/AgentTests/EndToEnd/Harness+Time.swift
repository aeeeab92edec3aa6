import Foundation

/// Something that a test found wrong.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Waiting with deadlines. Nothing here sleeps for a fixed time to synchronise: every wait is for a condition.
enum Deadline {
    /// 5 with MESH_SLOW=1 (sanitizers, emulation), else 1.
    static let slowness: Double = ProcessInfo.processInfo.environment["MESH_SLOW"] == "1" ? 5 : 1
    /// How long something may take that no promise of ours bounds: the machine may be busy.
    static let patience: Double = 30 * slowness

    /// How long something lives of which a test needs a part of the life, in seconds: longer where everything takes longer.
    static func lifetime(_ seconds: Int64) -> Int64 { slowness == 1 ? seconds : seconds * 3 }

    /// A duration as configurations have it, longer where everything takes longer.
    static func milliseconds(_ count: Int) -> String { "\(Int(Double(count) * slowness))ms" }

    static var now: Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Waits until `condition` gives a value; throws after `seconds`.
    @discardableResult
    static func wait<Value>(
        _ what: @autoclosure () -> String, within seconds: Double = patience, every interval: Double = 0.005,
        _ condition: () throws -> Value?
    ) throws -> Value {
        let end = now + seconds
        while true {
            if let value = try condition() { return value }
            guard now < end else { throw Failure("in \(seconds) s not: \(what())") }
            usleep(UInt32(interval * 1e6))
        }
    }

    /// Waits until `condition` holds; throws after `seconds`. Gives the seconds that it took.
    @discardableResult
    static func until(
        _ what: @autoclosure () -> String, within seconds: Double = patience, every interval: Double = 0.005,
        _ condition: () throws -> Bool
    ) throws -> Double {
        let start = now
        try wait(what(), within: seconds, every: interval) { try condition() ? () : nil }
        return now - start
    }
}

/// Throws unless `condition` holds.
func demand(_ condition: Bool, _ text: @autoclosure () -> String, line: Int = #line) throws {
    if !condition { throw Failure("\(text()) (line \(line))") }
}

/// Throws unless both are equal.
func demandEqual<Value: Equatable>(_ left: Value, _ right: Value, _ what: String = "", line: Int = #line) throws {
    if left != right { throw Failure("\(what) \(left) is not \(right) (line \(line))") }
}
