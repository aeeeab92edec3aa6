/// One node with everything that must survive a restart.
public struct StoredNode: Sendable, Hashable {
    /// What it registered and was granted.
    public var registration: Registration
    /// The digest of what it asked for, refused services included; empty when it should register anew.
    public var submittedHash: String
    /// Whether its lease held.
    public var state: Node.State
    /// Since when, in milliseconds of Unix time.
    public var since: Int64

    /// A stored node from its parts.
    public init(registration: Registration, submittedHash: String, state: Node.State, since: Int64) {
        self.registration = registration
        self.submittedHash = submittedHash
        self.state = state
        self.since = since
    }

    /// Whether ``node`` is the same for both, without making either.
    func showsSameNode(as other: StoredNode) -> Bool {
        registration.node == other.registration.node && registration.bootID == other.registration.bootID
            && registration.addresses == other.registration.addresses
            && registration.metadata == other.registration.metadata && state == other.state && since == other.since
    }

    /// The node as the directory shows it.
    public var node: Node {
        Node(
            name: registration.node, addresses: registration.addresses, bootID: registration.bootID,
            metadata: registration.metadata, state: state, since: since)
    }
}

/// What a store had when it was opened.
public struct RestoredDirectory: Sendable, Hashable {
    /// Identifies the store: whoever holds revisions of another one starts over.
    public var epoch: String
    /// The last revision that was committed.
    public var revision: UInt64
    /// All nodes.
    public var nodes: [StoredNode]

    /// A restored directory from its parts.
    public init(epoch: String, revision: UInt64 = 0, nodes: [StoredNode] = []) {
        self.epoch = epoch
        self.revision = revision
        self.nodes = nodes
    }
}
