/// What `/metrics` shows of takeovers.
@ControlPlane
enum TakeoverMetrics {
    static func add(_ writer: inout PrometheusWriter, _ agent: Agent) {
        let counts = agent.takeoverHost?.counts ?? TakeoverHost.Counts()
        writer.family(
            "mesh_takeovers_total", .counter,
            "Processes that wanted to take over from this one and did not, by result, and whether this one has taken over.",
            [
                .init(agent.predecessor == nil ? 0 : 1, ["result": "completed"]),
                .init(Double(counts.failed), ["result": "failed"]),
                .init(Double(counts.refused), ["result": "refused"]),
            ])
        guard let predecessor = agent.predecessor else { return }
        writer.family(
            "mesh_takeover_pause_seconds", .gauge, "For how long nobody accepted when this process took over.",
            predecessor.pause)
        writer.family(
            "mesh_takeover_connections_total", .counter,
            "Connections that the process before this one had accepted and gave to this one.",
            Double(predecessor.connections))
        writer.family(
            "mesh_takeover_predecessor_running", .gauge,
            "Whether the process before this one still finishes its streams.",
            predecessor.isGone ? 0 : 1)
        writer.family(
            "mesh_takeover_predecessor_streams", .gauge, "Streams that the process before this one still carries.",
            Double(predecessor.streams))
    }
}
