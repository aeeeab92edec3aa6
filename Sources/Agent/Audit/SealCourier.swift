import Audit
import EventLoop
import HTTP
import JSON
import Policy

/// Leaves the newest seal of this node's audit log with the nodes that `audit.sealPeers` names, over streams to their built-in
/// service `mesh.documents`, which every linked node may open. What fails is tried again.
@ControlPlane
final class SealCourier: TimerHandler {
    /// What is known of a node that keeps seals.
    struct Left: Sendable {
        /// The last record whose seal it has; 0 for none.
        var through: UInt64 = 0
        /// Attempts that failed.
        var failures: UInt64 = 0
        /// Why the last one failed; nil where it did not.
        var failure: String?
        fileprivate var log: String?
        fileprivate var isSending = false
        fileprivate var pause = SealCourier.pauses.lowerBound
        fileprivate var notBefore: UInt64 = 0
    }

    /// How often it is looked whether there is a new seal, in nanoseconds; seals between two looks are passed over.
    private static let interval = Clock.second
    /// The first and the longest pause after a failure, in nanoseconds.
    fileprivate nonisolated static let pauses: ClosedRange<UInt64> = Clock.second...60 * Clock.second

    private unowned let agent: Agent
    private(set) var peers: [String: Left] = [:]
    private var timer: TimerID?

    init(agent: Agent) { self.agent = agent }

    /// Begins, where there is somebody to leave seals with; to be called again after a reload.
    func update() {
        let wanted = Set(agent.configuration.audit.sealPeers).subtracting([agent.shared.node])
        peers = peers.filter { wanted.contains($0.key) }
        for node in wanted where peers[node] == nil { peers[node] = Left() }
        if peers.isEmpty { return stop() }
        if timer == nil { timer = ControlPlane.loop.schedule(after: 0, self) }
    }

    /// Ends.
    func stop() {
        if let timer { ControlPlane.loop.cancel(timer) }
        timer = nil
    }

    nonisolated func timerFired(tag: Int, loop: EventLoop) {
        ControlPlane.assumeIsolated {
            timer = ControlPlane.loop.schedule(after: Self.interval, self)
            look()
        }
    }

    private func look() {
        guard !agent.isFrozen, !agent.isHandedOver, let seal = agent.audit?.trail.status.seal else { return }
        let now = Clock.monotonicNanoseconds()
        for (node, left) in peers where !left.isSending && now >= left.notBefore {
            guard left.log != seal.log || left.through < seal.sequence else { continue }
            peers[node]?.isSending = true
            Task { @ControlPlane [weak self] in await self?.send(seal, to: node) }
        }
    }

    private func send(_ seal: AuditSeal, to node: String) async {
        let failure: String?
        do {
            let answer = try await agent.ask(
                node: node, service: Policy.Name.documentsService, .put, "/v1/seals",
                body: Array(seal.json.text().utf8))
            failure = answer.head.status == 200 ? nil : refusal(answer, by: node)
        } catch {
            failure = "\(error)"
        }
        guard var left = peers[node] else { return }
        left.isSending = false
        if let failure {
            if left.failure == nil {
                agent.log.warning(
                    "audit_seal_not_left",
                    "a seal of the audit log could not be left with node \(node); it is tried again",
                    [("node", .string(node)), ("detail", .string(failure))])
            }
            left.failures += 1
            left.notBefore = Clock.monotonicNanoseconds() + UInt64.random(in: left.pause / 2...left.pause)
            left.pause = min(2 * left.pause, Self.pauses.upperBound)
        } else {
            left.through = seal.sequence
            left.log = seal.log
            left.pause = Self.pauses.lowerBound
        }
        left.failure = failure
        peers[node] = left
    }

    private func refusal(_ answer: HTTPResponse, by node: String) -> String {
        let problem = try? JSONReader.parse(answer.body)
        let reason = problem?["reason"]?.string ?? "status_\(answer.head.status)"
        let detail = problem?["detail"]?.string ?? ""
        if reason == AuditError.Code.sealGoesBack.rawValue {
            agent.log.error(
                "audit_seal_contradicted", "node \(node) keeps a later seal of this node's audit log than there is",
                [
                    ("node", .string(node)), ("detail", .string(detail)),
                    ("hint", .string("mesh audit verify --seals-from \(node)")),
                ])
        }
        return "\(reason): \(detail)"
    }

    /// For `GET /v1/audit`.
    var json: JSONValue {
        .array(
            peers.sorted { $0.key < $1.key }.map { node, left in
                [
                    "node": .string(node), "through": JSONValue(left.through),
                    "failure": left.failure.map { .string($0) } ?? .null,
                ]
            })
    }
}
