import Directory
import Documents
import EventLoop
import Link
import PKI
import Policy
import TLS

extension Agent: MetricsSource {
    func metricsText() async -> String { await Metrics.text(self) }
}

/// What `/metrics` shows: collected when asked for, from every worker and the control plane.
@ControlPlane
enum Metrics {
    /// The exposition text.
    static func text(_ agent: Agent) async -> String {
        let reports = await agent.reports()
        var totals = WorkerCounters()
        for report in reports { totals.add(report.counters) }
        let links = reports.flatMap(\.links)
        var writer = PrometheusWriter()
        writer.family(
            "mesh_build_info", .gauge, "The running version; always 1.",
            [.init(1, ["version": Agent.version, "node": agent.shared.node])])
        writer.family("mesh_ready", .gauge, "Whether the process does its work.", agent.readiness.isReady ? 1 : 0)
        writer.family(
            "mesh_draining", .gauge, "Whether the node takes no new streams (mesh drain, or it stops).",
            agent.isOutOfService || agent.isDraining || agent.isHandedOver ? 1 : 0)
        TakeoverMetrics.add(&writer, agent)
        await EnrolmentMetrics.add(&writer, agent)
        writer.family(
            "mesh_tls_acceleration_info", .gauge, "Where AES-GCM of new links comes from; always 1.",
            [.init(1, ["aes_gcm": Agent.aesGCM(of: agent.configuration).code])])
        writer.family(
            "mesh_secrets", .gauge,
            "Secrets that this process holds itself, by whether their memory is locked; OpenSSL's private keys are not among them.",
            [
                .init(Double(GuardedMemory.usage.locked), ["memory": "locked"]),
                .init(Double(GuardedMemory.usage.unlocked), ["memory": "unlocked"]),
            ])
        writer.family(
            "mesh_tls_profile_info", .gauge, "What may be negotiated on links; always 1.",
            [.init(1, ["profile": agent.configuration.tls.profile.rawValue])])
        addCertificates(&writer, agent, await agent.certificates(), now: Clock.unixSeconds())
        OCSPMetrics.add(&writer, agent, totals)
        ListMetrics.add(&writer, agent, now: Clock.unixSeconds())
        addDocuments(&writer, agent)
        AuditMetrics.add(&writer, agent)
        addLinks(&writer, links, totals)
        let held = agent.supervisor.heldWishes
        writer.family(
            "mesh_link_wishes_held_total", .counter,
            "Wishes for a link that came while a pause between two dials lasted, by what became of them.",
            [
                .init(Double(held.waited), ["outcome": "waited"]), .init(Double(held.refused), ["outcome": "refused"]),
            ])
        addParked(&writer, reports.flatMap(\.parked), totals)
        addStreams(&writer, agent, reports, links, totals)
        addControl(&writer, agent.controlConnections)
        addDirectory(&writer, agent)
        if agent.edge.hasListeners { EdgeMetrics.add(&writer, await agent.edge.report(), agent.edge) }
        writer.family(
            "mesh_policy_info", .gauge, "The policy in force; always 1.",
            [.init(1, ["fingerprint": agent.policy.fingerprint])])
        writer.family(
            "mesh_reloads_total", .counter, "Reloads, by result.",
            [
                .init(Double(agent.reloads.applied), ["result": "applied"]),
                .init(Double(agent.reloads.failed), ["result": "refused"]),
            ])
        ProcessMetrics.add(&writer)
        return writer.text
    }

    private static func addCertificates(
        _ writer: inout PrometheusWriter, _ agent: Agent, _ certificates: [KnownCertificate], now: Int64
    ) {
        // One sample for each use, name and serial number: a CA can stand in both bundles.
        func samples(_ value: (KnownCertificate) -> Double) -> [PrometheusWriter.Sample] {
            certificates.map {
                .init(value($0), ["use": $0.use.rawValue, "name": $0.name, "serial": $0.serial])
            }
        }
        writer.family(
            "mesh_certificate_expiry_timestamp_seconds", .gauge,
            "When each certificate ends that is in use here or was seen at a linked peer.",
            samples { Double($0.expiry.notAfter) })
        writer.family(
            "mesh_certificate_expiring", .gauge,
            "Whether the end of a certificate is near: 30 days, or the last quarter of its life if that is shorter.",
            samples { $0.expiry.isSoon(at: now) ? 1 : 0 })
    }

