import Documents
import HTTP
import JSON
import Policy

/// Routes about mesh documents. A document is its own authority: who gives it does not count, who signed it does.
extension ControlAPI {
    func addDocumentRoutes() {
        let all: Set<Door> = [.control, .agentService, .documentsService]
        // Open to local callers whom the policy does not know: whoever makes a new one needs the version of the old.
        add(.get, "/v1/documents", all, open: [.control]) { [unowned self] call in self.documents(call) }
        addDocumentNodeRoutes()
        add(.get, "/v1/documents/{kind}", [.control, .documentsService]) { [unowned self] call in
            try self.document(call)
        }
        // Also for callers whom the policy in force does not know: a policy that locks everybody out can be replaced.
        let takers: Set<Door> = [.control, .documentsService]
        add(.put, "/v1/documents/{kind}", takers, open: takers) { [unowned self] call in
            try await self.takeDocument(call)
        }
        add(.get, "/v1/policy", [.control, .agentService]) { [unowned self] call in try self.policyText(call) }
    }

    private func kind(_ call: Call) throws -> DocumentKind {
        guard let kind = DocumentKind(rawValue: call.parameters["kind"] ?? "") else {
            throw Problem(
                "no_such_document", status: 404, detail: "there is no such kind of document",
                hint: "kinds are \(DocumentKind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return kind
    }

    private func documents(_ call: Call) -> ControlAnswer {
        let ledger = agent.documents.ledger
        return json([
            "node": .string(agent.shared.node), "trustDomain": ledger.trustDomain.map { .string($0) } ?? .null,
            "documents": agent.documents.json, "versions": ledger.versions.json, "policy": agent.policyJSON,
        ])
    }

    private func document(_ call: Call) throws -> ControlAnswer {
        if call.door == .control { try demandAdminister(call) }
        let kind = try kind(call)
        guard let document = agent.documents.ledger.documents[kind] else {
            throw Problem(
                "no_such_document", status: 404, detail: "no document of the kind \(kind.rawValue) is in force",
                hint: "mesh documents lists those that are")
        }
        return json(document.json)
    }

    private func takeDocument(_ call: Call) async throws -> ControlAnswer {
        let kind = try kind(call)
        let base = try base(call)
        let isForced = try query(call, ["force"]).single("force") == "true"
        let outcome: DocumentLedger.Outcome
        do throws(DocumentError) {
            if kind == .trust, call.door == .control, !isForced { try agent.refuseLockout(by: call.request.body) }
            outcome = try agent.documents.take(
                call.request.body, as: kind, from: call.request.caller.description, isStranger: isStranger(call),
                asNext: call.door == .control, base: base, isStoredLater: true)
        } catch {
            throw Problem(error.code.rawValue, status: error.status, detail: error.message, hint: error.hint)
        }
        switch call.request.caller {
        case .peer(_, let node): agent.documentPeers.received(kind, from: node)
        // Beside a link of the node that is somebody else.
        case .bearer(let node) where !agent.supervisor.isLinked(to: node):
            agent.documentPeers.received(kind, from: node)
        default: break
        }
        // Who is told that a document is in force can rely on it.
        await agent.settled()
        await agent.documents.storeLate(kind)
        return json([
            "outcome": .string(outcome == .taken ? "taken" : "known"),
            "stored": .bool(!agent.documents.unstored.contains(kind)),
            "documents": agent.documents.ledger.versions.json,
        ])
    }

    /// The version that an operator's change was made from: If-Match (RFC 9110, section 13.1.1), whose tag here is the number.
    private func base(_ call: Call) throws -> UInt64? {
        guard call.door == .control, let text = call.request.head.headers["If-Match"] else { return nil }
        guard text.hasPrefix("\""), text.hasSuffix("\""), let version = UInt64(text.dropFirst().dropLast()) else {
            throw Problem(
                "bad_request", status: 400, detail: "If-Match holds no version",
                hint: "write the version of the document in quotes; \"0\" where there is none yet")
        }
        return version
    }

    /// The text of the policy in force, as it was written.
    private func policyText(_ call: Call) throws -> ControlAnswer {
        try demandAdminister(call)
        let document = agent.documents.ledger.documents[.policy]
        var object = agent.policyJSON.object ?? JSONObject()
        object["node"] = .string(agent.shared.node)
        object["text"] = document.map { .string(String(decoding: $0.payload, as: UTF8.self)) } ?? .null
        return json(.object(object))
    }
}

extension DocumentError {
    /// The HTTP status that says the same.
    var status: Int {
        switch code {
        case .malformed, .wrongKind: 400
        case .tooLarge: 413
        case .otherMesh, .unknownOperator, .unvouchedRoot, .rootNotInTime, .badSignature: 403
        case .older, .noOperators, .noTrustDomain, .lockout: 409
        case .badContent, .tooFarAhead: 422
        case .changed: 412
        case .notStored: 507
        }
    }
}
