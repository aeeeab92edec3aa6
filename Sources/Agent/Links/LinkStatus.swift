import PKI

/// What operators see of a link.
struct LinkStatus: Sendable {
    let lane: Lane
    var node: String { lane.node }
    let id: UInt64
    let worker: Int
    let isDialler: Bool
    let establishedAt: Int64
    let roundTrip: UInt64?
    let streams: Int
    /// Streams that came to the lane from others.
    let streamsTaken: Int
    let bytesReceived: UInt64
    let bytesSent: UInt64
    let retained: Int
    let tlsVersion: String
    let cipher: String
    let peerExpires: Int64
    /// The peer's certificate, and what it led to: the verified chain, the root last.
    let peerChain: [Certificate]
    /// What the check of the peer's pins came to.
    let pins: PinPolicy.Outcome
    /// The peer's clock minus ours, in milliseconds.
    let clockOffset: Int64?
}
