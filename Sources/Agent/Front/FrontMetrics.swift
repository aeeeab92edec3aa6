extension Front: MetricsSource {
    var readiness: (isReady: Bool, reasons: [String]) { isDraining ? (false, ["draining"]) : (true, []) }

    /// What a front shows: of its edge what an agent's shows, and of itself.
    func metricsText() async -> String {
        var writer = PrometheusWriter()
        writer.family(
            "mesh_build_info", .gauge, "The running version; always 1.", [.init(1, ["version": Agent.version])])
        writer.family("mesh_ready", .gauge, "Whether the process does its work.", readiness.isReady ? 1 : 0)
        EdgeMetrics.add(&writer, await edge.report(), edge)
        writer.family(
            "mesh_crl_next_update_timestamp_seconds", .gauge, "When the next CRL of an issuer is due.",
            EdgeListMetrics.nextUpdates(edge))
        writer.family(
            "mesh_crl_entries", .gauge, "Certificates that a CRL withdraws.", EdgeListMetrics.entries(edge))
        writer.family(
            "mesh_target_certificate_changes_total", .counter,
            "Changes of certificates and CAs for targets that were noticed, by result.", targetWatcher.samples)
        writer.family(
            "mesh_reloads_total", .counter, "Reloads, by result.",
            [
                .init(Double(reloads.applied), ["result": "applied"]),
                .init(Double(reloads.refused), ["result": "refused"]),
            ])
        if let audit { AuditMetrics.add(&writer, audit) }
        ProcessMetrics.add(&writer)
        return writer.text
    }
}
