/// A host with an agent, as the directory knows it.
public struct Node: Sendable, Hashable {
    /// Whether the node's lease holds.
    public enum State: String, Sendable, CaseIterable {
        /// The lease holds.
        case up
        /// The link or the lease was lost; when the grace period ends as well, the node lapses with its instances.
        case lost
    }

    /// Its name.
    public var name: String
    /// Where its agent listens for links, in the order in which to try: `127.0.1.3:7400`, `[::1]:7400`,
    /// `db.example:7400`.
    public var addresses: [String]
    /// Identifies one run of its agent: 128 bits in hexadecimal.
    public var bootID: String
    /// What its operator wrote about it.
    public var metadata: [String: String]
    /// Whether its lease holds.
    public var state: State
    /// Since when this state and this run are, in milliseconds of Unix time.
    public var since: Int64

    /// A node from its parts.
    public init(
        name: String, addresses: [String], bootID: String, metadata: [String: String] = [:], state: State = .up,
        since: Int64
    ) {
        self.name = name
        self.addresses = addresses
        self.bootID = bootID
        self.metadata = metadata
        self.state = state
        self.since = since
    }
}
