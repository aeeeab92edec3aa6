public import JSON
public import Policy

/// The directory behind its API: who asks what, and what is answered. No sockets, no threads, no clock.
///
/// Reads are answered at once from the last committed state. Writes are pending until they are stored: the shell takes
/// ``step(at:)``, gives its batch to the store's thread and brings back the result with ``finish(_:at:)``, whose
/// replies it sends. So no answer ever goes out before its sync.
public struct DirectoryService: Sendable {
    /// An answer that can be sent.
    public enum Reply: Sendable, Equatable {
        /// 200 with a body.
        case success(JSONValue)
        /// A problem document.
        case problem(DirectoryProblem)
    }

    /// What became of a request.
    public enum Answer: Sendable, Equatable {
        /// Send this.
        case reply(Reply)
        /// Wait for the reply with this ticket.
        case pending(StoreWriter.Ticket)
        /// Send 200 and then what ``nextLines(_:maximumBytes:)`` gives, until the caller goes.
        case watching(WatchHub.WatcherID)
    }

    /// What is to be done next with what was written.
    public enum Step: Sendable {
        /// Nothing; call again after a request, or at ``nextDeadline()``.
        case idle
        /// Send these replies and call again.
        case reply([(ticket: StoreWriter.Ticket, reply: Reply)])
        /// Store this, then ``finish(_:at:)``.
        case commit(StoreBatch)
    }

    /// What the reply to a pending request needs.
    private struct Waiting {
        /// Which node registered what, as the digest of what it asked for.
        var registered: (node: String, hash: String)?
        var refused: [(service: String, decision: Decision)] = []
        /// Under which policy it was granted.
        var policy: PolicyDocument?
    }

    /// The last committed state.
    public private(set) var snapshot: DirectorySnapshot
    /// The policy in force.
    public private(set) var policy: PolicyDocument
    private var writer: StoreWriter
    private var hub: WatchHub
    private var waiting: [StoreWriter.Ticket: Waiting] = [:]
    private var watchers: [WatchHub.WatcherID: Principal] = [:]
    /// Who registered each node, to ask a new policy about.
    private var owners: [String: Principal] = [:]
    private let settings: LeaseSettings
    private let trustDomain: String?

    /// A directory from what its store had.
    ///
    /// - Parameter trustDomain: The mesh's own, to know restored nodes by before they register anew.
    public init(
        restored: RestoredDirectory, policy: PolicyDocument, trustDomain: String? = nil,
        settings: LeaseSettings = LeaseSettings(), limits: WatchHub.Limits = WatchHub.Limits(), now: DirectoryTime
    ) {
        let state = DirectoryState(restored: restored, settings: settings, now: now)
        snapshot = state.snapshot
        writer = StoreWriter(state: state)
        hub = WatchHub(epoch: restored.epoch, revision: restored.revision, limits: limits)
        self.policy = policy
        self.settings = settings
        self.trustDomain = trustDomain
        for node in state.nodeNames { review(node) }
    }

    // MARK: - Requests

    /// Takes in a request. Everybody needs `connect` to `mesh.directory`, whichever way the request came.
    public mutating func perform(_ operation: DirectoryOperation, by principal: Principal) -> Answer {
        let access = policy.authorizeOpen(peer: principal, service: Name.directoryService)
        guard access.allowed else { return problem(DirectoryProblem(access)) }
        switch operation {
        case .services, .service, .nodes, .node, .snapshot:
            return .reply(read(operation, principal))
        case .watch(let revision, let epoch):
            return watch(revision, epoch, principal)
        case .register(let registration):
            return register(registration, principal)
        case .renew(let node, let bootID, let hash):
            guard let refusal = refusal(of: principal, speakingFor: node) else {
                owners[node] = principal
                return enqueue(.renew(node: node, bootID: bootID, hash: hash))
            }
            return problem(refusal)
        case .setHealth(let node, let bootID, let health, let hash):
            guard let refusal = refusal(of: principal, speakingFor: node) else {
                return enqueue(.setHealth(node: node, bootID: bootID, health: health, hash: hash))
            }
            return problem(refusal)
        case .deregister(let node, let bootID):
            let refusal = refusal(of: principal, speakingFor: node)
            guard refusal == nil || policy.authorizeAdminister(principal, node: node).allowed else {
                return problem(refusal ?? DirectoryProblem(.notOwner, ""))
            }
            return enqueue(.deregister(node: node, bootID: bootID))
        }
    }

    private mutating func register(_ registration: Registration, _ principal: Principal) -> Answer {
        if let refusal = refusal(of: principal, speakingFor: registration.node) { return problem(refusal) }
        let refused = RegistrationAuthority.authorize(policy, principal, registration).filter { !$0.decision.allowed }
        var granted = registration
        if !refused.isEmpty {
            let names = Set(refused.map(\.service))
            granted.setServices(registration.services.filter { !names.contains($0.service) })
        }
        owners[registration.node] = principal
        let hash = registration.hash
        return enqueue(
            .register(granted, submittedHash: hash),
            Waiting(registered: (registration.node, hash), refused: refused, policy: policy))
    }

    private func refusal(of principal: Principal, speakingFor node: String) -> DirectoryProblem? {
        guard principal.nodeName != node else { return nil }
        return DirectoryProblem(.notOwner, "\(principal.id) can't speak for node \(node)")
    }

    private mutating func enqueue(_ command: DirectoryState.Command, _ waiting: Waiting? = nil) -> Answer {
        guard let ticket = writer.enqueue(command) else {
            return problem(DirectoryProblem(.overloaded, "the disk is slower than the requests; try again later"))
        }
        self.waiting[ticket] = waiting ?? Waiting()
        return .pending(ticket)
    }

