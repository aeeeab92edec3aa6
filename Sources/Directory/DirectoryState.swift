/// The directory's truth as a pure value: commands in, events out, time as a parameter.
public struct DirectoryState: Sendable {
    /// Something that a node or the directory itself wants.
    public enum Command: Sendable, Hashable {
        /// A node's whole registration, as far as it was granted, with the digest of what it asked for.
        case register(Registration, submittedHash: String)
        /// A node is still there and has still registered what the digest says.
        case renew(node: String, bootID: String, hash: String)
        /// A node leaves. Without a boot id whatever run is registered, for administrators.
        case deregister(node: String, bootID: String?)
        /// The link to a node was lost.
        case linkLost(node: String, bootID: String)
        /// Checks said something new; the digest is that of the registration with it.
        case setHealth(node: String, bootID: String, health: [String: Health], hash: String)
        /// The policy no longer grants a node these names.
        case revoke(node: String, services: [String])
        /// A node's deadline may have passed.
        case expire(node: String)
    }

    /// What became of a command.
    public enum Outcome: Sendable, Hashable {
        /// Done; perhaps nothing had to be changed.
        case done
        /// The directory does not have what the digest says; the node must register anew.
        case resync
        /// Another run of the node's agent is registered.
        case staleBoot
        /// There is no such node.
        case unknownNode
        /// The node has no instance of this service.
        case unknownService(String)
    }

    /// What a command did.
    public struct Transition: Sendable {
        /// What became of the command.
        public let outcome: Outcome
        /// What changed; nil for nothing.
        public let change: DirectoryChange?
        /// The row to store: a node's name and its new content, nil for none; nil where nothing is to be stored.
        public let row: (node: String, content: StoredNode?)?
        /// The state's revision after it.
        public let revision: UInt64
        /// What brings the state back to before; valid in reverse order of the commands.
        let undo: Undo
    }

    struct Undo: Sendable {
        let node: String
        let entry: Entry?
        let revision: UInt64
    }

    struct Entry: Sendable {
        var stored: StoredNode
        var lease: Lease
    }

    /// The number of changes ever made.
    public private(set) var revision: UInt64
    /// Identifies the store.
    public let epoch: String
    /// How long leases are.
    public let settings: LeaseSettings
    private var entries: [String: Entry] = [:]
    private var queue = LeaseQueue()

    /// A state from what a store had; every lease is unconfirmed, with a fresh grace period.
    public init(restored: RestoredDirectory, settings: LeaseSettings = LeaseSettings(), now: DirectoryTime) {
        revision = restored.revision
        epoch = restored.epoch
        self.settings = settings
        for stored in restored.nodes {
            let lease = Lease.unconfirmed(until: now.monotonic + settings.restartGrace)
            entries[stored.registration.node] = Entry(stored: stored, lease: lease)
            queue.add(lease.deadline, stored.registration.node)
        }
    }

    /// Everything as readers see it.
    public var snapshot: DirectorySnapshot {
        DirectorySnapshot(
            epoch: epoch, revision: revision, nodes: entries.values.map(\.stored.node),
            instances: entries.values.flatMap(\.stored.registration.services))
    }

    /// How many nodes there are.
    public var nodeCount: Int { entries.count }

    /// The names of all nodes.
    public var nodeNames: [String] { Array(entries.keys) }

    /// What a node registered and was granted.
    public func stored(_ node: String) -> StoredNode? { entries[node]?.stored }

    /// A node's lease.
    public func lease(of node: String) -> Lease? { entries[node]?.lease }

    /// When to call ``expired(at:)`` next, in monotonic milliseconds; nil when there is no lease.
    public mutating func nextDeadline() -> Int64? {
        while queue.dropFirst(unless: { entries[$0]?.lease.deadline == $1 }) {}
        return queue.next
    }

