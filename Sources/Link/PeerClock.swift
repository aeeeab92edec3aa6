/// Estimates how far a peer's clock is from ours, from timestamps in HELLO and PONG. The sample with the shortest round
/// trip of the last eight counts, since half of its round trip bounds its error.
public struct PeerClock: Sendable, Hashable {
    /// One estimate.
    public struct Estimate: Sendable, Hashable {
        /// The peer's clock minus ours, in milliseconds.
        public var offsetMilliseconds: Int64
        /// The true offset lies within this much, in milliseconds.
        public var uncertaintyMilliseconds: Int64
    }

    private var samples: [Estimate] = []
    private var next = 0

    /// No estimate yet.
    public init() {}

    /// Adds a sample: the peer said `peer` somewhere between our `sent` and `received`, all in milliseconds since 1970.
    public mutating func add(sent: UInt64, received: UInt64, peer: UInt64) {
        guard received >= sent, max(received, peer) < 1 << 62 else { return }
        let half = (received - sent) / 2
        let sample = Estimate(
            offsetMilliseconds: Int64(peer) - Int64(sent + half),
            uncertaintyMilliseconds: Int64(received - sent - half) + 1)
        if samples.count < 8 {
            samples.append(sample)
        } else {
            samples[next] = sample
        }
        next = (next + 1) % 8
    }

    /// The best estimate, or nil before the first sample.
    public var estimate: Estimate? {
        samples.min { $0.uncertaintyMilliseconds < $1.uncertaintyMilliseconds }
    }
}
