import EventLoop

/// Metrics of the audit log.
enum AuditMetrics {
    /// Adds what an agent shows of its log, and of the seals that it leaves and keeps.
    @ControlPlane
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent) {
        guard let audit = agent.audit else { return }
        add(&writer, audit)
        addSeals(&writer, agent)
    }

    /// Adds what is shown of any log.
    static func add(_ writer: inout PrometheusWriter, _ audit: AuditLog) {
        let status = audit.trail.status
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
            "mesh_audit_files_changed_total", .counter,
            "Files of the audit log that somebody else removed, replaced or altered while they were written.",
            Double(status.filesChanged))
        writer.family(
            "mesh_audit_delay_seconds", .gauge,
            "How long the oldest event of somebody known has waited for the disk.",
            Double(audit.trail.delay(at: Clock.monotonicNanoseconds())) / 1e9)
        writer.family(
            "mesh_audit_sequence", .gauge, "Number of the newest record of the audit log.", Double(status.sequence))
        writer.family("mesh_audit_bytes", .gauge, "Size of the audit log.", Double(status.bytes))
        if let webhook = audit.webhook?.status { add(&writer, webhook) }
        guard let syslog = audit.syslog else { return }
        writer.family(
            "mesh_audit_syslog_dropped_total", .counter, "Security events that syslog did not take.",
            Double(syslog.dropped))
    }

    @ControlPlane
    private static func addSeals(_ writer: inout PrometheusWriter, _ agent: Agent) {
        let peers = agent.sealCourier.peers.sorted { $0.key < $1.key }
        writer.family(
            "mesh_audit_seal_left_sequence", .gauge, "The last record whose seal a peer keeps for this node, by peer.",
            peers.map { .init(Double($0.value.through), ["peer": $0.key]) })
        writer.family(
            "mesh_audit_seal_failures_total", .counter, "Seals that could not be left with a peer, by peer.",
            peers.map { .init(Double($0.value.failures), ["peer": $0.key]) })
        writer.family(
            "mesh_audit_seal_contradictions_total", .counter,
            "Seals of other nodes that contradict what they left here before.",
            Double(agent.sealKeeper.contradictions))
        writer.family(
            "mesh_audit_seals_damaged", .gauge, "Nodes whose seals, kept here, are damaged.",
            Double(agent.sealKeeper.damagedNodes))
        writer.family(
            "mesh_audit_seals_unread", .gauge, "Files of kept seals that could not be read when it was tried last.",
            Double(agent.sealKeeper.unreadFiles))
    }

    private static func add(_ writer: inout PrometheusWriter, _ webhook: WebhookOutput.Status) {
        writer.family(
            "mesh_audit_webhook_events_total", .counter, "Security events for the webhook, by what became of them.",
            [
                .init(Double(webhook.delivered), ["result": "delivered"]),
                .init(Double(webhook.dropped), ["result": "dropped"]),
                .init(Double(webhook.refused), ["result": "refused"]),
            ])
        writer.family(
            "mesh_audit_webhook_failures_total", .counter, "Requests to the webhook that came to nothing.",
            Double(webhook.failures))
        writer.family(
            "mesh_audit_webhook_waiting", .gauge, "Security events that wait for the webhook.", Double(webhook.waiting))
    }
}
