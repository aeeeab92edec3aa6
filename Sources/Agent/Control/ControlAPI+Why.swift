import Documents
import HTTP
import JSON
import Policy

/// Questions to the policy: `POST /v1/authorize` and `GET /v1/why`.
extension ControlAPI {
    /// What is asked of the policy.
    private struct Question {
        /// Who asks.
        let from: String
        let verb: Verb
        let target: String
        /// What the token or key of `from` tells.
        var attributes: Subject.Attributes = [:]
        /// The node that opens in the name of `from`.
        var node: String?

        /// The same as `GET /v1/why` takes it.
        var query: [(String, String)] {
            let told = attributes.flatMap { name, values in values.map { ("attribute", "\(name)=\($0)") } }
            return [("from", from), ("to", target), ("verb", verb.rawValue)] + told
                + (node.map { [("as-node", $0)] } ?? [])
        }
    }

    func authorize(_ call: Call) async throws -> ControlAnswer {
        let object = try body(call).requireObject()
        var question = Question(
            from: try object.string("principal"), verb: try verb(object.optionalString("verb")),
            target: try object.optionalString("service") ?? object.string("target"))
        for member in try object["attributes"]?.requireObject().members ?? [] {
            question.attributes[member.key] = try member.value.requireStrings()
        }
        question.node = try object.optionalString("node")
        let explanation = try await explain(call, question)
        return json([
            "allowed": .bool(explanation.allowed), "reason": .string(explanation.reason.rawValue),
            "rule": explanation.rule.map { .string($0.description) } ?? .null,
        ])
    }

    func why(_ call: Call) async throws -> ControlAnswer {
        let query = try query(call, ["from", "to", "verb", "at", "attribute", "as-node"])
        var question = Question(
            from: try query.required("from"), verb: try verb(query.single("verb")), target: try query.required("to"))
        for text in query.values("attribute") {
            guard let (name, value) = Subject.attribute(text) else {
                throw Problem(
                    "bad_attribute", status: 400, detail: "\"\(text)\" is no attribute",
                    hint: "write NAME=VALUE: groups=admins")
            }
            question.attributes[name, default: []].append(value)
        }
        question.node = try query.single("as-node")
        if let node = try query.single("at"), node != agent.shared.node {
            return try await pass(call, to: node, .get, "/v1/why?" + HTTPQuery.encode(question.query))
        }
        var object = try await explain(call, question).json.object ?? JSONObject()
        object["node"] = .string(agent.shared.node)
        object["policy"] = agent.policyJSON
        if question.verb == .link, let entry = revocation(of: question.from) {
            object["revoked"] = ["entry": .string(entry.name), "reason": .string(entry.reason)]
        }
        return json(.object(object))
    }

    /// The entry that revokes a node by its name: links are refused by it whatever the policy allows.
    private func revocation(of identity: String) -> RevocationEntry? {
        agent.documents.ledger.revocations.entries.first { $0.name == identity }
    }

    /// The last decisions of this node, or of another one, about its peers.
    func decisions(_ call: Call) async throws -> ControlAnswer {
        try demandAdminister(call)
        let query = try query(call, ["at"])
        if let node = try query.single("at"), node != agent.shared.node {
            return try await pass(call, to: node, .get, "/v1/decisions")
        }
        var entries: [DecisionMemory.Entry] = []
        for worker in agent.shared.workers { entries += await worker.ask { $0.decisions.all } }
        return json(["node": .string(agent.shared.node), "decisions": .array(entries.map(\.json))])
    }

    /// The decision about somebody: for oneself and for administrators.
    private func explain(_ call: Call, _ question: Question) async throws -> Explanation {
        let (subject, id) = try await subject(question, by: call)
        let policy = agent.policy
        let principal = policy.principal(for: subject)
        let isOneself =
            principal.id == call.principal.id || subject == call.principal.subject
            || (principal.id.namespace == .service && call.principal.services.contains(principal.id.name))
        // What somebody would be with other attributes is not about oneself, and neither is a node.
        let isOwn = isOneself && subject.attributes == call.principal.subject.attributes && question.node == nil
        if !isOwn { try demandAdminister(call) }
        if let name = question.node {
            guard let node = PrincipalID.node(name), let id, question.verb == .connect else {
                throw Problem(
                    "bad_request", status: 400,
                    detail: "as-node is a node's name, and for connect by somebody whom a node can name",
                    hint: "write jwt:ISSUER/SUBJECT, key:ID, uid:N or service:NAME for who asks")
            }
            let peer = policy.principal(for: Subject(node, trustDomain: agent.identity.trustDomain))
            return policy.authorize(
                peer, actingAs: id, attributes: question.attributes, .connect, question.target
            ).explanation
        }
        return policy.authorize(principal, question.verb, question.target).explanation
    }

    /// Who is asked about; the id where the text is one.
    private func subject(_ question: Question, by call: Call) async throws -> (Subject, PrincipalID?) {
        if question.from.hasPrefix("spiffe://") || question.from.hasPrefix("cn:") {
            guard let subject = agent.policy.subject(question.from) else { throw badPrincipal(question.from) }
            return (subject, nil)
        }
        guard let id = PrincipalID(question.from) else { throw badPrincipal(question.from) }
        guard question.attributes.isEmpty || id.isExternal else {
            throw Problem(
                "bad_attribute", status: 400, detail: "\(id) has no attributes",
                hint: "only tokens and keys have: jwt:ISSUER/SUBJECT, key:ID")
        }
        if let uid = id.uid {
            // Who asks about himself is who he has proven to be; of others there is only what the host's lists of users say.
            if case .user(let user) = call.request.caller, user.uid == uid { return (user.subject, id) }
            try demandAdminister(call)
            do throws(UserLookupError) {
                return (try await agent.users.user(uid).subject, id)
            } catch {
                throw Problem("user_unknown", status: 503, detail: error.description, hint: error.hint)
            }
        }
        return (
            Subject(id, trustDomain: agent.identity.trustDomain, attributes: question.attributes), id
        )
    }

    private func badPrincipal(_ text: String) -> Problem {
        Problem(
            "bad_principal", status: 400, detail: "\"\(text)\" is no identity",
            hint:
                "write node:NAME, service:NAME, uid:N, jwt:ISSUER/SUBJECT, key:ID, spiffe://DOMAIN/node/NAME or cn:NAME"
        )
    }

    private func verb(_ text: String?) throws -> Verb {
        guard let text else { return .connect }
        guard let verb = Verb(rawValue: text) else {
            throw Problem(
                "unknown_verb", status: 400, detail: "there is no verb \(text)",
                hint: "verbs are \(Verb.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return verb
    }
}
