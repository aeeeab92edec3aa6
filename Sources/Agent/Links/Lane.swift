/// Names one of the lanes to a node: the sequence of links, one at a time, that carry one session. Lane 0 is always there,
/// and the others live only as long as its session.
struct Lane: Sendable, Hashable {
    /// The node at the other end.
    let node: String
    /// Which lane, from zero.
    let number: UInt8

    /// The lane on which everything begins.
    var isFirst: Bool { number == 0 }

    /// Lane `number` to `node`.
    init(_ node: String, _ number: UInt8 = 0) {
        self.node = node
        self.number = number
    }

    /// The first lane to the same node.
    var first: Lane { Lane(node) }
}

/// How many lanes this node takes: a default, and what is configured for single peers.
struct LaneCounts: Sendable, Equatable {
    /// For peers that are not named.
    var standard = 1
    /// By the peer's name.
    var peers: [String: Int] = [:]

    /// How many this node takes with `node`.
    func count(_ node: String) -> Int { peers[node] ?? standard }
}

extension Configuration {
    /// How many lanes the node takes.
    var laneCounts: LaneCounts {
        var counts = LaneCounts(standard: links.lanes)
        for peer in peers { counts.peers[peer.node] = peer.lanes }
        return counts
    }
}
