import PKI

/// What `/metrics` shows of OCSP.
@ControlPlane
enum OCSPMetrics {
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent, _ totals: WorkerCounters) {
        writer.family(
            "mesh_ocsp_staple_reviews_total", .counter,
            "What nodes that were dialled have stapled, by result: absent, good, or why it was ignored or refused.",
            totals.stapleReviews.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["result": $0.key]) })
        writer.family(
            "mesh_crl_fetches_total", .counter, "CRLs that were fetched, by what came of it.",
            agent.lists.fetches.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["result": $0.key]) })
        let peers = agent.peerStatus
        writer.family(
            "mesh_ocsp_checks_total", .counter,
            "Peers' certificates that were looked up in handshakes, by where the answer came from and what it was.",
            peers.checks.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
                .init(Double($0.value), ["source": $0.key[0], "result": $0.key[1]])
            })
        writer.family(
            "mesh_ocsp_queries_total", .counter, "Questions that were sent to responders, by what came of them.",
            queries(peers.queries, "peer") + queries(agent.staples.fetches, "staple"))
        writer.family("mesh_ocsp_known", .gauge, "Peers' certificates of which an answer is kept.", Double(peers.known))
        writer.family(
            "mesh_ocsp_revoked", .gauge, "Peers' certificates that responders have revoked.",
            Double(peers.revoked.count))
        let staples = agent.staples.statuses
        writer.family(
            "mesh_ocsp_stapled", .gauge, "Whether a response is stapled to a certificate for which they are fetched.",
            staples.map { .init($0.answer == nil ? 0 : 1, labels($0)) })
        writer.family(
            "mesh_ocsp_staple_this_update_timestamp_seconds", .gauge, "From when a stapled response is.",
            staples.compactMap { staple in staple.answer.map { .init(Double($0.thisUpdate), labels(staple)) } })
        writer.family(
            "mesh_ocsp_staple_next_update_timestamp_seconds", .gauge, "When a stapled response ends.",
            staples.compactMap { staple in staple.answer.map { .init(Double($0.validUntil), labels(staple)) } })
    }

    private static func queries(_ counts: [String: UInt64], _ use: String) -> [PrometheusWriter.Sample] {
        counts.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["use": use, "result": $0.key]) }
    }

    private static func labels(_ staple: StapleKeeper.Status) -> KeyValuePairs<String, String> {
        ["use": staple.use.rawValue, "name": staple.name, "serial": staple.serial]
    }
}
