import Audit
import EventLoop
import JSON

extension Agent {
    /// Takes on nothing new: the audit log cannot be written, and the configuration wants it to be.
    var isAuditClosed: Bool {
        audit?.isClosed ?? (isAuditLost && configuration.audit.onFailure == .closed)
    }

    /// The audit log stopped taking records, or takes them again.
    func auditChanged() {
        guard let audit else { return }
        let status = audit.trail.status
        if let failure = status.failure {
            log.error(
                "audit_not_written",
                audit.isClosed
                    ? "the audit log cannot be written; nothing new is taken on until it can"
                    : "the audit log cannot be written; events wait, and are lost when too many do",
                [("directory", .string(audit.facts.directory)), ("detail", .string(failure))])
        } else {
            log.info("audit_written_again", "the audit log is written again")
        }
        publish()
    }

    /// `GET /v1/audit`.
    var auditJSON: JSONValue {
        guard let audit else { return ["enabled": false] }
        let status = audit.trail.status
        return [
            "enabled": true, "directory": .string(audit.facts.directory),
            "publicKey": .string(audit.facts.publicKeyFile), "key": .string(audit.facts.keyDigest),
            "sequence": JSONValue(status.sequence), "seal": status.seal?.json ?? .null,
            "lost": JSONValue(status.lost), "failure": status.failure.map { .string($0) } ?? .null,
            "failsClosed": .bool(audit.facts.failsClosed),
        ]
    }
}

/// Metrics of the audit log.
enum AuditMetrics {
    @ControlPlane
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent) {
        guard let status = agent.audit?.trail.status else { return }
        writer.family(
            "mesh_audit_records_total", .counter, "Records written to the audit log, by category.",
            status.records.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["category": $0.key]) })
        writer.family(
            "mesh_audit_aggregated_total", .counter, "Security events that were counted in summaries only.",
            Double(status.aggregated))
        writer.family(
            "mesh_audit_lost_total", .counter, "Security events that were lost, because too many waited for the disk.",
            Double(status.lost))
        writer.family(
            "mesh_audit_failing", .gauge, "Whether the audit log cannot be written at the moment.",
            status.failure == nil ? 0 : 1)
        writer.family(
            "mesh_audit_sequence", .gauge, "Number of the newest record of the audit log.", Double(status.sequence))
        writer.family("mesh_audit_bytes", .gauge, "Size of the audit log.", Double(status.bytes))
        guard let syslog = agent.audit?.syslog else { return }
        writer.family(
            "mesh_audit_syslog_dropped_total", .counter, "Security events that syslog did not take.",
            Double(syslog.dropped))
    }
}
