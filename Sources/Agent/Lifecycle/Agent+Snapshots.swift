import Directory
import Documents
import HTTP
import Policy

/// What workers decide by, and what they show.
extension Agent {
    /// Gives the workers a new snapshot.
    func publish() {
        routing = RoutingSnapshot(
            node: shared.node, own: own, policy: policy, trustDomain: identity.trustDomain,
            directory: directoryClient?.snapshot ?? DirectorySnapshot(), services: registry.routes, links: links,
            isDraining: isDraining, isOutOfService: isOutOfService || isAuditClosed,
            documents: documents.ledger.versions, revocations: revocations, lateRoots: lateRoots)
        ca?.use(meshForCA)
        for worker in shared.workers {
            worker.submit { [routing] core in core.apply(routing) }
        }
    }

    /// The directory has something new.
    func directoryChanged() {
        publish()
        supervisor.addressesChanged()
    }

    /// Waits until every worker decides with what was published last.
    func settled() async {
        for worker in shared.workers { await worker.ask { _ in } }
    }

    /// The worker that should open a stream to `node`: its link's, so that nothing needs to move.
    func worker(for node: String?) -> Worker {
        shared.workers[node.flatMap { links[$0]?.first?.worker } ?? 0]
    }

    /// What all workers show of themselves.
    func reports() async -> [WorkerReport] {
        var reports: [WorkerReport] = []
        for worker in shared.workers { reports.append(await worker.ask { $0.report }) }
        return reports
    }
}
