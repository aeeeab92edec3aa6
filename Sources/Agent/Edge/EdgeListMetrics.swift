import PKI
import TLS

/// CRLs of edge listeners, in the families of `/metrics` that show the mesh's own.
@ControlPlane
enum EdgeListMetrics {
    /// When the next CRL of each issuer is due, by listener.
    static func nextUpdates(_ edge: EdgeHost) -> [PrometheusWriter.Sample] {
        samples(edge) { $0.nextUpdate.map(Double.init) }
    }

    /// How many certificates each withdraws.
    static func entries(_ edge: EdgeHost) -> [PrometheusWriter.Sample] { samples(edge) { Double($0.count) } }

    /// CAs for clients without a CRL in its time (unix seconds), of listeners that refuse everybody for that.
    static func missing(_ edge: EdgeHost, at now: Int64) -> [PrometheusWriter.Sample] {
        edge.runtime.listeners.sorted { $0.key < $1.key }.compactMap { name, listener in
            guard let settings = listener.tls?.first.configuration, let lists = settings.revocation, lists.mode == .hard
            else { return nil }
            let stale = lists.withoutFreshList(settings.trust?.roots ?? [], at: now)
            return PrometheusWriter.Sample(Double(stale.count), ["use": "edge", "name": name])
        }
    }

    private static func samples(
        _ edge: EdgeHost, _ value: (CertificateRevocationList) -> Double?
    ) -> [PrometheusWriter.Sample] {
        edge.runtime.listeners.sorted { $0.key < $1.key }.flatMap { name, listener in
            newest(listener.tls?.first.configuration.revocation?.lists ?? []).compactMap { list in
                value(list).map { .init($0, ["issuer": list.issuer, "use": "edge", "name": name]) }
            }
        }
    }

    /// One for each issuer: a metric must not have one sample twice.
    private static func newest(_ lists: [CertificateRevocationList]) -> [CertificateRevocationList] {
        Dictionary(lists.map { ($0.issuer, $0) }) { $0.thisUpdate > $1.thisUpdate ? $0 : $1 }.values
            .sorted { $0.issuer < $1.issuer }
    }
}
