import PKI
import TLS

/// What `/metrics` shows of CRLs.
@ControlPlane
enum ListMetrics {
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent, now: Int64) {
        let revocation = agent.identity.contexts.server.configuration.revocation
        addLists(&writer, revocation?.lists ?? [], agent.edge)
        addFreshness(&writer, revocation, agent.identity.authorities, agent.edge, now)
        writer.family(
            "mesh_crl_fetches_total", .counter, "CRLs that were fetched, by what came of it.",
            agent.lists.fetches.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["result": $0.key]) })
        writer.family(
            "mesh_crl_unapplied", .gauge,
            "Whether there is a CRL that could not be put in force yet, by where it is from.",
            UnappliedLists.Source.allCases.map {
                .init(agent.unapplied.isUnapplied($0) ? 1 : 0, ["source": $0.rawValue])
            })
        writer.family(
            "mesh_crl_confirmed_timestamp_seconds", .gauge, "When each URL last gave a good CRL, new or not.",
            agent.lists.confirmations.map { .init(Double($0.time), ["url": $0.url]) })
    }

    /// One sample for each issuer, that of its newest list: one can be both in a file and fetched.
    private static func addLists(
        _ writer: inout PrometheusWriter, _ all: [CertificateRevocationList], _ edge: EdgeHost
    ) {
        let lists = Dictionary(all.map { ($0.issuer, $0) }) { $0.thisUpdate > $1.thisUpdate ? $0 : $1 }.values.sorted {
            $0.issuer < $1.issuer
        }
        writer.family(
            "mesh_crl_next_update_timestamp_seconds", .gauge, "When the next CRL of an issuer is due.",
            lists.compactMap { list in list.nextUpdate.map { .init(Double($0), ["issuer": list.issuer]) } }
                + EdgeListMetrics.nextUpdates(edge))
        writer.family(
            "mesh_crl_entries", .gauge, "Certificates that a CRL withdraws.",
            lists.map { .init(Double($0.count), ["issuer": $0.issuer]) } + EdgeListMetrics.entries(edge))
    }

    private static func addFreshness(
        _ writer: inout PrometheusWriter, _ revocation: RevocationLists?, _ authorities: [Certificate],
        _ edge: EdgeHost, _ now: Int64
    ) {
        let stale = revocation?.withoutFreshList(authorities, at: now) ?? []
        // Certificates of two keys can have one name, and a metric must not have one sample twice.
        let names = revocation == nil ? [] : Set(authorities.map(\.subject)).sorted()
        writer.family(
            "mesh_crl_fresh", .gauge, "Whether there is a CRL in its time of each CA that this node knows.",
            names.map { name in .init(stale.contains { $0.subject == name } ? 0 : 1, ["issuer": name]) })
        writer.family(
            "mesh_crl_missing_under_hard", .gauge,
            "CAs of which there is no CRL in its time while the mode is hard: what they have issued is refused.",
            [.init(revocation?.mode == .hard ? Double(stale.count) : 0)] + EdgeListMetrics.missing(edge, at: now))
    }
}
