import JSON

/// What the directory can be asked.
public enum DirectoryOperation: Sendable, Hashable {
    /// `GET services`
    case services
    /// `GET services/NAME`
    case service(String)
    /// `GET nodes`
    case nodes
    /// `GET nodes/NAME`
    case node(String)
    /// `PUT nodes/NAME` with a registration
    case register(Registration)
    /// `POST nodes/NAME/renew` with `{"bootId","hash"}`
    case renew(node: String, bootID: String, hash: String)
    /// `POST nodes/NAME/health` with `{"bootId","hash","health":{SERVICE:"passing"}}`
    case setHealth(node: String, bootID: String, health: [String: Health], hash: String)
    /// `DELETE nodes/NAME?bootId=`; without a boot id whatever run is registered
    case deregister(node: String, bootID: String?)
    /// `GET snapshot`
    case snapshot
    /// `GET watch?from=REVISION&epoch=EPOCH`
    case watch(from: UInt64, epoch: String?)

    /// Where the operations live.
    public static let prefix = "/v1/directory"
}

extension DirectoryOperation {
    /// Reads an HTTP request.
    ///
    /// - Parameters:
    ///   - method: `GET` and the like.
    ///   - path: The segments behind ``prefix``, percent-decoded: `["nodes", "ACL", "renew"]`.
    ///   - query: The value of a query parameter, percent-decoded.
    ///   - body: The whole body.
    /// - Throws: ``DirectoryProblem`` with what is wrong.
    public init(
        method: String, path: [String], query: (String) -> String? = { _ in nil }, body: [UInt8] = []
    ) throws(DirectoryProblem) {
        switch (method, path.first, path.count) {
        case ("GET", "services", 1): self = .services
        case ("GET", "services", 2): self = .service(path[1])
        case ("GET", "nodes", 1): self = .nodes
        case ("GET", "nodes", 2): self = .node(path[1])
        case ("GET", "snapshot", 1): self = .snapshot
        case ("GET", "watch", 1): self = try Self.watch(query)
        case ("PUT", "nodes", 2): self = try Self.register(path[1], body)
        case ("DELETE", "nodes", 2): self = try Self.deregister(path[1], query("bootId"))
        case ("POST", "nodes", 3) where path[2] == "renew": self = try Self.renew(path[1], body)
        case ("POST", "nodes", 3) where path[2] == "health": self = try Self.setHealth(path[1], body)
        default: throw Self.unknown(method, path)
        }
    }

    private static func unknown(_ method: String, _ path: [String]) -> DirectoryProblem {
        let methods: String? =
            switch (path.first, path.count) {
            case ("services", 1...2), ("nodes", 1), ("snapshot", 1), ("watch", 1): "GET"
            case ("nodes", 2): "GET, PUT, DELETE"
            case ("nodes", 3) where path[2] == "renew" || path[2] == "health": "POST"
            default: nil
            }
        if let methods { return DirectoryProblem(.methodNotAllowed, "this path has \(methods), not \(method)") }
        return DirectoryProblem(.unknownPath, "\(prefix) has services, nodes, snapshot and watch")
    }

    private static func watch(_ query: (String) -> String?) throws(DirectoryProblem) -> DirectoryOperation {
        guard let from = query("from").flatMap({ UInt64($0) }) else {
            throw DirectoryProblem(.invalidRequest, "`from` must be the revision of a snapshot: watch?from=17")
        }
        return .watch(from: from, epoch: query("epoch"))
    }

    private static func register(_ node: String, _ body: [UInt8]) throws(DirectoryProblem) -> DirectoryOperation {
        let registration = try read(body) { (json) throws(JSONAccessError) in try Registration(json: json) }
        guard registration.node == node else {
            throw DirectoryProblem(.invalidRequest, "the path names node \(node), the body \(registration.node)")
        }
        return .register(registration)
    }

    private static func deregister(_ node: String, _ bootID: String?) throws(DirectoryProblem) -> DirectoryOperation {
        guard bootID.map(Check.isBootID) ?? true else {
            throw DirectoryProblem(.invalidRequest, "`bootId` must be 32 lower-case hexadecimal digits")
        }
        return .deregister(node: node, bootID: bootID)
    }

    private static func renew(_ node: String, _ body: [UInt8]) throws(DirectoryProblem) -> DirectoryOperation {
        try read(body) { (json) throws(JSONAccessError) in
            let object = try json.requireObject()
            try object.requireOnly(["bootId", "hash"])
            return .renew(
                node: node, bootID: try object.read("bootId", Check.bootID), hash: try object.string("hash"))
        }
    }

    private static func setHealth(_ node: String, _ body: [UInt8]) throws(DirectoryProblem) -> DirectoryOperation {
        try read(body) { (json) throws(JSONAccessError) in
            let object = try json.requireObject()
            try object.requireOnly(["bootId", "hash", "health"])
            var health: [String: Health] = [:]
            for member in try object.object("health") {
                do throws(JSONAccessError) {
                    health[member.key] = try readRaw(member.value)
                } catch {
                    throw error.inside(member.key).inside("health")
                }
            }
            return .setHealth(
                node: node, bootID: try object.read("bootId", Check.bootID), health: health,
                hash: try object.string("hash"))
        }
    }

    private static func read<Result>(
        _ body: [UInt8], _ read: (JSONValue) throws(JSONAccessError) -> Result
    ) throws(DirectoryProblem) -> Result {
        let json: JSONValue
        do {
            json = try JSONReader.parse(body)
        } catch {
            throw DirectoryProblem(.invalidRequest, "the body is no JSON: \(error)")
        }
        do {
            return try read(json)
        } catch {
            throw DirectoryProblem(.invalidRequest, "\(error)")
        }
    }
}
