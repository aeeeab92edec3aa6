/// Finds the lane that a bulk stream had better leave for another one, from what is known of the lanes to one node, look after
/// look. Deliberate: what is true for one look alone is no reason, and after each move it waits, so that nothing goes to and fro.
public struct LaneBalance: Sendable {
    /// What to do after a look.
    public enum Advice: Sendable, Hashable {
        /// Nothing.
        case none
        /// Find out which stream of the lane moves bulk until the next look.
        case measure(from: UInt8)
        /// Let a bulk stream leave one lane for the other.
        case move(from: UInt8, to: UInt8)
    }

    /// Looks without advice after each move.
    static let rest = 5
    /// A lane is nearly idle for another one that has so many times its streams.
    static let idleShare = 4

    private var wanted: (from: UInt8, to: UInt8)?
    private var resting = 0

    /// Nothing is known yet.
    public init() {}

    /// Looks at the lanes that take streams.
    public mutating func look(_ lanes: [LaneChoice.Candidate]) -> Advice {
        guard resting == 0 else {
            resting -= 1
            return .none
        }
        guard let next = LaneBalance.imbalance(lanes) else {
            wanted = nil
            return .none
        }
        guard let before = wanted, before == next else {
            wanted = next
            return .measure(from: next.from)
        }
        wanted = nil
        resting = LaneBalance.rest
        return .move(from: next.from, to: next.to)
    }

    /// The lane with bulk that has the most streams, and one that carries none and is nearly idle beside what shares that lane.
    private static func imbalance(_ lanes: [LaneChoice.Candidate]) -> (from: UInt8, to: UInt8)? {
        let busy = lanes.filter { $0.isBulk && $0.streams > 1 }
        guard let from = busy.max(by: { ($0.streams, $1.number) < ($1.streams, $0.number) }),
            let to = lanes.filter({ !$0.isBulk }).min(by: { ($0.streams, $0.number) < ($1.streams, $1.number) }),
            to.streams * idleShare < from.streams
        else { return nil }
        return (from.number, to.number)
    }
}
