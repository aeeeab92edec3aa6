import JOSE

/// What `/metrics` shows of the edge.
@ControlPlane
enum EdgeMetrics {
    /// Adds the edge's families.
    static func add(_ writer: inout PrometheusWriter, _ report: EdgeReport, _ edge: EdgeHost) {
        let counters = report.counters
        writer.family(
            "mesh_edge_connections", .gauge, "Open connections of external clients, by what they do.",
            report.connections.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["kind": $0.key]) })
        writer.family(
            "mesh_edge_accepted_total", .counter, "Connections of external clients that were accepted.",
            Double(counters.accepted))
        addHandshakes(&writer, counters)
        writer.family(
            "mesh_edge_resumptions_total", .counter,
            "Handshakes at listeners whose sessions can be resumed, by what became of the client's ticket.",
            samples(counters.resumptions, "result"))
        writer.family(
            "mesh_edge_ticket_keys", .gauge,
            "Keys of session tickets in memory; a name that nobody asks for has none after two lifetimes.",
            Double(edge.ticketKeys))
        writer.family(
            "mesh_edge_certificate_changes_total", .counter,
            "Changes of listeners' certificates, client CAs and CRLs that were noticed, by result.",
            edge.certificateWatcher.samples)
        writer.family(
            "mesh_edge_requests_total", .counter, "Requests of external clients, by route and class of status.",
            counters.requests.sorted { ($0.key.route, $0.key.statusClass) < ($1.key.route, $1.key.statusClass) }.map {
                .init(Double($0.value), ["route": $0.key.route, "status": $0.key.statusClass])
            })
        writer.histogram(
            "mesh_edge_request_duration_seconds",
            "From a request's head to the end of its response; for a WebSocket to the end of its handshake.",
            counters.requestSeconds)
        writer.family(
            "mesh_edge_authentications_total", .counter, "Credentials that were checked, by result.",
            samples(counters.authentications, "result"))
        writer.family(
            "mesh_edge_refusals_total", .counter, "Requests and connections that the edge itself refused, by reason.",
            samples(counters.refusals, "reason"))
        writer.family(
            "mesh_edge_limits_total", .counter, "How often a limit was reached.", samples(counters.limits, "limit"))
        writer.family(
            "mesh_edge_ended_total", .counter, "Live connections that the edge ended, by reason.",
            samples(counters.closings, "reason"))
        writer.family(
            "mesh_edge_websockets_opened_total", .counter, "WebSocket connections that were opened.",
            Double(counters.tunnelsOpened))
        writer.family(
            "mesh_edge_receive_bytes_total", .counter, "Bytes from clients of connections that have ended.",
            Double(counters.bytesReceived))
        writer.family(
            "mesh_edge_transmit_bytes_total", .counter, "Bytes to clients of connections that have ended.",
            Double(counters.bytesSent))
        addBackend(&writer, report)
        writer.family(
            "mesh_edge_issuer_keys", .gauge, "Key sets that are fetched, by issuer and freshness; always 1.",
            edge.keyFreshness.sorted { $0.key < $1.key }.map {
                .init(1, ["issuer": $0.key, "freshness": $0.value.rawValue])
            })
    }

    private static func addHandshakes(_ writer: inout PrometheusWriter, _ counters: EdgeCounters) {
        writer.family(
            "mesh_edge_handshakes_total", .counter,
            "TLS handshakes with clients that succeeded, by what was agreed on.",
            counters.handshakes.sorted { ($0.key.version, $0.key.suite) < ($1.key.version, $1.key.suite) }.map {
                .init(Double($0.value), ["version": $0.key.version, "suite": $0.key.suite])
            })
        writer.family(
            "mesh_edge_handshake_failures_total", .counter, "TLS handshakes with clients that failed, by reason.",
            samples(counters.handshakeFailures, "reason"))
        writer.histogram(
            "mesh_edge_handshake_duration_seconds", "From a client's first bytes of TLS to the end of its handshake.",
            counters.handshakeSeconds)
        writer.family(
            "mesh_edge_certificates_validated_total", .counter,
            "Certificates of clients that were judged in a handshake, by result: ok, or the reason of the refusal.",
            samples(counters.validations, "result"))
        writer.family(
            "mesh_edge_pin_checks_total", .counter,
            "Certificates of clients that were compared with their listener's pins, by result.",
            samples(counters.pinChecks, "result"))
    }

    private static func addBackend(_ writer: inout PrometheusWriter, _ report: EdgeReport) {
        writer.family(
            "mesh_edge_backend_connections", .gauge, "Connections to services, by state.",
            [
                .init(Double(report.backendOpen - report.backendIdle), ["state": "busy"]),
                .init(Double(report.backendIdle), ["state": "idle"]),
            ])
        writer.family(
            "mesh_edge_backend_waiting", .gauge, "Requests that wait for a connection to their service.",
            Double(report.backendWaiting))
        writer.family(
            "mesh_edge_backend_uses_total", .counter, "Requests by the connection that they got.",
            [
                .init(Double(report.counters.backendOpened), ["connection": "new"]),
                .init(Double(report.counters.backendReused), ["connection": "reused"]),
                .init(Double(report.counters.backendRetried), ["connection": "retried"]),
            ])
        writer.family(
            "mesh_edge_backend_failures_total", .counter, "Connections to services that did not come about, by reason.",
            samples(report.counters.backendFailures, "reason"))
    }

    private static func samples(_ counts: [String: UInt64], _ label: StaticString) -> [PrometheusWriter.Sample] {
        counts.sorted { $0.key < $1.key }.map { .init(Double($0.value), ["\(label)": $0.key]) }
    }
}
