import Documents
import Enrolment
import EventLoop
import HTTP
import JSON
import PKI
import Policy

extension ControlAPI {
    /// Tokens that end later than this would be passwords; in seconds.
    private static let longestToken: Int64 = 7 * 86_400
    /// Long enough to carry a token to a host, in seconds.
    private static let usualToken: Int64 = 900

    /// Routes about the mesh's CA, where this node serves it; `at` names another node that does. All of them need the right to
    /// administer this node.
    func addCARoutes() {
        addCA(.get, "/v1/ca") { [unowned self] call in try await self.showCA(call) }
        addCA(.post, "/v1/ca/check") { [unowned self] call in try await self.checkCA(call) }
        addCA(.post, "/v1/ca/reload") { [unowned self] call in try await self.reloadCA(call) }
        addCA(.post, "/v1/ca/tokens") { [unowned self] call in try await self.createToken(call) }
        addCA(.get, "/v1/ca/tokens") { [unowned self] call in try await self.listTokens(call) }
        addCA(.delete, "/v1/ca/tokens/{id}") { [unowned self] call in try await self.withdrawToken(call) }
        addCA(.get, "/v1/ca/nodes") { [unowned self] call in try await self.listNodes(call) }
        addCA(.delete, "/v1/ca/nodes/{node}") { [unowned self] call in try await self.forgetNode(call) }
    }

    /// Adds a route for the control socket and for peers. What a user asks of another node is passed on to that one.
    private func addCA(_ method: HTTPMethod, _ pattern: String, _ handler: @escaping Handler) {
        add(method, pattern, [.control, .agentService]) { [unowned self] call in
            guard let node = try self.query(call, ["at"]).single("at"), node != self.agent.shared.node else {
                return try await handler(call)
            }
            guard call.door == .control else {
                throw Problem("bad_request", status: 400, detail: "only requests of this host are passed on")
            }
            let request = call.request
            return try await self.pass(call, to: node, method, request.head.path, body: request.body)
        }
    }

    private func ca(_ call: Call) throws -> CAService {
        try demandAdminister(call)
        guard let ca = agent.ca else {
            throw Problem(
                "no_ca", status: 404, detail: "this node does not serve the mesh's CA",
                hint: "ask the one that has ca.certificate in its configuration: --at NODE")
        }
        return ca
    }

    /// Lets the CA issue with what its files hold by now.
    private func reloadCA(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let before = ca.facts
        let facts: CAService.Facts
        do {
            facts = try await ca.reload(agent.configuration.ca, trusting: agent.documents.ledger.roots)
        } catch let error as CertificateError {
            throw Problem(error.code, status: 409, detail: error.description, hint: error.hint)
        }
        agent.log.info(
            "ca_reloaded", "the CA issues with what its files hold",
            [
                ("issuer", .string(facts.subjects.issuer)), ("root", .string(facts.subjects.root)),
                ("fingerprint", .string(facts.fingerprint)), ("before", .string(before.fingerprint)),
                ("by", .string(call.principal.id.description)),
            ])
        return try await showCA(call)
    }

    /// Says whether the CA could issue with the files that wait beside its own; nothing changes.
    private func checkCA(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let facts: CAService.Facts
        do throws(CertificateError) {
            facts = try ca.check(agent.configuration.ca, trusting: agent.documents.ledger.roots)
        } catch {
            throw Problem(error.code, status: 409, detail: error.description, hint: error.hint)
        }
        return json([
            "node": .string(agent.shared.node), "issuer": .string(facts.subjects.issuer),
            "root": .string(facts.subjects.root), "rootKey": .string(facts.rootKey),
        ])
    }

    private func showCA(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let report = await ca.report(now: Clock.unixSeconds())
        return json([
            "node": .string(agent.shared.node), "issuer": .string(ca.facts.subjects.issuer),
            "root": .string(ca.facts.subjects.root), "rootKey": .string(ca.facts.rootKey),
            "certificateFile": agent.configuration.ca.certificate.map { .string($0) } ?? .null,
            "keyFile": agent.configuration.ca.key.map { .string($0) } ?? .null,
            "address": .string(ca.facts.address), "fingerprintSHA256": .string(ca.facts.fingerprint),
            "trustDomain": .string(ca.facts.trustDomain), "notAfter": .string(UTCTime.text(ca.facts.notAfter)),
            "nodes": report.map { .init($0.nodes) } ?? .null,
            "openTokens": report.map { .init($0.openTokens) } ?? .null,
        ])
    }

