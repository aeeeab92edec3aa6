import JSON

/// Taking a node out of service and back while its agent goes on: before maintenance, or to see what depends on it. The
/// drain at the agent's end (SIGTERM) is `Agent.drain`; it takes the same way with streams, and then the links.
extension Agent {
    /// Takes no new streams of applications, from peers or from here, and offers no service any more. Streams under way go
    /// on, and so do links, the directory and the control API. False when it was so before.
    func leaveService(by caller: String) async -> Bool {
        guard !isOutOfService else { return false }
        isOutOfService = true
        log.info("drain_started", "no new streams are taken until mesh drain --undo", [("by", .string(caller))])
        Systemd.notify("STATUS=node \(shared.node) drains")
        await serviceChanged()
        return true
    }

    /// The node serves again. False when it did.
    func returnToService(by caller: String) async -> Bool {
        guard isOutOfService else { return false }
        isOutOfService = false
        log.info("drain_undone", "new streams are taken again", [("by", .string(caller))])
        Systemd.notify("STATUS=node \(shared.node)")
        await serviceChanged()
        return true
    }

    /// Workers decide by it when this returns, and the directory has been told as far as it can be reached.
    private func serviceChanged() async {
        publish()
        await settled()
        _ = await directoryClient?.synchronise()
    }

    /// Applications' streams, connections and requests under way; those of the agents themselves do not count. Never too few: what
    /// changes its worker meanwhile may be counted twice.
    func activity() async -> Int {
        let start = shared.handovers.now
        var activity = await edge.activity()
        for worker in shared.workers { activity += await worker.ask { $0.activity } }
        return activity + shared.handovers.missed(since: start)
    }
}
