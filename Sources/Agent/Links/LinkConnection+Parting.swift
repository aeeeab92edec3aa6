import EventLoop
import JSON
import Link
import Policy

/// The last moment of a link to which a mesh document has taken the right, a revocation of its peer or a policy: the peer gets that
/// document, since it hears of it from nobody else.
extension LinkConnection {
    /// Why the link ends.
    struct Parting {
        let reason: LinkReason
        let text: String
        /// The peer has said that it has what is in force here.
        fileprivate(set) var isAcknowledged = false

        init(_ reason: LinkReason, _ text: String) { (self.reason, self.text) = (reason, text) }
    }

    static let partingTag = 3
    /// How long the peer has to acknowledge it, in nanoseconds: a round trip and a write to its disk, and far less than the second
    /// within which a document is to be in effect.
    private static let partingPatience: UInt64 = 200_000_000

    /// Whether the peer can be told: it takes documents, and the link is the one that they go over.
    var canPart: Bool {
        lane.isFirst && gate.isTaker && !isCatchingUp && predecessor == nil && successor == nil && !isClosed
    }

    /// Ends every stream at once, and the link when the peer has acknowledged the documents in force here, or after a moment. Until
    /// then it carries what this node has to say about documents, and nothing else.
    func part(_ why: Parting) {
        guard parting == nil else { return }
        parting = why
        for case let local? in locals {
            switch local.role {
            case .application(let attempt) where attempt.service == Policy.Name.documentsService: break
            case .target where local.inbound?.service == Policy.Name.documentsService: break
            case .application(let attempt) where !attempt.isAccepted: giveUp(local, attempt, why.text)
            case .application, .target: withdraw(local, why.reason.name)
            }
        }
        core.loop.schedule(after: Self.partingPatience, self, tag: Self.partingTag)
    }

    /// A stream that the peer has not taken yet may go to another instance.
    private func giveUp(_ local: LocalConnection, _ attempt: OpenAttempt, _ text: String) {
        guard let stream = local.stream else { return }
        session.reset(stream, .cancelled)
        _ = removeLocal(stream)
        local.detach()
        scheduleFlush()
        core.opening.unanswered(local, attempt, text, reason: LinkReason.linkLost.name)
    }

    /// The peer has what is in force here, or did not say so in time.
    func partingEnded(isAcknowledged: Bool) {
        guard let parting, !isClosed else { return }
        self.parting?.isAcknowledged = isAcknowledged
        close(parting.reason, parting.text)
    }

    /// The link is gone, also where the peer has ended it, which is what a peer does that goes by the same document.
    func logParting() {
        guard let parting else { return }
        core.shared.log.info(
            "unlinked_node_told",
            "a mesh document has taken the right to a link; it ended when its peer had a moment to get that",
            [
                ("node", .string(node)), ("reason", .string(parting.reason.name)),
                ("acknowledged", .bool(parting.isAcknowledged)),
            ])
    }
}