    private func createToken(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let body = try body(call)
        func texts(_ name: String) -> [String] { body[name]?.array?.compactMap(\.string) ?? [] }
        let grant: NodeGrant
        let token: JoinToken
        let seconds = body["ttlSeconds"]?.integer ?? Self.usualToken
        guard (1...Self.longestToken).contains(seconds) else {
            throw Problem("out_of_range", status: 400, detail: "a token lives from one second to seven days")
        }
        do throws(CertificateError) {
            grant = try NodeGrant(
                node: body["node"]?.string ?? "", dnsNames: texts("dns"), ipAddresses: texts("ip"))
            token = try JoinToken(address: ca.facts.address, fingerprint: ca.facts.fingerprint, node: grant.node)
        } catch {
            throw Problem(error.code, status: 400, detail: error.message, hint: error.hint)
        }
        let now = Clock.unixSeconds()
        let creator = call.principal.id.description
        let publicKey = token.key.publicKey
        let joinsFrom = try await ca.ask { core in
            try core.issuer.ledger.add(publicKey, grant: grant, now: now, expires: now + seconds, creator: creator)
            return core.issuer.earliestJoin(of: grant.node, now: now)
        }
        agent.log.info(
            "token_created", "a join token was made",
            [
                ("node", .string(grant.node)), ("id", .string(token.key.id)), ("by", .string(creator)),
                ("ends", .string(UTCTime.text(now + seconds))), ("dns", .init(grant.dnsNames)),
                ("ip", .init(grant.ipAddresses)),
            ])
        var answer: JSONObject = [
            "token": .string(String(decoding: token.text(), as: UTF8.self)), "id": .string(token.key.id),
            "node": .string(grant.node), "dns": .init(grant.dnsNames), "ip": .init(grant.ipAddresses),
            "expires": .string(UTCTime.text(now + seconds)), "address": .string(ca.facts.address),
        ]
        // Its node is revoked, and what was issued before would be revoked with it.
        if let joinsFrom { answer["joinsFrom"] = .string(UTCTime.text(joinsFrom)) }
        return json(.object(answer), status: 201)
    }

    private func listTokens(_ call: Call) async throws -> ControlAnswer {
        let now = Clock.unixSeconds()
        let tokens = try await ca(call).ask { core in try core.issuer.ledger.tokens() }
        let list = tokens.map { token -> JSONValue in
            let state = token.used > 0 ? "used" : token.expires <= now ? "expired" : "open"
            return [
                "id": .string(token.id), "node": .string(token.grant.node), "state": .string(state),
                "dns": .init(token.grant.dnsNames), "ip": .init(token.grant.ipAddresses),
                "created": .string(UTCTime.text(token.created)), "expires": .string(UTCTime.text(token.expires)),
                "used": token.used > 0 ? .string(UTCTime.text(token.used)) : .null, "by": .string(token.creator),
            ]
        }
        return json(["tokens": .array(list)])
    }

    private func withdrawToken(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let id = call.parameters["id"] ?? ""
        guard try await ca.ask({ core in try core.issuer.ledger.removeToken(id) }) else {
            throw Problem(
                "no_such_token", status: 404, detail: "the CA knows no token \(id)", hint: "mesh ca token list has them"
            )
        }
        agent.log.info(
            "token_withdrawn", "a join token was withdrawn",
            [("id", .string(id)), ("by", .string(call.principal.id.description))])
        return json(["id": .string(id)])
    }

    private func listNodes(_ call: Call) async throws -> ControlAnswer {
        let nodes = try await ca(call).ask { core in try core.issuer.ledger.nodes() }
        let list = nodes.map { node -> JSONValue in
            [
                "node": .string(node.grant.node), "dns": .init(node.grant.dnsNames),
                "ip": .init(node.grant.ipAddresses), "admitted": .string(UTCTime.text(node.admitted)),
                "serial": node.last.map { .string($0.serial) } ?? .null,
                "issued": node.last.map { .string(UTCTime.text($0.made)) } ?? .null,
                "expires": node.last.map { .string(UTCTime.text($0.ends)) } ?? .null,
            ]
        }
        return json(["nodes": .array(list)])
    }

    private func forgetNode(_ call: Call) async throws -> ControlAnswer {
        let ca = try ca(call)
        let node = call.parameters["node"] ?? ""
        guard try await ca.ask({ core in try core.issuer.ledger.forget(node) }) else {
            throw Problem(
                "unknown_node", status: 404, detail: "the CA has not admitted \(node)",
                hint: "mesh ca nodes has those that it has")
        }
        agent.log.info(
            "node_forgotten", "the CA renews nothing for this node any more",
            [("node", .string(node)), ("by", .string(call.principal.id.description))])
        return json(["node": .string(node)])
    }
}
