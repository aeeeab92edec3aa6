import Directory
import JSON
import Policy
import Testing

/// Short ways to make the values that tests need.
enum Make {
    static let settings = LeaseSettings(lease: 30_000, grace: 15_000, restartGrace: 60_000)

    static func time(_ milliseconds: Int64) -> DirectoryTime {
        DirectoryTime(monotonic: milliseconds, unix: 1_700_000_000_000 + milliseconds)
    }

    /// 32 digits from a short name.
    static func boot(_ digit: Character) -> String { String(repeating: digit, count: 32) }

    static func registration(
        _ node: String, boot: Character = "a", _ services: String..., port: Int = 7400, health: Health = .passing
    ) -> Registration {
        Registration(
            node: node, bootID: self.boot(boot), addresses: ["127.0.1.1:\(port)"],
            services: services.map { Instance(service: $0, node: node, health: health) })
    }

    static func register(_ registration: Registration) -> DirectoryState.Command {
        .register(registration, submittedHash: registration.hash)
    }

    static func state(_ now: Int64 = 0) -> DirectoryState {
        DirectoryState(restored: RestoredDirectory(epoch: "e"), settings: settings, now: time(now))
    }

    static func renew(_ registration: Registration) -> DirectoryState.Command {
        .renew(node: registration.node, bootID: registration.bootID, hash: registration.hash)
    }
}

extension DirectoryEvent {
    /// `+node`, `-node`, `+node/service=passing`, `-node/service`; a lost node `?node`.
    var short: String {
        switch self {
        case .node(let node): (node.state == .up ? "+" : "?") + node.name
        case .nodeRemoved(let name): "-" + name
        case .instance(let instance): "+\(instance.id)=\(instance.health)"
        case .instanceRemoved(let service, let node): "-\(node)/\(service)"
        }
    }
}

extension DirectoryState.Transition {
    var short: [String] { change?.events.map(\.short) ?? [] }
}
