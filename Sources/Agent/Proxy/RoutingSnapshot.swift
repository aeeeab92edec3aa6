import Directory
import Documents
import EventLoop
import Policy

/// Everything a worker decides with: one immutable value, replaced as a whole by the control plane.
///
/// A check on the data path reads the worker's own reference to it and takes no lock.
final class RoutingSnapshot: Sendable {
    /// This node's name.
    let node: String
    /// This node as a principal, under `policy`.
    let own: Principal
    /// The policy in force.
    let policy: PolicyDocument
    /// The trust domain in which nodes' names are read.
    let trustDomain: String?
    /// What the directory said last.
    let directory: DirectorySnapshot
    /// Services with a target on this node, by name.
    let services: [String: LocalService]
    /// Where the links to a node live that take new streams, by the numbers of their lanes.
    let links: [String: [LaneRoute]]
    /// The agent drains: no new stream is accepted.
    let isDraining: Bool
    /// An operator took the node out of service: no new stream of an application is accepted; the agents' own are.
    let isOutOfService: Bool
    /// The mesh documents in force.
    let documents: DocumentVersions
    /// What the mesh has revoked.
    let revocations: RevocationSet
    /// Retired roots whose nodes may still come back for documents: their keys, and until when (unix seconds).
    let lateRoots: [String: Int64]

    init(
        node: String, own: Principal, policy: PolicyDocument, trustDomain: String?, directory: DirectorySnapshot,
        services: [String: LocalService], links: [String: [LaneRoute]], isDraining: Bool, isOutOfService: Bool,
        documents: DocumentVersions, revocations: RevocationSet, lateRoots: [String: Int64] = [:]
    ) {
        self.node = node
        self.own = own
        self.policy = policy
        self.trustDomain = trustDomain
        self.directory = directory
        self.services = services
        self.links = links
        self.isDraining = isDraining
        self.isOutOfService = isOutOfService
        self.documents = documents
        self.revocations = revocations
        self.lateRoots = lateRoots
    }

    /// Whether `acting` may open a stream to `service`: the dialling side's check. The serving agent decides again.
    func authorizeOpening(_ acting: ActingAs, service: String) -> Decision {
        switch acting {
        case .node: return policy.authorizeOpen(peer: own, service: service)
        case .service(let name):
            return policy.authorizeOpen(peer: own, actingAs: .service(name), service: service)
        case .user(let user, let identity):
            let asUser = policy.authorizeOpen(
                peer: policy.principal(for: user.subject), actingAs: identity.flatMap { .service($0) }, service: service
            )
            guard asUser.allowed else { return asUser }
            return policy.authorizeOpen(peer: own, actingAs: acting.principalID, service: service, onOwnHost: true)
        case .external(let id, let attributes):
            return policy.authorizeOpen(peer: own, actingAs: id, attributes: attributes, service: service)
        }
    }

    /// Whether the directory has an instance of `service`, at `node` where that is not nil, be it of use or not.
    func hasInstance(of service: String, node: String?) -> Bool {
        directory.instances(of: service).contains { node == nil || $0.node == node }
    }

    /// The instances of a service that can be used: healthy, at nodes that may provide it.
    func usableInstances(of service: String) -> [Instance] {
        directory.instances(of: service).filter { instance in
            guard instance.health.isUsable else { return false }
            if instance.node == node { return services[service]?.isHealthy == true }
            // A node that the directory lost may still be linked with us.
            guard directory.node(instance.node)?.state == .up || links[instance.node] != nil else { return false }
            return provides(node: instance.node, service: service)
        }
    }

    /// Whether policy lets `node` provide `service`; the directory's word alone does not count.
    func provides(node: String, service: String) -> Bool {
        guard let id = PrincipalID.node(node) else { return false }
        let principal = policy.principal(for: Subject(id, trustDomain: trustDomain))
        return policy.authorizeProvide(node: principal, service: service).allowed
    }

    /// Why there is no instance to use, for people.
    func explainNoInstance(of service: String, node: String?) -> String {
        if Policy.Name.isReserved(service) {
            let node = node ?? "?"
            return provides(node: node, service: service)
                ? "node \(node) did not answer for \(service)"
                : "policy does not let node \(node) provide \(service)"
        }
        let all = directory.instances(of: service)
        if all.isEmpty { return "the directory knows no service \(service)" }
        if let node, !all.contains(where: { $0.node == node }) { return "node \(node) has no instance of \(service)" }
        let critical = all.count { $0.health == .critical }
        if critical == all.count { return "all \(all.count) instances of \(service) fail their health check" }
        return "none of \(all.count) instances of \(service) is healthy at a node that may provide it"
    }

    /// The control API's caller for a stream that this node opens to a built-in service of its own.
    func controlCaller(_ acting: ActingAs) -> ControlCaller {
        switch acting {
        case .node: .itself
        case .user(let user, _): .user(user)
        case .service(let name):
            .peer(policy.identity(name, of: own) ?? own, node: node)
        case .external(let id, let attributes):
            .peer(policy.principal(for: Subject(id, attributes: attributes)), node: node)
        }
    }
}

/// A service of this node and where it runs.
struct LocalService: Sendable, Equatable {
    /// The service's name.
    let name: String
    /// Where to connect to.
    let target: ServiceTarget
    /// Time to connect, in nanoseconds.
    let connectTimeout: UInt64
    /// Its health check does not fail.
    let isHealthy: Bool

    /// The instance's name in the directory: `<node>/<service>`.
    static func instance(node: String, service: String) -> String { node + "/" + service }
}