    private static func addDocuments(_ writer: inout PrometheusWriter, _ agent: Agent) {
        let documents = agent.documents
        writer.family(
            "mesh_document_version", .gauge, "Version of each mesh document in force.",
            DocumentKind.inOrder.compactMap { kind in
                documents.ledger.versions.stamps[kind].map { .init(Double($0.version), ["kind": kind.rawValue]) }
            })
        writer.family(
            "mesh_documents_total", .counter, "Mesh documents offered, by what came of them.",
            documents.results.sorted { $0.key < $1.key }.map {
                .init(Double($0.value), ["kind": $0.key.kind, "result": $0.key.outcome])
            })
        writer.family(
            "mesh_documents_unstored", .gauge, "Mesh documents in force that are not on disk yet.",
            Double(documents.unstored.count))
        writer.family(
            "mesh_document_peers_behind", .gauge, "Linked nodes that have not acknowledged a document in force here.",
            Double(agent.documentPeers.behind))
        let applied = agent.rootsApplied
        writer.family(
            "mesh_trust_roots_applied", .gauge,
            "Whether a list of roots in force is gone by here.",
            [
                .init(applied.identity ? 1 : 0, ["use": "identity"]), .init(applied.edge ? 1 : 0, ["use": "edge"]),
            ])
        if let list = documents.ledger.rootList {
            writer.family(
                "mesh_trust_roots", .gauge, "Roots of the mesh by where they stand in a rotation.",
                RootList.State.allCases.map { state in
                    .init(Double(list.entries.count { $0.state == state }), ["state": state.rawValue])
                })
            writer.family(
                "mesh_identity_root_active", .gauge, "Whether the node's certificate is below the active root.",
                agent.ownRootState == .active ? 1 : 0)
        }
        writer.family(
            "mesh_revocations", .gauge, "Entries of the list of revocations in force.",
            Double(documents.ledger.revocations.entries.count))
    }