    /// The nodes whose deadlines have passed; each becomes an `expire` command. A node is named again until that
    /// command was applied.
    public mutating func expired(at now: DirectoryTime) -> [String] {
        var nodes: [String] = []
        while let node = queue.take(at: now.monotonic) {
            guard let entry = entries[node], entry.lease.deadline <= now.monotonic, !nodes.contains(node) else {
                continue
            }
            nodes.append(node)
        }
        for node in nodes {
            if let entry = entries[node] { queue.add(entry.lease.deadline, node) }
        }
        return nodes
    }

    /// Applies a command.
    public mutating func apply(_ command: Command, at now: DirectoryTime) -> Transition {
        switch command {
        case .register(let registration, let hash): register(registration, hash, now)
        case .renew(let node, let bootID, let hash): renew(node, bootID, hash, now)
        case .deregister(let node, let bootID): deregister(node, bootID)
        case .linkLost(let node, let bootID): linkLost(node, bootID, now)
        case .setHealth(let node, let bootID, let health, let hash): setHealth(node, bootID, health, hash, now)
        case .revoke(let node, let services): revoke(node, services)
        case .expire(let node): expire(node, now)
        }
    }

    /// Takes back a transition that could not be stored. Several are taken back in reverse order.
    public mutating func undo(_ transition: Transition) {
        let undo = transition.undo
        revision = undo.revision
        entries[undo.node] = undo.entry
        if let entry = undo.entry { queue.add(entry.lease.deadline, undo.node) }
    }

    // MARK: - Commands

    private mutating func register(
        _ registration: Registration, _ hash: String, _ now: DirectoryTime
    ) -> Transition {
        let old = entries[registration.node]
        let sameRun = old?.stored.registration.bootID == registration.bootID && old?.stored.state == .up
        let stored = StoredNode(
            registration: registration, submittedHash: hash, state: .up,
            since: sameRun ? old?.stored.since ?? now.unix : now.unix)
        return replace(registration.node, with: stored, lease: .held(until: now.monotonic + settings.lease))
    }

    private mutating func renew(
        _ node: String, _ bootID: String, _ hash: String, _ now: DirectoryTime
    ) -> Transition {
        guard let entry = entries[node], entry.stored.registration.bootID == bootID,
            entry.stored.submittedHash == hash
        else { return unchanged(node, .resync) }
        var stored = entry.stored
        if stored.state == .lost {
            stored.state = .up
            stored.since = now.unix
        }
        return replace(node, with: stored, lease: .held(until: now.monotonic + settings.lease))
    }

    private mutating func deregister(_ node: String, _ bootID: String?) -> Transition {
        guard let entry = entries[node] else { return unchanged(node, .unknownNode) }
        if let bootID, entry.stored.registration.bootID != bootID { return unchanged(node, .staleBoot) }
        return replace(node, with: nil, lease: entry.lease)
    }

    private mutating func linkLost(_ node: String, _ bootID: String, _ now: DirectoryTime) -> Transition {
        guard let entry = entries[node] else { return unchanged(node, .unknownNode) }
        guard entry.stored.registration.bootID == bootID else { return unchanged(node, .staleBoot) }
        if case .lost = entry.lease { return unchanged(node, .done) }
        return lose(node, entry, now)
    }

    private mutating func setHealth(
        _ node: String, _ bootID: String, _ health: [String: Health], _ hash: String, _ now: DirectoryTime
    ) -> Transition {
        guard let entry = entries[node] else { return unchanged(node, .unknownNode) }
        guard entry.stored.registration.bootID == bootID else { return unchanged(node, .staleBoot) }
        var stored = entry.stored
        var instances = stored.registration.services
        for (service, health) in health.sorted(by: { $0.key < $1.key }) {
            guard let place = instances.firstIndex(where: { $0.service == service }) else {
                return unchanged(node, .unknownService(service))
            }
            instances[place].health = health
        }
        stored.registration.setServices(instances)
        stored.submittedHash = hash
        return replace(node, with: stored, lease: entry.lease)
    }

