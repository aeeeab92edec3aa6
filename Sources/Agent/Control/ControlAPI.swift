import Bytes
import Directory
import EventLoop
import HTTP
import JSON
import Link
import PKI
import Policy

/// The control API: one router for the control socket, for streams to `mesh.agent` and `mesh.directory`, and, later, for
/// the edge. Written once, authorised once.
@ControlPlane
final class ControlAPI {
    /// Where a request came in; decides which routes exist.
    enum Door: Sendable {
        /// The control socket.
        case control
        /// A stream to `mesh.agent`.
        case agentService
        /// A stream to `mesh.directory`.
        case directoryService
        /// A stream to `mesh.documents`.
        case documentsService
    }

    /// One request on its way to its handler.
    struct Call {
        let request: ControlRequest
        let parameters: RouteParameters
        let door: Door
        /// The caller under the policy in force.
        let principal: Principal
    }

    typealias Handler = @ControlPlane (Call) async throws -> ControlAnswer

    private struct Route {
        let doors: Set<Door>
        /// The doors at which callers are heard whom the policy does not know, too.
        let open: Set<Door>
        /// It changes nothing.
        let onlyLooks: Bool
        let handler: Handler
    }

    unowned let agent: Agent
    private var router = Router<Int>()
    private var routes: [Route] = []

    init(agent: Agent) {
        self.agent = agent
        addAgentRoutes()
        addDirectoryRoutes()
        addDrainRoutes()
        addCARoutes()
        addDocumentRoutes()
        addRootRoutes()
        addAuditRoutes()
    }

    /// Adds a route for these doors; an `open` one is also for callers whom the policy does not know.
    func add(
        _ method: HTTPMethod, _ pattern: String, _ doors: Set<Door>, open: Set<Door> = [], _ handler: @escaping Handler
    ) {
        do {
            try router.add(method, pattern, routes.count)
            let onlyLooks = method == .get || pattern == "/v1/authorize"
            routes.append(Route(doors: doors, open: open, onlyLooks: onlyLooks, handler: handler))
        } catch {
            preconditionFailure("route \(method) \(pattern): \(error)")
        }
    }

    /// The handler for connections that come in at `door`.
    func serve(_ door: Door) -> HTTPServerConnection.Handler {
        { [weak self] request in
            guard let self else { return .response(Problem("going_away", status: 503).response()) }
            return await self.answer(request, door)
        }
    }

    private func answer(_ request: ControlRequest, _ door: Door) async -> ControlAnswer {
        var request = request
        if case .user(let user) = request.caller {
            do throws(UserLookupError) {
                request.caller = .user(try await agent.users.named(user))
            } catch {
                return problem("user_unknown", 503, error.description, hint: error.hint)
            }
        }
        let principal = self.principal(of: request.caller)
        guard principal.isIdentified || isOpen(request, door) else {
            let reason = principal.problem ?? .notAuthenticated
            agent.log.warning(
                "control_denied", "a caller of the control API is not known to the policy",
                [("caller", .string(request.caller.description)), ("reason", .string(reason.rawValue))])
            return problem(
                reason.rawValue, 403, "the policy does not know \(request.caller.description)",
                hint: mapping(of: request.caller))
        }
        switch router.match(request.head.method, request.head.path) {
        case .found(let index, let parameters):
            let route = routes[index]
            guard route.doors.contains(door) else { return notFound(request) }
            guard !agent.isFrozen || route.onlyLooks else {
                return problem(
                    "takeover", 503, "another process takes over from this agent; nothing can be changed for a moment",
                    hint: "try again")
            }
            let call = Call(request: request, parameters: parameters, door: door, principal: principal)
            if let problem = closedByAudit(call) { return .response(problem.response()) }
            do {
                return try await route.handler(call)
            } catch let problem as Problem {
                if problem.status == 403 { noteDenied(call, problem) }
                return .response(problem.response())
            } catch let error as JSONError {
                return problem("bad_json", 400, error.description)
            } catch let error as JSONAccessError {
                return problem("bad_request", 400, error.description)
            } catch let error as HTTPError {
                return .response(Problem(error).response())
            } catch let error as CertificateError {
                return problem(error.code, 500, error.description, hint: error.hint)
            } catch {
                return problem("failed", 502, "\(error)")
            }
        case .notFound: return notFound(request)
        case .methodNotAllowed(let allow):
            var headers = HTTPHeaders()
            headers.set("Allow", allow.map(\.rawValue).joined(separator: ", "))
            return .response(Problem("method_not_allowed", status: 405).response(headers: headers))
        case .refused(let error): return .response(Problem(error).response())
        }
    }

