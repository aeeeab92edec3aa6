/// Names a stream of one session, for as long as the stream lives. A handle that outlived its stream is harmless: calls
/// with it do nothing.
public struct StreamHandle: Sendable, Hashable, CustomStringConvertible {
    /// Index of the stream's place, small and reused: callers can keep their own table of connections by it.
    public let slot: UInt32
    /// Tells the streams apart that used the same place.
    public let generation: UInt32

    @inlinable
    init(slot: UInt32, generation: UInt32) {
        self.slot = slot
        self.generation = generation
    }

    /// For logs, "7.42".
    public var description: String { "\(slot).\(generation)" }
}

/// Which ids a node gives to the streams that it opens: the low bit, by the order of the two identities, whoever dialled.
public enum StreamParity: UInt64, Sendable, Hashable {
    /// The node whose identity is smaller, compared byte by byte as UTF-8. Its first stream is 2.
    case even = 0
    /// The other node. Its first stream is 1.
    case odd = 1

    /// The parity of `local`'s streams towards `peer`. The two identities differ.
    public init(local: String, peer: String) {
        self = local.utf8.lexicographicallyPrecedes(peer.utf8) ? .even : .odd
    }

    /// The other end's parity.
    public var opposite: StreamParity { self == .even ? .odd : .even }

    var firstID: UInt64 { self == .even ? 2 : 1 }
}

/// Which end of the link an agent is. The dialler is the WebSocket client and masks what it sends.
public enum LinkRole: Sendable, Hashable {
    /// Made the connection; WebSocket client.
    case dialler
    /// Took the connection; WebSocket server.
    case acceptor
}