    private mutating func revoke(_ node: String, _ services: [String]) -> Transition {
        guard let entry = entries[node] else { return unchanged(node, .unknownNode) }
        var stored = entry.stored
        stored.registration.setServices(stored.registration.services.filter { !services.contains($0.service) })
        // The node registers anew with its next renewal and learns what it lost.
        stored.submittedHash = ""
        return replace(node, with: stored, lease: entry.lease)
    }

    private mutating func expire(_ node: String, _ now: DirectoryTime) -> Transition {
        guard let entry = entries[node] else { return unchanged(node, .unknownNode) }
        guard entry.lease.deadline <= now.monotonic else { return unchanged(node, .done) }
        if case .lost = entry.lease { return replace(node, with: nil, lease: entry.lease) }
        return lose(node, entry, now)
    }

    // MARK: - Changes

    private mutating func lose(_ node: String, _ entry: Entry, _ now: DirectoryTime) -> Transition {
        var stored = entry.stored
        if stored.state == .up {
            stored.state = .lost
            stored.since = now.unix
        }
        return replace(node, with: stored, lease: .lost(until: now.monotonic + settings.grace))
    }

    private func unchanged(_ node: String, _ outcome: Outcome) -> Transition {
        Transition(
            outcome: outcome, change: nil, row: nil, revision: revision,
            undo: Undo(node: node, entry: entries[node], revision: revision))
    }

    private mutating func replace(_ node: String, with stored: StoredNode?, lease: Lease) -> Transition {
        let old = entries[node]
        let undo = Undo(node: node, entry: old, revision: revision)
        entries[node] = stored.map { Entry(stored: $0, lease: lease) }
        if stored != nil, old?.lease.deadline != lease.deadline { addDeadline(lease.deadline, node) }
        let events = Self.events(from: old?.stored, to: stored)
        if events.isEmpty {
            let row: (String, StoredNode?)? = old?.stored == stored ? nil : (node, stored)
            return Transition(outcome: .done, change: nil, row: row, revision: revision, undo: undo)
        }
        revision += 1
        let change = DirectoryChange(revision: revision, events: events)
        return Transition(outcome: .done, change: change, row: (node, stored), revision: revision, undo: undo)
    }

    private mutating func addDeadline(_ deadline: Int64, _ node: String) {
        queue.add(deadline, node)
        // Every renewal leaves an entry behind: past four for each node they are swept.
        guard queue.count > 64, queue.count > 4 * entries.count else { return }
        queue.compact { entries[$0]?.lease.deadline == $1 }
    }

    /// What readers must be told. Instances go before their node and come after it, so that no instance is ever seen
    /// without its node.
    private static func events(from old: StoredNode?, to new: StoredNode?) -> [DirectoryEvent] {
        var events: [DirectoryEvent] = []
        let oldServices = old?.registration.services ?? []
        let newServices = new?.registration.services ?? []
        if let new, old.map({ $0.showsSameNode(as: new) }) != true { events.append(.node(new.node)) }
        // Both are sorted by name: one walk along both.
        var oldPlace = 0
        var newPlace = 0
        while oldPlace < oldServices.count || newPlace < newServices.count {
            let hasOld = oldPlace < oldServices.count
            let hasNew = newPlace < newServices.count
            if hasOld, !hasNew || oldServices[oldPlace].service < newServices[newPlace].service {
                let gone = oldServices[oldPlace]
                events.append(.instanceRemoved(service: gone.service, node: gone.node))
                oldPlace += 1
            } else if !hasOld || newServices[newPlace].service < oldServices[oldPlace].service {
                events.append(.instance(newServices[newPlace]))
                newPlace += 1
            } else {
                if oldServices[oldPlace] != newServices[newPlace] { events.append(.instance(newServices[newPlace])) }
                oldPlace += 1
                newPlace += 1
            }
        }
        if let old, new == nil { events.append(.nodeRemoved(old.registration.node)) }
        return events
    }
}