    private func problem(_ problem: DirectoryProblem) -> Answer {
        .reply(.problem(problem))
    }

    // MARK: - The mesh

    /// The link to a node was lost: without another one its registration lapses after the grace period.
    public mutating func linkLost(node: String, bootID: String) {
        writer.note(.linkLost(node: node, bootID: bootID))
    }

    /// Puts another policy in force. Registrations that it does not grant are removed, watchers start over.
    public mutating func setPolicy(_ policy: PolicyDocument) {
        self.policy = policy
        for node in writer.state.nodeNames { review(node) }
        hub.startOver(.policyChanged)
    }

    /// Takes from a node what the policy no longer grants it, and lets it register anew where it may be granted more.
    private mutating func review(_ node: String) {
        guard let stored = writer.state.stored(node), let id = PrincipalID.node(node) else { return }
        let registration = stored.registration
        let principal = owners[node] ?? policy.principal(for: Subject(id, trustDomain: trustDomain))
        // A restored node that only its certificate's CN identifies is asked about when it registers anew.
        guard principal.isIdentified || owners[node] != nil else { return }
        let denied = RegistrationAuthority.authorize(policy, principal, registration).filter { !$0.decision.allowed }
        guard !denied.isEmpty || stored.submittedHash != registration.hash else { return }
        writer.note(.revoke(node: node, services: denied.map(\.service)))
    }

    // MARK: - Writing

    /// When ``step(at:)`` should be called at the latest, in monotonic milliseconds.
    public mutating func nextDeadline() -> Int64? {
        writer.nextDeadline()
    }

    /// Takes what is pending.
    public mutating func step(at now: DirectoryTime) -> Step {
        switch writer.takeBatch(at: now) {
        case .idle: .idle
        case .answered(let completions): .reply(replies(completions))
        case .commit(let batch): .commit(batch)
        }
    }

    /// Takes in what came of a batch: publishes it to readers and watchers, and gives the replies to send.
    public mutating func finish(
        _ result: Result<Void, StoreError>, at now: DirectoryTime
    ) -> [(ticket: StoreWriter.Ticket, reply: Reply)] {
        let (completions, changes) = writer.finish(result, at: now)
        for change in changes {
            snapshot.apply(change)
            for case .nodeRemoved(let node) in change.events { owners[node] = nil }
        }
        hub.publish(changes)
        return replies(completions)
    }

    private mutating func replies(
        _ completions: [StoreWriter.Completion]
    ) -> [(ticket: StoreWriter.Ticket, reply: Reply)] {
        completions.compactMap { completion in
            guard let ticket = completion.ticket, let waiting = waiting.removeValue(forKey: ticket) else { return nil }
            if let registered = waiting.registered, waiting.policy !== policy {
                // Another policy came into force while it was being stored.
                review(registered.node)
            }
            return (ticket, reply(completion, waiting))
        }
    }

    private func reply(_ completion: StoreWriter.Completion, _ waiting: Waiting) -> Reply {
        switch completion.result {
        case .failure(let error):
            return .problem(DirectoryProblem(error))
        case .success(.done):
            var body: JSONObject = [
                "revision": JSONValue(completion.revision), "lease": settings.leaseSeconds,
            ]
            if let registered = waiting.registered { body["hash"] = .string(registered.hash) }
            if !waiting.refused.isEmpty {
                body["refused"] = .array(
                    waiting.refused.map {
                        ["service": .string($0.service), "reason": .string($0.decision.reason.rawValue)]
                    })
            }
            return .success(.object(body))
        case .success(.resync):
            return .problem(DirectoryProblem(.resync, "send the whole registration"))
        case .success(.staleBoot):
            return .problem(DirectoryProblem(.staleBoot, "another run of this node registered since"))
        case .success(.unknownNode):
            return .problem(DirectoryProblem(.unknownNode, "it is not registered"))
        case .success(.unknownService(let service)):
            return .problem(DirectoryProblem(.unknownService, "the node has not registered \(service)"))
        }
    }

    // MARK: - Watching

    private mutating func watch(_ revision: UInt64, _ epoch: String?, _ principal: Principal) -> Answer {
        guard !hub.isFull else {
            return problem(DirectoryProblem(.overloaded, "too many watchers; try again later"))
        }
        guard let id = hub.subscribe(from: revision, epoch: epoch) else {
            let detail = "the directory remembers \(hub.oldestRevision) to \(hub.revision); take a snapshot"
            return problem(DirectoryProblem(.compacted, detail))
        }
        watchers[id] = principal
        return .watching(id)
    }

    /// The watchers that have something to be told.
    public var watchersWithNews: [WatchHub.WatcherID] { hub.watchersWithNews }

    /// What a watcher is to be sent now, as far as it may see it.
    public mutating func nextLines(
        _ id: WatchHub.WatcherID, maximumBytes: Int = 256 << 10
    ) -> WatchHub.Delivery {
        guard let principal = watchers[id] else { return .idle }
        let policy = policy
        let delivery = hub.next(id, maximumBytes: maximumBytes) {
            policy.authorizeDiscover(principal, service: $0).allowed
        }
        if case .startOver = delivery { watchers[id] = nil }
        return delivery
    }

    /// The line that tells a watcher that the directory is alive; one every ten seconds.
    public var heartbeat: [UInt8] { WatchLine.heartbeat(snapshot.revision).bytes }

    /// Forgets a watcher.
    public mutating func unsubscribe(_ id: WatchHub.WatcherID) {
        hub.unsubscribe(id)
        watchers[id] = nil
    }
}
