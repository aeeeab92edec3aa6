import Directory
import HTTP
import JSON
import Policy

extension ControlAPI {
    /// Routes about the directory: the directory itself answers on `mesh.directory`; on the control socket every agent
    /// answers reads from its copy.
    func addDirectoryRoutes() {
        let all: Set<Door> = [.control, .agentService, .directoryService]
        for pattern in ["services", "services/{name}", "nodes", "nodes/{node}", "snapshot"] {
            add(.get, "/v1/directory/\(pattern)", all) { [unowned self] call in try await self.read(call) }
        }
        add(.get, "/v1/directory/watch", all) { [unowned self] call in try await self.watch(call) }
        add(.put, "/v1/directory/nodes/{node}", [.directoryService]) { [unowned self] call in
            try await self.atDirectory(call)
        }
        add(.delete, "/v1/directory/nodes/{node}", [.directoryService]) { [unowned self] call in
            try await self.atDirectory(call)
        }
        for verb in ["renew", "health"] {
            add(.post, "/v1/directory/nodes/{node}/\(verb)", [.directoryService]) { [unowned self] call in
                try await self.atDirectory(call)
            }
        }
    }

    private func operation(_ call: Call) throws -> DirectoryOperation {
        let path = try HTTPPath(decoding: call.request.head.path).segments
        let query = try HTTPQuery(decoding: call.request.head.query)
        let values = Dictionary(query.parameters.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
        do throws(DirectoryProblem) {
            return try DirectoryOperation(
                method: call.request.head.method.rawValue, path: Array(path.dropFirst(2)), query: { values[$0] },
                body: call.request.body)
        } catch {
            throw Problem(error.reason, status: error.status, title: error.title, detail: error.detail)
        }
    }

    private func atDirectory(_ call: Call) async throws -> ControlAnswer {
        guard let host = agent.directoryHost else {
            throw Problem("no_directory", status: 404, detail: "this node does not serve the directory")
        }
        return await host.answer(try operation(call), by: call.principal)
    }

    private func read(_ call: Call) async throws -> ControlAnswer {
        if call.door == .directoryService { return try await atDirectory(call) }
        try demandSnapshot()
        var reply = DirectoryQuery.answer(
            try operation(call), from: agent.routing.directory, by: call.principal, under: agent.policy)
        if case .success(let value) = reply, var object = value.object, let client = agent.directoryClient {
            object["directory"] = .object(client.reachJSON)
            reply = .success(.object(object))
        }
        let answer = DirectoryHost.answer(reply)
        // Whoever reads of an instance here can connect to it at once.
        await agent.settled()
        return answer
    }

    private func demandSnapshot() throws {
        guard let client = agent.directoryClient else {
            throw Problem(
                "no_directory", status: 404, detail: "this node has no directory",
                hint: "set directory.node and directory.address, or directory.serve")
        }
        guard client.hasSnapshot else {
            throw Problem(
                "directory_not_reached", status: 503, detail: "the directory's node \(client.node) was not reached yet",
                hint: "mesh links says why")
        }
    }

    /// On the control socket: the copy's changes as they come, in the lines of the directory's own watch.
    private func watch(_ call: Call) async throws -> ControlAnswer {
        if call.door == .directoryService { return try await atDirectory(call) }
        try demandSnapshot()
        guard let client = agent.directoryClient else { return json(.null) }
        let principal = call.principal
        return .stream(contentType: "application/x-ndjson") { [weak agent] stream in
            guard let agent else { return stream.end() }
            stream.send(WatchLine.heartbeat(client.snapshot.revision).bytes)
            let observer = client.observe { [weak agent] line in
                guard let agent else { return }
                guard case .change(let change) = line else { return stream.send(line.bytes) }
                let current = agent.policy.principal(for: principal.subject)
                let visible = change.events.filter { event in
                    event.service.map { agent.policy.authorizeDiscover(current, service: $0).allowed } ?? true
                }
                guard !visible.isEmpty else { return }
                stream.send(WatchLine.change(DirectoryChange(revision: change.revision, events: visible)).bytes)
            }
            stream.whenClosed { client.unobserve(observer) }
        }
    }
}