    private static func addLinks(_ writer: inout PrometheusWriter, _ links: [LinkStatus], _ totals: WorkerCounters) {
        writer.family("mesh_links", .gauge, "Links in use, on all lanes.", Double(links.count))
        writer.family(
            "mesh_link_established_total", .counter, "Links that were established.", Double(totals.linksEstablished))
        writer.family(
            "mesh_link_closed_total", .counter, "Links that ended, by reason.", samples(totals.closings, "reason"))
        writer.family(
            "mesh_handshake_failures_total", .counter, "Connections that did not become links, by reason.",
            samples(totals.handshakeFailures, "reason"))
        writer.histogram(
            "mesh_handshake_duration_seconds", "Time from TCP connect to a verified peer.", totals.handshakeSeconds)
        writer.family(
            "mesh_handshakes_total", .counter, "TLS handshakes of links that succeeded, by what was agreed on.",
            totals.negotiated.sorted { ($0.key.version, $0.key.suite) < ($1.key.version, $1.key.suite) }.map {
                .init(Double($0.value), ["version": $0.key.version, "suite": $0.key.suite])
            })
        writer.family(
            "mesh_certificates_validated_total", .counter,
            "Certificates of nodes that were judged in a handshake, by result: ok, or the reason of the refusal.",
            samples(totals.validations, "result"))
        writer.family(
            "mesh_pin_checks_total", .counter, "Certificates of nodes that were compared with their pins, by result.",
            samples(totals.pinChecks, "result"))
        writer.family(
            "mesh_target_checks_total", .counter,
            "Targets over TLS that were dialled for a stream, by what was looked at and its result; live: those left since.",
            totals.targetChecks.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
                .init(Double($0.value), ["check": $0.key[0], "result": $0.key[1]])
            })
        writer.family(
            "mesh_ct_checks_total", .counter,
            "Servers that were dialled and whose SCTs were looked at, by result and what became of the connection.",
            totals.transparency.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map {
                .init(Double($0.value), ["use": $0.key[0], "result": $0.key[1], "action": $0.key[2]])
            })
        writer.family(
            "mesh_link_streams", .gauge, "Open streams of a link, by node and lane.",
            links.map { .init(Double($0.streams), ["node": $0.node, "lane": "\($0.lane.number)"]) })
        writer.family(
            "mesh_link_rtt_seconds", .gauge, "Round trip of the last ping, by node and lane.",
            links.compactMap { link in
                link.roundTrip.map {
                    .init(Double($0) / 1e9, ["node": link.node, "lane": "\(link.lane.number)"])
                }
            })
        writer.family(
            "mesh_link_receive_bytes_total", .counter, "Ciphertext received on links.",
            Double(links.reduce(totals.closedLinkBytesReceived) { $0 + $1.bytesReceived }))
        writer.family(
            "mesh_link_clock_offset_seconds", .gauge, "The clock of each linked node minus this one's, by node.",
            links.filter(\.lane.isFirst).compactMap { link in
                link.clockOffset.map { .init(Double($0) / 1e3, ["node": link.node]) }
            })
        writer.family(
            "mesh_link_transmit_bytes_total", .counter, "Ciphertext sent on links.",
            Double(links.reduce(totals.closedLinkBytesSent) { $0 + $1.bytesSent }))
        writer.family(
            "mesh_link_retained_bytes", .gauge, "Sent bytes that peers have not acknowledged.",
            Double(links.reduce(0) { $0 + $1.retained }))
    }

    private static func addParked(
        _ writer: inout PrometheusWriter, _ parked: [ParkedStatus], _ totals: WorkerCounters
    ) {
        writer.family(
            "mesh_sessions_parked", .gauge, "Sessions that lost their link and wait for another one.",
            Double(parked.count))
        writer.family(
            "mesh_sessions_parked_streams", .gauge, "Streams of sessions that wait for another link.",
            Double(parked.reduce(0) { $0 + $1.streams }))
        writer.family(
            "mesh_sessions_parked_bytes", .gauge, "Unacknowledged bytes of sessions that wait for another link.",
            Double(parked.reduce(0) { $0 + $1.retained }))
        writer.family(
            "mesh_link_resumptions_total", .counter, "Sessions that had lost their link, by what became of them.",
            samples(totals.resumptions, "outcome"))
        writer.histogram(
            "mesh_session_pause_seconds", "How long sessions that went on had waited for their next link.",
            totals.parkedSeconds)
        writer.family(
            "mesh_link_moves_total", .counter,
            "Sessions that were to move to another link on purpose, by what became of them.",
            samples(totals.moves, "outcome"))
        writer.family(
            "mesh_streams_moved_total", .counter, "Streams that changed their lane, by why; peer: it was the peer's.",
            samples(totals.streamMoves, "reason"))
        writer.family(
            "mesh_stream_moves_failed_total", .counter,
            "Streams of this node that were to change their lane and did not, by what became of it.",
            samples(totals.streamStays, "outcome"))
    }

    private static func addStreams(
        _ writer: inout PrometheusWriter, _ agent: Agent, _ reports: [WorkerReport], _ links: [LinkStatus],
        _ totals: WorkerCounters
    ) {
        writer.family("mesh_streams", .gauge, "Open streams.", Double(links.reduce(0) { $0 + $1.streams }))
        writer.family(
            "mesh_streams_opened_total", .counter, "Streams that this node opened (outbound) or accepted (inbound).",
            [
                .init(Double(totals.opened), ["direction": "outbound"]),
                .init(Double(totals.accepted), ["direction": "inbound"]),
            ])
        writer.family(
            "mesh_stream_refusals_total", .counter, "Streams of peers that were refused, by reason.",
            samples(refusals(totals, agent.shared.streams), "reason"))
        writer.family(
            "mesh_peer_streams", .gauge, "Streams that peers have open here.", Double(agent.shared.streams.used))
        writer.family(
            "mesh_peer_streams_limit", .gauge, "The most streams that peers may have open here.",
            Double(agent.shared.streams.limit))
        writer.family(
            "mesh_stream_resets_total", .counter, "Streams that a peer reset, by reason.",
            samples(totals.resets, "reason"))
        writer.family(
            "mesh_open_failures_total", .counter, "Local connections that were not carried, by reason.",
            samples(totals.failures, "reason"))
        writer.family(
            "mesh_open_retries_total", .counter, "Attempts that went on to another instance.", Double(totals.retried))
        writer.family(
            "mesh_policy_denials_total", .counter, "Requests that policy denied, by reason.",
            samples(totals.denials, "reason"))
        writer.family(
            "mesh_streams_withdrawn_total", .counter, "Streams closed because a policy change took their right.",
            Double(totals.withdrawn))
        writer.family(
            "mesh_local_connections", .gauge, "Connections of local applications.",
            Double(reports.reduce(0) { $0 + $1.localConnections }))
        writer.family(
            "mesh_worker_polls_total", .counter,
            "How often a worker looked for its next event before sleeping, by what came of it.",
            [
                .init(reports.reduce(0) { $0 + Double($1.polls.found) }, ["result": "event"]),
                .init(reports.reduce(0) { $0 + Double($1.polls.missed) }, ["result": "nothing"]),
            ])
        writer.family(
            "mesh_receive_budget_bytes", .gauge, "Memory promised to peers.", Double(agent.shared.budget.used))
        writer.family(
            "mesh_receive_budget_limit_bytes", .gauge, "The bound on memory promised to peers.",
            Double(agent.shared.budget.limit))
    }

    private static func addDirectory(_ writer: inout PrometheusWriter, _ agent: Agent) {
        if let client = agent.directoryClient {
            writer.family(
                "mesh_directory_reached", .gauge, "Whether the directory is being watched.", client.isConnected ? 1 : 0)
            writer.family(
                "mesh_directory_revision", .gauge, "The revision of the local copy of the directory.",
                Double(client.snapshot.revision))
            writer.family(
                "mesh_directory_services", .gauge, "Services in the local copy of the directory.",
                Double(client.snapshot.serviceCount))
        }
        if let host = agent.directoryHost {
            writer.family(
                "mesh_directory_watchers", .gauge, "Watchers of the directory here.", Double(host.watcherCount))
            writer.family(
                "mesh_directory_commits_total", .counter, "Batches written to the directory's file, by result.",
                [
                    .init(Double(host.commits), ["result": "stored"]),
                    .init(Double(host.commitFailures), ["result": "failed"]),
                ])
        }
        writer.family(
            "mesh_service_healthy", .gauge, "Whether a local service's health check does not fail.",
            agent.registry.entries.keys.sorted().map {
                .init(agent.registry.isHealthy($0) ? 1 : 0, ["service": $0])
            })
    }

    private static func addControl(_ writer: inout PrometheusWriter, _ connections: ControlConnections) {
        writer.family(
            "mesh_control_connections", .gauge, "Conversations of the control API, of users and of nodes.",
            Double(connections.count))
        writer.family(
            "mesh_control_bytes", .gauge, "Requests and answers of the control API that wait.",
            Double(connections.bytes))
        writer.family(
            "mesh_control_refusals_total", .counter,
            "Conversations of the control API that were refused or ended at a limit, by whose it is.",
            ControlConnections.Refusal.allCases.map {
                .init(Double(connections.refusals[$0] ?? 0), ["limit": $0.rawValue])
            })
    }

    private static func refusals(_ totals: WorkerCounters, _ streams: StreamQuota) -> [String: UInt64] {
        var all = totals.refusals
        // Those that the session gives itself.
        all[LinkReason.tooManyStreams.name] = streams.refusals.tooMany
        all[LinkReason.streamOverloaded.name] = streams.refusals.overloaded
        return all.filter { $0.value > 0 }
    }

    private static func samples(_ counts: [String: UInt64], _ label: String) -> [PrometheusWriter.Sample] {
        counts.sorted { $0.key < $1.key }.map { entry in
            let labels: KeyValuePairs<String, String> =
                switch label {
                case "reason": ["reason": entry.key]
                case "outcome": ["outcome": entry.key]
                case "result": ["result": entry.key]
                default: ["code": entry.key]
                }
            return .init(Double(entry.value), labels)
        }
    }
}
