/// Something that changed in the directory. Every event says the whole new value, so that applying it twice is
/// applying it once.
public enum DirectoryEvent: Sendable, Hashable {
    /// A node is new or changed.
    case node(Node)
    /// A node is gone; its instances' own events came before.
    case nodeRemoved(String)
    /// An instance is new or changed.
    case instance(Instance)
    /// An instance is gone.
    case instanceRemoved(service: String, node: String)

    /// The service it is about; nil for a node.
    public var service: String? {
        switch self {
        case .instance(let instance): instance.service
        case .instanceRemoved(let service, _): service
        case .node, .nodeRemoved: nil
        }
    }
}

/// The events of one revision: what one command changed, all of it or nothing.
public struct DirectoryChange: Sendable, Hashable {
    /// The directory's revision after them.
    public let revision: UInt64
    /// What changed, in order; in a filtered stream perhaps nothing.
    public let events: [DirectoryEvent]

    /// A change from its parts.
    public init(revision: UInt64, events: [DirectoryEvent]) {
        self.revision = revision
        self.events = events
    }
}
