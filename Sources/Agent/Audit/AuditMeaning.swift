import Audit
import JSON
import Link
import PKI
import Policy

/// Tells which security event a record of the agent's log is, where its code alone does not say it.
enum AuditMeaning {
    /// The event that a record with these fields is; nil where it is none.
    static func of(_ event: String, _ fields: [Log.Field]) -> (name: String, event: SecurityEvent)? {
        guard let (name, kind) = meaning(of: event, fields) else { return nil }
        guard fields.contains(where: { $0.name == strangersField && $0.value.bool == true }) else {
            return (name, kind)
        }
        return (name, SecurityEvent(kind.category, by: .strangers))
    }

    private static let strangersField = "stranger"

    /// The field of a record by whose cause nobody has proven who he is; none where somebody has. Who has proven nothing must
    /// not be able to close a node, or to push out what others did, by an event that others cause as well.
    static func strangers(_ isStranger: Bool) -> [Log.Field] { isStranger ? [(strangersField, .bool(true))] : [] }

    private static func meaning(of event: String, _ fields: [Log.Field]) -> (name: String, event: SecurityEvent)? {
        if let kind = SecurityEvent.of(event) { return (event, kind) }
        func text(_ name: String) -> String? { fields.first { $0.name == name }?.value.string }
        switch event {
        case "edge_request":
            // A reason stands there where the edge itself said no: a service's own 403 is not the mesh's affair.
            guard fields.contains(where: { $0.name == "status" && $0.value.integer == 403 }), text("reason") != nil
            else { return nil }
            // Who has proven nothing must not be able to close the node.
            let isKnown = text("principal").map { $0 != EdgeCaller.anonymousName } ?? false
            return ("access_denied", SecurityEvent(.access, by: isKnown ? .known : .strangers))
        case "open_failed":
            guard let reason = text("reason"), PolicyReason(rawValue: reason) != nil else { return nil }
            return ("access_denied", SecurityEvent(.access, by: .known))
        case "dial_failed":
            // Whoever answers at a peer's address and is not the peer, or is not trusted any more; or a peer who says so of us.
            guard let reason = text("reason"), isRefusal(reason) else { return nil }
            return ("dial_failed", SecurityEvent(.authentication, by: .strangers))
        default: return nil
        }
    }

    /// Whether a dial failed because one end did not trust the other.
    private static func isRefusal(_ reason: String) -> Bool {
        CertificateReason(rawValue: reason) != nil || refusals.contains(reason)
    }

    private static let refusals: Set<String> = Set(
        [LinkReason.linkDenied, .identityExpired, .identityRevoked, .wrongNode, .duplicateIdentity].map(\.name))
}
