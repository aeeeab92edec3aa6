/// What a principal may be allowed to do.
public enum Verb: String, Sendable, CaseIterable, Hashable, CustomStringConvertible {
    /// Hold a link with a node; the target is the node that is asked.
    case link
    /// Put an instance of a service into the directory.
    case register
    /// Serve a service: whoever dials checks it of the node that answers.
    case provide
    /// See a service and its instances in the directory.
    case discover
    /// Open a stream to a service.
    case connect
    /// Open streams in another principal's name; the target is that principal.
    case actAs = "act-as"
    /// Change an agent's state; the target is its node. No wildcard ever gives it.
    case administer

    /// What the targets of a verb are.
    public enum TargetKind: String, Sendable {
        /// Names of nodes.
        case node
        /// Names of services.
        case service
        /// Principals such as `service:web`.
        case principal
    }

    /// What the targets of this verb are.
    public var targetKind: TargetKind {
        switch self {
        case .link, .administer: .node
        case .register, .provide, .discover, .connect: .service
        case .actAs: .principal
        }
    }

    /// `act-as`
    public var description: String { rawValue }

    /// A dense number for the index.
    var number: Int {
        switch self {
        case .link: 0
        case .register: 1
        case .provide: 2
        case .discover: 3
        case .connect: 4
        case .actAs: 5
        case .administer: 6
        }
    }

    static let count = 7

    /// `act as service:web`, `connect to db`: the verb with its target as people say it.
    func phrase(_ target: String) -> String {
        switch self {
        case .link: "link to \(target)"
        case .register: "register \(target)"
        case .provide: "provide \(target)"
        case .discover: "discover \(target)"
        case .connect: "connect to \(target)"
        case .actAs: "act as \(target)"
        case .administer: "administer \(target)"
        }
    }
}
