/// Chooses the lane of a new stream: the one with the fewest streams, and of several such one of the caller's own worker, to which
/// the connection need not move. What the network loses of bulk stalls everything behind it on the same TCP connection; so a lane
/// that carries bulk is taken only where the others have many streams more.
public enum LaneChoice {
    /// What is known of a lane when the choice is made.
    public struct Candidate: Sendable, Hashable {
        /// Which lane.
        public let number: UInt8
        /// Whether its link lives where the connection is.
        public let isHere: Bool
        /// Whether it carries bulk.
        public let isBulk: Bool
        /// Its streams.
        public let streams: Int

        /// A lane from what is known of it.
        public init(number: UInt8, isHere: Bool, isBulk: Bool, streams: Int) {
            self.number = number
            self.isHere = isHere
            self.isBulk = isBulk
            self.streams = streams
        }
    }

    /// The lane to take; nil where there is none.
    public static func best(_ lanes: [Candidate]) -> Candidate? {
        lanes.min { rank($0) < rank($1) }
    }

    /// So many streams more another lane may have before one with bulk is taken: beyond that all new ones would crowd on the
    /// last lane without.
    static let bulkWeight = 4

    private static func rank(_ lane: Candidate) -> (Int, Int, UInt8) {
        (lane.streams + (lane.isBulk ? bulkWeight : 0), lane.isHere ? 0 : 1, lane.number)
    }
}
