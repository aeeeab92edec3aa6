import HTTP
import JSON

extension ControlAPI {
    /// Routes that take this node out of service and back.
    func addDrainRoutes() {
        let both: Set<Door> = [.control, .agentService]
        add(.get, "/v1/drain", both) { [unowned self] call in await self.drainState() }
        add(.post, "/v1/drain", both) { [unowned self] call in try await self.drain(call) }
        add(.delete, "/v1/drain", both) { [unowned self] call in try await self.undoDrain(call) }
    }

    /// Whether the node drains, and what is still under way.
    private func drainState(changed: Bool? = nil) async -> ControlAnswer {
        let streams = await agent.activity()
        let isDraining = agent.isOutOfService || agent.isDraining
        var object: JSONObject = [
            "node": .string(agent.shared.node),
            "state": .string(!isDraining ? "serving" : streams == 0 ? "drained" : "draining"),
            "streams": .init(streams),
        ]
        if let changed { object["changed"] = .bool(changed) }
        return json(.object(object))
    }

    private func drain(_ call: Call) async throws -> ControlAnswer {
        try demandAdminister(call)
        let changed = await agent.leaveService(by: call.request.caller.description)
        return await drainState(changed: changed)
    }

    private func undoDrain(_ call: Call) async throws -> ControlAnswer {
        try demandAdminister(call)
        guard !agent.isDraining else {
            throw Problem(
                "stopping", status: 409, detail: "the agent ends; that cannot be undone",
                hint: "start it again when it has ended")
        }
        let changed = await agent.returnToService(by: call.request.caller.description)
        return await drainState(changed: changed)
    }
}
