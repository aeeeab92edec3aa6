import Bytes
import EventLoop
import HTTP
import JSON
import Link
import PKI
import Policy

extension ControlAPI {
    /// Routes about this agent.
    func addAgentRoutes() {
        let both: Set<Door> = [.control, .agentService]
        add(.get, "/v1/agent", both) { [unowned self] call in self.json(self.agent.statusJSON) }
        add(.get, "/v1/whoami", both.union([.directoryService])) { [unowned self] call in self.whoami(call) }
        add(.get, "/v1/links", both) { [unowned self] call in try await self.links(call) }
        add(.get, "/v1/certificates", both) { [unowned self] _ in
            let now = Clock.unixSeconds()
            let all = await self.agent.certificates().map { $0.json(now: now) }
            return self.json(["node": .string(self.agent.shared.node), "certificates": .array(all)])
        }
        add(.get, "/v1/services", both) { [unowned self] call in self.services(call) }
        add(.put, "/v1/services/{name}", both) { [unowned self] call in try await self.register(call) }
        add(.delete, "/v1/services/{name}", both) { [unowned self] call in try await self.deregister(call) }
        add(.post, "/v1/reload", both) { [unowned self] call in try await self.reload(call) }
        add(.post, "/v1/authorize", both) { [unowned self] call in try await self.authorize(call) }
        add(.get, "/v1/why", both) { [unowned self] call in try await self.why(call) }
        add(.get, "/v1/decisions", both) { [unowned self] call in try await self.decisions(call) }
        add(.get, "/v1/connect/{service}", [.control]) { [unowned self] call in try self.connect(call) }
        add(.get, "/v1/streams/{id}", [.control]) { [unowned self] call in try self.outcome(call) }
    }

    // MARK: - Looking

    private func whoami(_ call: Call) -> ControlAnswer {
        let principal = call.principal
        return json([
            "principal": .string(principal.id.description), "subject": .string(principal.subject.description),
            "services": .init(principal.services.sorted()), "groups": .init(principal.groups.sorted()),
            "permissions": .init(principal.permissions.sorted()),
            "derivation": .init(principal.derivation.map(\.description)),
        ])
    }

