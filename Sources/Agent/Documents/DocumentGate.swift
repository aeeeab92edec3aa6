import Documents

/// Whether a link may carry applications' streams as far as documents are concerned: only once both ends have the same
/// ones, so that a node that was cut off catches up before it carries anything. Lives with the link on its worker.
///
/// Where the two ends agree from the start, which is the rule, the gate is never closed. Streams of the agents
/// themselves pass, since documents travel on them.
struct DocumentGate {
    /// What the peer has and this node still lacks.
    private var awaited: DocumentVersions?
    /// The peer lacks something that this node has, and has not acknowledged it yet.
    private var isPeerBehind = false
    /// The peer takes documents of this mesh.
    let isTaker: Bool

    /// A gate between what this node has and what the peer's HELLO said; nil where it takes no documents of this mesh.
    init(own: DocumentVersions, peer: DocumentVersions?) {
        isTaker = peer != nil
        guard let peer else { return }
        awaited = own.covers(peer) ? nil : peer
        isPeerBehind = !peer.covers(own)
    }

    /// Streams may be opened.
    var isOpen: Bool { awaited == nil && !isPeerBehind }

    /// Streams that the peer opens may be taken. What it lacks is its own matter: this end decides by what is in force here.
    var admitsPeer: Bool { awaited == nil }

    /// This node has these documents now.
    mutating func have(_ own: DocumentVersions) {
        if let wanted = awaited, own.covers(wanted) { awaited = nil }
    }

    /// The peer has acknowledged everything.
    mutating func peerCaughtUp() { isPeerBehind = false }
}
