/// Bounds what those who prove no identity can write into the log: all are counted, a few each second are named, for
/// each reason apart, so that a flood of one kind does not hide the others. The reasons are our own codes, a few dozen.
struct StrangerReports {
    private static let perSecond = 10
    private var second: UInt64 = 0
    private var named: [String: Int] = [:]
    private var hidden = 0

    mutating func admit(_ reason: String, now: UInt64) -> Bool {
        if now / 1_000_000_000 != second {
            second = now / 1_000_000_000
            named.removeAll(keepingCapacity: true)
        }
        let count = named[reason, default: 0] + 1
        named[reason] = count
        if count > Self.perSecond { hidden += 1 }
        return count <= Self.perSecond
    }

    /// How many were left out since this was asked last.
    mutating func takeHidden() -> Int {
        defer { hidden = 0 }
        return hidden
    }
}