    private func links(_ call: Call) async throws -> ControlAnswer {
        let reports = await agent.reports()
        let live = Dictionary(
            reports.flatMap(\.links).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let parked = Dictionary(
            reports.flatMap(\.parked).map { ($0.lane, $0) }, uniquingKeysWith: { first, _ in first })
        let now = Clock.unixMilliseconds()
        let links = agent.supervisor.status.map { peer -> JSONValue in
            var object: JSONObject = [
                "node": .string(peer.node), "lane": .init(Int(peer.lane.number)), "state": .string(peer.state),
                "permanent": .bool(peer.isPermanent),
                "resumptions": .init(peer.resumptions), "moves": .init(peer.moves),
            ]
            if peer.lane.isFirst { object["lanes"] = .init(peer.lanes) }
            if let link = peer.link {
                object["remote"] = .string(link.remote)
                object["dialled"] = .bool(link.isDialler)
                object["peerVersion"] = .string(link.peerVersion)
                if let status = live[link.link] {
                    object["streams"] = .init(status.streams)
                    object["streamsTaken"] = .init(status.streamsTaken)
                    object["rttMicroseconds"] = status.roundTrip.map { .init($0 / 1_000) } ?? .null
                    object["bytesReceived"] = .init(status.bytesReceived)
                    object["bytesSent"] = .init(status.bytesSent)
                    object["retainedBytes"] = .init(status.retained)
                    object["tls"] = .string(status.tlsVersion)
                    object["cipher"] = .string(status.cipher)
                    object["worker"] = .init(status.worker)
                    object["ageSeconds"] = .integer(max(0, now - status.establishedAt) / 1000)
                    object["peerCertificateExpires"] = .string(
                        Timestamp.rfc3339(milliseconds: status.peerExpires * 1000))
                    object["pins"] = status.pins.code.map { .string($0) } ?? .null
                    if case .mismatch(let error) = status.pins {
                        object["reason"] = .string(error.code)
                        object["detail"] = .string(error.message)
                        object["hint"] = .string(error.hint)
                    }
                    object["clockOffsetMilliseconds"] = status.clockOffset.map { .integer($0) } ?? .null
                }
            } else if let session = parked[peer.lane] {
                object["streams"] = .init(session.streams)
                object["retainedBytes"] = .init(session.retained)
                object["parkedSeconds"] = .integer(max(0, now - session.since) / 1000)
            }
            if peer.link == nil, let error = peer.lastError {
                object["reason"] = .string(error.code)
                object["detail"] = .string(error.text)
                if let hint = error.hint { object["hint"] = .string(hint) }
            }
            return .object(object)
        }
        return json(["node": .string(agent.shared.node), "links": .array(links)])
    }

    private func services(_ call: Call) -> ControlAnswer {
        let registry = agent.registry
        let services = registry.entries.values.sorted { $0.service.name < $1.service.name }.map { entry -> JSONValue in
            var object = ServiceJSON.encode(entry.service).object ?? JSONObject()
            object["health"] = .string(registry.isHealthy(entry.service.name) ? "passing" : "critical")
            if let failure = registry.healthFailure(entry.service.name) { object["healthDetail"] = .string(failure) }
            object["origin"] = .string(entry.isDynamic ? "registered" : "configuration")
            let decision = agent.policy.authorizeRegister(node: agent.own, service: entry.service.name)
            object["registered"] = .bool(decision.allowed)
            if !decision.allowed { object["reason"] = .string(decision.reason.rawValue) }
            return .object(object)
        }
        return json(["node": .string(agent.shared.node), "services": .array(services)])
    }

    // MARK: - Changing

    private func register(_ call: Call) async throws -> ControlAnswer {
        let name = call.parameters["name"] ?? ""
        let service = try ServiceJSON.decode(try body(call), name: name)
        try demand(agent.policy.authorizeRegister(node: agent.own, caller: call.principal, service: name))
        if let entry = agent.registry.entries[name], !entry.isDynamic {
            throw Problem(
                "configured", status: 409, detail: "service \(name) stands in the configuration",
                hint: "change it there and run mesh reload")
        }
        let target: SocketAddress
        do throws(AddressError) {
            target = try SocketAddress(parsing: service.target.description)
        } catch {
            throw Problem("bad_target", status: 400, detail: error.description, hint: "give an address, not a name")
        }
        guard service.target.address.isLoopback else {
            throw Problem(
                "not_loopback", status: 400, detail: "target \(service.target) is not on this host",
                hint:
                    "a registered service's target is loopback or a Unix socket; another host needs the configuration "
                    + "with allowNonLoopback")
        }
        guard agent.registry.hasRoom(for: name) else {
            throw Problem(
                "too_many_services", status: 409,
                detail:
                    "this node has \(agent.registry.entries.count) services, and no directory takes more of one node",
                hint: "deregister some: mesh deregister")
        }
        let isNew = agent.registry.entries[name] == nil
        try add(service, target)
        agent.log.info(
            "service_registered", "service \(name) was registered",
            [
                ("service", .string(name)), ("target", .string("\(target)")),
                ("by", .string(call.request.caller.description)),
            ])
        await agent.settled()
        let isKnown = await agent.directoryClient?.synchronise() ?? true
        return json(
            [
                "service": .string(name), "instance": .string("\(agent.shared.node)/\(name)"),
                "directory": .bool(isKnown), "drained": .bool(agent.isOutOfService),
            ],
            status: isNew ? 201 : 200)
    }

    private func add(_ service: Configuration.Service, _ target: SocketAddress) throws {
        do throws(CertificateError) {
            try agent.registry.register(service, target: target)
        } catch {
            guard error.reason == .tooLarge else { throw error }
            throw Problem(error.code, status: 409, detail: error.message, hint: error.hint)
        }
    }

    private func deregister(_ call: Call) async throws -> ControlAnswer {
        let name = call.parameters["name"] ?? ""
        try demand(agent.policy.authorizeRegister(node: agent.own, caller: call.principal, service: name))
        guard let entry = agent.registry.entries[name] else {
            throw Problem("no_such_service", status: 404, detail: "no service \(name) is registered at this node")
        }
        guard entry.isDynamic, try agent.registry.deregister(name) else {
            throw Problem(
                "configured", status: 409, detail: "service \(name) stands in the configuration",
                hint: "remove it there and run mesh reload")
        }
        agent.log.info(
            "service_deregistered", "service \(name) was deregistered",
            [("service", .string(name)), ("by", .string(call.request.caller.description))])
        await agent.settled()
        let isKnown = await agent.directoryClient?.synchronise() ?? true
        return json(["service": .string(name), "directory": .bool(isKnown)])
    }

    private func reload(_ call: Call) async throws -> ControlAnswer {
        try demandAdminister(call)
        let outcome = agent.reload(by: call.request.caller.description)
        // Who is told that the new policy is in force can rely on it.
        await agent.settled()
        switch outcome {
        case .failed(let lines):
            let text = FailureText(lines)
            let kept = "nothing was changed: the old configuration stays in force"
            throw Problem(
                "invalid_configuration", status: 422, detail: text.faults,
                hint: text.hint.map { "\($0); \(kept)" } ?? kept)
        case .applied(let applied, let needRestart, let notes):
            return json([
                "applied": .init(applied), "needRestart": .init(needRestart), "notes": .init(notes),
                "policy": .string(agent.policy.fingerprint),
            ])
        }
    }

    // MARK: - Connecting

    /// The control socket's connection becomes the application's side of a stream.
    private func connect(_ call: Call) throws -> ControlAnswer {
        guard case .user(let user) = call.request.caller else {
            throw Problem("not_found", status: 404, detail: "only local users connect here")
        }
        guard call.request.head.upgrade.contains("conduit-stream") else {
            throw Problem("upgrade_required", status: 426, detail: "send Upgrade: conduit-stream")
        }
        let query = try query(call, ["as", "node"])
        let service = call.parameters["service"] ?? ""
        let named = try query.single("as")
        let shared = agent.own.services.intersection(call.principal.services)
        let identity = named ?? (shared.count == 1 ? shared.first : nil)
        let acting = ActingAs.user(user, service: identity)
        let node = try query.single("node")
        let decision = agent.routing.authorizeOpening(acting, service: service)
        try demand(decision)
        let worker = agent.worker(for: node)
        let id = UInt64.random(in: 1 ... .max)
        let answers = OpenAttempt.Answers(
            accepted: Array(
                ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: conduit-stream\r\n"
                    + "Conduit-Stream: \(String(id, radix: 16))\r\n\r\n").utf8),
            failed: { Problem.response(for: $0) })
        return .takeOver { descriptor, leftover in
            let raw = descriptor.release()
            worker.submit { core in
                let attempt = OpenAttempt(
                    service: service, acting: acting, node: node, origin: "mesh connect by uid \(user.uid)",
                    timeout: 10_000_000_000, answers: answers, firstBytes: leftover)
                attempt.outcomeID = id
                core.open(FileDescriptor(owning: raw), attempt)
            }
        }
    }

    /// How a stream of `connect` ended, for who was given its number.
    private func outcome(_ call: Call) throws -> ControlAnswer {
        guard let id = UInt64(call.parameters["id"] ?? "", radix: 16) else {
            throw Problem("bad_request", status: 400, detail: "a stream's number is hexadecimal")
        }
        return json(["reset": .bool(agent.shared.outcomes.wasReset(id))])
    }
}
