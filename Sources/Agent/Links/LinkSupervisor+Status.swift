import Documents
import EventLoop
import Link
import PKI
import TLS

/// What is known about links, seen from outside.
extension LinkSupervisor {
    /// For how long a link that was wanted once and could not be made is shown, in nanoseconds: long enough for somebody to
    /// come and look.
    private nonisolated static let failureMemory: UInt64 = 600_000_000_000

    /// What is known about one lane to a node.
    struct PeerStatus: Sendable {
        let lane: Lane
        var node: String { lane.node }
        let isPermanent: Bool
        let state: String
        let link: EstablishedLink?
        let lastError: LinkFailure?
        /// How often its session went on over another link.
        let resumptions: Int
        /// How often its session changed to another link on purpose.
        let moves: Int
        /// How many lanes both ends take.
        let lanes: Int
    }

    /// Every lane that is linked, dialled or kept, and nodes that could not be linked in the last minutes.
    var status: [PeerStatus] {
        peers.values.sorted { ($0.node, $0.lane.number) < ($1.node, $1.lane.number) }.compactMap { peer in
            let state =
                peer.link != nil
                ? "established"
                : peer.parkedOn != nil
                    ? "parked"
                    : peer.attempt != nil
                        ? "dialling" : peer.timer != nil ? "waiting" : hasFailedLately(peer) ? "failed" : "idle"
            guard state != "idle" || peer.isPermanent || isLaneWanted(peer) else { return nil }
            return PeerStatus(
                lane: peer.lane, isPermanent: peers[peer.lane.first]?.isPermanent == true, state: state,
                link: peer.link,
                lastError: peer.lastError,
                resumptions: peer.resumptions, moves: peer.move.count, lanes: laneCount(peer.node))
        }
    }

    private func hasFailedLately(_ peer: Peer) -> Bool {
        guard let failedAt = peer.failedAt, peer.lane.isFirst, peer.lastError?.code != "superseded" else {
            return false
        }
        return Clock.monotonicNanoseconds() - failedAt < Self.failureMemory
    }

    /// The mesh documents that `node` had when its link was made; nil where it takes none of this mesh.
    func documents(of node: String) -> DocumentVersions? { peers[Lane(node)]?.link?.documents }

    /// The certificates with which `node` linked last, its own first; empty where it did not since this agent started.
    func chain(of node: String) -> [Certificate] { peers[Lane(node)]?.chain ?? [] }

    /// The certificate with which `node` linked last, and those above it but the root.
    func certificates(of node: String) -> [Certificate] {
        let chain = chain(of: node)
        return chain.count > 1 ? chain.dropLast() : chain
    }

    /// Whether there is a link to `node`.
    func isLinked(to node: String) -> Bool { peers[Lane(node)]?.link != nil }

    /// A node's clock minus this one's, in milliseconds, as a link has just shown it.
    func clockSeen(node: String, offset: Int64) { clocks[node] = offset }

    /// A certificate that was refused for its time, with what is known of clocks where that explains it.
    func doubtingClocks(_ failure: LinkFailure, of node: String) -> LinkFailure {
        if let alert = failure.refusal { return doubtingClocks(failure, refused: alert, by: node) }
        guard let gap = failure.clockGap else { return failure }
        let began = shared.identity.contexts.authoritySince
        guard
            let doubt = ClockDoubt(gap: gap, node: node, offsets: clocks)
                ?? ClockDoubt(
                    gap: gap, now: Clock.unixSeconds(), authoritySince: began, knowsClocks: !clocks.isEmpty)
        else { return failure }
        var failure = failure
        failure.text += "; " + doubt.text(node: node)
        // Where nothing is known, what the certificate itself suggests is as likely.
        if case .alone = doubt, let hint = failure.hint {
            failure.hint = hint + "; " + doubt.hint(node: node)
        } else {
            failure.hint = doubt.hint(node: node)
        }
        return failure
    }

    /// The peer refused this node's certificate.
    private func doubtingClocks(_ failure: LinkFailure, refused alert: TLSAlert, by node: String) -> LinkFailure {
        guard let leaf = shared.identity.contexts.client.configuration.credentials?.leaf,
            leaf.notBefore < leaf.notAfter,
            let doubt = OwnCertificateDoubt(
                validity: leaf.notBefore..<leaf.notAfter, now: Clock.unixSeconds(),
                saysTime: alert == .certificateExpired, offset: clocks[node])
        else { return failure }
        var failure = failure
        failure.text += "; " + doubt.text(node: node)
        failure.hint = doubt.hint
        return failure
    }
}
