import Documents
import Link
import PKI

/// What a verified certificate says that a peer is: two links of one agent have the same.
struct PeerNames: Sendable, Equatable {
    let commonName: String?
    let spiffe: String?

    /// The names of an identity.
    init(_ identity: PeerIdentity) {
        commonName = identity.commonName
        spiffe = identity.spiffe?.description
    }
}

/// A peer's HELLO, for the control plane to decide about.
struct IncomingLink: Sendable {
    let link: UInt64
    let worker: Int
    let lane: Lane
    let peer: PeerNames
    let bootID: BootID
    let intent: LinkIntent
    let remote: String
    /// The run that it says it has taken over from.
    let predecessor: BootID?

    /// The same, on another worker.
    func on(worker: Int) -> IncomingLink {
        IncomingLink(
            link: link, worker: worker, lane: lane, peer: peer, bootID: bootID, intent: intent, remote: remote,
            predecessor: predecessor)
    }
}

/// A link that was established, for the control plane's books.
struct EstablishedLink: Sendable {
    let link: UInt64
    let worker: Int
    let lane: Lane
    let remote: String
    /// Who the peer is.
    let peer: PeerNames
    let peerVersion: String
    let isDialler: Bool
    /// It carries the session of the link before.
    let isResumed: Bool
    /// When the peer's certificate ends, seconds since 1970.
    let peerExpires: Int64
    /// Which of this node's identities the link was made with.
    let generation: UInt64
    /// The mesh documents that the peer had when it said HELLO; nil where it takes none of this mesh.
    let documents: DocumentVersions?
    /// How many lanes the peer said that it takes; nil where it knows nothing of lanes.
    let lanes: Int?
    /// How many this end said that it takes.
    let saidLanes: Int
    /// How busy the lane is.
    let load: LaneLoad
    /// The peer's certificate and those above it.
    let peerChain: [Certificate]
}
