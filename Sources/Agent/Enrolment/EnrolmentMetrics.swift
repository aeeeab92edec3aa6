import EventLoop
import PKI

/// Metrics of the node's own certificate and of the CA where this node serves it.
@ControlPlane
enum EnrolmentMetrics {
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent) async {
        writer.family(
            "mesh_identity_expiry_timestamp_seconds", .gauge, "When the node's certificate ends.",
            Double(agent.identity.credentials.leaf.notAfter))
        if let due = agent.renewal.due {
            writer.family(
                "mesh_identity_renewal_due_timestamp_seconds", .gauge, "When the node's certificate is renewed next.",
                Double(due) / 1000)
        }
        writer.family(
            "mesh_identity_revoked", .gauge,
            "Whether the node's certificate is revoked, by a document, or as the CA or its peers say.",
            agent.revokedIdentity.word == nil ? 0 : 1)
        writer.family(
            "mesh_identity_renewals_total", .counter, "Renewals of the node's certificate, by result.",
            agent.renewal.counts.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["result": $0.key]) })
        writer.family(
            "mesh_identity_changes_total", .counter, "Changes of the identity's files that were noticed, by result.",
            agent.identityWatcher.samples)
        writer.family(
            "mesh_target_certificate_changes_total", .counter,
            "Changes of certificates and CAs for targets that were noticed, by result.",
            agent.targetWatcher.samples)
        if let ca = agent.ca { await add(&writer, ca) }
    }

    private static func add(_ writer: inout PrometheusWriter, _ ca: CAService) async {
        writer.family(
            "mesh_ca_expiry_timestamp_seconds", .gauge, "When the CA's own certificate ends.",
            Double(ca.facts.notAfter))
        let report = await ca.report(now: Clock.unixSeconds())
        writer.family("mesh_ca_database_up", .gauge, "Whether the CA's database answers.", report == nil ? 0 : 1)
        guard let report else { return }
        writer.family("mesh_ca_nodes", .gauge, "Nodes that the CA has admitted.", Double(report.nodes))
        writer.family("mesh_ca_open_tokens", .gauge, "Join tokens that can still be used.", Double(report.openTokens))
        writer.family(
            "mesh_ca_requests_total", .counter, "Requests to the CA, by kind and result.",
            report.counts.sorted { $0.key < $1.key }.map { entry in
                let parts = entry.key.split(separator: " ").map(String.init)
                return .init(Double(entry.value), ["kind": parts[0], "result": parts[1]])
            })
    }
}
