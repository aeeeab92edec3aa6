import Synchronization

/// What all parked sessions of the agent may hold together.
final class ParkingSpace: Sendable {
    /// How long a session waits for its next link, in nanoseconds; zero: sessions end with their links.
    let resumeFor: UInt64
    /// Bytes that parked sessions may hold: frames not acknowledged, and bytes that applications did not take yet.
    let limit: Int
    /// What a parked session counts at least: its tables, TLS state, and the control frames that it may still write.
    static let floor = 64 << 10

    private let taken = Atomic<Int>(0)

    init(resumeFor: UInt64, limit: Int) {
        self.resumeFor = resumeFor
        self.limit = limit
    }

    /// Bytes held by parked sessions now.
    var used: Int { taken.load(ordering: .relaxed) }

    /// Takes `bytes`; false, and nothing taken, when that is beyond the limit.
    func take(_ bytes: Int) -> Bool {
        guard taken.add(bytes, ordering: .relaxed).newValue <= limit else {
            taken.subtract(bytes, ordering: .relaxed)
            return false
        }
        return true
    }

    /// Gives `bytes` back.
    func give(_ bytes: Int) { taken.subtract(bytes, ordering: .relaxed) }
}
