/// Which events are security events, by the codes that they have in the agent's log.
public struct SecurityEvent: Sendable, Hashable {
    /// What kind of event it is.
    public let category: AuditCategory
    /// Who causes it.
    public let cause: AuditAggregator.Cause

    /// An event of a kind, of which somebody is the cause.
    public init(_ category: AuditCategory, by cause: AuditAggregator.Cause) {
        self.category = category
        self.cause = cause
    }

    /// The event with a code; nil for those that are none.
    public static func of(_ event: String) -> SecurityEvent? { catalog[event] }

    /// All codes, by category.
    public static let all: [(category: AuditCategory, cause: AuditAggregator.Cause, events: [String])] = [
        (
            .authentication, .strangers,
            [
                "handshake_failed", "edge_handshake_failed", "edge_authentication_failed", "edge_connection_refused",
                "revocation_unknown", "ocsp_revoked", "enrolment_refused", "enrolment_rate_limited", "ca_unusable",
            ]
        ),
        (
            .authentication, .known,
            [
                "pin_mismatch", "ct_unproven", "identity_revoked", "edge_certificate_revoked", "duplicate_identity",
                "legacy_certificate", "target_withdrawn",
            ]
        ),
        (.access, .strangers, ["control_denied"]),
        (.access, .known, ["link_refused", "stream_denied", "access_denied", "registration_refused"]),
        (
            .policy, .own,
            [
                "document_taken", "roots_changed", "roots_not_applied", "own_root_retired", "document_not_stored",
                "document_file_changed", "document_signer_retired",
                "operators_not_vouched", "reloaded", "reload_failed", "policy_applied", "edge_files_applied",
                "edge_certificates_applied", "edge_certificates_refused", "target_certificates_applied",
                "target_certificates_refused",
                "edge_file_refused",
            ]
        ),
        (.policy, .known, ["document_refused", "document_refused_by_peer"]),
        // Lists come by plain HTTP as a rule: whoever stands in between can put others in their place.
        (.policy, .strangers, ["crl_refused"]),
        (
            .ca, .own,
            ["token_created", "token_withdrawn", "node_forgotten", "ca_failed", "ca_reloaded"]
        ),
        (.ca, .known, ["certificate_issued"]),
        (
            .identity, .own,
            [
                "joined", "identity_changed", "identity_refused", "identity_expired", "own_identity_revoked",
                "own_certificate_revoked", "renewal_failed", "trust_changed", "certificate_expired", "planted_fault",
            ]
        ),
        (.identity, .known, ["identity_said_revoked"]),
        (
            .agent, .own,
            [
                "started", "front_started", "insecure_target", "stopped", "draining", "drain_started", "drain_undone",
                "service_registered",
                "service_deregistered",
            ]
        ),
        (.audit, .known, ["audit_seal_goes_back"]),
        (.audit, .own, ["audit_file_changed", "audit_seal_contradicted", "audit_seals_forgotten"]),
    ]

    private static let catalog: [String: SecurityEvent] = {
        var catalog: [String: SecurityEvent] = [:]
        for (category, cause, events) in all {
            for event in events { catalog[event] = SecurityEvent(category, by: cause) }
        }
        return catalog
    }()
}
