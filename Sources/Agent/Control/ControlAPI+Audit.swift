import Audit
import HTTP
import JSON
import PKI
import Policy

/// Routes about the audit log, and about seals that are left with peers.
extension ControlAPI {
    func addAuditRoutes() {
        add(.get, "/v1/audit", [.control, .agentService]) { [unowned self] call in
            try self.demandAdminister(call)
            return self.json(self.agent.auditJSON)
        }
        // A node leaves seals, and asks for them, in its own name; it needs no other right than that to its link.
        add(.put, "/v1/seals", [.documentsService]) { [unowned self] call in try self.keepSeal(call) }
        add(.get, "/v1/seals", [.documentsService]) { [unowned self] call in
            try self.seals(of: self.peer(call))
        }
        add(.get, "/v1/audit/seals", [.control]) { [unowned self] call in try await self.ownSeals(call) }
        add(.get, "/v1/audit/kept", [.control, .agentService]) { [unowned self] call in
            try self.demandAdminister(call)
            return try self.answering { () throws(SealKeeper.Refusal) in
                .array(
                    try self.agent.sealKeeper.summary().map {
                        [
                            "node": .string($0.node), "seals": JSONValue($0.count),
                            "problem": $0.problem.map { .string($0) } ?? .null,
                        ]
                    })
            }
        }
        add(.get, "/v1/audit/kept/{node}", [.control, .agentService]) { [unowned self] call in
            try self.demandAdminister(call)
            return try self.seals(of: call.parameters["node"] ?? "")
        }
        add(.delete, "/v1/audit/kept/{node}", [.control]) { [unowned self] call in try self.forgetSeals(call) }
    }

    /// The node that speaks, for itself.
    private func peer(_ call: Call) throws -> String {
        guard case .peer(let principal, let node) = call.request.caller,
            principal.id == PrincipalID.node(node)
        else {
            throw Problem(
                "denied", status: 403, detail: "only a node that may link leaves its seals here, in its own name")
        }
        return node
    }

    private func keepSeal(_ call: Call) throws -> ControlAnswer {
        let node = try peer(call)
        let value = try body(call)
        let seal: AuditSeal
        do throws(AuditError) {
            seal = try AuditSeal(json: value)
        } catch {
            throw Problem(error.code.rawValue, status: 400, detail: error.message)
        }
        return try answering { () throws(SealKeeper.Refusal) in
            do throws(SealKeeper.Refusal) {
                let outcome = try agent.sealKeeper.take(seal, of: node)
                return ["outcome": outcome == .taken ? "taken" : "known"]
            } catch {
                if case .seal(let error) = error, error.code == .sealGoesBack {
                    agent.log.error(
                        "audit_seal_goes_back", "node \(node) leaves a seal that contradicts what it left before",
                        [("node", .string(node)), ("detail", .string(error.message))])
                }
                throw error
            }
        }
    }

    private func seals(of node: String) throws -> ControlAnswer {
        try answering { () throws(SealKeeper.Refusal) in
            ["node": .string(node), "seals": try agent.sealKeeper.seals(of: node).json]
        }
    }

    /// What another node keeps of this one.
    private func ownSeals(_ call: Call) async throws -> ControlAnswer {
        try demandAdminister(call)
        guard let node = try query(call, ["from"]).single("from") else {
            throw Problem("bad_request", status: 400, detail: "from names the node that keeps the seals")
        }
        return .response(
            try await agent.ask(node: node, service: Policy.Name.documentsService, .get, "/v1/seals"))
    }

    private func forgetSeals(_ call: Call) throws -> ControlAnswer {
        try demandAdminister(call)
        let node = call.parameters["node"] ?? ""
        return try answering { () throws(SealKeeper.Refusal) in
            let isForgotten = try agent.sealKeeper.forget(node)
            if isForgotten {
                agent.log.warning(
                    "audit_seals_forgotten", "the seals of node \(node) are not kept any more",
                    [("node", .string(node)), ("caller", .string(call.request.caller.description))])
            }
            return ["node": .string(node), "forgotten": .bool(isForgotten)]
        }
    }

    private func answering(_ body: () throws(SealKeeper.Refusal) -> JSONValue) throws -> ControlAnswer {
        do throws(SealKeeper.Refusal) {
            return json(try body())
        } catch {
            switch error {
            case .seal(let error):
                throw Problem(
                    error.code.rawValue, status: error.code == .sealGoesBack ? 409 : 400, detail: error.message,
                    hint:
                        "where the log was put back on purpose: mesh audit kept NODE --forget, at the node with the seals"
                )
            case .tooFast: throw Problem("too_fast", status: 429, detail: "one seal at a time")
            case .full: throw Problem("seals_full", status: 507, detail: "seals of so many nodes are not kept")
            case .store(let error):
                throw Problem(error.code, status: 500, detail: error.description, hint: error.hint)
            case .unread(let error):
                throw Problem("seals_unread", status: 503, detail: error.description, hint: error.hint)
            }
        }
    }
}