    /// Nothing is changed that could not be written down; nodes' documents and the directory go on.
    private func closedByAudit(_ call: Call) -> Problem? {
        guard agent.isAuditClosed, [.control, .agentService].contains(call.door), call.request.head.method != .get,
            !call.request.head.path.hasPrefix("/v1/drain")
        else { return nil }
        return Problem(
            "audit_not_written", status: 503, detail: "this node's audit log cannot be written",
            hint: "make room on its disk; audit.onFailure says that nothing may be done meanwhile")
    }

    private func noteDenied(_ call: Call, _ problem: Problem) {
        agent.log.warning(
            "access_denied", "a call of the control API was refused",
            [
                ("caller", .string(call.request.caller.description)),
                ("method", .string(call.request.head.method.rawValue)), ("path", .string(call.request.head.path)),
                ("reason", .string(problem.reason)), ("detail", .string(problem.detail ?? "")),
            ] + AuditMeaning.strangers(isStranger(call)))
    }

    /// What to do for a caller whom the policy does not know. He cannot tell the agent to read another one, and need not where it
    /// watches the policy's file.
    private func mapping(of caller: ControlCaller) -> String {
        guard case .user(let user) = caller else { return "map it in the policy's identities" }
        let effect =
            agent.configuration.policy.inline == nil ? "save it: it counts within a second" : "send the agent SIGHUP"
        return
            "map it in the policy's identities, { match: { uid: \(user.uid) }, groups: [\"operators\"] }, and \(effect); "
            + "where a policy document is in force: mesh policy apply FILE. Or run this as a user whom the policy knows"
    }

    /// Whether nobody knows who calls: the policy does not. A node has at least proven its name.
    func isStranger(_ call: Call) -> Bool {
        switch call.request.caller {
        case .user, .loopback: !call.principal.isIdentified
        case .peer, .bearer, .itself: false
        }
    }

    private func isOpen(_ request: ControlRequest, _ door: Door) -> Bool {
        guard case .found(let index, _) = router.match(request.head.method, request.head.path) else { return false }
        return routes[index].open.contains(door)
    }

    private func notFound(_ request: ControlRequest) -> ControlAnswer {
        problem("not_found", 404, "there is nothing at \(request.head.path)")
    }

    private func problem(_ reason: String, _ status: Int, _ detail: String, hint: String? = nil) -> ControlAnswer {
        .response(Problem(reason, status: status, detail: detail, hint: hint).response())
    }

    /// The caller under the policy in force.
    func principal(of caller: ControlCaller) -> Principal {
        let policy = agent.policy
        switch caller {
        case .user(let user): return policy.principal(for: user.subject)
        case .peer(let principal, _): return policy.principal(for: principal.subject)
        case .itself: return agent.own
        case .bearer, .loopback: return policy.principal(for: .anonymous)
        }
    }

    // MARK: - For handlers

    /// A 200 with JSON.
    func json(_ value: JSONValue, status: Int = 200) -> ControlAnswer {
        .response(.json(value.text() + "\n", status: status))
    }

    /// The request's body as JSON.
    func body(_ call: Call) throws(JSONError) -> JSONValue {
        try JSONReader.parse(call.request.body)
    }

    /// The request's query; keys besides `known` are refused.
    func query(_ call: Call, _ known: Set<String>) throws -> HTTPQuery {
        let query = try HTTPQuery(decoding: call.request.head.query)
        if let unknown = query.unknown(besides: known) {
            throw Problem(
                "bad_request", status: 400, detail: "there is no query parameter \(unknown)",
                hint: known.isEmpty ? nil : "known are \(known.sorted().joined(separator: ", "))")
        }
        return query
    }

    /// Throws unless the caller may administer this node.
    func demandAdminister(_ call: Call) throws {
        try demand(agent.policy.authorizeAdminister(call.principal, node: agent.shared.node))
    }

    /// Puts a request to the agent of another node, in the name of this one, and gives its answer. Where that denies it, the
    /// answer says which rights it takes.
    func pass(
        _ call: Call, to node: String, _ method: HTTPMethod, _ target: String, body: [UInt8] = []
    ) async throws -> ControlAnswer {
        try demandAdminister(call)
        let answer = try await agent.ask(
            node: node, service: Policy.Name.agentService, method, target, body: body)
        guard answer.head.status == 403 else { return .response(answer) }
        let problem = try? JSONReader.parse(answer.body)
        throw Problem(
            problem?["reason"]?.string ?? "denied", status: 403,
            detail: "node \(node) was asked in the name of node \(agent.shared.node), and refused: "
                + (problem?["detail"]?.string ?? "it does not say why"),
            hint: "in the policy of \(node), node:\(agent.shared.node) needs connect to mesh.agent and administer to "
                + node)
    }

    /// Throws a 403 unless allowed.
    func demand(_ decision: Decision) throws {
        guard !decision.allowed else { return }
        throw Problem(
            decision.reason.rawValue, status: 403, detail: decision.explanation.summary,
            hint: "mesh why " + decision.question)
    }
}
