import EventLoop
import JSON
import Link
import PKI
import Policy

/// A link to a node that has no right to it under the documents in force here, and says that it has newer ones; or whose
/// certificate is below a root that was retired while it was away.
extension LinkConnection {
    /// How long the newer documents may take, in nanoseconds.
    private static let patience: UInt64 = 10_000_000_000
    static let catchUpTag = 1

    /// Only mesh documents may be brought on this link, and soon.
    func catchUp() {
        isCatchingUp = true
        core.loop.schedule(after: Self.patience, self, tag: Self.catchUpTag)
        core.shared.log.warning(
            "link_for_documents",
            isLate
                ? "the root of node \(node)'s certificate is retired; the node gets mesh documents, and has to renew"
                : "node \(node) has no right to link, and brings newer mesh documents",
            [("node", .string(node)), ("fingerprint", .string(peer.fingerprint))])
    }

    /// The documents that were promised did not come.
    func catchUpTimedOut() {
        guard isCatchingUp, !isClosed else { return }
        guard !isLate else {
            return close(
                .linkDenied,
                "the root of the certificate of node \(node) is retired: it has to renew it at the CA, or to join again"
            )
        }
        close(.linkDenied, "no newer mesh document came that would give node \(node) the right to link")
    }

    /// Whether a stream to `service` may be opened on the link, by either end.
    func carries(_ service: String) -> Bool {
        !isCatchingUp && parting == nil || service == Policy.Name.documentsService
    }

    /// Whether the right to the link has to wait for what the peer brings.
    var awaitsDocuments: Bool { isCatchingUp && (isLate || !gate.admitsPeer) }
}
