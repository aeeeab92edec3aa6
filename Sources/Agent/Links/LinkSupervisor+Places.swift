import Link

/// How many nodes there may be links to.
extension LinkSupervisor {
    nonisolated static var linksFull: LinkFailure {
        LinkFailure(
            code: "links_full", text: "this node has all the links it takes (limits.maxLinks)",
            hint: "raise limits.maxLinks and reload; mesh links shows them", reason: nil, retryAfter: 0)
    }

    /// Whether a link may be made. Lanes but the first take no place of their own, nor does a link that comes in the place of
    /// another one, and a node that is always linked is let in whatever there is.
    func mayLink(_ lane: Lane) -> Bool {
        if !lane.isFirst { return true }
        if let peer = peers[lane], peer.isPermanent || hasPlace(peer) { return true }
        return peers.values.count { $0.lane.isFirst && hasPlace($0) } < shared.links.maximumLinks
    }

    /// A node takes a place with its link, its parked session or while another run of its agent is expected, and while a link
    /// is made, by either end.
    private func hasPlace(_ peer: Peer) -> Bool {
        peer.link != nil || peer.parkedOn != nil || peer.successor != nil || !peer.arbiter.isIdle
    }
}
