import JSON
public import Policy

/// Answers reads from a snapshot: the directory from its own, every agent from its copy.
public enum DirectoryQuery {
    /// Answers a read; other operations are refused. Services that the principal may not discover are left out of
    /// lists, and asking for one by name is denied, whether it exists or not.
    public static func answer(
        _ operation: DirectoryOperation, from snapshot: DirectorySnapshot, by principal: Principal,
        under policy: PolicyDocument
    ) -> DirectoryService.Reply {
        func visible(_ service: String) -> Bool {
            policy.authorizeDiscover(principal, service: service).allowed
        }
        switch operation {
        case .services:
            let services = snapshot.serviceNames.filter(visible).map { summary(of: $0, in: snapshot) }
            return .success(["revision": JSONValue(snapshot.revision), "services": .array(services)])
        case .service(let name):
            let decision = policy.authorizeDiscover(principal, service: name)
            guard decision.allowed else { return .problem(DirectoryProblem(decision)) }
            let instances = snapshot.instances(of: name)
            guard !instances.isEmpty else {
                return .problem(
                    DirectoryProblem(.unknownService, "nobody registered \(name); `mesh services` lists all"))
            }
            return .success([
                "revision": JSONValue(snapshot.revision), "name": .string(name),
                "instances": .array(instances.map(\.json)),
            ])
        case .nodes:
            return .success([
                "revision": JSONValue(snapshot.revision), "nodes": .array(snapshot.nodes.map(\.json)),
            ])
        case .node(let name):
            guard let node = snapshot.node(name) else {
                return .problem(
                    DirectoryProblem(.unknownNode, "no node \(name) is registered; `mesh nodes` lists all"))
            }
            return .success(["revision": JSONValue(snapshot.revision), "node": node.json])
        case .snapshot:
            return .success(snapshot.json(visible: visible))
        case .register, .renew, .setHealth, .deregister, .watch:
            return .problem(DirectoryProblem(.invalidRequest, "only the directory itself does that"))
        }
    }

    /// `{"name","instances","healthy","protocols","tags"}`; healthy are instances that can be used on nodes that are
    /// up.
    private static func summary(of service: String, in snapshot: DirectorySnapshot) -> JSONValue {
        let instances = snapshot.instances(of: service)
        let healthy = instances.count { $0.health.isUsable && snapshot.node($0.node)?.state == .up }
        return [
            "name": .string(service), "instances": JSONValue(instances.count), "healthy": JSONValue(healthy),
            "protocols": JSONValue(Set(instances.map(\.protocol)).sorted()),
            "tags": JSONValue(Set(instances.flatMap(\.tags)).sorted()),
        ]
    }
}

extension DirectoryService {
    func read(_ operation: DirectoryOperation, _ principal: Principal) -> Reply {
        DirectoryQuery.answer(operation, from: snapshot, by: principal, under: policy)
    }
}
