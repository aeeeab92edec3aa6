/// What a service's checks said last.
public enum Health: String, Sendable, CaseIterable {
    /// The last checks succeeded.
    case passing
    /// The last checks failed; nobody should be sent there.
    case critical
    /// Nothing is known: there is no check, or none has ended yet.
    case unknown

    /// Whether streams may be sent there.
    public var isUsable: Bool { self != .critical }
}

/// One place where a service runs: a node with a local target, which only that node knows.
public struct Instance: Sendable, Hashable {
    /// The service's name.
    public var service: String
    /// The node's name. A node has at most one instance of a service.
    public var node: String
    /// What is spoken there: `tcp`, `http`, ….
    public var `protocol`: String
    /// Labels to choose by.
    public var tags: [String]
    /// The share of streams it wants, against the other instances' weights; 0 for none.
    public var weight: Int
    /// What its operator wrote about it.
    public var metadata: [String: String]
    /// What its checks said last.
    public var health: Health

    /// An instance from its parts.
    public init(
        service: String, node: String, protocol: String = "tcp", tags: [String] = [], weight: Int = 100,
        metadata: [String: String] = [:], health: Health = .unknown
    ) {
        self.service = service
        self.node = node
        self.protocol = `protocol`
        self.tags = tags
        self.weight = weight
        self.metadata = metadata
        self.health = health
    }

    /// `ACL/db`
    public var id: String { "\(node)/\(service)" }
}
